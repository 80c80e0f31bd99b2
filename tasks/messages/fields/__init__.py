"""The fields of a job: the only source of its checks, its schema and its faults."""
