"""A condition in SQL."""
