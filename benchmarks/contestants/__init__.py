"""The pipelines that are compared, each as its own documentation shows it."""
