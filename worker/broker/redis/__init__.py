"""kombu's Redis transport with a consuming side that loses nothing."""
