"""From the file that another project's training wrote to a `VideoClassifier` that gives the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from m2a.errors import CheckpointError, ConfigError
from m2a.interop.convert import check_placed
from m2a.interop.labels import ClassNames, check_count, read_labels
from m2a.interop.place import place
from m2a.interop.placed import Placed
from m2a.interop.report import ImportReport
from m2a.interop.sources import find_source
from m2a.mechanisms import parse_spec
from m2a.mechanisms.catalogue import parts
from m2a.mechanisms.create import check_options
from m2a.mechanisms.spec import Cell, MechanismSpec
from m2a.models import VideoClassifier, create_model, read_state_dict
from m2a.models.weights import load_whole

_RELEASED: dict[str, dict[str, Any]] = {"m2a": {"boundary": "zero"}, "tdn": {"released_backward": True}}  # by motion
_PATCHES = (
    "where a map cannot be cut into patches, the released code subtracts the next pixel and not the next frame's, so "
    "scores differ from the source's unless all maps can be cut"
)
_SCRAMBLED = (
    "the released I3D reads clips of (T, 3) as (3, T), which mixes colour and time; here they are kept apart, so the "
    "source's accuracy is not to be expected without fine-tuning"
)
_RES2NET_SITES = r"layer\d\.\d+\.conv1"  # where "none" goes, which changes nothing and wants a place all the same


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A model in evaluation mode, and how it came about."""

    model: VideoClassifier
    report: ImportReport


def read_checkpoint(path: str | Path, source: str) -> Placed:
    """Reads the file that a source's training wrote, without building a model. Never runs code from it.

    Raises:
        ConfigError: an unknown source.
        NotFoundError, CheckpointError: no such file, or it is damaged, holds objects in the place of tensors, or is of
            another project.
    """
    find_source(source)
    state = read_state_dict(path)
    try:
        return place(state, source)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def import_checkpoint(
    path: str | Path,
    *,
    source: str,
    labels: ClassNames | Sequence[str] | str | Path | None = None,
    mechanism: str | None = None,
    num_frames: int | None = None,
    backbone: str | None = None,
    mechanism_options: Mapping[str, Any] | None = None,
    allow_unplaced: bool = False,
) -> Imported:
    """A whole network of another project as a `VideoClassifier`.

    Args:
        path: the file that its training wrote (.pth.tar); read as `read_state_dict` does, which runs nothing of it.
        source: "m2a" (the released code), "tsm", "tam", "tea", "tdn" or "mmaction2" (its TSN, TSM and TANet).
        labels: names of the classes in the order of the file's outputs, or a file for `read_labels`.
        mechanism: a spec, where the weights do not tell it: the released m2a, m2a-motion, m2a-attention and
            m2a:patch4 have the same. "m2a" when it is needed and not given.
        num_frames: T, where the weights do not tell it; 8 when it is not given.
        backbone: a timm model name; told from the blocks when it is not given.
        mechanism_options: of the mechanism, in the place of those that the source's code has: {"shift_div": 4} of tsm.
        allow_unplaced: import what has a place where parts have none.

    Raises:
        ConfigError: an unknown source, a mechanism or number of frames that the file contradicts, or options that the
            mechanism does not have.
        NotFoundError, CheckpointError, DataError: a file is missing, damaged, unsafe or does not fit; parts have no
            place; or labels and head differ in number.
    """
    placed = read_checkpoint(path, source)
    if placed.unplaced and not allow_unplaced:
        check_placed(placed, path, read_state_dict(path))
    assumed: list[str] = []
    spec = _spec(placed, mechanism, assumed)
    check_options(str(spec), mechanism_options or {})
    frames = _num_frames(placed, num_frames, assumed)
    name = backbone or placed.backbone
    model = create_model(
        name,
        mechanism=str(spec),
        num_classes=placed.num_classes,
        num_frames=frames,
        labels=_names(labels, placed.num_classes),
        size=224,  # in all of the sources
        dropout=0.5 if placed.dropout else 0.0,
        reduction=placed.reduction,
        where=placed.sites or (_RES2NET_SITES if name.startswith("res2net") else None),
        inflate=placed.inflated,
        **_options(spec, placed, assumed, mechanism_options or {}),
    )
    load_whole(model, _complete(placed, model), path)
    return Imported(model=model.eval(), report=_report(placed, model, spec, assumed))


def _names(labels: ClassNames | Sequence[str] | str | Path | None, num_classes: int) -> Sequence[str] | None:
    if labels is None:
        return None
    if isinstance(labels, str | Path):
        labels = read_labels(labels)
    found = labels.names if isinstance(labels, ClassNames) else labels
    check_count(len(found), num_classes, labels.path if isinstance(labels, ClassNames) else "labels")
    return found


