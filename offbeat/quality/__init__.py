"""Which rows are fit to be judged; gaps against a cadence and a calendar."""
