"""Every tensor of a source's network at its place in a `VideoClassifier`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping

from torch import Tensor

from m2a.errors import CheckpointError
from m2a.interop.keys import gate_key, gate_spec, tam_key, timm_layer
from m2a.interop.layouts import LAYOUTS, is_mmaction2, is_online_tsm
from m2a.interop.placed import Placed
from m2a.interop.report import Unplaced
from m2a.interop.sources import At, Source, find_source
from m2a.models.weights import without_prefix

_PREFIXES = ("base_model.", "model.", "new_fc.")
_HEAD = re.compile(r"(?:new_fc|(?:base_model|model)\.(?:fc|classifier))\.(weight|bias)")
_CONVOLUTION = re.compile(r"(?:.*\.)?(?:conv(?:\d|s\.\d+|_\w+)|downsample\.0)")
_NORM_PARAMETERS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_UNKNOWN = ("unknown keys", "no network of this source that is known here has them; is it of another source?")

Left = defaultdict[tuple[str, str], list[str]]


def is_network(keys: Collection[str]) -> bool:
    """Whether the keys are of a whole network, rather than of one mechanism."""
    return any(key.startswith(_PREFIXES) for key in keys) or is_mmaction2(keys) or is_online_tsm(keys)


def place(state: Mapping[str, Tensor], source: str) -> Placed:
    """Renames the tensors of a source's whole network, and sorts out those that have no place.

    Raises:
        ConfigError: an unknown source.
        CheckpointError: not a network, two keys fall on one name, or different mechanisms at different sites.
    """
    known = find_source(source)
    state = without_prefix(state, "The state dict")
    names = LAYOUTS[source](state) if source in LAYOUTS else {key: key for key in state}
    online = source == "tsm" and is_online_tsm(state)
    if not online:
        _check_network(state, known)
    left: Left = defaultdict(list)
    found: dict[str, At] = {}
    tensors: dict[str, Tensor] = {}
    for key, laid_out in names.items():
        if match := _HEAD.fullmatch(laid_out):
            put(tensors, f"head.{match[1]}", state[key])
        elif at := _locate(key, laid_out, known, left):
            found[key] = at
    kinds = {at.layer: at.inserted for at in found.values() if at.inserted}
    if len(set(kinds.values())) > 1:
        raise CheckpointError(f"A model here has one mechanism; the file has {_listed(kinds)}.")
    stacked = "gate+tsm" in kinds.values()
    for key, at in found.items():
        if name := _name(at, stacked, source):
            put(tensors, name, state[key])
        else:
            left[_UNKNOWN].append(key)
    return Placed(
        source=source,
        folded=_fold_biases(tensors) if source == "tdn" else 0,
        tensors=tensors,
        unplaced=tuple(Unplaced(part=part, why=why, keys=tuple(keys)) for (part, why), keys in left.items()),
        mechanism=_mechanism(found, kinds),
        stacked=stacked,
        sites=tuple(name for layer in kinds if (name := timm_layer(layer))),
        dropout="new_fc.weight" in names.values() or "model.fc.weight" in state,
        online=online,
    )


def _check_network(state: Mapping[str, Tensor], source: Source) -> None:
    """Raises CheckpointError for another project's file, and for a 3D network that is none here."""
    if not any(key.startswith(source.starts) for key in state):
        other = " It looks like one of mmaction2: give that as the source." if is_mmaction2(state) else ""
        raise CheckpointError(
            f"This is no network of {source.project}: not one of its {len(state)} keys starts with "
            f"{' or '.join(source.starts)} (the first is {next(iter(state), None)!r}). Give the file that training "
            f"wrote.{other}"
        )
    if source.only_2d and (deep := [key for key, value in state.items() if value.ndim == 5]):
        raise CheckpointError(
            f"This is a 3D network ({deep[0]} is {tuple(state[deep[0]].shape)}). Of {source.project} its 2D ones have "
            "a place here: TSN, TSM and TANet."
        )


def put(tensors: dict[str, Tensor], name: str, value: Tensor) -> None:
    """Raises CheckpointError when the name is taken."""
    if name in tensors:
        raise CheckpointError(f"Two keys of the state dict fall on {name!r}; is it two checkpoints merged?")
    tensors[name] = value


def _locate(key: str, name: str, source: Source, left: Left) -> At | None:
    """Where a key, by its name in TSN's layout, belongs; None when it is of a part that has no counterpart, which is
    noted."""
    name = re.sub(r"^(?:base_model|model)\.", "", name)
    for part in source.parts:
        if match := re.fullmatch(part.pattern, name):
            left[part.name, part.why].append(key)
            if part.becomes is None:
                return None
            name = match.expand(part.becomes)
    for pattern, replacement in source.rewrites:
        name = re.sub(rf"^{pattern}$", replacement, name)
    return source.read(name)


def _name(at: At, stacked: bool, source: str) -> str | None:
    layer = timm_layer(at.layer)
    if at.inside:
        inner = tam_key(at.rest) if at.inserted == "tanet" else gate_key(at.rest)
        return f"backbone.{layer}.mechanism.{'0.' if stacked else ''}{inner}" if layer and inner else None
    convolution = _CONVOLUTION.fullmatch(layer or "")
    known = ("weight", "bias") if source == "tdn" else ("weight",)
    return f"backbone.{layer}.{at.rest}" if layer and at.rest in (known if convolution else _NORM_PARAMETERS) else None


def _mechanism(found: Mapping[str, At], kinds: Mapping[str, str | None]) -> str | None:
    kind = next(iter(kinds.values()), "none")
    if kind not in ("gate", "gate+tsm"):
        return kind
    inside: dict[str, list[str]] = {layer: [] for layer in kinds}
    for at in found.values():
        if at.inside:
            inside.setdefault(at.layer, []).append(at.rest)
    specs = {layer: gate_spec(keys) for layer, keys in inside.items()}
    if len(set(specs.values())) > 1:
        raise CheckpointError(f"A model here has one mechanism; the file has {_listed(specs)}.")
    return next(iter(specs.values()))


def _fold_biases(tensors: dict[str, Tensor]) -> int:
    """Takes biases of convolutions into the mean of the batch norm behind them, where in evaluation they are the same:
    norm(x + b) with mean m is norm(x) with mean m - b."""
    biases = [key for key in tensors if key.endswith(".bias") and _CONVOLUTION.fullmatch(key.removesuffix(".bias"))]
    for key in biases:
        layer = key.removesuffix(".bias")
        norm = re.sub(r"conv(\d)$", r"bn\1", layer) if layer[-2:] != ".0" else f"{layer[:-1]}1"
        if f"{norm}.running_mean" not in tensors:
            raise CheckpointError(f"{layer!r} has a bias, and there is no batch norm behind it to take it.")
        tensors[f"{norm}.running_mean"] = tensors[f"{norm}.running_mean"] - tensors.pop(key)
    return len(biases)


def _listed(kinds: Mapping[str, str | None]) -> str:
    first: dict[str | None, str] = {}
    for layer, kind in kinds.items():
        first.setdefault(kind, layer)
    return ", ".join(f"{kind or 'a gate alone'} at {layer}" for kind, layer in first.items())
