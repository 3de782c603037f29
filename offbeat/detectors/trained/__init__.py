"""What detectors share that are trained per key on that key's last rows."""
