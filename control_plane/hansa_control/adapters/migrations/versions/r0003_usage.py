"""The book of usage: one row for each unbroken run of a claim's meter."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "hansa_usage",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("home", sa.String, primary_key=True),
        sa.Column("claim", sa.String, primary_key=True),
        sa.Column("fencing_token", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("span", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("zone", sa.String, nullable=False),
        sa.Column("workload", sa.String, nullable=False),
        sa.Column("pool", sa.String, nullable=False),
        sa.Column("accelerators", sa.BigInteger, nullable=False),
        sa.Column("cpu_millis", sa.BigInteger, nullable=False),
        sa.Column("memory_mib", sa.BigInteger, nullable=False),
        sa.Column("from_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("is_final", sa.Boolean, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("asked_at_ms", sa.BigInteger, nullable=False),
        sa.Column("given_back_at_ms", sa.BigInteger, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("checksum", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("hansa_usage_told", "hansa_usage", ["owner", "sequence"])
