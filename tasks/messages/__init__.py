"""The messages: jobs come in, results and dead letters go out."""
