"""What the verbs print: a table for people, JSON for programs, on stdout."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from m2a.writing import put

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from m2a.recipes.tables import TextTable

_OBEYED = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]")  # control characters, but tabs and ends of lines
_AS_IT_IS: dict[str, Any] = {"markup": False, "emoji": False}


class SafeConsole(Console):
    """Shows control characters of labels and names of files as `\\x1b`, instead of sending them to the terminal, which
    obeys them: a model may be a stranger's."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or not _OBEYED.search(segment.text):
                yield segment
            else:
                shown = _OBEYED.sub(lambda found: f"\\x{ord(found[0]):02x}", segment.text)
                yield Segment(shown, segment.style)


CONSOLE = SafeConsole(**_AS_IT_IS)
"""Labels and names of files are printed as they are: the brackets of `Putting [something] in` are no markup."""


def error_console() -> Console:
    """The same on stderr: for what is at work while stdout has the answer."""
    return SafeConsole(stderr=True, **_AS_IT_IS)


def print_json(content: Any) -> None:
    """One JSON document, without colours or wrapping; escaped where stdout could not print a name as it is, or a
    terminal would obey it."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(content, indent=1)
    text = re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text)
    CONSOLE.print(text, highlight=False, soft_wrap=True)


def write_json(path: Path, content: Any) -> None:
    """Writes a file of measurements; `m2a.reporting.owned.check_our_json` is to be asked before they are made."""
    put(path, f"{json.dumps(content, indent=1)}\n".encode())


def print_table(table: Table) -> None:
    """A table in the width of the terminal, or wider where words or figures would be cut off: lines run over then."""
    from rich.cells import cell_len

    widths = [column.width for column in table.columns]
    for column in table.columns:
        if not column.no_wrap:
            words = [word for cell in (column.header, *column.cells) for word in str(cell).split()]
            column.width = max(map(cell_len, words), default=None)
    needed = Console(width=1000, **_AS_IT_IS).measure(table).maximum
    for column, width in zip(table.columns, widths, strict=True):
        column.width, column.min_width = width, column.width
    SafeConsole(width=max(CONSOLE.width, needed), **_AS_IT_IS).print(table)


def show_table(shown: TextTable, format: Literal["text", "markdown"] = "text") -> None:  # noqa: A002 - the flag's name
    """A table with its notes. On a narrow terminal lines run over; figures are never cut off."""
    if format == "markdown":
        CONSOLE.print(shown.markdown(), highlight=False, soft_wrap=True)
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=shown.title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, head in enumerate(shown.head):
        table.add_column(head, justify="left" if shown.of_words(number) else "right", no_wrap=True)
    for row in shown.rows:
        table.add_row(*row)
    print_table(table)
    for note in shown.notes:
        CONSOLE.print(note, highlight=False)
