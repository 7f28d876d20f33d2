"""`m2a list`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from m2a.errors import ConfigError

app = App(name="list", help="List mechanisms, and backbones.", help_format="plaintext")


@app.default
@app.command
def mechanisms(*, json: bool = False) -> None:
    """List mechanisms, and the motions and attentions that can be crossed, a line each.

    Parameters
    ----------
    json:
        Print JSON.
    """
    from m2a.cli.output import print_json
    from m2a.mechanisms import describe_mechanisms
    from m2a.mechanisms.catalogue import describe_parts

    motions, attentions = describe_parts("motion"), describe_parts("attention")
    described = describe_mechanisms()
    if json:
        print_json({"mechanisms": described, "motions": motions, "attentions": attentions})
        return
    _print("mechanisms", described, "Stack two with +, such as m2a+tsm.")
    _print("motions", motions, "")
    _print("attentions", attentions, "Cross any motion with any attention, such as tea:m2a or m2a:patch4.")


def _print(title: str, rows: dict[str, str], caption: str) -> None:
    from rich.table import Table

    from m2a.cli.output import CONSOLE

    left: dict[str, Any] = {"title_justify": "left", "caption_justify": "left"}
    table = Table("name", "what it does", title=title, caption=caption, **left)
    for name, summary in rows.items():
        table.add_row(name, summary)
    CONSOLE.print(table)


@app.command
def backbones(
    pattern: str = "*",
    /,
    *,
    check: bool = False,
    mechanism: Annotated[str, Parameter(name="--mechanism")] = "m2a",
    workers: int = 1,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """List timm's architectures; with --check, whether each takes a mechanism at its default sites.

    A check builds the architecture without data, inserts the mechanism, runs it forward and backward and removes it:
    about a second each.

    Parameters
    ----------
    pattern:
        A shell pattern such as "convnext*".
    check:
        Check each one.
    mechanism:
        What to insert.
    workers:
        Processes to check in.
    out:
        With --check, a JSON file to write the result to.
    json:
        Print JSON.
    """
    import timm

    from m2a.cli.output import CONSOLE, print_json

    names = timm.list_models(pattern)
    if not names:
        raise ConfigError(f"timm has no model that matches {pattern!r}. Try m2a list backbones '*net*'.")
    if not check:
        if out is not None:
            raise ConfigError("--out takes the result of a check; give --check too.")
        print_json(names) if json else CONSOLE.print("\n".join(names), highlight=False)
        return
    content = _checked(names, mechanism, workers, quiet=json)
    if out is not None:
        _write(out, content)
    if json:
        print_json(content)
        return
    CONSOLE.print(f"{content['working']} of {content['architectures']} architectures take {mechanism}", highlight=False)


def _checked(names: list[str], mechanism: str, workers: int, *, quiet: bool) -> dict[str, Any]:
    from m2a.cli.output import CONSOLE
    from m2a.measurement import check_backbones, versions

    rows = []
    for row in check_backbones(names, mechanism, workers=workers):
        rows.append(row)
        if not quiet:
            said = f"{row.sites} sites, {', '.join(row.layouts)}, {row.first} ..." if row.works else row.reason
            mark = "works" if row.works else "FAILS"
            CONSOLE.print(f"{row.backbone}: {mark}, {said}", highlight=False, markup=False)
    return {
        "mechanism": mechanism,
        "architectures": len(rows),
        "working": sum(row.works for row in rows),
        "versions": versions(),
        "rows": [row.to_dict() for row in rows],
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    """One architecture a line, so that two results can be compared line by line."""
    from json import dumps

    head = {key: value for key, value in content.items() if key != "rows"}
    lines = ",\n".join(dumps({k: v for k, v in row.items() if k != "mechanism"}) for row in content["rows"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(head)[:-1] + ', "rows": [\n' + lines + "\n]}\n", encoding="utf-8")
