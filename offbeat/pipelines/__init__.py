"""The pipelines that come with the package."""
