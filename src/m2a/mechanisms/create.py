"""From a spec to a module: `(B, T, C, H, W) -> (B, T, C, H, W)`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, get_args

from torch import nn

from m2a.errors import SpecError
from m2a.mechanisms.catalogue import PartInfo, parts, register_part
from m2a.mechanisms.gate import Gate, reduced_channels
from m2a.mechanisms.identity import Init, start_as_identity
from m2a.mechanisms.spec import Cell, MechanismSpec, Whole, parse_spec

register_part(
    PartInfo(
        name="none",
        kind="whole",
        summary="Nothing: each frame by itself, averaged at the end (TSN).",
        paper="Wang et al.: Temporal Segment Networks",
        build=lambda **_: nn.Identity(),
    )
)
for _kind in ("motion", "attention"):
    register_part(PartInfo(name="none", kind=_kind, summary=f"No {_kind}.", paper="", build=lambda **_: nn.Identity()))


def create_mechanism(
    spec: str, *, channels: int, num_frames: int = 8, reduction: int = 8, init: Init = "paper", **options: Any
) -> nn.Module:
    """Builds one mechanism, a function from a clip of features to a clip of features.

    Args:
        spec: see `m2a.mechanisms.spec`: `"m2a"`, `"m2a:none"`, `"m2a+tsm"`, ...
        channels: C of the features (B, T, C, H, W).
        num_frames: T it will mostly see. Mechanisms read T from the tensor; only one that has T in the shape of its
            weights is bound to this number.
        reduction: R of the gate's 1x1 convolution C -> C / R.
        init: "paper" starts with the weights as published; "identity" as the exact identity.
        options: of the parts in the spec, such as `boundary="zero"` for m2a's motion, `shift_div=8` for tsm.

    Raises:
        SpecError: unknown name, broken grammar, an init or an option that no part of the spec takes.
    """
    if init not in get_args(Init):
        raise SpecError(f"init must be one of {', '.join(get_args(Init))}; got {init!r}.")
    parsed = parse_spec(spec)
    check_options(spec, options)
    layers = [
        _create_layer(layer, channels=channels, num_frames=num_frames, reduction=reduction, options=options)
        for layer in parsed.layers
    ]
    if init == "identity":
        layers = [start_as_identity(layer, channels) for layer in layers]
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def _infos(parsed: MechanismSpec) -> list[PartInfo]:
    found = []
    for layer in parsed.layers:
        if isinstance(layer, Whole):
            found.append(parts("whole")[layer.name])
        else:
            found += [parts("motion")[layer.motion], parts("attention")[layer.attention]]
    return found


def options_of(spec: str) -> frozenset[str]:
    """The options that `create_mechanism` takes for a spec. Raises SpecError for one that is none."""
    return _options(parse_spec(spec))


def sees_neighbours(spec: str) -> bool:
    """Whether what a mechanism makes of a place depends on the places around it, as with TEA's and TDN's convolutions
    and with patches. Raises SpecError for a spec that is none."""
    return any(info.sees_neighbours for info in _infos(parse_spec(spec)))


def _options(parsed: MechanismSpec) -> frozenset[str]:
    return frozenset().union(*(info.options for info in _infos(parsed)))


def check_options(spec: str, options: Collection[str]) -> None:
    """Raises SpecError for a spec that is none, and where no part of it takes an option of that name."""
    parsed = parse_spec(spec)
    allowed = _options(parsed)
    if unknown := sorted(set(options) - allowed):
        known = f"It takes: {', '.join(sorted(allowed))}." if allowed else "It takes none."
        raise SpecError(f"The mechanism '{parsed}' has no option {', '.join(map(repr, unknown))}. {known}")


def _create_layer(
    layer: Cell | Whole, *, channels: int, num_frames: int, reduction: int, options: dict[str, Any]
) -> nn.Module:
    def build(info: PartInfo, width: int) -> nn.Module:
        wanted = {name: options[name] for name in info.options if name in options}
        return info.build(channels=width, num_frames=num_frames, **wanted)

    if isinstance(layer, Whole):
        return build(parts("whole")[layer.name], channels)
    reduced = reduced_channels(channels, reduction)
    motion = build(parts("motion")[layer.motion], reduced)
    if layer.attention == "none":
        return Gate(channels, motion=motion, attention=None, reduction=reduction)
    info = parts("attention")[layer.attention]
    gate = info.gate or Gate
    return gate(channels, motion=motion, attention=build(info, reduced), reduction=reduction)
