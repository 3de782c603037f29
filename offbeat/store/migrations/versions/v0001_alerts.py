"""Alerts, the numbers of their changes, and the runs that write them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

_WORST = (sa.text("severity DESC"), sa.text("votes DESC"), sa.text("score DESC"), "time_ns", "alert_id")
_NEWEST = ("time_ns", "alert_id")


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.String(32), primary_key=True),
        sa.Column("change", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("view", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.Column("severity", sa.Float(53), nullable=False),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("votes", sa.Integer, nullable=False),
        sa.Column("score", sa.Float(53), nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("alerts_change", "alerts", ["change"], unique=True)
    op.create_index("alerts_worst", "alerts", [*_WORST])
    op.create_index("alerts_newest", "alerts", [*_NEWEST])
    op.create_index("alerts_pipeline_worst", "alerts", ["pipeline", *_WORST])
    op.create_index("alerts_pipeline_newest", "alerts", ["pipeline", *_NEWEST])
    op.create_index("alerts_level_worst", "alerts", ["level", *_WORST])
    op.create_index("alerts_level_newest", "alerts", ["level", *_NEWEST])
    op.create_index("alerts_key_newest", "alerts", ["key", *_NEWEST])
    changes = op.create_table("changes", sa.Column("last", sa.BigInteger, nullable=False))
    op.bulk_insert(changes, [{"last": 0}])
    op.create_table(
        "writers",
        sa.Column("writer", sa.String(32), primary_key=True),
        sa.Column("commits", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("writers", "changes", "alerts"):
        op.drop_table(table)
