"""`m2a list`."""

from __future__ import annotations

from typing import Literal


def list_(what: Literal["mechanisms"] = "mechanisms", *, json: bool = False) -> None:
    """List mechanisms, and the motions and attentions that can be crossed, a line each.

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
    from m2a.mechanisms.catalogue import describe_parts

    motions, attentions = describe_parts("motion"), describe_parts("attention")
    described = describe_mechanisms()
    if json:
        print_json({"mechanisms": described, "motions": motions, "attentions": attentions})
        return
    titles = {
        "mechanisms": (described, "Stack two with +, such as m2a+tsm."),
        "motions": (motions, ""),
        "attentions": (attentions, "Cross any motion with any attention, such as tea:m2a or m2a:patch4."),
    }
    for title, (rows, caption) in titles.items():
        table = Table(
            "name", "what it does", title=title, title_justify="left", caption=caption, caption_justify="left"
        )
        for name, summary in rows.items():
            table.add_row(name, summary)
        CONSOLE.print(table)
