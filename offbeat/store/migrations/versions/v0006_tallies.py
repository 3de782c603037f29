"""How many alerts there are, by pipeline, view and level: counting millions would keep a page waiting."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("pipeline", sa.Text, primary_key=True),
        sa.Column("view", sa.Text, primary_key=True),
        sa.Column("level", sa.Text, primary_key=True),
        sa.Column("alerts", sa.BigInteger, nullable=False),
        sa.Column("severity_e9", sa.BigInteger, nullable=False),
    )
    whole = "CAST(severity * 1e9 AS INTEGER)" if op.get_bind().dialect.name == "sqlite" else "CAST(trunc(severity * 1e9) AS BIGINT)"
    op.execute(
        "INSERT INTO tallies (pipeline, view, level, alerts, severity_e9) "  # noqa: S608 - constants
        f"SELECT pipeline, view, level, count(*), sum({whole}) FROM alerts WHERE status <> 'retracted' GROUP BY pipeline, view, level"
    )


def downgrade() -> None:
    op.drop_table("tallies")
