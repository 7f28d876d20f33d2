"""Finding the layers that carry a mechanism."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from m2a.errors import ConfigError, NoSitesError, SiteTypeError
from m2a.insertion.features import Features, NoFeaturesError, features_at
from m2a.insertion.layout import Axes, Layout, Origin
from m2a.insertion.residuals import ATTENTION, find_blocks, has_tokens_first
from m2a.insertion.trace import Trace, UntraceableError, trace
from m2a.wording import quoted

Position = Literal["before", "after"]

LONG_STAGE = 23
"""A network with so many sites in a stage (ResNet-101) takes every second one of each stage, as TSM and M2A were
released."""
_HELD = (
    "it adds the skip itself and has no layer in its branch that is a module of its own, so that a mechanism in front "
    "of it would change the skip too"
)


@dataclass(frozen=True, kw_only=True)
class Site:
    """One layer, and the features that pass in front of it or behind it."""

    name: str
    layer: nn.Module
    channels: int
    layout: Layout
    num_frames: int
    """Frames of a clip that are left there: fewer where a 3D network strides time."""
    row_by_row: bool = True
    """Whether what is beside a place there is beside it in the image, as far as is known."""
    origin: Origin | None = None
    """Of tokens, where their map can be seen, if anywhere."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Sites in the order of the model's modules, and the candidates left out with the reason."""

    sites: tuple[Site, ...]
    skipped: dict[str, str]


def find_sites(
    model: nn.Module, where: str | Sequence[str] | None = None, position: Position = "before", *, num_frames: int = 8
) -> Found:
    """The sites of `model`: the first layer of each residual branch, or those that `where` names. Of a branch whose
    block calls its first layer as a function, such as `F.layer_norm`, it is the next that is a module of its own.

    A copy of the model without data is run once; the model itself is neither run nor changed.

    Args:
        where: None for the default sites; a regular expression that must match a module's whole name
            (`r"layer[34]\\.\\d+\\.conv1"`); or a list of module names.
        num_frames: of a clip.

    Raises:
        NoSitesError: nothing was found; the message says why and what to try.
        SiteTypeError: a layer was named that has no features of folded frames or clips.
    """
    names = None if where is None else _matching(model, where) if isinstance(where, str) else _listed(model, where)
    try:
        record = trace(model, num_frames=num_frames)
    except UntraceableError as error:
        if names is not None:
            layers = dict(model.named_modules())
            return Found(
                sites=tuple(_site_by_type(name, layers[name], position, num_frames) for name in names), skipped={}
            )
        raise NoSitesError(
            f"{type(model).__name__} could not be followed from its input to its output ({error}), which is how sites "
            "are found: with a batch of images (N, C, H, W), or of clips, alone. Name convolutions or batch norms "
            "yourself with where=."
        ) from error
    attends = any(step.operation in ATTENTION for step in record.steps)
    # attention within windows may have one window a frame in the images that were tried, and several in others
    at = partial(_features, record, record.larger() if attends else None, position)
    if names is None:
        return _by_default(model, record, at, num_frames)
    layers = dict(model.named_modules())
    return Found(sites=tuple(_named_site(name, layers[name], at, num_frames) for name in names), skipped={})


def _features(record: Trace, larger: Trace | None, position: Position, name: str) -> Features:
    """`features_at`. Raises NoFeaturesError also for a place that has whole frames in images of one size alone."""
    found = features_at(record, name, position)
    if larger is not None and name in larger.passages:
        passage = larger.passages[name]
        step = passage.given if position == "before" else passage.made
        if step is not None and step.shape[0] != larger.batch:
            raise NoFeaturesError("what goes through it are windows of frames where images are larger")
    return found


def _by_default(model: nn.Module, record: Trace, at: Callable[[str], Features], num_frames: int) -> Found:
    layers = dict(model.named_modules())
    order = {name: index for index, name in enumerate(layers)}
    skipped: dict[str, str] = {}
    sites: list[tuple[str, Site]] = []  # with the stage
    for block in find_blocks(record):
        reasons = {} if block.layers else {block.name: _HELD}
        for name in block.layers:
            try:
                features = at(name)
            except NoFeaturesError as error:
                reasons[name] = str(error)
            else:
                sites.append((block.stage, _site(name, layers[name], features, num_frames)))
                break
        else:
            skipped |= dict([next(iter(reasons.items()))])
    sites = _thinned(sites, skipped)
    if not sites:
        raise NoSitesError(_nothing_found(model, skipped, record))
    return Found(sites=tuple(sorted((site for _, site in sites), key=lambda site: order[site.name])), skipped=skipped)


