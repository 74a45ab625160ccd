"""Decisions are compressed, which an older program would take for damage; those that are there stay as they are."""

from __future__ import annotations

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Nothing changes but the number, by which an older program refuses the database."""
