"""Detectors of other packages: what they promise, and how they take part in a view."""
