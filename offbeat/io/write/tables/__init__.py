"""Where a run's tables go."""
