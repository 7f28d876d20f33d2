"""`m2a list`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from m2a.errors import ConfigError
from m2a.writing import put

_CANNOT_TELL = {"permutation": "any order of the frames", "reversal": "a clip and its reverse", "none": ""}

app = App(name="list", help="List mechanisms, and backbones.", help_format="plaintext")


@app.default
@app.command
def mechanisms(*, json: bool = False) -> None:
    """List mechanisms, and the motions and attentions that can be crossed, a line each.

    Of mechanisms it says what they cannot tell apart in a network that averages frames: clips whose frames are the same
    in any order, or a clip and its reverse.

    Parameters
    ----------
    json:
        Print JSON.
    """
    from m2a.cli.output import print_json
    from m2a.mechanisms import describe_mechanisms, time_symmetry
    from m2a.mechanisms.catalogue import describe_parts

    motions, attentions = describe_parts("motion"), describe_parts("attention")
    described = describe_mechanisms()
    symmetry = {name: time_symmetry(name) for name in described}
    if json:
        content = {"mechanisms": described, "motions": motions, "attentions": attentions, "time_symmetry": symmetry}
        print_json(content)
        return
    blind = {name: _CANNOT_TELL[found] for name, found in symmetry.items()}
    _print("mechanisms", described, "Stack two with +, such as m2a+tsm.", blind)
    _print("motions", motions, "")
    _print("attentions", attentions, "Cross any motion with any attention, such as tea:m2a or m2a:patch4.")


def _print(title: str, rows: dict[str, str], caption: str, blind: dict[str, str] | None = None) -> None:
    from rich.table import Table

    from m2a.cli.output import print_table

    left: dict[str, Any] = {"title_justify": "left", "caption_justify": "left"}
    table = Table("name", "what it does", title=title, caption=caption, **left)
    if blind:
        table.add_column("cannot tell apart")
    for name, summary in rows.items():
        table.add_row(name, summary, *([blind[name]] if blind else []))
    print_table(table)


@app.command
def backbones(
    pattern: str = "*",
    /,
    *,
    check: bool = False,
    mechanism: Annotated[str, Parameter(name="--mechanism")] = "m2a",
    every_mechanism: bool = False,
    workers: int = 1,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """List the architectures of timm and torchvision; with --check, whether each takes a mechanism.

    A check builds the architecture without data, inserts the mechanism at the default sites, runs it forward and
    backward and removes it: about a second each.

    Parameters
    ----------
    pattern:
        A shell pattern such as "convnext*" or "torchvision/*".
    check:
        Check each one.
    mechanism:
        What to insert.
    every_mechanism:
        With --check, insert every other mechanism too, into the smallest architecture of each family.
    workers:
        Processes to check in.
    out:
        With --check, a JSON file to write the result to.
    json:
        Print JSON.
    """
    from m2a.cli.output import CONSOLE, print_json
    from m2a.measurement import list_backbones
    from m2a.reporting.owned import check_our_json

    names = list_backbones(pattern)
    if not names:
        raise ConfigError(f"No architecture matches {pattern!r}. Try m2a list backbones '*net*'.")
    if not check:
        if out is not None or every_mechanism:
            raise ConfigError("--out and --every-mechanism are for a check; give --check too.")
        print_json(names) if json else CONSOLE.print("\n".join(names), highlight=False)
        return
    if out is not None:
        check_our_json(out)
    content = _checked(names, mechanism, workers, every_mechanism=every_mechanism, quiet=json)
    if out is not None:
        _write(out, content)
    if json:
        print_json(content)
        return
    CONSOLE.print(f"{content['working']} of {content['architectures']} architectures take {mechanism}", highlight=False)


def _checked(names: list[str], mechanism: str, workers: int, *, every_mechanism: bool, quiet: bool) -> dict[str, Any]:
    from m2a.measurement import check_backbones, versions
    from m2a.measurement.compatibility import every_mechanism as all_mechanisms
    from m2a.measurement.compatibility import smallest_of_families

    rows = [_said(row, quiet=quiet) for row in check_backbones(names, mechanism, workers=workers)]
    content: dict[str, Any] = {
        "mechanism": mechanism,
        "architectures": len(rows),
        "working": sum(row.works for row in rows),
        "versions": versions(),
        "rows": [row.to_dict() for row in rows],
    }
    if every_mechanism:
        smallest = [row.backbone for row in smallest_of_families(rows)]
        content["families"] = [
            _said(row, quiet=quiet).to_dict() for row in check_backbones(smallest, all_mechanisms(), workers=workers)
        ]
    return content


def _said(row: Any, *, quiet: bool) -> Any:
    from m2a.cli.output import CONSOLE

    if not quiet:
        said = f"{row.sites} sites, {', '.join(row.layouts)}, {row.first} ..." if row.works else row.reason
        mark = "works" if row.works else "FAILS"
        CONSOLE.print(f"{row.backbone} with {row.mechanism}: {mark}, {said}", highlight=False)
    return row


def _write(path: Path, content: dict[str, Any]) -> None:
    """One architecture a line, so that two results can be compared line by line; fields that say nothing left out."""
    from json import dumps

    parts = {key: value for key, value in content.items() if key in ("rows", "families")}
    text = dumps({key: value for key, value in content.items() if key not in parts})[:-1]
    for name, rows in parts.items():
        lines = (dumps({key: value for key, value in row.items() if value not in ("", [])}) for row in rows)
        text += f', "{name}": [\n' + ",\n".join(lines) + "\n]"
    put(path, f"{text}}}\n".encode())
