"""Settings, names and logging: what every other package may read."""
