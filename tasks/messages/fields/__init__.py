"""What a job may hold, field by field: the one source of its checks, its schema and its faults."""
