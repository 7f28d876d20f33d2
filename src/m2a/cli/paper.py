"""`m2a paper ...`: the rows of the paper's tables, listed, run, compared and counted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Dict

from m2a.errors import ConfigError, NotFoundError
from m2a.recipes.paper import ROW_OPTIONS, refusal, shared_options
from m2a.recipes.results import RESULTS
from m2a.recipes.scales import SCALES
from m2a.training.config import TrainConfig

if TYPE_CHECKING:
    from m2a.workflows.paper import PaperRuns

app = App(name="paper", help="Run the rows of the paper's tables, and compare.", help_format="plaintext")
app.command(
    "m2a.cli.paper_orderings:orderings",
    name="orderings",
    help="Say which of the paper's orderings of its rows hold in the results, seed by seed.",
)
app.command(
    "m2a.cli.paper_orderings:ablations",
    name="ablations",
    help="Show rows that were run with a changed recipe beside the same rows with the recipe as it is.",
)
app.command("m2a.cli.paper_figure:figure", name="figure", help="Draw the paper's Figure 4 or 5 of results.")

ScaleName = Literal["paper", "medium", "small", "tiny"]
RUNS = Path("runs/paper")
COSTED = ("I", "II", "III", "V")  # the tables in which the paper gives GMACs


@app.command(name="list")
def list_(*, table: str | None = None, json: bool = False) -> None:
    """List the rows by name, with the paper's figures, and the scales they can be run at.

    Parameters
    ----------
    table:
        One of I, II, III, IV, V, VI, R18, MV2; by default all.
    json:
        Print JSON.
    """
    from m2a.cli.output import print_json, show_table
    from m2a.recipes.rows import ALL_TABLES, find_table
    from m2a.recipes.tables import recipes_table, row_content

    rows = [row for name in ([table] if table else ALL_TABLES) for row in find_table(name)]
    if json:
        print_json([row_content(row) for row in rows])
    else:
        show_table(recipes_table(rows))


@app.command
def run(
    *names: str,
    options: Annotated[TrainConfig, Parameter(name="*")],
    scale: ScaleName = "paper",
    seeds: tuple[int, ...] | None = None,
    jobs: int = 1,
    results: Path = RESULTS,
    overwrite: bool = False,
    json: bool = False,
    command: Annotated[str, Parameter(show=False)] = "m2a paper run",
) -> None:
    """Train and measure rows of the paper, and keep each result as a JSON file.

    Each row is trained as in the paper, at the scale that is asked for. The flags of m2a train go over that and are
    recorded as changes; --backbone, --inflate and --mechanism are what a row is, and stay. --pretrained (none,
    imagenet, or a file, which is taken to hold ImageNet weights) is no change either: results from random and from
    ImageNet weights stand in tables of their own. --data is the data set's folder, or the word synthetic for the
    scale's own drawn set, or edition-1 for that edition of the synthetic set. --out is a folder for all runs, by
    default runs/paper; each run gets a new one in it. A row that is the same model as a row of another table, such as
    V/m2a and I/m2a, is not trained where that one has a result of the same data, settings and seed. Where a run fails
    the next goes on, and the failures are named at the end.

    Parameters
    ----------
    names:
        Rows such as I/m2a, and whole tables such as I; m2a paper list shows them.
    scale:
        paper (as it is), medium (minutes a row on one GPU), small (minutes a row on one core) or tiny (seconds).
    seeds:
        Several seeds, such as 0 1 2, in place of --seed.
    jobs:
        Runs at a time, each in a process of its own that prints to a file in logs, below --out. A GPU has time and
        memory for several at the small and the medium scale.
    results:
        Folder of the results: <table>/<mechanism>-<scale>-<data>-<weights>-seed<k>.json.
    overwrite:
        Train although there are results already: replace a row's own, instead of refusing.
    json:
        Print the results as JSON.
    """
    from m2a.cli.main import fail
    from m2a.cli.output import CONSOLE, error_console
    from m2a.workflows.paper import run_recipes

    if seeds is not None and options.seed not in (0, *seeds):
        raise ConfigError(f"--seed {options.seed} is not among --seeds {' '.join(map(str, seeds))}. Give one of them.")
    done = run_recipes(
        names,
        seeds=(options.seed,) if seeds is None else seeds,
        jobs=jobs,
        console=error_console() if json else CONSOLE,
        data=options.data,
        scale=scale,
        out=options.out or RUNS,
        results=results,
        overwrite=overwrite,
        command=command,
        **_changes(options, scale),
    )
    _show_runs(done, json)
    if len(done.failures) == 1 and not done.results:
        raise next(iter(done.failures.values()))
    if done.failures:
        failed = "\n".join(f"  {name}: {error}" for name, error in done.failures.items())
        total = len(done.failures) + len(done.results)
        fail(f"{len(done.failures)} of {total} runs failed:\n{failed}")


@app.command(name="table")
def table_(
    name: str,
    /,
    *,
    results: Path | None = None,
    format: Literal["text", "markdown"] = "text",  # noqa: A002 - the word users look for
    json: bool = False,
) -> None:
    """Show a table of the paper with what was measured beside it, over all seeds.

    Results of different scales, data or changed options never stand in one table: each combination gets its own. A row
    that was not run, but is the same model as a row of another table, shows the results of that one, which is said
    below the table. A row without a result shows a dash.

    Parameters
    ----------
    name:
        I, II, III, IV, V or VI; or one of our own, R18 or MV2.
    results:
        Folder of the results; by default paper/results.
    format:
        text or markdown.
    json:
        Print JSON.
    """
    from m2a.cli.output import print_json, show_table
    from m2a.recipes.groups import group_results
    from m2a.recipes.shared import read_results
    from m2a.recipes.tables import results_table, table_content

    if results is not None and not results.is_dir():
        raise NotFoundError(f"There is no folder {results}. Name the one that m2a paper run wrote with --results.")
    groups = group_results(read_results(results or RESULTS, name))
    if json:
        print_json({"table": name, "groups": [table_content(group) for group in groups]})
        return
    for shown in [results_table(name, group) for group in groups] or [results_table(name, None)]:
        show_table(shown, format)


@app.command
def macs(*tables: str, json: bool = False) -> None:
    """Count what the rows cost, beside the paper's figures and the released code's.

    Exits with 1 when a row is off the released code by more than 0.1%.

    Parameters
    ----------
    tables:
        By default those in which the paper gives GMACs: I, II, III and V.
    json:
        Print JSON.
    """
    from m2a.cli.main import fail
    from m2a.cli.output import CONSOLE, print_json, show_table
    from m2a.recipes.costs import NOTES, TOLERANCE, costs_table, measure_costs
    from m2a.recipes.rows import find_table

    chosen = {name: find_table(name) for name in tables or COSTED}
    costs = measure_costs([row for rows in chosen.values() for row in rows])
    if json:
        print_json([cost.content() for cost in costs])
    else:
        for name in chosen:
            show_table(costs_table([cost for cost in costs if cost.row.table == name]))
        for note in NOTES:
            CONSOLE.print(note, highlight=False)
    if wrong := [cost.row.name for cost in costs if not cost.agrees]:
        fail(f"Off the released code by more than {TOLERANCE}%: {', '.join(wrong)}.")


def option_sources(tokens: Sequence[str]) -> tuple[Dict, ...]:
    """The values that stand below the flags of `m2a paper run`: the recipe's, at the scale that is asked for. Raises
    ConfigError for a flag of what makes the row."""
    flags = {token.partition("=")[0].replace("_", "-") for token in tokens if token.startswith("--")}
    fixed = [f"--{name}" for name in ROW_OPTIONS if flags & {f"--{name}", f"--no-{name}"}]
    if fixed and not flags & {"--help"}:
        raise ConfigError(refusal(fixed))
    scale, pretrained = _peek(tokens)
    if scale not in SCALES:
        return ()  # the parser says which there are
    values = {**shared_options(scale, pretrained), "command": shlex.join(["m2a", "paper", "run", *tokens])}
    return (Dict({"paper": {"run": values}}),)


def _peek(tokens: Sequence[str]) -> tuple[str, str | None]:
    """The scale and the weights that are asked for: the recipe depends on both."""
    found: list[tuple[str, str | None]] = []
    peeker = App(help_flags=[], version_flags=[], result_action="return_value")

    @peeker.default
    def peek(
        *rest: Annotated[str, Parameter(allow_leading_hyphen=True)],
        scale: str = "paper",
        pretrained: str | None = None,
    ) -> None:
        found.append((scale, pretrained))

    with suppress(CycloptsError):  # the parser says it
        peeker(list(tokens), exit_on_error=False, print_error=False)
    return found[0] if found else ("paper", None)


def _changes(options: TrainConfig, scale: str) -> dict[str, Any]:
    """What was asked for beside the recipe."""
    recipe = TrainConfig.from_dict({**shared_options(scale, options.pretrained), "data": options.data})
    apart = ("data", "out", "seed", *ROW_OPTIONS)
    names = [f.name for f in fields(TrainConfig) if f.name not in apart]
    changed = {name: getattr(options, name) for name in names if getattr(options, name) != getattr(recipe, name)}
    return {**changed, "pretrained": options.pretrained}


def _show_runs(done: PaperRuns, json: bool) -> None:
    from rich.table import Table

    from m2a.cli.output import CONSOLE, print_json

    if json:
        results = [{"file": str(path), **asdict(result)} for path, result in done.results.values()]
        print_json({"results": results, "failures": {name: str(error) for name, error in done.failures.items()}})
    elif done.results:
        shown = Table("row", "seed", "top-1, %", "top-5, %", "minutes")
        shown.add_column("result", overflow="fold")
        for path, result in done.results.values():
            figures = (f"{result.top1:.1f}", f"{result.top5:.1f}", f"{result.seconds / 60:.1f}")
            shown.add_row(result.recipe, str(result.seed), *figures, str(path))
        CONSOLE.print(shown)
