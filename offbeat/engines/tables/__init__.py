"""Tables of a run: collected from closed windows, written a day at a time."""
