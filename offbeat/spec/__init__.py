"""The pipeline file: typed objects, expressions, and the Plan that engines run."""
