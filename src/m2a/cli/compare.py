"""`m2a compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from m2a.estimate import Estimate
    from m2a.reporting import Comparison

_ENDS = 8  # rows at each end of a long table


def compare(
    *runs: Path,
    out: Path | None = None,
    over_seeds: bool = False,
    resamples: int = 10_000,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Compare runs clip by clip, each with the first: which classes gain and lose, and whether it is more than chance.

    The runs must have been evaluated on clips that they have in common. A picture shows every class's difference in
    top-1 with its interval. Where the data set says which clips are of one recording, whole recordings are drawn.

    Parameters
    ----------
    runs:
        Folders of two runs or more, as m2a train or m2a evaluate --out leave them; the first is the baseline.
    out:
        Where the picture goes, a PNG; by default comparison.png here, or none with --json.
    over_seeds:
        Take runs together that differ in their seed alone: the mean top-1 of each, and the difference to the first,
        seed by seed, with intervals of what another training would change. No clips are compared, and no picture drawn.
    resamples:
        Of the bootstrap that the intervals come from.
    seed:
        Of the bootstrap.
    json:
        Print every table as JSON.
    """
    from m2a.cli.output import CONSOLE, print_json
    from m2a.reporting import compare as compare_runs
    from m2a.reporting import write_comparison
    from m2a.reporting.owned import check_picture

    if over_seeds:
        _over_seeds(runs, out, json)
        return
    picture = Path("comparison.png") if out is None and not json else out
    if picture is not None:
        check_picture(picture, "--out")
    result = compare_runs(runs, resamples=resamples, seed=seed)
    if picture is not None:
        write_comparison(picture, result)
    if json:
        print_json(result.to_dict())
        return
    for row in result.overall:
        _print(result.of(row["run"]))
    CONSOLE.print(f"written: {picture}", highlight=False, soft_wrap=True)


def _over_seeds(runs: Sequence[Path], out: Path | None, json: bool) -> None:
    from rich.table import Table

    from m2a.cli.output import CONSOLE, print_json, print_table
    from m2a.errors import ConfigError
    from m2a.reporting import over_seeds
    from m2a.reporting.text import signed

    if out is not None:
        raise ConfigError("--over-seeds draws no picture. Leave --out out, or --over-seeds.")
    found = over_seeds(runs)
    if json:
        print_json([one.to_dict() for one in found])
        return
    table = Table("run", "seeds", "top-1 of each, %", "top-1, %", "difference")
    for one in found:
        each = ", ".join(f"{run.top1:.1f}" for run in one.runs.values())
        difference = "" if one.difference is None else signed(one.difference.mean) + _plus_minus(one.difference)
        table.add_row(one.name, ", ".join(map(str, one.runs)), each, str(one.top1), difference)
    print_table(table)
    told = [one.verdict(found[0].name) for one in found[1:]]
    told.append("±: the 95% interval over seeds (Student's t), of what another training would change. What other clips")
    told[-1] += " would change m2a compare says, of two runs of one seed."
    for sentence in told:
        CONSOLE.print(sentence, highlight=False, markup=False)


def _plus_minus(found: Estimate) -> str:
    return "" if found.half_width is None else f" ± {found.half_width:.1f}"


def _print(result: Comparison) -> None:
    """One later run against the first."""
    from m2a.cli.output import CONSOLE
    from m2a.reporting.comparison import words

    (overall,) = result.overall
    CONSOLE.rule(f"{overall['run']} against {result.baseline}")
    told = [words.verdict(result, overall), words.tally(result.classes)]
    told += [words.few_recordings(result.classes), words.left_out(result), words.unlike(result, overall["run"])]
    CONSOLE.print("\n".join(filter(None, told)).translate({ord("`"): None, ord("*"): None}), highlight=False)
    _print_differences("class", "label", result.classes)
    if len(result.kinds) > 1:
        _print_differences("kind of class", "kind", result.kinds)
    _print_confusions(result.confusions)


def _print_differences(title: str, key: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from m2a.cli.output import print_table
    from m2a.reporting.comparison import words
    from m2a.reporting.text import signed

    grouped = rows[0]["groups"] is not None
    table = Table(title, "clips", *["recordings"] * grouped, "top-1, %", "difference", "95% interval")
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    long = len(rows) > 2 * _ENDS + 4
    parts = [rows[:_ENDS], rows[-_ENDS:]] if long else [rows]
    for number, part in enumerate(parts):
        if number:
            table.add_row(f"... {len(rows) - 2 * _ENDS} more; --json has all", style="dim")
        for row in part:
            shares = f"{row['top1_baseline']:.0f} -> {row['top1']:.0f}"
            span = words.span(row, digits=0)
            counts = [str(row["clips"]), *[str(row["groups"])] * grouped]
            table.add_row(row[key], *counts, shares, signed(row["difference"]), span)
    print_table(table)


def _print_confusions(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from m2a.cli.output import print_table

    if not rows:
        return
    table = Table("truth", "said", "clips", "change", title="Confusions that moved most")
    for column in table.columns[2:]:
        column.justify, column.no_wrap = "right", True
    for row in rows[:_ENDS]:
        counts = f"{row['clips_baseline']} -> {row['clips']}"
        table.add_row(row["truth"], row["prediction"], counts, f"{row['change']:+d}")
    print_table(table)
