"""Alerts in a database: SQLite or PostgreSQL."""
