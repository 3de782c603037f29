"""Values beyond all that a key had before."""
