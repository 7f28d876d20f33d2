"""`m2a list`."""

from __future__ import annotations

from typing import Literal


def list_(what: Literal["mechanisms"] = "mechanisms", *, json: bool = False) -> None:
    """List mechanisms, a line each.

    Parameters
    ----------
    what:
        What to list.
    json:
        Print JSON.
    """
    from rich.table import Table

    from m2a.cli.output import CONSOLE, print_json
    from m2a.mechanisms import describe_mechanisms

    described = describe_mechanisms()
    if json:
        print_json(described)
        return
    table = Table("name", "what it does", caption="Stack two with +, such as m2a+tsm.", caption_justify="left")
    for name, summary in described.items():
        table.add_row(name, summary)
    CONSOLE.print(table)
