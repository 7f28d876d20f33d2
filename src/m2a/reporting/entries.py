"""The runs of a page: their names, their colours, which of them is compared with which."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from m2a.errors import ConfigError, DataError
from m2a.reporting.runs import Run

_OTHER_COLOURS = tuple(f"--run-{number}" for number in range(3, 13))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run as the page shows it: under a name of its own, in a colour of its own (a CSS variable)."""

    run: Run
    name: str
    colour: str


def entries(runs: Sequence[Run]) -> list[Entry]:
    """Give every run a name and a colour; the runs must have been evaluated on the same classes."""
    if not runs:
        raise ConfigError("Got no runs to report about. Name at least one run's folder.")
    for run in runs[1:]:
        if odd := sorted(set(run.labels) ^ set(runs[0].labels)):
            raise DataError(
                f"{runs[0].folder} and {run.folder} were evaluated on different classes; only one has {odd[0]!r}"
                f"{f' and {len(odd) - 1} more' if odd[1:] else ''}. Report about runs of the same data, or one by one."
            )
    names = [run.mechanism for run in runs]
    for more in (lambda run: f"{run.mechanism}, {run.backbone}", _with_its_folder):
        names = [more(run) if names.count(name) > 1 else name for name, run in zip(names, runs, strict=True)]
    names = [f"{name} ({i})" if names.count(name) > 1 else name for i, name in enumerate(names, 1)]
    free = {"m2a": "--run-m2a", "none": "--run-none"}
    others = 0
    result = []
    for run, name in zip(runs, names, strict=True):
        if (colour := free.pop(run.mechanism, None)) is None:
            colour = _OTHER_COLOURS[others % len(_OTHER_COLOURS)]
            others += 1
        result.append(Entry(run=run, name=name, colour=f"var({colour})"))
    return result


def _with_its_folder(run: Run) -> str:
    folder = run.folder.name
    return folder if folder.startswith(run.mechanism) else f"{run.mechanism}, {folder}"


def baseline_and_lead(shown: Sequence[Entry]) -> tuple[Entry | None, Entry]:
    """The run compared against (`none` if there is one, else the first) and the one the page is about.

    That one is the first `m2a`, or the most accurate of the others.
    """
    if len(shown) == 1:
        return None, shown[0]
    baseline = next((entry for entry in shown if entry.run.mechanism == "none"), shown[0])
    rest = [entry for entry in shown if entry is not baseline]
    best = max(rest, key=lambda entry: entry.run.top1 if entry.run.top1 is not None else -1.0)
    return baseline, next((entry for entry in rest if entry.run.mechanism == "m2a"), best)


def check_pairs(pairs: Sequence[tuple[str, str]], labels: Sequence[str]) -> None:
    """Refuse pairs that name a class the runs do not have, or a class twice."""
    for pair in pairs:
        for label in pair:
            if label not in labels:
                near = difflib.get_close_matches(label, labels, n=1) or sorted(labels)[:1]
                hint = f"Did you mean {near[0]!r}?" if near else "The runs have no classes."
                raise ConfigError(f"pairs: the runs have no class {label!r}. {hint}")
    named = Counter(label for pair in pairs for label in pair)
    if twice := [label for label, times in named.items() if times > 1]:
        raise ConfigError(f"pairs: {twice[0]!r} is named {named[twice[0]]} times. Name a class in one pair only.")
