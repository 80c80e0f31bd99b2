"""Settings, names and logging, for all other packages."""
