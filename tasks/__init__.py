"""What happens to a job: the task, its attempts, LivePerson, the store, and the messages."""
