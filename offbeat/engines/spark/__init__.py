"""Spark carries the rows, the fold judges them: batches of files and tables, and topics by Structured Streaming."""

HIVE = "hive://"
"""Begins the address of a table; see `catalogue`."""
