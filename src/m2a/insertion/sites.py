"""Finding the layers that carry a mechanism."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from m2a.errors import NoSitesError, SiteTypeError
from m2a.insertion.presets import LONG_STAGE, PRESETS, Preset

Position = Literal["before", "after"]
Layout = Literal["NCHW", "BCTHW"]


@dataclass(frozen=True, kw_only=True)
class Site:
    """One layer, and the features that pass in front of it or behind it."""

    name: str
    layer: nn.Module
    channels: int
    layout: Layout


@dataclass(frozen=True, kw_only=True)
class Found:
    """Sites in the order of the model's modules, and the candidates left out with the reason."""

    sites: tuple[Site, ...]
    skipped: dict[str, str]


def find_sites(model: nn.Module, where: str | Sequence[str] | None, position: Position) -> Found:
    """The sites of `model`: by the presets of its family, or those that `where` names.

    Args:
        where: None for the presets; a regular expression that must match a module's whole name
            (`r"layer[34]\\.\\d+\\.conv1"`); or a list of module names.

    Raises:
        NoSitesError: nothing matched; the message says why and what to try.
        SiteTypeError: a layer was named that has no channel axis we know.
    """
    if where is None:
        return _by_preset(model, position)
    names = _matching(model, where) if isinstance(where, str) else _listed(model, where)
    modules = dict(model.named_modules())
    for name in names:
        _check_not_inside_a_frame(modules, name)
    return Found(sites=tuple(_site(modules[name], name, position) for name in names), skipped={})


def _by_preset(model: nn.Module, position: Position) -> Found:
    stages: dict[str, list[Site]] = defaultdict(list)
    skipped: dict[str, str] = {}
    for name, block in model.named_modules():
        preset = _preset_of(block)
        if preset is None:
            continue
        site_name = f"{name}.{preset.first_conv}" if name else preset.first_conv
        if preset.when and not getattr(block, preset.when, False):
            skipped[site_name] = preset.when_reason
            continue
        stages[name.rpartition(".")[0]].append(_site(getattr(block, preset.first_conv), site_name, position))
    sites: list[Site] = []
    for stage, members in stages.items():
        step = 2 if len(members) >= LONG_STAGE else 1
        sites += members[::step]
        if step == 2:
            reason = f"{stage} has {len(members)} blocks; every second one is taken"
            skipped |= {site.name: reason for site in members[1::2]}
    if not sites:
        raise NoSitesError(_nothing_by_preset(model, skipped))
    return Found(sites=tuple(sites), skipped=skipped)


def _preset_of(block: nn.Module) -> Preset | None:
    for preset in PRESETS:
        if (
            type(block).__name__ == preset.block
            and hasattr(block, preset.first_conv)
            and hasattr(block, preset.last_conv)
        ):
            return preset
    return None


def _nothing_by_preset(model: nn.Module, skipped: dict[str, str]) -> str:
    if skipped:
        name, reason = next(iter(skipped.items()))
        return (
            f"Every one of the {len(skipped)} blocks found in {type(model).__name__} was left out ({name}: {reason}). "
            "Name layers yourself with where=."
        )
    known = ", ".join(preset.block for preset in PRESETS)
    convs = [name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.Conv3d)]
    example = f" Its convolutions are {_some(convs)}; for instance where=[{convs[-1]!r}]." if convs else ""
    return (
        f"No residual block that we know ({known}) is in {type(model).__name__}, so the sites cannot be chosen for "
        f"you. Name them with where=, a regular expression or a list of module names.{example}"
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
        raise NoSitesError(f"where={pattern!r} found nothing: {why}. Names in this model: {_some(near or names)}.")
    return found


def _listed(model: nn.Module, wanted: Sequence[str]) -> list[str]:
    names = [name for name, _ in model.named_modules() if name]
    if not wanted:
        raise NoSitesError("where=[] names no layer. Leave where out for the default sites.")
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
            raise NoSitesError(
                f"where names {name!r}, which this model does not have. Near it: {_some(near or names)}."
            )
    return sorted(set(wanted), key=names.index)


def _site(layer: nn.Module, name: str, position: Position) -> Site:
    match layer:
        case nn.Conv2d() | nn.Conv3d():
            channels = layer.in_channels if position == "before" else layer.out_channels
            layout: Layout = "NCHW" if isinstance(layer, nn.Conv2d) else "BCTHW"
        case _BatchNorm():  # BatchNorm2d, timm's BatchNormAct2d and the like, which in an inflated network take clips
            channels = layer.num_features
            layout = "BCTHW" if isinstance(layer, nn.BatchNorm3d) or _takes_clips(layer) else "NCHW"
        case _:
            inner = next((n for n, m in layer.named_modules() if n and isinstance(m, nn.Conv2d | nn.Conv3d)), None)
            hint = f" Did you mean {name + '.' + inner!r}, its first convolution?" if inner else ""
            raise SiteTypeError(
                f"{name!r} is a {type(layer).__name__}; a mechanism can stand at a Conv2d, Conv3d or BatchNorm, whose "
                f"channels are known.{hint}"
            )
    return Site(name=name, layer=layer, channels=channels, layout=layout)


def _takes_clips(layer: nn.Module) -> bool:
    """Whether it is a 2D layer of an inflated network, which folds and unfolds the frames by itself."""
    return getattr(layer, "takes_clips", False)


def _check_not_inside_a_frame(modules: Mapping[str, nn.Module], name: str) -> None:
    owners = [name[:end] for end, letter in enumerate(name) if letter == "." and _takes_clips(modules[name[:end]])]
    if owners:
        raise SiteTypeError(
            f"{name!r} is inside {owners[0]!r}, a {type(modules[owners[0]]).__name__}, which gets single frames: there "
            "are no clips in it. Name a layer outside it, such as a Conv3d."
        )


def _some(names: Sequence[str], limit: int = 4) -> str:
    shown = ", ".join(map(repr, names[:limit]))
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