def _spec(placed: Placed, wanted: str | None, assumed: list[str]) -> MechanismSpec:
    """The file's mechanism. Raises ConfigError where `wanted` contradicts it."""
    suffix = "+tsm" if placed.stacked else ""
    told = placed.mechanism
    if wanted is None:
        if told is None:
            assumed.append(
                f'the mechanism is "m2a{suffix}": the weights of m2a, m2a-motion, m2a-attention, m2a:patch4 and '
                "m2a:patch8 are alike (mechanism=, --mechanism)"
            )
        return parse_spec((told or "m2a") + suffix)
    spec = parse_spec(wanted)
    if placed.online and str(spec) == "none":  # an image network has the same keys
        return spec
    if told is not None and spec != parse_spec(told + suffix):
        raise ConfigError(f'The file holds "{told}{suffix}", as its keys tell; got mechanism "{wanted}". Leave it out.')
    if told is None and not _fits_gate(spec, placed.stacked):
        raise ConfigError(
            f'The file holds a gate without weights inside{", then tsm" * bool(suffix)}; got mechanism "{wanted}". It '
            f"can be m2a{suffix}, m2a-motion{suffix}, m2a-attention{suffix}, m2a:patch4{suffix} or m2a:patch8{suffix}."
        )
    return spec


def _fits_gate(spec: MechanismSpec, stacked: bool) -> bool:
    """Whether it is one gate, whose parts have no weights, and tsm behind it where there is one."""
    if [str(layer) for layer in spec.layers[1:]] != ["tsm"] * stacked or not isinstance(spec.layers[0], Cell):
        return False
    built = [parts("motion")[spec.layers[0].motion], parts("attention")[spec.layers[0].attention]]
    return not any(list(part.build(channels=8, num_frames=8).parameters()) for part in built)


def _num_frames(placed: Placed, wanted: int | None, assumed: list[str]) -> int:
    told = placed.num_frames
    if told is None and wanted is None and placed.mechanism != "none":
        assumed.append("clips have 8 frames: the weights do not tell (num_frames=, --num-frames)")
    if told is not None and wanted not in (None, told):
        raise ConfigError(f"TAM's weights in the file are for clips of {told} frames; got num_frames={wanted}.")
    if told is not None:
        return told
    return 8 if wanted is None else wanted


def _options(spec: MechanismSpec, placed: Placed, assumed: list[str], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Of the mechanism, as the sources have it where nothing else is wanted."""
    options: dict[str, Any] = {}
    for layer in spec.layers:
        options |= _RELEASED.get(layer.motion, {}) if isinstance(layer, Cell) else {}
    if placed.online and str(spec) != "none":
        options["direction"] = "unidirectional"
    if str(spec) == "tanet":
        options["beta"] = placed.beta
    options |= wanted
    if placed.online and str(spec) != "none":
        assumed.append(
            "it is TSM's network for streams: an image network of its repository, which shifts nothing, has the same "
            'keys (mechanism="none", --mechanism none)'
        )
    if placed.source == "mmaction2" and str(spec) == "none":
        assumed.append("it is a TSN: a C2D has the same keys, pools in other places, and would give other scores")
    if "tsm" in map(str, spec.layers):
        assumed.append(_shift(options) + " (mechanism_options=, --mechanism-options.shift_div, .direction)")
    return options


def _shift(options: Mapping[str, Any]) -> str:
    one_way = options.get("direction") == "unidirectional"
    return (
        f"1/{options.get('shift_div', 8)} of the channels is shifted "
        f"{'from the frame before alone' if one_way else 'each way'}: the weights do not tell"
    )


def _complete(placed: Placed, model: VideoClassifier) -> Mapping[str, torch.Tensor]:
    """Counters of batches, which older files do not have and evaluation does not use, as the model has them."""
    own = model.state_dict()
    return {key: value for key, value in own.items() if key.endswith("num_batches_tracked")} | placed.tensors


def _report(placed: Placed, model: VideoClassifier, spec: MechanismSpec, assumed: list[str]) -> ImportReport:
    assert model.config is not None
    notes = []
    if any(isinstance(layer, Cell) and layer.attention.startswith("patch") for layer in spec.layers):
        notes.append(_PATCHES)
    if placed.inflated:
        notes.append(_SCRAMBLED)
    if placed.folded:
        notes.append(f"{placed.folded} biases of convolutions went into the means of the batch norms behind them")
    return ImportReport(
        source=placed.source,
        backbone=model.config.backbone,
        mechanism=str(spec),
        sites=len(placed.sites),
        num_frames=model.num_frames,
        num_classes=model.num_classes,
        placed=len(placed.tensors) + placed.folded,
        unplaced=placed.unplaced,
        assumed=tuple(assumed),
        notes=tuple(notes),
    )
