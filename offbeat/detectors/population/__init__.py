"""What all models over the windows of all keys share: the sample they are trained on, thresholds, files."""
