"""Robust covariance (MCD, MRCD), trained per key."""
