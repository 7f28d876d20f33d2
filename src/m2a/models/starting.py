"""Starting from a model that this library saved: its weights in a new model, for other classes or more clips."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from torch import Tensor

from m2a.data.preprocessing import Preprocessing
from m2a.errors import CheckpointError, ConfigError
from m2a.insertion.insert import belongs_to_mechanism
from m2a.mechanisms import parse_spec
from m2a.models import saving
from m2a.models.config import ModelConfig
from m2a.models.weights import SUFFIXES, load_whole, read_state_dict
from m2a.wording import count

if TYPE_CHECKING:
    from m2a.models.classifier import VideoClassifier

_SAME = ("backbone", "inflate", "consensus", "backbone_options")
_SAME_MECHANISM = ("mechanism", "mechanism_options", "reduction", "init", "position", "where")
_HEAD = ("head.weight", "head.bias")


@dataclass(frozen=True, kw_only=True)
class SavedModel:
    """What the `config.json` of a saved model says."""

    name: str
    config: ModelConfig
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None

    @classmethod
    def read(cls, name: str | Path) -> SavedModel:
        """Raises what `m2a.load` does for what is not there or damaged, and ConfigError for an adapter, which has no
        image network."""
        content = saving.read_config(str(name))
        if "adapter" in content:
            raise ConfigError(
                f"{name} is an adapter, which lacks the image network that a model would start from. Start from the "
                "whole model, which m2a train writes beside it (RUN/model), or m2a.load(...).save_pretrained(FOLDER)."
            )
        config, preprocessing = saving.parsed(content, str(name))
        labels = content["class_names"]
        return cls(
            name=str(name),
            config=config,
            preprocessing=preprocessing,
            labels=None if labels is None else tuple(labels),
        )

    def has_classes(self, labels: Sequence[str] | None) -> bool:
        """Whether its classes are these, in any order, so that its last layer is of use for them."""
        return labels is not None and self.labels is not None and sorted(labels) == sorted(self.labels)

    def about_start(self, labels: Sequence[str]) -> str:
        """What becomes of it in a model for `labels`, in a sentence."""
        if self.has_classes(labels):
            what = "its image network and last layer" if self.config.mechanism == "none" else "all of it"
            return f"starts from {self.name}, {what}: its {count(len(labels), 'class', 'classes')} are the same"
        before = count(self.config.num_classes, "class", "classes")
        why = "which have no names" if self.labels is None else "not the same as here"
        return (
            f"starts from {self.name}, all but its last layer, which was for {before}, {why}, and is made anew for "
            f"{len(labels)}"
        )


def names_model(pretrained: object) -> TypeGuard[str | Path]:
    """Whether `pretrained=` names a saved model, a folder or `owner/name` on the Hugging Face hub, and not a file of
    image weights, nor "imagenet" or "none", which training takes, whatever lies in folders of these names."""
    if not isinstance(pretrained, str | Path) or pretrained in ("", "imagenet", "none"):
        return False
    path = Path(pretrained)
    if path.is_dir():
        return True
    if path.is_file() or path.suffix.lower() in SUFFIXES or path.parent.is_dir():
        return False  # a file, or one that is missed
    return str(pretrained).count("/") == 1 and not path.is_absolute()


def at_its_sites(config: ModelConfig, source: SavedModel) -> ModelConfig:
    """The config of a model that starts from a saved one, with its sites where none are named."""
    if config.where is not None or source.config.mechanism == "none":
        return config
    position = source.config.position if config.position == "before" else config.position  # which is the default
    return replace(config, where=source.config.where, position=position)


def start_from(model: VideoClassifier, source: SavedModel) -> None:
    """Puts the weights of a saved model into one that is built alike. The last layer keeps those of its classes where
    both models have the same, in any order, and else stays as it is. Mechanisms stay as they are where the saved model
    has none.

    Raises:
        NotFoundError, WeightsUnavailableError, CheckpointError: as `m2a.load`, and CheckpointError where weights do
            not fit.
        ConfigError: another backbone, another mechanism or other options of them; an adapter.
    """
    assert model.config is not None
    _check_alike(source, model.config)
    state = read_state_dict(saving.locate(source.name, SAFETENSORS_SINGLE_FILE))
    own = model.state_dict()
    known = _head_for(model.labels, source, state) | {key: value for key, value in state.items() if key not in _HEAD}
    without = belongs_to_mechanism(model) if source.config.mechanism == "none" else (lambda _: False)
    kept = {key: value for key, value in own.items() if key in _HEAD or without(key)}
    try:
        load_whole(model, kept | known, source.name)
    except CheckpointError as error:
        raise CheckpointError(f"{error}{_made_for_other(source, model)}") from error


def with_normalisation(preprocessing: Preprocessing, of: Preprocessing) -> Preprocessing:
    """The one with the other's means, deviations and interpolation, which weights were trained with."""
    return replace(preprocessing, mean=of.mean, std=of.std, interpolation=of.interpolation)


def _head_for(labels: Sequence[str] | None, source: SavedModel, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The last layer, a row a class of `labels`, where the saved model has them all and no others."""
    if not source.has_classes(labels) or not all(key in state for key in _HEAD):
        return {}
    assert labels is not None
    assert source.labels is not None
    rows = [source.labels.index(label) for label in labels]
    return {key: state[key][rows] for key in _HEAD}


def _check_alike(source: SavedModel, config: ModelConfig) -> None:
    names = list(_SAME if source.config.mechanism == "none" else (*_SAME, *_SAME_MECHANISM))
    if source.config.own_backbone and config.own_backbone:
        names.remove("backbone")  # the class may have moved to another module; the shapes tell
    there, here = (_plain(one, names) for one in (source.config, config))
    if there == here:
        return
    differ = [name for name in names if there[name] != here[name]]
    raise ConfigError(
        f"{source.name} has {_listed(there, differ)}, and the model that would start from it {_listed(here, differ)}. "
        "Weights go into a network that is built alike: give the same, or, on the command line, leave these options "
        "out, of a --config too: they are the saved model's then."
    )


def _plain(config: ModelConfig, names: Sequence[str]) -> dict[str, Any]:
    """By name, as JSON has them; of the backbone's options without the rates of dropout, which are training's, and what
    weights start as, which these do not."""
    values = {name: getattr(config, name) for name in names}
    values["backbone_options"] = {
        key: value for key, value in config.backbone_options.items() if "drop" not in key and key != "zero_init_last"
    }
    if "mechanism" in values:
        values["mechanism"] = str(parse_spec(config.mechanism))
    return dict(json.loads(json.dumps(values, default=str)))


def _listed(values: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name}={values[name]!r}" for name in names)


def _made_for_other(source: SavedModel, model: VideoClassifier) -> str:
    """The number of frames and the size where they differ, which some networks have in the shapes of weights."""
    pairs = (
        ("num_frames", source.config.num_frames, model.num_frames),
        ("size", source.preprocessing.size, model.preprocessing.size),
    )
    told = (
        f" It was made for {what}={there}, and this is for {here}: give the same."
        for what, there, here in pairs
        if there != here
    )
    return "".join(told)
