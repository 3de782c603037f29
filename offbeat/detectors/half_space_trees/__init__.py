"""Half-space trees, trained per key."""
