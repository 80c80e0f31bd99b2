"""The worker process: Celery's application and worker, and the brokers."""
