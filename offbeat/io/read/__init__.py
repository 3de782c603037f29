"""Sources: from files, tables and standard input to typed columns."""
