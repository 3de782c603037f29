"""What is to be said to receivers of notifications, and how far each has heard."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    op.create_table(
        "notified",
        sa.Column("receiver", sa.String(200), primary_key=True),
        sa.Column("change", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("receiver", sa.String(200), nullable=False),
        sa.Column("subject", sa.String(32), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.Column("made_ns", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("tried_ns", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("sent_ns", sa.BigInteger),
    )
    op.create_index("outbox_once", "outbox", ["receiver", "subject", "event"], unique=True)
    op.create_index("outbox_waiting", "outbox", ["receiver", "sent_ns", "number"])


def downgrade() -> None:
    for table in ("outbox", "notified"):
        op.drop_table(table)
