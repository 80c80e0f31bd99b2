"""What the pool shares, in Redis or Valkey: ledger, limits, tokens and pulses."""
