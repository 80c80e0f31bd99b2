"""The worker: from a message on the jobs queue to a result, in order."""
