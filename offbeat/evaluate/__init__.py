"""Generated data with labels, and metrics, to try pipelines on."""
