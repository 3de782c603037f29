"""Batches, order, windows' partials and their merge, state, ledger: knows no file, broker, clock or screen."""
