"""What drives the core over a source, keeps its state and delivers its alerts."""
