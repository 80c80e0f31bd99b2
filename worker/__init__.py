"""The process that works on jobs: Celery's application and worker, and the brokers."""
