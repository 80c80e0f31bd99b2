"""How messages travel: the broker, confirmed publishing, and deliveries in hand."""
