"""The Valkey server that runs where no broker or store is configured."""
