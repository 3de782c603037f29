"""The database's schema, step by step (Alembic). A new step is a file in `versions`, numbered as the last."""
