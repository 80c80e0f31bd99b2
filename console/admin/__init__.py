"""What commands and pages read and do, without showing it."""
