"""Windows per key, and what is read from them."""
