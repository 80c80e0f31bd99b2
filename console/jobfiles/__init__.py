"""Files of jobs: CSV and JSON."""
