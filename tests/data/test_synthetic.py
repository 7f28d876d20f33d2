"""The synthetic set: what is on disk, that it is always the same, and that only frame order tells pairs apart."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from m2a.data.synthetic import encode, order_blind_ceiling, render_clip, synthesize, time_reversal_pairs, write
from m2a.data.synthetic.classes import BY_LABEL, CLASSES
from m2a.data.synthetic.stage import Stage
from m2a.errors import ConfigError, DataError

PAIRS = time_reversal_pairs()
LABELS = [c.label for c in CLASSES]
FEW = ["Moving something up", "Moving something down", "Holding something"]
SMALL = {"size": 24, "num_frames": 3, "progress": False}

# Spelled as in something-something-v1-labels.csv.
OFFICIAL = """
Approaching something with your camera|Closing something|Covering something with something|Folding something
Holding something|Moving away from something with your camera|Moving something and something away from each other
Moving something and something closer to each other|Moving something and something so they pass each other
Moving something away from something|Moving something away from the camera|Moving something closer to something
Moving something down|Moving something towards the camera|Moving something up|Opening something|Picking something up
Poking something so it slightly moves|Pulling something from behind of something|Pulling something from left to right
Pulling something from right to left|Pushing something from left to right|Pushing something from right to left
Putting something behind something|Putting something into something|Putting something on a surface
Taking something out of something|Turning something upside down|Turning the camera downwards while filming something
Turning the camera left while filming something|Turning the camera right while filming something
Turning the camera upwards while filming something|Uncovering something|Unfolding something
"""


def clip(label: str, *seed: int, size: int = 32, num_frames: int = 8, difficulty: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return render_clip(label, size=size, num_frames=num_frames, difficulty=difficulty, rng=rng)


def hashes(root: Path) -> dict[str, str]:
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


# ---- the table


def test_labels_are_spelled_as_in_something_something_v1() -> None:
    assert set(LABELS) <= set(OFFICIAL.strip().replace("\n", "|").split("|"))
    assert len(set(LABELS)) == len(LABELS) >= 22
    assert len(PAIRS) >= 8


def test_pairs_are_each_other_s_partners() -> None:
    by_label = {c.label: c for c in CLASSES}
    for a, b in PAIRS:
        assert (by_label[a].partner, by_label[b].partner) == (b, a)
        assert by_label[a].scene is by_label[b].scene
        assert by_label[a].backwards is not by_label[b].backwards
    assert {c.label for c in CLASSES if c.partner} == {label for pair in PAIRS for label in pair}


def test_ceiling() -> None:
    up, down, hold = FEW
    assert order_blind_ceiling([up, down]) == 50.0
    assert order_blind_ceiling([up, hold]) == 100.0
    assert order_blind_ceiling(FEW) == pytest.approx(100 * 2 / 3)
    assert order_blind_ceiling() == pytest.approx(100 * (len(LABELS) - len(PAIRS)) / len(LABELS))
    assert time_reversal_pairs([down, hold, up]) == [(up, down)]
    assert time_reversal_pairs([down, hold]) == []


@pytest.mark.parametrize("labels", [[], ["Holding it"], ["Holding something"] * 2])
def test_ceiling_refuses(labels: list[str]) -> None:
    with pytest.raises(ConfigError):
        order_blind_ceiling(labels)


# ---- drawing


@pytest.mark.parametrize("label", LABELS)
def test_every_class_renders_and_moves(label: str) -> None:
    frames = clip(label, 3)
    assert frames.shape == (8, 32, 42, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 10
    change = np.abs(frames[-1].astype(int) - frames[0]).mean()
    assert change > (0 if label == "Holding something" else 3)
    assert clip(label, 3, difficulty=1.0, size=24).shape == (8, 24, 32, 3)
    assert np.array_equal(frames, clip(label, 3))
    assert not np.array_equal(frames, clip(label, 4))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p[0])
def test_pair_members_are_the_same_frames_reversed(pair: tuple[str, str]) -> None:
    for seed in range(3):
        assert np.array_equal(clip(pair[0], seed, size=24), clip(pair[1], seed, size=24)[::-1])


@pytest.mark.parametrize("verb", ["Pushing", "Pulling"])
def test_left_and_right_are_mirror_images(verb: str) -> None:
    for seed in range(3):
        right = clip(f"{verb} something from left to right", seed)
        left = clip(f"{verb} something from right to left", seed)
        assert np.array_equal(right, left[:, :, ::-1])


def drift(frames: np.ndarray, axis: int) -> int:
    """By how many pixels the picture moves along an axis from the first frame to one in the middle."""
    profile = frames.astype(float).mean(2 if axis == 1 else 1)
    first, later = (p - p.mean(0) for p in (profile[0], profile[len(profile) // 3]))
    n = len(first)
    costs = {}
    for d in range(-n // 2, n // 2):
        a, b = first[max(0, -d) : n - max(0, d)], later[max(0, d) : n - max(0, -d)]
        costs[d] = float(np.abs(a - b).mean())
    return min(costs, key=lambda d: costs[d])


@pytest.mark.parametrize(
    ("way", "axis", "sign"), [("left", 2, 1), ("right", 2, -1), ("upwards", 1, 1), ("downwards", 1, -1)]
)
def test_the_picture_moves_against_the_camera(way: str, axis: int, sign: int) -> None:
    label = f"Turning the camera {way} while filming something"
    drifts = [sign * drift(clip(label, seed, num_frames=12, difficulty=0.0, size=48), axis) for seed in range(12)]
    assert sum(d > 1 for d in drifts) >= 10, drifts


def laid_out(label: str, seed: int) -> Stage:
    c = BY_LABEL[label]
    stage = Stage(np.random.default_rng(seed), 24, 12, 0.0)
    c.scene(stage)
    assert not c.backwards
    return stage


def rise(stage: Stage, axis: str) -> list[float]:
    """By how much each thing on the stage goes right or down, in frame heights."""
    return [float(getattr(item, axis)[-1] - getattr(item, axis)[0]) for item in stage.items]


SHOWN: dict[str, Callable[[Stage], bool]] = {
    "Pushing something from left to right": lambda s: max(rise(s, "x")) > 0.4 and min(rise(s, "x")) > -0.1,
    "Moving something up": lambda s: max(rise(s, "y")) < -0.4,
    "Putting something on a surface": lambda s: rise(s, "y")[1] > 0.2,
    "Putting something into something": lambda s: rise(s, "y")[2] > 0.15 and rise(s, "y")[3] < 0,  # and the hand goes
    "Putting something behind something": lambda s: rise(s, "x")[0] > 0.5 and rise(s, "x")[-1] == 0,
    "Moving something closer to something": lambda s: (
        s.items[0].x[0] - s.items[2].x[0] > s.items[0].x[-1] - s.items[2].x[-1] > 0
    ),
    "Moving something and something closer to each other": lambda s: (
        s.items[-1].x[0] - s.items[0].x[0] > s.items[-1].x[-1] - s.items[0].x[-1] + 0.4
    ),
    "Moving something towards the camera": lambda s: all(
        item.scale is not None and item.scale[-1] > 2 * item.scale[0] for item in s.items
    ),
    "Covering something with something": lambda s: abs(s.items[2].x[-1] - s.items[0].x[-1]) < 0.05 < rise(s, "x")[2],
    "Approaching something with your camera": lambda s: s.zoom[-1] > 1.5 * s.zoom[0],
    "Turning the camera upwards while filming something": lambda s: s.cy[-1] < s.cy[0] - 0.3,
}


@pytest.mark.parametrize("label", SHOWN)
def test_a_clip_shows_what_its_label_says(label: str) -> None:
    for seed in range(5):
        assert SHOWN[label](laid_out(label, seed)), seed


@pytest.mark.parametrize("values", [{"size": 33}, {"size": 8}, {"num_frames": 1}, {"difficulty": 1.5}])
def test_render_refuses(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        clip("Holding something", 0, **values)
    with pytest.raises(ConfigError, match="Holding it"):
        clip("Holding it", 0)


# ---- on disk


def test_something_something_layout(tmp_path: Path) -> None:
    root = tmp_path / "set"
    made = synthesize(root, classes=FEW, num_train=8, num_validation=4, **SMALL)
    assert (made.root, made.reused, made.counts) == (root, False, {"train": 8, "validation": 4})
    assert made.pairs == (tuple(FEW[:2]),)
    assert made.ceiling == order_blind_ceiling(made.labels)
    names = (root / "something-something-v1-labels.csv").read_text().splitlines()
    assert names == sorted(FEW)
    seen: list[str] = []
    for split, share in (("train", [2, 3, 3]), ("validation", [1, 1, 2])):
        rows = [line.split(";") for line in (root / f"something-something-v1-{split}.csv").read_text().splitlines()]
        assert sorted(Counter(label for _, label in rows).values()) == share
        assert {label for _, label in rows} == set(names)
        seen += [clip_id for clip_id, _ in rows]
    assert sorted(map(int, seen)) == list(range(1, 13))
    for clip_id in seen:
        files = sorted((root / "20bn-something-something-v1" / clip_id).iterdir())
        assert [f.name for f in files] == ["00001.jpg", "00002.jpg", "00003.jpg"]
    with Image.open(files[0]) as image:
        assert image.size == (32, 24)
    record = json.loads((root / "synthetic.json").read_text())
    assert record["time_reversal_pairs"] == [FEW[:2]]
    assert record["parameters"]["labels"] == list(made.labels)
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_class_folders_layout_codes_every_frame_alike(tmp_path: Path) -> None:
    synthesize(tmp_path, layout="class-folders", classes=2, num_train=4, num_validation=2, **SMALL)
    files = sorted(tmp_path.rglob("*.mp4"))
    assert Counter(f.relative_to(tmp_path).parts[0] for f in files) == {"train": 4, "validation": 2}
    assert {f.parent.name for f in files} == set(LABELS[:2])
    with av.open(str(files[0])) as container:
        frames = list(container.decode(video=0))
        assert [(f.width, f.height, f.key_frame) for f in frames] == [(32, 24, True)] * 3


def test_video_coding_is_symmetric_in_time(tmp_path: Path) -> None:
    frames = clip("Pushing something from left to right", 1)
    encode.write_video(tmp_path / "a.mp4", frames, 12)
    encode.write_video(tmp_path / "b.mp4", frames[::-1], 12)
    decoded = []
    for name in ("a.mp4", "b.mp4"):
        with av.open(str(tmp_path / name)) as container:
            decoded.append(np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)]))
    assert np.array_equal(decoded[0], decoded[1][::-1])
    assert np.abs(decoded[0].astype(int) - frames).mean() < 12


@pytest.mark.parametrize("layout", ["something-something-v1", "class-folders"])
def test_same_bytes_whatever_the_workers(tmp_path: Path, layout: str) -> None:
    for workers in (1, 2):
        synthesize(
            tmp_path / str(workers),
            layout=layout, classes=FEW, num_train=20, num_validation=4, workers=workers, seed=5, **SMALL,
        )  # fmt: skip
    one, two = hashes(tmp_path / "1"), hashes(tmp_path / "2")
    assert one == two
    clips = [h for name, h in one.items() if name.endswith(("00001.jpg", ".mp4"))]
    assert len(set(clips)) == len(clips) == 24  # and no clip is there twice, in one split or across them


def test_seeds_differ(tmp_path: Path) -> None:
    for seed in (0, 1):
        synthesize(tmp_path / str(seed), classes=FEW, num_train=3, num_validation=3, seed=seed, **SMALL)
    a, b = hashes(tmp_path / "0"), hashes(tmp_path / "1")
    assert not {h for name, h in a.items() if name.endswith("jpg")} & set(b.values())


def test_reuses_the_same_set_and_refuses_others(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()  # an empty folder is fine
    values = {"classes": FEW, "num_train": 3, "num_validation": 3, **SMALL}
    assert not synthesize(root, **values).reused
    before = hashes(root)
    assert synthesize(root, **values).reused
    with pytest.raises(ConfigError, match="seed=0"):
        synthesize(root, seed=1, **values)
    assert hashes(root) == before
    next((root / "20bn-something-something-v1").glob("*")).rename(tmp_path / "lost")
    with pytest.raises(DataError, match="lacks 1"):
        synthesize(root, **values)


@pytest.mark.parametrize(
    ("gone", "told"), [("*/*/00002.jpg", "lacks 1 of its clips or parts"), ("*labels.csv", "lacks")]
)
def test_a_set_that_lacks_something_is_not_the_same(tmp_path: Path, gone: str, told: str) -> None:
    values = {"classes": 2, "num_train": 2, "num_validation": 2, **SMALL}
    synthesize(tmp_path / "set", **values)
    next((tmp_path / "set").glob(gone)).unlink()
    with pytest.raises(DataError, match=told):
        synthesize(tmp_path / "set", **values)


def test_a_folder_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to an empty folder is not replaced, nor is a disk of its own."""
    values = {"classes": 2, "num_train": 2, "num_validation": 2, **SMALL}
    (tmp_path / "big").mkdir()
    (tmp_path / "link").symlink_to("big")
    assert not synthesize(tmp_path / "link", **values).reused
    assert synthesize(tmp_path / "big", **values).reused
    assert (tmp_path / "link").is_symlink()
    disk = tmp_path / "disk"
    disk.mkdir()
    number = disk.stat().st_ino
    monkeypatch.setattr(write.os.path, "ismount", lambda path: path == disk)
    assert not synthesize(disk, **values).reused
    assert disk.stat().st_ino == number
    assert hashes(disk) == hashes(tmp_path / "big")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big", "disk", "link"]


