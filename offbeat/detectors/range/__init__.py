"""A value against its baseline: z-score, band, quantiles."""
