"""`m2a paper orderings` and `m2a paper ablations`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from m2a.errors import NotFoundError
from m2a.recipes.results import RESULTS

if TYPE_CHECKING:
    from m2a.recipes.groups import Group


def orderings(
    *,
    results: Path = RESULTS,
    format: Literal["text", "markdown"] = "text",  # noqa: A002 - the word users look for
    json: bool = False,
) -> None:
    """Say which of the paper's orderings of its rows hold in the results, seed by seed.

    Each claim of the paper (m2a above m2a-motion, tsm above m2a, ...) beside the difference of the same two rows here,
    with its 95% interval, in a line for each combination of clips, scale, weights and changes of the training. Where a
    changed model was run (--mechanism-options), a second table sets it beside the other rows as they are, and beside
    those that were run with the same change.

    Parameters
    ----------
    results:
        Folder of the results.
    format:
        text or markdown.
    json:
        Print JSON.
    """
    from m2a.cli.output import CONSOLE, print_json, show_table
    from m2a.recipes.changed_orderings import changed_orderings_content, changed_orderings_table
    from m2a.recipes.orderings import orderings_content, orderings_table

    groups = _groups(results)
    if json:
        print_json([*orderings_content(groups), *changed_orderings_content(groups)])
        return
    show_table(orderings_table(groups), format)
    if changed := changed_orderings_table(groups):
        CONSOLE.print()
        show_table(changed, format)


def ablations(
    *,
    results: Path = RESULTS,
    format: Literal["text", "markdown"] = "text",  # noqa: A002
    json: bool = False,
) -> None:
    """Show rows that were run with a changed recipe beside the same rows with the recipe as it is.

    Parameters
    ----------
    results:
        Folder of the results.
    format:
        text or markdown.
    json:
        Print JSON.
    """
    from m2a.cli.output import print_json, show_table
    from m2a.recipes.ablations import ablations_content, ablations_table

    groups = _groups(results)
    shown = ablations_table(groups)
    if shown is None:
        raise NotFoundError(
            f"{results} has no result of a changed recipe. Run one: m2a paper run I/m2a --init identity, for example."
        )
    if json:
        print_json(ablations_content(groups))
    else:
        show_table(shown, format)


def _groups(results: Path) -> list[Group]:
    from m2a.recipes.evidence import read_groups

    if not results.is_dir():
        raise NotFoundError(f"There is no folder {results}. Name the one that m2a paper run wrote with --results.")
    groups = read_groups(results)
    if not groups:
        raise NotFoundError(f"{results} holds no results. Make some: m2a paper run I --data synthetic --scale small.")
    return groups
