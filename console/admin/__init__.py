"""What the commands of an operator read and do, apart from how it is shown."""
