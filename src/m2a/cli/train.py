"""`m2a train`: every flag is a field of `TrainConfig`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, ArgumentCollection, CycloptsError, Parameter, Token
from cyclopts.config import Dict

from m2a.errors import ConfigError
from m2a.training.config import RECIPES, TrainConfig, declared, read_options

Recipe = Literal["paper", "quick", "scratch"]


def train(
    options: Annotated[TrainConfig, Parameter(name="*")],
    *,
    recipe: Recipe = "paper",
    config: Path | None = None,
    json: bool = False,
) -> None:
    """Train a video classifier, evaluate it, and write a report.

    The data is a data set as it is unpacked (Something-Something, Jester, Kinetics, UCF101, HMDB51, the lists of other
    projects), or a folder with one folder of clips per class; docs/how-to/data-sets.md has all. The run's folder holds
    config.yaml, checkpoints, metrics.csv, evaluation.json, predictions.csv, model/ (what m2a predict takes) and
    report.html.

    Parameters
    ----------
    recipe:
        Where the defaults come from: paper (SGD, 30 epochs); for small data quick (AdamW, one-cycle, 10 epochs, from
        image weights) or scratch (the same from random weights, at their rate).
    config:
        A YAML file of options, such as a run's config.yaml. It goes over the recipe; flags go over it, of mappings
        (--backbone-options.KEY) key by key.
    json:
        Print the result as JSON.
    """
    from rich.table import Table

    from m2a.cli.output import CONSOLE, print_json, print_table
    from m2a.workflows.run import train as run_training

    if options.resume and config is not None:
        _refuse_moved(options, config)
    result = run_training(options)
    assert result.parameters is not None  # only of an exported file they are unknown
    row = {
        "folder": str(result.folder),
        "mechanism": options.mechanism,
        "gmacs": None if result.macs is None else result.macs / 1e9,
        "parameters": result.parameters,
        "top1": result.evaluation.top1,
        "top5": result.evaluation.top5,
        "mean_class": result.evaluation.mean_class,
        "skipped": result.num_skipped,
        "skipped_training": result.num_skipped_training,
    }
    if json:
        print_json(row)
        return
    columns = {
        "mechanism": options.mechanism,
        "GMACs": "-" if row["gmacs"] is None else f"{row['gmacs']:.3f}",
        "parameters, M": f"{result.parameters / 1e6:.2f}",
        "top-1, %": f"{row['top1']:.1f}",
    }
    if len(result.evaluation.labels) > 5:  # of fewer it is 100 whatever the model says
        columns["top-5, %"] = f"{row['top5']:.1f}"
    if len({row["clips"] for row in result.evaluation.per_class() if row["clips"]}) > 1:
        columns["mean of the classes, %"] = f"{row['mean_class']:.1f}"
    table = Table(*columns)
    table.add_row(*columns.values())
    print_table(table)
    if told := result.evaluation.single_answer:
        CONSOLE.print(told, style="yellow", highlight=False, markup=False, soft_wrap=True)
    quoted = shlex.quote(str(result.folder / "model"))
    CONSOLE.print(
        f"{result.folder / 'report.html'} shows it; next: m2a predict VIDEO --model {quoted}",
        highlight=False,
        soft_wrap=True,
    )


def _refuse_moved(options: TrainConfig, config: Path) -> None:
    """Raises ConfigError where a run that was moved or copied would go on in the folder that it was in before."""
    beside, meant = config.parent, options.run_folder
    stored = read_options(config).get("out")
    told_by_flag = options.out != (None if stored is None else Path(stored))
    if told_by_flag or beside.resolve() == meant.resolve() or not (beside / "checkpoints" / "last.ckpt").is_file():
        return
    raise ConfigError(
        f"{config} is of a run in {meant}, and a run lies beside it in {beside}. To go on with that one add "
        f"--out {shlex.quote(str(beside))}; with the other give its own config.yaml."
    )


def option_sources(tokens: Sequence[str]) -> tuple[Dict, ...]:
    """The values that stand below the flags: those of `--config`, over those of `--recipe`, over what a saved model
    that `--pretrained` names was built with."""
    flags = _peek(tokens)
    if flags.recipe not in RECIPES:
        return ()  # the parser says which there are
    values: dict[str, Any] = dict(RECIPES[flags.recipe])
    if (config := flags.config) is not None:
        stored = read_options(config)
        known = [f.name for f in fields(TrainConfig)]
        if unknown := [str(key) for key in stored if key not in known]:
            raise ConfigError(f"{config} has no option {', '.join(unknown)}. The options are {', '.join(known)}.")
        values |= declared(stored)
    values = {name: value for name, value in values.items() if value is not None}
    if not (flags.resume and config is not None):  # a run's own options are whole, and the model may be gone
        values = _over_those_of_model(flags, values)
    return (_Below({"train": {name: _as_flag(value) for name, value in values.items()}}),)


def _over_those_of_model(flags: _Flags, values: Mapping[str, Any]) -> dict[str, Any]:
    """With what a saved model that is named as the weights was built with, below. Raises ConfigError for a model that
    no options build."""
    pretrained = flags.pretrained or values.get("pretrained")
    if pretrained in (None, "imagenet", "none"):
        return dict(values)
    from m2a.models.starting import names_model
    from m2a.training.starting import options_of

    if not names_model(pretrained):
        return dict(values)
    below = options_of(pretrained)
    for name in ("backbone", "mechanism"):
        options = f"{name}_options"
        if (getattr(flags, name) or values.get(name, below[name])) != below[name]:
            del below[options]  # another one has others
        elif options in values:
            below[options] = {**below[options], **values[options]}
    return {**below, **values, **{name: below[name] for name in below if name.endswith("_options")}}


class _Below(Dict):
    """Values that stand below the flags; of a mapping, each of its keys by itself."""

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        flags = {argument.name: list(argument.tokens) for argument in arguments}
        super().__call__(app, commands, arguments)
        for name, value in self.config["train"].items():
            flag = "--" + name.replace("_", "-")
            if isinstance(value, dict) and flags.get(flag):  # else all of it is in already
                given = {tuple(key.replace("-", "_") for key in token.keys) for token in flags[flag]}
                arguments[flag].tokens += [
                    Token(keyword=f"{flag}.{key}", value=inner, source=self.source, keys=(key,))
                    for key, inner in value.items()
                    if (key,) not in given
                ]


def _as_flag(value: Any) -> Any:
    """A value as the parser takes it: those of a mapping as text, which `TrainConfig` reads as YAML."""
    if isinstance(value, dict):
        return {key: dumps(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, Path) else value


@dataclass(frozen=True, kw_only=True)
class _Flags:
    """Those that decide what stands below all flags."""

    recipe: str = "paper"
    config: Path | None = None
    pretrained: str | None = None
    backbone: str | None = None
    mechanism: str | None = None
    resume: bool = False


def _peek(tokens: Sequence[str]) -> _Flags:
    found: list[_Flags] = []
    peeker = App(help_flags=[], version_flags=[], result_action="return_value")

    @peeker.default
    def peek(
        *rest: Annotated[str, Parameter(allow_leading_hyphen=True)],
        flags: Annotated[_Flags, Parameter(name="*")] = _Flags(),
    ) -> None:
        found.append(flags)

    with suppress(CycloptsError):  # the parser says it
        peeker(list(tokens), exit_on_error=False, print_error=False)
    return found[0] if found else _Flags()
