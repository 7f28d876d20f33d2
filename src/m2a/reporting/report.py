"""Putting the page together: read the runs, compute what is shown, fill the template, write one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from m2a.errors import ConfigError
from m2a.reporting import analysis, confusion, figures, sentences, strips, text
from m2a.reporting.comparison import page as comparison
from m2a.reporting.entries import Entry, baseline_and_lead, check_pairs, entries
from m2a.reporting.runs import Run
from m2a.reporting.strips import FilmStrip, StripImage
from m2a.writing import put

MAX_CLASSES = 40  # more classes than this: the page shows the ends of the list and folds the whole away
_ENDS = 12
MOST_STRIPS = 6  # of mistakes of a run
_PAPER_COLUMNS = {"gmacs": "GMACs", "parameters_m": "parameters, M", "top1": "top-1, %", "top5": "top-5, %"}


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the models say about one held-out clip: for each its likeliest (label, probability), best first."""

    strip: FilmStrip
    truth: str
    models: Mapping[str, Sequence[tuple[str, float | int]]]


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """One model's likeliest labels for the example clip, with its colour."""

    name: str
    colour: str
    rows: list[tuple[str, float]]
    found: bool


@dataclass(frozen=True, kw_only=True)
class Example:
    """The example clip and everything said about it."""

    strip: StripImage
    truth: str
    models: list[Guesses]


