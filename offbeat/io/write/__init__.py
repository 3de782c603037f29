"""Sinks: alerts, tables and quarantined rows."""
