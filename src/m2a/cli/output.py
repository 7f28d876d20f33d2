"""What the verbs print: a table for people, JSON for programs, on stdout."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

CONSOLE = Console()


def print_json(content: Any) -> None:
    """One JSON document, without colours or wrapping."""
    CONSOLE.print(json.dumps(content, indent=1, ensure_ascii=False), highlight=False, markup=False, soft_wrap=True)