def write_report(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    title: str,
    summary: str = "",
    strips: Sequence[FilmStrip] = (),
    pairs: Sequence[tuple[str, str]] = (),
    ceiling: float | int | None = None,
    prediction: Prediction | None = None,
    notes: Sequence[str] = (),
    paper: Mapping[str, Mapping[str, float | int]] | None = None,
    mistakes: Sequence[Mapping[str, FilmStrip]] = (),
) -> Path:
    """Write a page about one or several runs of the same data, and return its path.

    Args:
        runs: folders of runs; differences are to the one without a mechanism, or where there is none to the first.
        out: the file to write, or a folder to write `report.html` into.
        title: the heading of the page.
        summary: some paragraphs of plain text; `code`, **bold** and lists of lines starting with `- ` are set as such.
        strips: example clips; two neighbours whose titles are a pair are shown as one time reversal.
        pairs: classes that are time reversals of each other, by label.
        ceiling: best expected top-1, in percent, of a model that averages frames without regard to their order.
        prediction: one held-out clip and what the models say about it.
        notes: sentences the reader should bear in mind, shown below the table.
        paper: published numbers by mechanism, with any of the keys gmacs, parameters_m, top1, top5.
        mistakes: for each run, film strips by clip id; those of its surest mistakes are shown.
    """
    shown = entries([Run.load(run) for run in runs])
    pairs = [(first, second) for first, second in pairs]
    check_pairs(pairs, shown[0].run.labels)
    ceiling = _validate_ceiling(ceiling)
    path = Path(out) / "report.html" if Path(out).is_dir() else Path(out)
    context = {
        **_results(shown, ceiling, notes, paper),
        **_clips(shown, strips, prediction, pairs),
        **_classes(shown, pairs, mistakes),
        "probed": _probed(shown),
        "title": title,
        "summary": text.paragraphs(summary),
        "curves": figures.learning_curves(shown, ceiling),
        "ceiling": ceiling,
        "skipped": [(entry, entry.run.skipped) for entry in shown if entry.run.skipped],
        "config": analysis.config_rows(shown),
        "versions": _versions(shown),
        "seconds": [_seconds(entry.run) for entry in shown],
        "folders": [_relative(entry.run.folder, path.parent) for entry in shown],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    put(path, environment().get_template("report.html.j2").render(context).encode("utf-8", errors="replace"))
    return path


def environment() -> Environment:
    """Where the templates are, and the filters they use."""
    made = Environment(
        loader=PackageLoader("m2a.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        fixed=text.fixed, percent=text.percent, signed=text.signed, inline=text.inline, duration=text.duration
    )
    return made


def _results(
    shown: list[Entry],
    ceiling: float | None,
    notes: Sequence[str],
    paper: Mapping[str, Mapping[str, float | int]] | None,
) -> dict[str, Any]:
    baseline, lead = baseline_and_lead(shown)
    others = [entry for entry in shown if entry is not baseline]
    compared, remarks = comparison.sections(baseline, others) if baseline else ([], [])
    columns = [key for key in _PAPER_COLUMNS if any(key in row for row in (paper or {}).values())]
    return {
        "runs": shown,
        "baseline": baseline,
        "lead": lead,
        "headline": sentences.headline(shown),
        "introduction": sentences.introduction(shown),
        "compared_runs": compared,
        "table": analysis.results_table([entry.run for entry in shown], ceiling),
        "notes": [*notes, *sentences.caveats(shown), *remarks],
        "paper": [(name, [text.finite(row.get(key)) for key in columns]) for name, row in (paper or {}).items()],
        "paper_columns": [_PAPER_COLUMNS[key] for key in columns],
    }


def _clips(
    shown: Sequence[Entry],
    clips: Sequence[FilmStrip],
    prediction: Prediction | None,
    pairs: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    example = None
    if prediction is not None:
        colours = {entry.name: entry.colour for entry in shown}
        models = [
            Guesses(
                name=name,
                colour=colours.get(name, "var(--ink)"),
                rows=[(label, 100.0 * probability) for label, probability in rows[:5]],
                found=any(label == prediction.truth for label, _ in rows[:5]),
            )
            for name, rows in prediction.models.items()
        ]
        example = Example(strip=strips.render(prediction.strip), truth=prediction.truth, models=models)
    return {"strips": strips.groups(clips, pairs), "example": example}


def _probed(shown: Sequence[Entry]) -> list[Entry]:
    """The runs that were probed, all in the same way."""
    having = [entry for entry in shown if entry.run.probes]
    names = [[probe.name for probe in entry.run.probes] for entry in having]
    return [entry for entry, own in zip(having, names, strict=True) if own == names[0]]


def _classes(
    shown: Sequence[Entry], pairs: Sequence[tuple[str, str]], pictures: Sequence[Mapping[str, FilmStrip]]
) -> dict[str, Any]:
    rows = analysis.class_rows(shown, pairs)
    many = len(rows) > MAX_CLASSES
    mistakes = [
        (entry, wrong, [strips.render(own[row.clip]) for row in wrong if row.clip in own][:MOST_STRIPS])
        for entry, own in zip(shown, [*pictures, *[{}] * len(shown)], strict=False)
        if (wrong := analysis.mistakes(entry.run))
    ]
    return {
        "num_classes": len(rows),
        "class_parts": [rows[:_ENDS], rows[-_ENDS:]] if many else [rows],
        "all_classes": rows if many else [],
        "partner": {label: other for a, b in pairs for label, other in ((a, b), (b, a))},
        "pairs": analysis.pair_rows(shown, pairs),
        "matrices": [confusion.matrix(entry, pairs) for entry in shown],
        "mistakes": mistakes,
    }


def _versions(shown: Sequence[Entry]) -> list[tuple[str, list[str | None]]]:
    names = dict.fromkeys(name for entry in shown for name in entry.run.versions)
    return [(name, [entry.run.versions.get(name) for entry in shown]) for name in names]


def _seconds(run: Run) -> float | None:
    known = [epoch.seconds for epoch in run.epochs if epoch.seconds is not None]
    return sum(known) if known else None


def _relative(folder: Path, base: Path) -> Path:
    folder, base = folder.resolve(), base.resolve()
    return folder.relative_to(base) if folder.is_relative_to(base) else folder


def _validate_ceiling(ceiling: float | int | None) -> float | None:
    if ceiling is not None and not 0 <= ceiling <= 100:
        raise ConfigError(f"ceiling: got {ceiling}, expected percent between 0 and 100. Multiply a fraction by 100.")
    return text.finite(ceiling)
