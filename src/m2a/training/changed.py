"""Options of a run that goes on which are others than before: allowed, and said."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from m2a.training.config import NO_MATTER, TrainConfig

_SAID_ELSEWHERE = {"data", "out", "format", "missing", "split", "skip_list", "pretrained", "epochs", "resume"}


def changes(config: TrainConfig, before: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Of what training hangs on, by name, what it was and what it is from here on."""
    names = [one.name for one in fields(TrainConfig) if one.name not in _SAID_ELSEWHERE.union(NO_MATTER)]
    both = {name: (getattr(before, name), getattr(config, name)) for name in names}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


def say_changes(config: TrainConfig, before: TrainConfig, epochs: int, console: Console) -> None:
    """A line about options that are others than in the first `epochs`: they are as easily forgotten as meant."""
    changed = changes(config, before)
    if not changed or config.epochs == epochs:
        return
    listed = ", ".join(f"{name} is {now!r} and was {was!r}" for name, (was, now) in changed.items())
    kept = f"{before_file(config.run_folder, epochs)} keeps the options of before"
    console.print(Text(f"from epoch {epochs + 1} on {listed}; {kept}", "yellow"), soft_wrap=True)


def keep(config: TrainConfig, before: TrainConfig, epochs: int) -> None:
    """Writes the options of the first `epochs` beside the `config.yaml` that is to have others."""
    if changes(config, before):
        before.save(before_file(config.run_folder, epochs))


def before_file(folder: Path, epochs: int) -> Path:
    return folder / f"config-until-epoch-{epochs}.yaml"
