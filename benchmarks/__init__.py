"""Measurements: whole pipelines side by side, enqueueing, scale, and the limiter."""
