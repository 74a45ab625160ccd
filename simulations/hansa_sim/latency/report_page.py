"""What every page has: its head with the style, and tables. Text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib import resources


def page_of(title: str, body: str) -> str:
    """A page that needs nothing else, around a body of markup."""
    style = resources.files("hansa_sim").joinpath("data", "report.css").read_text(encoding="utf-8")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    scheme = '<meta name="color-scheme" content="light dark">'
    head = f"<head>{head}{scheme}<style>{style}</style></head>"
    return f'<!doctype html>\n<html lang="en">{head}<body>{body}</body></html>\n'


def table_html(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of texts; the first column names the row."""
    titles = "".join(f"<th>{escape(one)}</th>" for one in head)
    body = "".join(f"<tr>{''.join(_cell(one, n) for n, one in enumerate(row))}</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(text: str, column: int) -> str:
    kind = "bad" if text == "UNSTABLE" else "name" if column == 0 else "figure"
    return f"<td class='{kind}'>{escape(text)}</td>"
