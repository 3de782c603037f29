"""Notifications about alerts and incidents of a store: what is to be said waits in the store until it was said."""
