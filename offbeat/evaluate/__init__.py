"""Made-up data with labels, to try pipelines on."""
