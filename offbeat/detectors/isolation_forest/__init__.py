"""Isolation forest, trained per key."""
