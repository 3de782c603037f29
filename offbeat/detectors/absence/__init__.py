"""Windows that a key should have and has not."""
