"""Where the rows of alerts came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    op.create_table(
        "origins",
        sa.Column("alert_id", sa.String(32), primary_key=True),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("row", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("origins")
