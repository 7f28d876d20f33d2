"""Numbers and prose as the page shows them: one way to write a percentage, one way to leave a gap."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from markupsafe import Markup, escape

MISSING = "\u2013"  # en dash: there is no such number
MINUS = "\u2212"
_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")


def fixed(value: float | None, digits: int = 1) -> str:
    """`12.345` -> `12.3`; a missing number is an en dash."""
    return MISSING if value is None else f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """`83.3` -> `83.3%`."""
    return MISSING if value is None else f"{value:.{digits}f}%"


def signed(value: float | None, digits: int = 1) -> str:
    """`36.2` -> `+36.2`, with a true minus sign for negative numbers and no sign for what rounds to zero."""
    if value is None:
        return MISSING
    size = f"{abs(value):.{digits}f}"
    if float(size) == 0:
        return size
    return ("+" if value > 0 else MINUS) + size


def finite(value: float | int | None) -> float | None:
    """The number, or None where it is missing, NaN or infinite."""
    return None if value is None or not math.isfinite(value) else float(value)


def difference(value: float | None, reference: float | None) -> float | None:
    """`value - reference`, or None where one is missing."""
    return None if value is None or reference is None else value - reference


def listing(names: Sequence[str]) -> str:
    """`a`, `b` and `c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def duration(seconds: float | None) -> str:
    """`3725` -> `1 h 02 min`."""
    if seconds is None:
        return MISSING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def inline(text: str) -> Markup:
    """Escaped text in which `code` and **bold** are set as such; nothing else is interpreted."""

    def tag(match: re.Match[str]) -> str:
        code, bold = match.groups()
        return f"<code>{code}</code>" if code is not None else f"<strong>{bold}</strong>"

    return Markup(_INLINE.sub(tag, str(escape(text))))


def paragraphs(text: str) -> Markup:
    """Blocks separated by blank lines; a block whose lines all start with `- ` is a list."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        if lines and all(line.startswith("- ") for line in lines):
            items = Markup("").join(Markup("<li>{}</li>").format(inline(line[2:])) for line in lines)
            blocks.append(Markup("<ul>{}</ul>").format(items))
        elif lines:
            blocks.append(Markup("<p>{}</p>").format(inline(" ".join(lines))))
    return Markup("\n").join(blocks)
