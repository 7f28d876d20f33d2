"""Writes docs/options.md from the dataclass `TrainConfig`. With `--check` it writes nothing and exits with 1 when the
page is stale. Needs no torch."""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
import textwrap
from dataclasses import MISSING, Field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from m2a.training.config import (
    RECIPES,
    Cache,
    ClassWeights,
    Consensus,
    DataFormat,
    Decoder,
    Device,
    Init,
    Optimizer,
    Precision,
    Sampling,
    Schedule,
    TrainConfig,
)

PAGE = Path(__file__).parent.parent / "docs" / "options.md"
_CHOICES = {
    "Optimizer": Optimizer, "Schedule": Schedule, "Precision": Precision, "DataFormat": DataFormat,
    "Consensus": Consensus, "Init": Init, "Sampling": Sampling, "Decoder": Decoder, "Cache": Cache,
    "Device": Device, "ClassWeights": ClassWeights,
}  # fmt: skip

_HEAD = """\
# Training options

<!-- Written by `python scripts/options_table.py` from m2a.training.TrainConfig; do not edit. -->

Every option is a field of `m2a.training.TrainConfig`, a flag of `m2a train`, and a key of a run's `config.yaml`.

| in Python and YAML | on the command line |
|---|---|
| `num_frames=16` | `--num-frames 16` |
| `flip=True`, `channels_last=False` | `--flip`, `--no-channels-last` |
| `milestones=(10, 20)` | `--milestones 10 --milestones 20` |
| `mechanism_options={"boundary": "zero"}` | `--mechanism-options.boundary zero` |

Where an option is given more than once, a flag wins over the file of `--config`, that over `--recipe`, and that over
the default below. Only `data` has no default.

## All options
"""

_RECIPES = """
## What each recipe sets

`--recipe paper` is the defaults. Options that are not in this table are the same in every recipe.
"""


def page() -> str:
    """The whole page."""
    described = _descriptions()
    rows: list[tuple[str, ...]] = [
        (f"`{f.name}`", _type(f), _default(f), described[f.name]) for f in fields(TrainConfig)
    ]
    parts = [_HEAD, _table(("option", "type", "default", "what it does"), rows), _RECIPES]
    changed = [f for f in fields(TrainConfig) if any(f.name in recipe for recipe in RECIPES.values())]
    recipe_rows: list[tuple[str, ...]] = [
        (f"`{f.name}`", *(_value(recipe[f.name]) if f.name in recipe else _default(f) for recipe in RECIPES.values()))
        for f in changed
    ]
    parts.append(_table(("option", *(f"`{name}`" for name in RECIPES)), recipe_rows))
    return "\n".join(parts)


def _descriptions() -> dict[str, str]:
    """The text under each field of the class, which Python itself does not keep."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(TrainConfig)))
    body = tree.body[0].body
    found = {}
    for statement, following in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = following.value.value if isinstance(following, ast.Expr) else None
            if not isinstance(text, str):
                raise SystemExit(f"TrainConfig.{statement.target.id} has no description under it.")
            found[statement.target.id] = " ".join(text.split()).replace("<", "&lt;")
    return found


def _type(f: Field[Any]) -> str:
    name = str(f.type)
    if name in _CHOICES:
        return ", ".join(f"`{choice}`" for choice in _CHOICES[name].__args__)
    if name.startswith("Literal["):
        return ", ".join(f"`{choice}`" for choice in ast.literal_eval(f"[{name[8:-1]}]"))
    return f"`{name}`"


def _default(f: Field[Any]) -> str:
    if f.default is not MISSING:
        return _value(f.default)
    return _value(f.default_factory()) if f.default_factory is not MISSING else "required"


def _value(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) else f"`{value!r}`"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 when the page is stale")
    fresh = page()
    if not parser.parse_args().check:
        PAGE.write_text(fresh, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != fresh:
        sys.exit(f"{PAGE.name} is stale: run `python scripts/options_table.py`.")


if __name__ == "__main__":
    main()
