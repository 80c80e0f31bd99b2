"""What the pool shares, in Redis or Valkey: ledger, limits, tokens, signs of life."""
