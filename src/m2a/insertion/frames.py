"""How many frames of a clip come to each site: in a 3D network that strides time, fewer at the later ones."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from m2a.insertion.sites import Position, Site

_SIZE = 224  # height and width of the clip that is sent through; nothing is computed


def frames_at(model: nn.Module, sites: Sequence[Site], position: Position, num_frames: int) -> list[int]:
    """T at each of the sites, for clips of `num_frames` frames.

    In a 2D network it is `num_frames`. Where there are 3D sites, a copy of the model without data (torch's meta device)
    and without hooks is run; the model itself is neither run nor changed. Where that fails, or does not reach a site,
    `num_frames` is taken.
    """
    if all(site.layout == "NCHW" for site in sites):
        return [num_frames] * len(sites)
    first = next((layer for layer in model.modules() if isinstance(layer, nn.Conv3d)), None)
    channels = first.in_channels if first is not None else 3
    for shape in ((1, channels, num_frames, _SIZE, _SIZE), (1, num_frames, channels, _SIZE, _SIZE)):
        seen = _lengths(model, sites, position, shape)
        if seen:
            return [seen.get(site.name, num_frames) for site in sites]
    return [num_frames] * len(sites)


def _lengths(model: nn.Module, sites: Sequence[Site], position: Position, shape: tuple[int, ...]) -> dict[str, int]:
    """T by the name of the 3D site, none if the model cannot be copied or does not take such a clip."""
    seen: dict[str, int] = {}
    try:
        ghost = _without_data(model).eval()
        for site in sites:
            if site.layout == "BCTHW":
                _record(ghost.get_submodule(site.name), position, seen, site.name)
        dtype = next((p.dtype for p in ghost.parameters() if p.is_floating_point()), None)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            ghost(torch.empty(shape, device="meta", dtype=dtype))
    except Exception:  # whatever a model that is not ours raises
        return {}
    return seen


def _record(layer: nn.Module, position: Position, seen: dict[str, int], name: str) -> None:
    def before(_: nn.Module, args: tuple[Any, ...]) -> None:
        seen[name] = args[0].shape[2]

    def after(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        seen[name] = output.shape[2]

    if position == "before":
        layer.register_forward_pre_hook(before)
    else:
        layer.register_forward_hook(after)


def _without_data(model: nn.Module) -> nn.Module:
    """A copy whose tensors hold nothing, so that none is copied, and that calls no hook of the user's."""
    tensors = (*model.parameters(), *model.buffers())
    empty = {id(tensor): _empty(tensor) for tensor in tensors}
    ghost = copy.deepcopy(model, empty)
    for module in ghost.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return ghost


def _empty(tensor: Tensor) -> Tensor:
    blank = torch.empty_like(tensor, device="meta")
    return nn.Parameter(blank, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else blank