def _thinned(sites: list[tuple[str, Site]], skipped: dict[str, str]) -> list[tuple[str, Site]]:
    """Every second one of each stage, when one of the stages is long."""
    longest = max(Counter(stage for stage, _ in sites).values(), default=0)
    if longest < LONG_STAGE:
        return sites
    seen: Counter[str] = Counter()
    kept = []
    for stage, site in sites:
        if seen[stage] % 2 == 0:
            kept.append((stage, site))
        else:
            skipped[site.name] = f"a stage has {longest} blocks; every second one of each stage is taken"
        seen[stage] += 1
    return kept


def _site(name: str, layer: nn.Module, features: Features, num_frames: int) -> Site:
    return Site(
        name=name,
        layer=layer,
        channels=features.channels,
        layout=features.layout,
        num_frames=features.num_frames or num_frames,
        row_by_row=features.row_by_row,
        origin=features.origin,
    )


def _named_site(name: str, layer: nn.Module, at: Callable[[str], Features], num_frames: int) -> Site:
    try:
        if isinstance(layer, nn.Sequential | nn.ModuleList | nn.ModuleDict):  # it would run a child of ours, too
            raise NoFeaturesError("it runs its children one after the other; name one of them")
        return _site(name, layer, at(name), num_frames)
    except NoFeaturesError as error:
        inner = next((n for n, m in layer.named_modules() if n and isinstance(m, nn.Conv2d | nn.Conv3d)), None)
        hint = f" Did you mean {name + '.' + inner!r}, its first convolution?" if inner else ""
        raise SiteTypeError(f"{name!r}, a {type(layer).__name__}, cannot carry a mechanism: {error}.{hint}") from error


def _site_by_type(name: str, layer: nn.Module, position: Position, num_frames: int) -> Site:
    """A site in a model that cannot be followed, by what is known of the layer."""
    match layer:
        case nn.Conv2d() | nn.Conv3d():
            channels = layer.in_channels if position == "before" else layer.out_channels
        case _BatchNorm():
            channels = layer.num_features
        case _:
            raise SiteTypeError(
                f"{name!r} is a {type(layer).__name__}; in a model that cannot be followed from its input to its "
                "output, a mechanism can stand at a Conv2d, Conv3d or BatchNorm, whose channels are known."
            )
    axes: Axes = "BCTHW" if isinstance(layer, nn.Conv3d | nn.BatchNorm3d) else "NCHW"
    return Site(name=name, layer=layer, channels=channels, layout=Layout(axes=axes), num_frames=num_frames)


def _nothing_found(model: nn.Module, skipped: dict[str, str], record: Trace) -> str:
    if skipped:
        name, reason = next(iter(skipped.items()))
        return (
            f"Every one of the {len(skipped)} places found in {type(model).__name__} was left out ({name}: {reason}). "
            "Name layers yourself with where=."
        )
    if has_tokens_first(record):
        return (
            f"{type(model).__name__} has no residual branch whose features have the batch in front: its tokens come "
            "first, (L, N, C); build it with batch_first=True, or name layers in front of that yourself with where=."
        )
    convs = [name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.Conv3d)]
    example = f" Its convolutions are {quoted(convs, 4)}; for instance where=[{convs[-1]!r}]." if convs else ""
    return (
        f"{type(model).__name__} has neither residual branches nor a convolution behind its first, so the sites cannot "
        f"be chosen for you. Name them with where=, a regular expression or a list of module names.{example}"
    )


def _matching(model: nn.Module, pattern: str) -> list[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise NoSitesError(f"where={pattern!r} is not a regular expression: {error}.") from None
    names = [name for name, _ in model.named_modules() if name]
    found = [name for name in names if compiled.fullmatch(name)]
    if not found:
        partial = [name for name in names if compiled.search(name)]
        near = partial or difflib.get_close_matches(pattern, names, n=3, cutoff=0.4)
        why = (
            "it matches a part of some names, but must match a whole one" if partial else "it matches no module's name"
        )
        raise NoSitesError(f"where={pattern!r} found nothing: {why}. Names in this model: {quoted(near or names, 4)}.")
    return found


def _listed(model: nn.Module, wanted: Sequence[str]) -> list[str]:
    wanted = list(wanted) if isinstance(wanted, Iterator) else wanted
    if not isinstance(wanted, Iterable) or not all(isinstance(name, str) for name in wanted):
        raise ConfigError(f"where must be a regular expression, or a list of module names; got {wanted!r}.")
    names, wanted = [name for name, _ in model.named_modules() if name], list(wanted)
    if not wanted:
        raise NoSitesError("where=[] names no layer. Leave where out for the default sites.")
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
            raise NoSitesError(
                f"where names {name!r}, which this model does not have. Near it: {quoted(near or names, 4)}."
            )
    return sorted(set(wanted), key=names.index)
