"""What people did about episodes, and what they muted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.String(32), primary_key=True),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("snoozed_until_ns", sa.BigInteger),
        sa.Column("label", sa.String(16)),
        sa.Column("label_why", sa.Text),
        sa.Column("merged_into", sa.String(32)),
    )
    op.create_table(
        "incident_alerts",
        sa.Column("alert_id", sa.String(32), primary_key=True),
        sa.Column("incident_id", sa.String(32), nullable=False),
    )
    op.create_index("incident_alerts_of", "incident_alerts", ["incident_id"])
    op.create_table(
        "incident_actions",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("incident_id", sa.String(32), nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("incident_actions_of", "incident_actions", ["incident_id", "number"])
    op.create_table(
        "mutes",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("view", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("since_ns", sa.BigInteger),
        sa.Column("until_ns", sa.BigInteger),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("removed_by", sa.Text),
        sa.Column("removed_ns", sa.BigInteger),
    )
    op.create_index("mutes_of", "mutes", ["pipeline", "number"])


def downgrade() -> None:
    for table in ("mutes", "incident_actions", "incident_alerts", "incidents"):
        op.drop_table(table)
