"""One file a detector, and what all of them share."""
