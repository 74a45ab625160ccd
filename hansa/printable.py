"""Text of others made harmless where it is shown: what a terminal would obey, what hides or turns text around."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text with line ends kept and all else that cannot be printed written as its escape, such as ``\x1b``.

    That is what Unicode counts as neither letter, mark, number, sign nor plain space: control characters, marks that
    change the direction of text, lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _escape(char) for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
