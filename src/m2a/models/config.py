"""What it takes to build a model again: plain values that go through JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from m2a.errors import CheckpointError, ConfigError
from m2a.insertion.sites import Position
from m2a.mechanisms.identity import Init
from m2a.models.consensus import Consensus

_KINDS = {
    "backbone": "the name of a model, or a network",
    "where": "a regular expression, or a list of names",
    "mechanism_options": "a dict",
    "backbone_options": "a dict",
    "pretrained": "True, False, or the path of a file",
}
_WORDS: Mapping[Any, str] = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The recipe of a `VideoClassifier`. Weights, labels and preprocessing are kept beside it."""

    backbone: str
    """A timm model's name, torchvision/<name>, or the class of the author's own network."""
    num_classes: int
    mechanism: str = "m2a"
    """A mechanism spec; "none" averages frames."""
    num_frames: int = 8
    reduction: int = 8
    position: Position = "before"
    where: str | tuple[str, ...] | None = None
    dropout: float = 0.5
    mechanism_options: Mapping[str, Any] = field(default_factory=dict)
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments for `timm.create_model`."""
    inflate: bool = False
    """The backbone is made a 3D network before anything is inserted."""
    init: Init = "paper"
    """What the mechanisms start as."""
    consensus: Consensus = "avg"
    freeze_backbone: bool = False
    pretrained: bool | str = False
    """Where image weights came from: True for timm's or torchvision's own, or a file."""
    own_backbone: bool = False
    """The backbone is a network of the author's, which is given to `m2a.load`."""

    def __post_init__(self) -> None:
        for one in fields(self):
            object.__setattr__(self, one.name, _plain(getattr(self, one.name)))

    def check_types(self) -> None:
        """Raises ConfigError for a value of another type than its field's. What is one of several words is checked
        where it is used."""
        kinds = get_type_hints(type(self))
        for name, kind in kinds.items():
            value = getattr(self, name)
            if get_origin(kind) is not Literal and not _is_of(value, kind):
                raise ConfigError(f"{name} must be {_KINDS.get(name) or _WORDS[kind]}; got {value!r}.")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Raises CheckpointError when a key is missing or unknown (a file of a newer version, say)."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise CheckpointError(
                f"The model's config has keys this version of m2a does not know: {', '.join(unknown)}. Update m2a."
            )
        if missing := sorted({"backbone", "num_classes"} - set(values)):
            raise CheckpointError(f"The model's config lacks {', '.join(missing)}; it is not one that m2a wrote.")
        kinds = get_type_hints(cls)
        if wrong := [key for key, value in values.items() if not _is_of(value, kinds[key])]:
            raise CheckpointError(f"The model's config is damaged: {wrong[0]} is {values[wrong[0]]!r}.")
        where = values.get("where")
        return cls(**{**values, "where": tuple(where) if isinstance(where, list) else where})


def check_whole(name: str, value: object) -> None:
    """Raises ConfigError for what is neither a whole number nor None."""
    if value is not None and not isinstance(value, Integral):
        raise ConfigError(f"{name} must be a whole number; got {value!r}.")


def _plain(value: Any) -> Any:
    """Numbers of numpy as Python's, which JSON has too."""
    match value:
        case bool() | int() | float() | str():
            return value
        case Integral():
            return int(value)
        case Real():
            return float(value)
        case Mapping():
            return {key: _plain(inside) for key, inside in value.items()}
        case list():
            return [_plain(inside) for inside in value]
        case tuple():
            return tuple(_plain(inside) for inside in value)
    return value


def _is_of(value: Any, kind: Any) -> bool:
    """Whether what JSON gave is of a field's type."""
    origin = get_origin(kind) or kind
    if origin is UnionType:
        return any(_is_of(value, part) for part in get_args(kind))
    if origin is Literal:
        return value in get_args(kind)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    if origin is Mapping:
        return isinstance(value, dict)
    if origin is float:
        return type(value) in (int, float)
    return type(value) is origin
