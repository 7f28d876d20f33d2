"""A comparison as the page needs it: bars as shares of their track, a profile of all classes, sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from m2a.errors import DataError
from m2a.reporting.comparison import words
from m2a.reporting.comparison.compare import Comparison, compare_entries
from m2a.reporting.comparison.picture import named_parts
from m2a.reporting.entries import Entry
from m2a.reporting.text import signed

MOST_CONFUSIONS = 8


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A difference, in percentage points, and where its parts lie on the track, in percent of it."""

    label: str
    clips: int
    levels: tuple[float, float]
    difference: float
    span: str
    left: float
    width: float
    low: float
    high: float
    zero: float


@dataclass(frozen=True, kw_only=True)
class Section:
    """One run against the baseline."""

    entry: Entry
    baseline: str
    verdict: str
    tally: str
    few: str
    """In how many classes the intervals are too narrow."""
    drawn: str
    """What the bootstrap draws: clips or recordings."""
    parts: list[tuple[str, list[Bar]]]
    """All classes, or the ends, each with a heading."""
    profile: Markup
    kinds: list[Bar]
    confusions: list[dict[str, Any]]


def sections(baseline: Entry, others: Sequence[Entry]) -> tuple[list[Section], list[str]]:
    """A section for each of `others`, and sentences to bear in mind. Without predictions of the same clips there are
    none, and a sentence says why."""
    if not all(entry.run.predictions for entry in (baseline, *others)):
        return [], ["The runs are not compared clip by clip: not all of them have their predictions."]
    try:
        comparison = compare_entries([baseline, *others])
    except DataError as error:
        return [], [f"The runs are not compared clip by clip: {error}"]
    otherwise = [note for entry in others for note in words.seen_otherwise(comparison, entry.name)]
    notes = [note for note in (words.left_out(comparison), *otherwise) if note]
    return [_section(entry, comparison.of(entry.name)) for entry in others], notes


def _section(entry: Entry, comparison: Comparison) -> Section:
    rows = {row["label"]: row for row in comparison.classes}
    named = named_parts(comparison.classes)
    chosen = [rows[label] for _, labels in named for label in labels]
    kinds = comparison.kinds if len(comparison.kinds) > 1 else []
    counted = {row["kind"]: row["classes"] for row in kinds}
    return Section(
        entry=entry,
        baseline=comparison.baseline,
        verdict=words.verdict(comparison, comparison.overall[0]),
        tally=words.tally(comparison.classes),
        few=words.few_recordings(comparison.classes),
        drawn=words.drawn(comparison),
        parts=[(heading, _bars([rows[label] for label in labels], "label", chosen)) for heading, labels in named],
        profile=_profile(comparison.classes) if len(named) > 1 else Markup(""),
        kinds=_bars([{**row, "kind": f"{row['kind']} ({counted[row['kind']]})"} for row in kinds], "kind", kinds),
        confusions=comparison.confusions[:MOST_CONFUSIONS],
    )


def _bars(rows: Sequence[Mapping[str, Any]], key: str, scale: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Bars on one track, which is as long as the intervals of `scale` need, and holds zero."""
    least = min([0.0, *(row["low"] for row in scale)]) - 1
    most = max([0.0, *(row["high"] for row in scale)]) + 1

    def place(value: float) -> float:
        return 100 * (value - least) / (most - least)

    return [
        Bar(
            label=row[key],
            clips=row["clips"],
            levels=(row["top1_baseline"], row["top1"]),
            difference=row["difference"],
            span=words.span(dict(row)),
            left=place(min(0.0, row["difference"])),
            width=place(max(0.0, row["difference"])) - place(min(0.0, row["difference"])),
            low=place(row["low"]),
            high=place(row["high"]),
            zero=place(0.0),
        )
        for row in rows
    ]


def _profile(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """All classes as one shape without text, so that it can be stretched to any width."""
    most = max([0.0, *(row["high"] for row in rows)])
    least = min([0.0, *(row["low"] for row in rows)])

    def steps(values: Sequence[float]) -> list[str]:
        return [f"{x},{most - value:.2f}" for index, value in enumerate(values) for x in (index, index + 1)]

    def shape(upper: Sequence[float], lower: Sequence[float], colour: str, opacity: float = 1) -> str:
        points = " ".join([*steps(upper), *reversed(steps(lower))])
        return f'<polygon points="{points}" style="fill:var({colour})" fill-opacity="{opacity}"/>'

    values = [row["difference"] for row in rows]
    flat = [0.0] * len(rows)
    told = f"All {len(rows)} classes by difference, from {signed(values[0])} to {signed(values[-1])} points"
    return Markup(
        f'<svg class="profile" viewBox="0 0 {len(rows)} {most - least:.2f}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(told)}">'
        + shape([max(0.0, value) for value in values], flat, "--run-m2a")
        + shape(flat, [min(0.0, value) for value in values], "--run-3")
        + shape([row["high"] for row in rows], [row["low"] for row in rows], "--faint", 0.3)
        + f'<rect x="0" y="{most:.2f}" width="{len(rows)}" height="0.6" style="fill:var(--ink)"/></svg>'
    )
