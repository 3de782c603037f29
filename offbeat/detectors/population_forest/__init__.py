"""Isolation forest over all keys."""
