"""Runs that differ in nothing but their seed, taken together: what another training would change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from m2a.errors import ConfigError, DataError
from m2a.estimate import Estimate, estimate, paired
from m2a.reporting.entries import entries
from m2a.reporting.runs import Run, options_of
from m2a.reporting.text import signed
from m2a.wording import count

_NO_MATTER = (
    "seed", "out", "resume",
    "decoder", "cache", "cache_folder", "workers", "device", "compile", "channels_last", "skip_bad",
)  # fmt: skip
"""Options in which runs that are taken together may differ."""


@dataclass(frozen=True, kw_only=True)
class OverSeeds:
    """Runs with the same options and other seeds. Top-1 is in percent, differences are in points; `half_width` is of
    the 95% interval around a mean, by Student's t."""

    name: str
    runs: Mapping[int, Run]
    """By seed."""
    top1: Estimate
    difference: Estimate | None = None
    """Top-1 less that of the first runs: each seed's difference taken by itself. None of these, and where no seed is
    common."""
    in_common: tuple[int, ...] = ()
    """The seeds of `difference`."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "runs": {seed: str(run.folder) for seed, run in self.runs.items()},
            "top1_by_seed": {seed: run.top1 for seed, run in self.runs.items()},
            "top1": asdict(self.top1),
            "difference": None if self.difference is None else asdict(self.difference),
            "seeds_in_common": list(self.in_common),
        }

    def verdict(self, baseline: str) -> str:
        """What the difference comes to, in a sentence."""
        found = self.difference
        if found is None:
            return f"{self.name} and {baseline} have no seed in common."
        told = f"{self.name} less {baseline}: {signed(found.mean)} points"
        if found.half_width is None:
            return f"{told} with one seed in common, which says nothing about another."
        told += f", ± {found.half_width:.1f} over {count(found.n, 'seed')}"
        if found.side == 0:
            return f"{told}: zero is in the interval, and these seeds do not tell which is better."
        return f"{told}: the whole interval is {'above' if found.side > 0 else 'below'} zero."


def over_seeds(runs: Sequence[str | Path]) -> list[OverSeeds]:
    """Runs with the same options taken together, in the order in which they first come; each against the first, seed by
    seed. Options that say where and how fast a run computes may differ.

    Args:
        runs: folders that `m2a train` left, or `m2a evaluate RUN --out` wrote.

    Raises:
        ConfigError: a single path, fewer than two runs, or one whose options, or seed, are not known.
        NotFoundError: a folder holds no run.
        DataError: a file is damaged, the runs were measured on other classes or clips, or two have the same options and
            the same seed.
    """
    if isinstance(runs, str | Path) or len(runs) < 2:
        raise ConfigError(f"Means over seeds take two runs or more, in a list of folders; got {runs!r}.")
    read = [Run.load(run) for run in runs]
    entries(read)  # refuses those of other classes
    _check_clips(read)
    together: dict[frozenset[tuple[str, str]], dict[int, Run]] = {}
    for run in read:
        options = _options(run)
        members = together.setdefault(frozenset(item for item in options.items() if item[0] not in _NO_MATTER), {})
        if (seed := int(options["seed"])) in members:
            raise DataError(
                f"{members[seed].folder} and {run.folder} have the same options and the same seed, {seed}. Name one of "
                "them, or train the other with another --seed."
            )
        members[seed] = run
    names = _names([(dict(options), next(iter(members.values()))) for options, members in together.items()])
    groups = [dict(sorted(members.items())) for members in together.values()]
    for members in groups:
        _check_alike(members.values(), "precision", "--bf16")
    against = [{}, *groups[:1] * (len(groups) - 1)]
    return [_compared(*one) for one in zip(names, groups, against, strict=True)]


def _compared(name: str, members: Mapping[int, Run], first: Mapping[int, Run]) -> OverSeeds:
    ours, theirs = ({seed: _top1(run) for seed, run in runs.items()} for runs in (members, first))
    difference, common = paired(ours, theirs)
    return OverSeeds(
        name=name, runs=members, top1=estimate(list(ours.values())), difference=difference, in_common=common
    )


def _top1(run: Run) -> float:
    if run.top1 is None:
        raise DataError(f"{run.folder / 'evaluation.json'} has no top-1: no clip was measured.")
    return run.top1


def _options(run: Run) -> Mapping[str, str]:
    options = options_of(run)
    if not options.get("seed", "").isdecimal():
        raise ConfigError(
            f"{run.folder} does not say which seed it was trained with: there is no config.yaml of a run in it, nor "
            "with the model that it was measured with. Name folders that m2a train left."
        )
    return options


def _check_clips(runs: Sequence[Run]) -> None:
    """Raises DataError where runs were measured on other clips or with other views of them: their means would differ by
    these."""
    seen = [frozenset(row.clip for row in run.predictions) or run.num_clips for run in runs]
    if odd := next((run for run, clips in zip(runs, seen, strict=True) if clips != seen[0]), None):
        raise DataError(
            f"{runs[0].folder} and {odd.folder} were measured on other clips ({runs[0].num_clips:,} and "
            f"{odd.num_clips:,}). Evaluate them on the same: m2a evaluate RUN --data DATA --split SPLIT --out NEW"
        )
    _check_alike(runs, "views", "--num-clips and --num-crops")


def _check_alike(runs: Iterable[Run], name: str, way: str) -> None:
    known = [run for run in runs if getattr(run, name)]  # evaluations of earlier versions do not say
    if odd := next((run for run in known if getattr(run, name) != getattr(known[0], name)), None):
        raise DataError(
            f"{known[0].folder} was measured with {name} = {getattr(known[0], name)}, and {odd.folder} with "
            f"{getattr(odd, name)}. Evaluate them alike: m2a evaluate RUN {way} --out NEW"
        )


def _names(groups: Sequence[tuple[Mapping[str, str], Run]]) -> list[str]:
    """The mechanism, with the backbone, or with the options in which groups of one name differ."""
    names = [run.mechanism for _, run in groups]
    if len({run.backbone for _, run in groups}) > 1:
        names = [f"{name}, {run.backbone}" for name, (_, run) in zip(names, groups, strict=True)]
    times = Counter(names)
    told = []
    for name, (options, _) in zip(names, groups, strict=True):
        alike = [other for other_name, (other, _) in zip(names, groups, strict=True) if other_name == name]
        keys = sorted({key for other in alike for key in {*options, *other} if options.get(key) != other.get(key)})
        values = ", ".join(f"{key} {options.get(key, '-')}" for key in keys)
        told.append(f"{name} ({values})" if times[name] > 1 else name)
    return told
