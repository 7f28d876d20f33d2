"""Classes go by name: files of labels, and heads put into another order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import m2a
from m2a.errors import CheckpointError, ConfigError, DataError, NotFoundError
from m2a.interop import read_labels, reorder_classes

NAMES = ("Turning", "Moving something up", "Moving something down", "Closing")


def lines(path: Path, names: tuple[str, ...] = NAMES) -> Path:
    path.write_text("\n".join(names) + "\n", encoding="utf-8")
    return path


def test_lines_are_in_the_classes_order(tmp_path: Path) -> None:
    labels = read_labels(lines(tmp_path / "category.txt"))
    assert labels.names == NAMES
    assert str(labels) == (
        f"4 labels of {tmp_path / 'category.txt'}, in the file's order: 0 'Turning', 1 'Moving something up', "
        "2 'Moving something down', ..."
    )
    assert read_labels(tmp_path / "category.txt", order="sorted").names == tuple(sorted(NAMES))


def test_v1s_labels_are_sorted_as_the_projects_do(tmp_path: Path) -> None:
    path = lines(tmp_path / "something-something-v1-labels.csv")
    assert read_labels(path).names == tuple(sorted(NAMES))
    assert "sorted by name: 0 'Closing'" in str(read_labels(path))
    assert read_labels(path, order="file").names == NAMES


def test_v2s_labels_go_by_id(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"b": "2", "c": "0", "a": "1"}))
    assert read_labels(path).names == ("c", "a", "b")
    path.write_text(json.dumps(["b", "a"]))
    assert read_labels(path).names == ("b", "a")
    assert read_labels(path, order="sorted").names == ("a", "b")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "x\ny\nx\n", r"a\.txt holds 'x' more than once"),
        ("a.csv", "\n \n", r"a\.csv holds no labels"),
        ("a.json", '{"x": "0", "y": "2"}', r"the ids of its 2 labels are not 0 to 1, each once"),
        ("a.json", '{"x": "first"}', r"neither a list of names nor \{\"name\": \"id\"\}"),
        ("a.json", "{", r"a\.json is not JSON"),
        ("a.yaml", "x", r"read from \.txt and \.csv \(a name a line\) and \.json; got '\.yaml'"),
        ("a.txt", b"\xff\xfe", r"a\.txt is not UTF-8 text \(byte 0\)"),
    ],
)
def test_bad_files_of_labels(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path / name)


@pytest.mark.usefixtures("as_users_run_it")
def test_a_missing_file_and_an_unknown_order(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no file of labels .*none\.txt"):
        read_labels(tmp_path / "none.txt")
    with pytest.raises(ConfigError, match=r'order must be "auto", "file" or "sorted"; got \'abc\''):
        read_labels(tmp_path / "none.txt", order="abc")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> Callable[[], m2a.VideoClassifier]:
    made = m2a.create_model(
        "resnet10t", mechanism="tsm", num_classes=4, num_frames=2, labels=NAMES, size=32,
        backbone_options={"channels": [16, 16, 32, 32]},
    )  # fmt: skip
    torch.nn.init.normal_(made.head.weight)
    torch.nn.init.normal_(made.head.bias)
    state = {key: value.clone() for key, value in made.state_dict().items()}

    def fresh() -> m2a.VideoClassifier:
        made.load_state_dict(state)
        made.labels = NAMES
        return made.eval()

    return fresh


@torch.no_grad()
def test_scores_follow_their_names(model: Callable[[], m2a.VideoClassifier]) -> None:
    clips = torch.randn(2, 2, 3, 32, 32)
    wanted = tuple(sorted(NAMES))
    before = dict(zip(NAMES, model()(clips).T, strict=True))
    reordered = reorder_classes(model(), NAMES, wanted)
    assert reordered.labels == wanted
    for name, scores in zip(wanted, reordered(clips).T, strict=True):
        torch.testing.assert_close(scores, before[name])


def test_a_state_dict_is_copied(model: Callable[[], m2a.VideoClassifier]) -> None:
    state = model().state_dict()
    changed = reorder_classes(dict(state), NAMES, NAMES[::-1])
    assert torch.equal(changed["head.weight"], state["head.weight"].flip(0))
    assert torch.equal(changed["head.bias"], state["head.bias"].flip(0))
    assert all(changed[key] is value for key, value in state.items() if not key.startswith("head."))


def test_orders_of_other_classes_are_refused(model: Callable[[], m2a.VideoClassifier]) -> None:
    other = ("Turning", "Moving something up", "Moving something down", "Opening")
    with pytest.raises(DataError, match=r"'Closing' only in the model's order; 'Opening' only in the order wanted"):
        reorder_classes(model(), NAMES, other)
    with pytest.raises(DataError, match=r"'Turning' is there more than once"):
        reorder_classes(model(), NAMES, (*NAMES[:3], "Turning"))
    with pytest.raises(CheckpointError, match=r"from_labels holds 3 labels, and the checkpoint's head has 4 classes"):
        reorder_classes(model(), NAMES[:3], NAMES[:3])
    with pytest.raises(CheckpointError, match=r'no "head\.weight"'):
        reorder_classes({}, NAMES, NAMES)


def test_a_model_is_not_reordered_twice(model: Callable[[], m2a.VideoClassifier]) -> None:
    changed = reorder_classes(model(), NAMES, NAMES[::-1])
    before = changed.head.weight.clone()
    with pytest.raises(DataError, match=r"from_labels begins with 'Turning', .* and the labels of the model with 'Clo"):
        reorder_classes(changed, NAMES, NAMES[::-1])
    assert torch.equal(changed.head.weight, before)
    assert changed.labels == NAMES[::-1]
    changed.labels = None
    assert torch.equal(reorder_classes(changed, NAMES[::-1], NAMES).head.weight, before.flip(0))
