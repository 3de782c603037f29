"""Everything a pipeline does between a source and its sinks, for the shards that one worker holds."""
