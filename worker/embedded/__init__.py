"""The Valkey server that is started if no broker or store is configured."""
