"""Which class is which: names from a file, and the rows of a head in another order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from m2a.errors import CheckpointError, ConfigError, DataError, NotFoundError
from m2a.wording import quoted

if TYPE_CHECKING:
    from torch import Tensor

    from m2a.models import VideoClassifier

LabelOrder = Literal["auto", "file", "sorted"]


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """Names of the classes, in the order of a head's outputs."""

    names: tuple[str, ...]
    order: Literal["file", "sorted"]
    """Where the order is from: the file's own, or sorted names."""
    path: Path

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        how = "sorted by name" if self.order == "sorted" else "in the file's order"
        first = ", ".join(f"{index} {name!r}" for index, name in enumerate(self.names[:3]))
        return f"{len(self.names)} labels of {self.path}, {how}: {first}, ..."


def read_labels(path: str | Path, *, order: LabelOrder = "auto") -> ClassNames:
    """Names of the classes in the order of a checkpoint's outputs.

    Args:
        path: a .txt file of a name a line (the projects' category.txt); a .json file, {"name": "id"} as
            Something-Something V2 has it, or a list; or Something-Something V1's .csv file of a name a line.
        order: "file" for lines, list entries or ids as they are, "sorted" for sorted names. "auto" sorts a .csv file,
            because the projects number V1's classes by sorted name, and takes the others as they are.

    Raises:
        NotFoundError: no such file.
        DataError: not such a file, or a name twice.
        ConfigError: another order.
    """
    path = Path(path)
    if order not in get_args(LabelOrder):
        raise ConfigError(f'order must be "auto", "file" or "sorted"; got {order!r}.')
    if not path.is_file():
        raise NotFoundError(f"There is no file of labels {path}. Give a .txt, .json or .csv file of the class names.")
    if path.suffix not in (".txt", ".csv", ".json"):
        raise DataError(f"{path}: labels are read from .txt and .csv (a name a line) and .json; got {path.suffix!r}.")
    names = _from_json(path) if path.suffix == ".json" else [line.strip() for line in _text(path).splitlines()]
    names = [name for name in names if name]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path} holds {quoted(twice)} more than once; each class has one name.")
    if not names:
        raise DataError(f"{path} holds no labels; one name a line, or JSON, is expected.")
    if order == "sorted" or (order == "auto" and path.suffix == ".csv"):
        return ClassNames(names=tuple(sorted(names)), order="sorted", path=path)
    return ClassNames(names=tuple(names), order="file", path=path)


@overload
def reorder_classes(
    model_or_state: VideoClassifier, from_labels: Sequence[str], to_labels: Sequence[str]
) -> VideoClassifier: ...
@overload
def reorder_classes(
    model_or_state: dict[str, Tensor], from_labels: Sequence[str], to_labels: Sequence[str]
) -> dict[str, Tensor]: ...
def reorder_classes(model_or_state: Any, from_labels: Sequence[str], to_labels: Sequence[str]) -> Any:
    """Puts the outputs of a head into another order, by name. A model is changed in place, and gets the labels.

    Args:
        model_or_state: a VideoClassifier, or its state dict, of which a changed copy is returned.
        from_labels: the names in the order of the outputs as they are.
        to_labels: the same names in the order wanted.

    Raises:
        DataError: the two are not the same names, a name is there twice, or the model has its labels in another order
            than `from_labels`.
        CheckpointError: the head has another number of outputs.
    """
    rows = _permutation(from_labels, to_labels)
    if isinstance(model_or_state, dict):
        if "head.weight" not in model_or_state:
            raise CheckpointError('The state dict has no "head.weight"; give the state dict of a VideoClassifier.')
        check_count(len(rows), model_or_state["head.weight"].shape[0], "from_labels")
        return {key: value[rows] if key.startswith("head.") else value for key, value in model_or_state.items()}
    check_count(len(rows), model_or_state.num_classes, "from_labels")
    if model_or_state.labels is not None and tuple(from_labels) != tuple(model_or_state.labels):
        raise DataError(
            f"from_labels begins with {quoted(from_labels)}, and the labels of the model with "
            f"{quoted(model_or_state.labels)}: its outputs are in another order, that of an earlier call, say. Give "
            "from_labels=model.labels; where those are wrong, set model.labels to the order of the outputs first."
        )
    for parameter in model_or_state.head.parameters():
        parameter.data = parameter.data[rows]
    model_or_state.labels = tuple(to_labels)
    return model_or_state


def check_count(labels: int, classes: int, what: str | Path) -> None:
    """Raises CheckpointError unless there are as many labels as outputs."""
    if labels != classes:
        raise CheckpointError(
            f"{what} holds {labels} labels, and the checkpoint's head has {classes} classes. Give the labels of the "
            "data set that it was trained on."
        )


def _permutation(from_labels: Sequence[str], to_labels: Sequence[str]) -> list[int]:
    for labels in (from_labels, to_labels):
        if len(set(labels)) < len(labels):
            twice = sorted({name for name in labels if list(labels).count(name) > 1})
            raise DataError(f"{quoted(twice)} is there more than once; each class has one name.")
    gone = [name for name in from_labels if name not in set(to_labels)]
    new = [name for name in to_labels if name not in set(from_labels)]
    if gone or new:
        parts = [f"{quoted(gone)} only in the model's order"] * bool(gone)
        parts += [f"{quoted(new)} only in the order wanted"] * bool(new)
        raise DataError(f"The two orders are not of the same {len(from_labels)} classes: {'; '.join(parts)}.")
    places = {name: index for index, name in enumerate(from_labels)}
    return [places[name] for name in to_labels]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None


def _from_json(path: Path) -> list[str]:
    text = _text(path)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return [name.strip() for name in content]
    if not isinstance(content, Mapping) or not all(str(number).isdecimal() for number in content.values()):
        raise DataError(f'{path} holds neither a list of names nor {{"name": "id"}}, as Something-Something V2 has it.')
    by_number = sorted(content, key=lambda name: int(content[name]))
    if [int(content[name]) for name in by_number] != list(range(len(content))):
        raise DataError(f"{path}: the ids of its {len(content)} labels are not 0 to {len(content) - 1}, each once.")
    return [name.strip() for name in by_number]
