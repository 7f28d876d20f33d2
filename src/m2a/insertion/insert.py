"""Placing a mechanism in a model one does not own, and taking it out again.

A mechanism becomes a child of the layer it stands at, under the name `mechanism`, and a forward hook applies it. So no
parameter of the model is renamed (image checkpoints still load; every key of ours contains `.mechanism.`), nothing
runs, and `remove` leaves no trace.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import nn

from m2a.errors import AlreadyInsertedError, ConfigError, NotInsertedError, SiteTypeError
from m2a.insertion.fold import FrameCount, Inserted, ShapeHook, SiteHook
from m2a.insertion.report import InsertionReport
from m2a.insertion.sites import Found, Position, find_sites
from m2a.insertion.wrapped import check_outside_adapters, check_plain
from m2a.mechanisms import TemporalAdaptive, create_mechanism, parse_spec
from m2a.mechanisms.create import sees_neighbours
from m2a.mechanisms.identity import Init

MECHANISM = "mechanism"
"""Name of the child that carries a mechanism."""
_HOLDERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Identity)  # out of which, or by which, one takes a block
_SITES = "_m2a_sites"  # where a model that `insert` was given keeps their names


@torch.inference_mode(False)  # weights that are made under it could not be trained
def insert(
    model: nn.Module,
    spec: str,
    *,
    num_frames: int = 8,
    where: str | Sequence[str] | None = None,
    position: Position = "before",
    reduction: int = 8,
    init: Init = "paper",
    **options: Any,
) -> InsertionReport:
    """Gives an image (or 3D) network a mechanism at its sites, in place.

    The network then takes folded clips, `(B * num_frames, C, H, W)` with the frames of a clip next to each other, and
    gives one output a frame. 3D layers keep `(B, C, T, H, W)`. Parameters, buffers, training mode and the global
    random state are left as they were; weights of the mechanism are drawn from a copy of that state.

    Args:
        model: any module that takes a batch of images or clips.
        spec: the mechanism (`m2a.list_mechanisms()`, `"motion:attention"`, `"a+b"`).
        num_frames: T, the number of consecutive entries of the batch that make a clip; of a 3D network, the frames of
            the clips that it will be given.
        where: other sites than the first layer of each residual branch: a regular expression matching whole module
            names, or a list of names.
        position: "before" the layer (Table II's multiply-adds, and as released) or "after" it (the paper's text).
        reduction: R of the gate.
        init: "paper" starts the mechanisms with the weights as published, "identity" as exact identities: the network
            then computes at first what it computed without.
        options: of the mechanism, such as `boundary="zero"`.

    Raises:
        SpecError: the mechanism or an option is unknown.
        NoSitesError: no layer matched.
        SiteTypeError: a named layer cannot carry a mechanism, or has a child of its own called `mechanism`, or the
            network's tokens are in no order that this one could use.
        AlreadyInsertedError: the model carries mechanisms already.
        WrappedModelError: the model is compiled, scripted or wrapped (DDP, FSDP, DataParallel), has lazy layers, or its
            default sites would lie inside adapters (LoRA).
        ConfigError: num_frames, position or where makes no sense.
    """
    parse_spec(spec)
    _check_given(model, num_frames, position)
    if str(parse_spec(spec)) != "none":
        _check_patches_stay(model)
    where = list(where) if isinstance(where, Iterator) else where
    found = find_sites(model, where, position, num_frames=num_frames)
    _check_names(found)
    if where is None:
        check_outside_adapters(model, [site.name for site in found.sites])
    if sees_neighbours(spec):
        _check_order(model, found, spec)
    before = sum(p.numel() for p in model.parameters())
    mechanisms = _made(found, spec, reduction=reduction, init=init, **options)
    frames = FrameCount(num_frames)
    inserted = Inserted(
        spec=spec,
        position=position,
        reduction=reduction,
        init=init,
        options=options,
        where=where if where is None or isinstance(where, str) else tuple(where),
        sites=tuple(site.name for site in found.sites),
    )
    for site, mechanism in zip(found.sites, mechanisms, strict=True):
        _match(mechanism, site.layer, model)
        site.layer.add_module(MECHANISM, mechanism.train(site.layer.training))
        has_bias = getattr(site.layer, "bias", None) is not None
        hook = SiteHook(name=site.name, layout=site.layout, frames=frames, inserted=inserted, had_bias=has_bias)
        hook.register(site.layer, position)
    if sees_neighbours(spec):
        _watch_maps(model, found)
    setattr(model, _SITES, inserted.sites)
    return InsertionReport(
        mechanism=str(parse_spec(spec)),
        num_frames=num_frames,
        sites=list(inserted.sites),
        channels=[site.channels for site in found.sites],
        layouts=[str(site.layout) for site in found.sites],
        position=position,
        skipped=found.skipped,
        parameters_before=before,
        parameters_added=sum(p.numel() for m in mechanisms for p in m.parameters()),
    )


def _check_given(model: nn.Module, num_frames: int, position: str) -> None:
    _check_frames(num_frames)
    if position not in ("before", "after"):
        raise ConfigError(f'position must be "before" or "after" the layer; got {position!r}.')
    check_plain(model)
    if present := [name for name, _ in _carriers(model)]:
        raise AlreadyInsertedError(
            f"The model carries a mechanism at {len(present)} sites already ({present[0]!r}, ...). Call "
            'm2a.remove(model) first; to use two together stack them in one spec, such as "m2a+tsm".'
        )


def _check_patches_stay(model: nn.Module) -> None:
    """Raises ConfigError for a network that drops other patches of each frame in training (timm's `patch_drop_rate`):
    what is left of one frame lies elsewhere than what is left of the next."""
    for name, module in model.named_modules():
        rate = getattr(module, "prob", 0.0) if type(module).__name__.startswith("PatchDropout") else 0.0
        if rate:
            raise ConfigError(
                f"{name!r} drops {rate:.0%} of the patches in training, others of each frame, so that frames cannot be "
                "compared place by place. Build the network without patch_drop_rate."
            )


def _check_frames(num_frames: Any) -> None:
    if not isinstance(num_frames, Integral):
        raise ConfigError(f"num_frames must be a whole number; got {num_frames!r}.")
    if num_frames < 2:
        raise ConfigError(
            f"num_frames must be at least 2 to see motion; got {num_frames}. For clips of one frame insert nothing, "
            'not even "none": m2a.VideoClassifier(network, num_classes, num_frames=1).'
        )


def _check_names(found: Found) -> None:
    """Raises SiteTypeError where a layer has something by the name that a mechanism gets."""
    for site in found.sites:
        if hasattr(site.layer, MECHANISM):
            own = type(getattr(site.layer, MECHANISM)).__name__
            raise SiteTypeError(
                f"{site.name!r}, a {type(site.layer).__name__}, has a {own} of its own called {MECHANISM!r}, the name "
                "that a mechanism is put there under. Give yours another name, or name other layers with where=."
            )


def _check_order(model: nn.Module, found: Found, spec: str) -> None:
    """Raises SiteTypeError where what is beside a place in the features is not beside it in the image."""
    mixed = next((site.name for site in found.sites if not site.row_by_row), None)
    if mixed is not None:
        raise SiteTypeError(
            f"{type(model).__name__} keeps its tokens in an order of its own at {mixed!r}, not row by row (as "
            f"Hiera's mask units and NesT's blocks), and {spec!r} looks at what is beside each place. Use a mechanism "
            "that does not, such as m2a, tsm or tam."
        )


def _made(found: Found, spec: str, **options: Any) -> list[nn.Module]:
    """A mechanism for each site, out of a copy of the global random state."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):  # other devices' states are not touched
        return [
            create_mechanism(spec, channels=site.channels, num_frames=site.num_frames, **options)
            for site in found.sites
        ]


def _watch_maps(model: nn.Module, found: Found) -> None:
    """Has images refused whose tokens make a map of other proportions than now."""
    origins = {(site.origin.module, site.origin.position): site.origin for site in found.sites if site.origin}
    for origin in origins.values():
        ShapeHook(origin).register(model.get_submodule(origin.module))


def remove(model: nn.Module) -> nn.Module:
    """Takes every mechanism out of `model` again, in place, and returns it as it was before `insert`.

    Raises NotInsertedError when there is none, WrappedModelError as `insert` does.
    """
    check_plain(model)
    carriers = [layer for _, layer in _carriers(model)]
    lost = [layer for _, layer in _lost(model)]
    if not carriers and not lost:
        raise NotInsertedError(f"This {type(model).__name__} carries no mechanism; there is nothing to remove.")
    for module in model.modules():
        vars(module).pop(_SITES, None)
    for layer in (*lost, *carriers):  # SyncBatchNorm takes the children of the layer that it replaces
        if hasattr(layer, MECHANISM):
            delattr(layer, MECHANISM)
    for layer in model.modules():
        for hooks in (layer._forward_pre_hooks, layer._forward_hooks):
            for key in [key for key, hook in hooks.items() if isinstance(_owner(hook), SiteHook | ShapeHook)]:
                del hooks[key]
                layer._forward_pre_hooks_with_kwargs.pop(key, None)
                layer._forward_hooks_always_called.pop(key, None)
    return model


def set_num_frames(model: nn.Module, num_frames: int) -> None:
    """Changes T, the number of consecutive entries of the batch that make a clip, at every site; of a
    `m2a.VideoClassifier` also the length of the clips that it takes, as `model.num_frames = T` does.

    Raises NotInsertedError when the model carries no mechanism, ConfigError for fewer than 2 frames or for a mechanism
    that is bound to its number (TAM).
    """
    _check_frames(num_frames)
    counts = site_frames(model)
    if not counts:
        raise NotInsertedError(f"This {type(model).__name__} carries no mechanism; call m2a.insert first.")
    for name, mechanism in mechanisms_of(model):
        bound = next((m for m in mechanism.modules() if isinstance(m, TemporalAdaptive)), None)
        before = get_num_frames(model.get_submodule(name))
        if bound is not None and num_frames != before:
            raise ConfigError(
                f"The TAM at {name!r} has the number of frames in the shape of its weights, so num_frames cannot be "
                f"changed from {before} to {num_frames}. Build the model anew with "
                f"num_frames={num_frames}, or use another mechanism: all others take any number."
            )
    kept = (value for module in model.modules() for value in vars(module).values() if isinstance(value, FrameCount))
    for count in (*counts, *kept):
        count.value = num_frames


def site_frames(model: nn.Module) -> list[FrameCount]:
    """T at each site, in the model's order; sites of one `insert` share one."""
    return [hook.frames for layer in model.modules() for hook in _site_hooks(layer)]


def get_num_frames(model: nn.Module) -> int | None:
    """T as the sites of `model` have it, or None when it carries no mechanism."""
    return next((hook.frames.value for _, layer in _carriers(model) for hook in _site_hooks(layer)), None)


def insertions(model: nn.Module) -> dict[str, Inserted]:
    """What `insert` was told, by the name of each site as it is now, in the model's order."""
    return {name: hook.inserted for name, layer in _carriers(model) for hook in _site_hooks(layer)}


def mechanisms_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """What `insert` put into `model`, by the names of the sites; not what is called so without it."""
    return [(name, layer.get_submodule(MECHANISM)) for name, layer in _carriers(model)]


def lost_sites(model: nn.Module) -> list[str]:
    """Names of sites whose layer was replaced since `insert`, by fusing it, say, and so is without its mechanism, or
    has it in another place (`SiteHook.is_fused`). Those of blocks that are gone as a whole, or are identities now, are
    not among them, nor those whose layer has its mechanism still, but another name, in a wrapper that was put around
    it."""
    return [name for name, _ in _lost(model)]


def _lost(model: nn.Module) -> Iterator[tuple[str, nn.Module | None]]:
    for prefix, holder in model.named_modules():
        layers = {name: _submodule(holder, name) for name in vars(holder).get(_SITES, ())}
        elsewhere = {name for name, layer in layers.items() if layer is None or not any(_site_hooks(layer))}
        moved = _carriers_by_site(holder) if elsewhere else {}
        for name, layer in layers.items():
            carrier = moved.get(name) if name in elsewhere else layer
            if carrier is None:
                lost = layer is not None or not _is_pruned(holder, name)
            else:
                lost = any(hook.is_fused(carrier) for hook in _site_hooks(carrier))
            if lost:
                yield f"{prefix}.{name}".lstrip("."), layer


def _carriers_by_site(holder: nn.Module) -> dict[str, nn.Module]:
    """The layers that carry a mechanism, by the names that their sites had when `holder` was given to `insert`."""
    return {
        hook.name: layer for _, layer in _carriers(holder) if hasattr(layer, MECHANISM) for hook in _site_hooks(layer)
    }


def _is_pruned(holder: nn.Module, name: str) -> bool:
    """Whether a block was taken out as a whole, of those around the layer that was called so."""
    around = name
    while _submodule(holder, around) is None:
        around = around.rpartition(".")[0]
    return not around or isinstance(holder.get_submodule(around), _HOLDERS)


def _submodule(model: nn.Module, name: str) -> nn.Module | None:
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None


def belongs_to_mechanism(model: nn.Module) -> Callable[[str], bool]:
    """Tells by the name of a parameter, a buffer or a module of `model` whether it is of what `insert` put there."""
    layers = model.named_modules(remove_duplicate=False)  # state dicts have each name of a layer that is shared
    of = tuple(f"{name}.{MECHANISM}.".lstrip(".") for name, layer in layers if any(_site_hooks(layer)))
    return lambda name: f"{name}.".startswith(of)


def _carriers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, layer) for name, layer in model.named_modules() if any(_site_hooks(layer)))


def _site_hooks(layer: nn.Module) -> Iterator[SiteHook]:
    hooks = itertools.chain(layer._forward_pre_hooks.values(), layer._forward_hooks.values())
    return (owner for hook in hooks if isinstance(owner := _owner(hook), SiteHook))


def _owner(hook: Any) -> Any:
    """Whose method a hook is."""
    return getattr(hook, "__self__", None)


def _match(mechanism: nn.Module, layer: nn.Module, model: nn.Module) -> None:
    """Puts the mechanism on the layer's device, in its dtype and memory format; of a layer without weights, on those
    of the model's first."""
    parameters = itertools.chain(layer.parameters(), model.parameters())
    weight = next((p for p in parameters if p.is_floating_point()), None)
    if weight is None:
        return
    mechanism.to(device=weight.device, dtype=weight.dtype)
    if weight.ndim not in (4, 5) or weight.is_contiguous():
        return
    last = torch.channels_last if weight.ndim == 4 else torch.channels_last_3d
    if weight.is_contiguous(memory_format=last):  # a clip of channels_last_3d features is one of channels_last frames
        mechanism.to(memory_format=torch.channels_last)
