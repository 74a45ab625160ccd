"""What is shown to people: lines and tables, laid out for the terminal's width or, without one, as plain columns."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from hansa.printable import printable

GAP = 2
WRAPPED_COLUMNS_MIN = 14


class Styled(NamedTuple):
    """Text with a style of rich, for example "red" or "dim"."""

    text: str
    style: str


Cell: TypeAlias = str | Styled


@dataclass(frozen=True, slots=True)
class Line:
    """A line of cells without columns."""

    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headers.

    By index, ``right`` names right-aligned columns, ``fixed`` those that are never wrapped, and ``spare`` those that a
    terminal may lack the room for, first to go first.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    right: frozenset[int] = frozenset()
    fixed: frozenset[int] = frozenset({0})
    spare: tuple[int, ...] = ()


Document: TypeAlias = Sequence[Line | Table]


def line(*cells: Cell) -> Line:
    return Line(cells)


def heading(text: str) -> Line:
    return Line((Styled(text, "bold"),))


class Screen:
    """Shows documents on standard output.

    On a terminal, tables are laid out for its width and long cells go on in the next line. Without a terminal and
    without COLUMNS, and with ``-o wide``, nothing is wrapped and every row is one line.
    """

    def __init__(self, *, width_columns: int) -> None:
        self._width = width_columns
        self._console = Console(highlight=False, markup=False, emoji=False, width=width_columns or None)

    @property
    def is_terminal(self) -> bool:
        return self._console.is_terminal

    def show(self, document: Document) -> None:
        for block in document:
            if isinstance(block, Line):
                self._console.print(_joined(block.cells), soft_wrap=not self._width)
            elif self._width:
                self._console.print(_laid_out(block, self._width))
            else:
                for row in _columns(block):
                    self._console.print(row, soft_wrap=True)

    def clear(self) -> None:
        """Wipes a terminal; nothing elsewhere."""
        self._console.clear()


def terminal_width() -> int:
    """Columns of the terminal or of COLUMNS; 0 if there is neither."""
    return shutil.get_terminal_size(fallback=(0, 0)).columns


def _text(cell: Cell) -> Text:
    """A cell as it is shown; what cannot be printed stands as its escape, as partners and app teams wrote it."""
    if isinstance(cell, Styled):
        return Text(printable(cell.text), style=cell.style)
    return Text(printable(cell))


def _joined(cells: Sequence[Cell]) -> Text:
    return Text("").join(_text(cell) for cell in cells)


def _laid_out(table: Table, width_columns: int) -> RichTable:
    widths = _natural_widths(table)
    shown = _shown_columns(table, widths, width_columns)
    least = _wrapped_least(table, [(index, widths[index]) for index in shown], width_columns)
    rich = RichTable(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold dim")
    for index in shown:
        rich.add_column(
            table.headers[index],
            justify="right" if index in table.right else "left",
            no_wrap=_stays_whole(table, index),
            overflow="fold",
            min_width=min(widths[index], WRAPPED_COLUMNS_MIN if _stays_whole(table, index) else least),
        )
    for row in table.rows:
        rich.add_row(*(_text(row[index]) for index in shown))
    return rich


def _stays_whole(table: Table, index: int) -> bool:
    return index in table.fixed or index in table.right


def _wrapped_least(table: Table, shown: Sequence[tuple[int, int]], width_columns: int) -> int:
    """How wide a column is at least that goes on in the next line: less where all of them would not fit otherwise, as
    what does not fit is cut off."""
    whole = sum(width for index, width in shown if _stays_whole(table, index))
    wrapped = [index for index, _ in shown if not _stays_whole(table, index)]
    room = width_columns - whole - GAP * (len(shown) - 1)
    return max(1, min(WRAPPED_COLUMNS_MIN, room // max(len(wrapped), 1)))


def _shown_columns(table: Table, widths: list[int], width_columns: int) -> list[int]:
    """Every column, less the spare ones that must go so that nothing is wrapped."""
    shown = list(range(len(widths)))
    for index in table.spare:
        if sum(widths[i] + GAP for i in shown) - GAP <= width_columns:
            break
        shown.remove(index)
    return shown


def _natural_widths(table: Table) -> list[int]:
    rows = (table.headers, *table.rows)
    return [
        max(line.cell_len for row in rows for line in _text(row[index]).split("\n", allow_blank=True))
        for index in range(len(table.headers))
    ]


def _columns(table: Table) -> list[Text]:
    """Rows as single lines, each column as wide as its widest cell, without blanks at the end."""
    rows = [tuple(Styled(header, "bold dim") for header in table.headers), *table.rows]
    cells = [[Text(", ").join(_text(cell).split("\n", allow_blank=True)) for cell in row] for row in rows]
    widths = [max(row[index].cell_len for row in cells) for index in range(len(table.headers))]
    return [_row(row, widths, table.right) for row in cells]


def _row(cells: list[Text], widths: list[int], right: frozenset[int]) -> Text:
    row = Text("")
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        blanks = " " * (width - cell.cell_len)
        gap = "" if index == len(cells) - 1 else " " * GAP
        row = row.append(blanks).append(cell) if index in right else row.append(cell).append(blanks)
        row = row.append(gap)
    row.rstrip()
    return row
