"""Which rows are fit to be scored; gaps against a cadence and a calendar."""
