"""Side-by-side measurements; each module is run with `python -m benchmarks.NAME` and records its figures in RESULTS.md."""
