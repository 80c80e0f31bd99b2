"""The messages themselves: jobs that come in, results and dead letters that go out."""
