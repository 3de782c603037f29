"""Sources and sinks, one file a system, and what a person is shown."""
