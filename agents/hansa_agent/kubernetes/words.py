"""Words of the platform, made fit to be passed on. Pure."""

from __future__ import annotations

WORDS_CHARS_MAX = 190


def printable(text: str) -> str:
    """One line of at most ``WORDS_CHARS_MAX`` printable characters."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= WORDS_CHARS_MAX else plain[: WORDS_CHARS_MAX - 3] + "..."