def test_a_folder_that_cannot_be_written_is_told_before_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_draw_all", lambda *_: pytest.fail("it drew"))
    (tmp_path / "file").touch()
    with pytest.raises(
        DataError, match=r"file/set cannot be written \(Not a directory\)\. Name a folder where you may"
    ):
        synthesize(tmp_path / "file" / "set", classes=2, num_train=2, num_validation=2, **SMALL)


def test_refuses_what_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    for root in (tmp_path, tmp_path / "note.txt"):
        with pytest.raises(DataError):
            synthesize(root, **SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("size", [24, 26])
def test_another_process_that_is_quicker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    root = tmp_path / "set"
    tiny: dict[str, Any] = {"classes": 2, "num_train": 2, "num_validation": 2, "num_frames": 3, "workers": 1}
    draw_all = write._draw_all

    def while_the_other_finishes(*args: Any) -> None:
        draw_all(*args)
        monkeypatch.setattr(write, "_draw_all", draw_all)
        with monkeypatch.context() as other:
            other.setattr(write.os, "getpid", lambda: 1)
            synthesize(root, size=size, progress=False, **tiny)

    monkeypatch.setattr(write, "_draw_all", while_the_other_finishes)
    if size == 24:
        assert synthesize(root, size=24, progress=False, **tiny).reused
    else:
        with pytest.raises(ConfigError, match="other parameters"):
            synthesize(root, size=24, progress=False, **tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert json.loads((root / "synthetic.json").read_text(encoding="utf-8"))["parameters"]["size"] == size


def test_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(folder: Path, frames: np.ndarray) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "write_frames", stop)
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "set", classes=2, num_train=2, num_validation=2, **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values",
    [
        {"layout": "tfrecord"},
        {"classes": 3},
        {"classes": 99},
        {"classes": []},
        {"classes": ["Holding it"]},
        {"classes": "Holding something"},
        {"num_validation": 3},
        {"workers": -1},
        {"seed": -1},
        {"fps": 0},
        {"size": 81},
    ],
    ids=str,
)
def test_refuses_arguments(tmp_path: Path, values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        synthesize(tmp_path / "set", progress=False, **values)
    assert list(tmp_path.iterdir()) == []


def test_workers_need_no_torch() -> None:
    code = "import sys, m2a.data.synthetic.write; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- the pair test: without the order of frames, nobody can tell the members of a pair apart

PER_CLASS = 20


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Grey clips (N, T, 8, 10) of every paired label, read back from the files."""
    root = tmp_path_factory.mktemp("pairs")
    labels = [label for pair in PAIRS for label in pair]
    synthesize(
        root, classes=labels, num_train=PER_CLASS * len(labels), num_validation=len(labels),
        size=32, num_frames=8, difficulty=0.1, workers=1, progress=False,
    )  # fmt: skip
    clips: dict[str, list[np.ndarray]] = {label: [] for label in labels}
    for line in (root / "something-something-v1-train.csv").read_text().splitlines():
        clip_id, label = line.split(";")
        frames = []
        for file in sorted((root / "20bn-something-something-v1" / clip_id).iterdir()):
            with Image.open(file) as image:
                frames.append(np.asarray(image.convert("L").resize((10, 8), Image.Resampling.BOX), np.float64))
        clips[label].append(np.stack(frames))
    return {label: np.stack(many) for label, many in clips.items()}


def order_blind(x: np.ndarray) -> np.ndarray:
    """What a method sees that cannot tell a clip from its reversal: (N, F)."""
    step = np.abs(np.diff(x, axis=1))
    maps = [x.mean(1), x.std(1), x.min(1), x.max(1), step.mean(1), step.max(1), np.diff(x, 2, axis=1).std(1)]
    scalars = np.stack([np.sort(f, 1) for f in (x.mean((2, 3)), x.std((2, 3)))], -1)
    energy = np.sort(step.mean((2, 3)), 1)
    return np.concatenate([m.reshape(len(x), -1) for m in (*maps, scalars, energy)], 1)


def order_aware(x: np.ndarray) -> np.ndarray:
    """Late minus early frames: (N, F)."""
    third = x.shape[1] // 3
    where = np.abs(x - np.median(x, axis=1, keepdims=True))
    halves = [(v[:, -third:].mean(1) - v[:, :third].mean(1)).reshape(len(x), -1) for v in (x, where)]
    return np.concatenate(halves, 1)


def cross_validated_hits(a: np.ndarray, b: np.ndarray, folds: int = 5) -> int:
    """How many of the rows of `a` and `b` a ridge classifier gets right that has not seen them."""
    x, y = np.concatenate([a, b]), np.repeat([-1.0, 1.0], [len(a), len(b)])
    fold = np.tile(np.arange(folds), len(x) // folds + 1)[: len(x)]
    hits = 0
    for k in range(folds):
        train, test = fold != k, fold == k
        mean, std = x[train].mean(0), x[train].std(0) + 1e-6
        u, v = (x[train] - mean) / std, (x[test] - mean) / std
        weights = np.linalg.solve(u @ u.T + 0.3 * u.shape[1] * np.eye(len(u)), y[train])
        hits += int((np.sign(v @ u.T @ weights) == y[test]).sum())
    return hits


def test_only_frame_order_tells_pairs_apart(drawn: dict[str, np.ndarray]) -> None:
    n = 2 * PER_CLASS
    blind = {p: cross_validated_hits(order_blind(drawn[p[0]]), order_blind(drawn[p[1]])) for p in PAIRS}
    aware = {p: cross_validated_hits(order_aware(drawn[p[0]]), order_aware(drawn[p[1]])) for p in PAIRS}

    def bound(trials: int) -> float:
        return trials / 2 + 4 * np.sqrt(trials) / 2

    assert sum(blind.values()) < bound(n * len(PAIRS)), blind
    assert all(hits < bound(n) for hits in blind.values()), blind
    assert sum(aware.values()) > bound(n * len(PAIRS)), aware  # so the test has the power to fail
    assert sum(hits > bound(n) for hits in aware.values()) >= 3, aware


def test_different_pairs_differ_without_order(drawn: dict[str, np.ndarray]) -> None:
    a, b = drawn["Opening something"], drawn["Approaching something with your camera"]
    assert cross_validated_hits(order_blind(a), order_blind(b)) > 2 * PER_CLASS * 0.8
