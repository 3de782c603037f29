"""Spark carries the rows, the fold judges them: batches of files and tables, and topics by Structured Streaming."""
