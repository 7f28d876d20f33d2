"""The frozen edition of the synthetic set: what it is made of, that it never changes, and that it tells no order."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edition_prints import fingerprints
from PIL import Image

from m2a.cli import main
from m2a.data.synthetic import LABELS, order_blind_ceiling, synthesize, time_reversal_pairs
from m2a.data.synthetic.checksum import checksum
from m2a.data.synthetic.editions import EDITIONS, FIRST_CLIPS, Edition, render_edition_clip
from m2a.data.synthetic.plan import edition_parameters, jobs
from m2a.data.synthetic.write import draw_chunk
from m2a.errors import ConfigError, DataError

MADE = ("clips", "camera", "background")
PAIRS = time_reversal_pairs()
ONE = EDITIONS[1]


def clip(label: str, *seed: int, edition: Edition = ONE, size: int = 24) -> np.ndarray:
    return render_edition_clip(edition, label, np.random.default_rng(seed), size=size)


# ---- what it is


def test_edition_1_is_whole_pairs_in_equal_numbers() -> None:
    p = edition_parameters(1)
    assert (p.num_train, p.num_validation, p.size, p.layout) == (10_000, 2_000, 128, "something-something-v1")
    assert re.fullmatch("[0-9a-f]{64}", ONE.sha256)
    assert set(p.labels) == {label for pair in PAIRS for label in pair}
    assert order_blind_ceiling(p.labels) == 50.0
    clips = jobs(p)
    counts = Counter((job.split, job.label) for job in clips)
    for split in ("train", "validation"):  # so the ceiling is 50% of these very clips, not only on average
        assert all(counts[split, a] == counts[split, b] for a, b in PAIRS)
    assert len({job.entropy for job in clips}) == len(clips) == 12_000


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p[0])
def test_pair_members_are_the_same_frames_reversed(pair: tuple[str, str]) -> None:
    assert np.array_equal(clip(pair[0], 1), clip(pair[1], 1)[::-1])


def test_clips_differ_in_length() -> None:
    low, high = ONE.num_frames
    lengths = [len(clip("Moving something up", seed)) for seed in range(12)]
    assert low <= min(lengths) < max(lengths) <= high
    assert len(set(lengths)) > 6


# ---- that it never changes


def test_the_first_clips_are_the_edition_s(tmp_path: Path) -> None:
    p = edition_parameters(1)
    draw_chunk(tmp_path, p, jobs(p)[:FIRST_CLIPS])
    assert checksum(tmp_path, tmp_path.rglob("*.jpg")) == ONE.first_sha256


def test_a_clip_of_every_scene_is_as_it_was() -> None:
    """The first clips are of six scenes of fourteen."""
    assert fingerprints()["clips"] == "8285af0ca9426bf0fba83522cac62b8abcc0429812e5c0d6eef596aec9074e4a"


def test_no_vector_instruction_changes_a_byte() -> None:
    here = fingerprints()
    without = {**os.environ, "NPY_DISABLE_CPU_FEATURES": here["extensions"]}
    script = Path(__file__).with_name("edition_prints.py")
    printed = subprocess.run([sys.executable, script], env=without, capture_output=True, text=True, check=True).stdout
    there = dict(line.split(": ") for line in printed.splitlines())
    assert there["extensions"] == ""  # they were indeed off
    assert [there[name] for name in MADE] == [here[name] for name in MADE]
    if platform.machine() == "x86_64" and here["extensions"]:  # elsewhere the two may round alike
        assert there["float32 background"] != here["float32 background"]


# ---- the command, on an edition of a few small clips


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Edition:
    """Edition 99, right checksums included."""
    made = replace(
        ONE, number=99, labels=PAIRS[3], num_train=8, num_validation=2, size=24, num_frames=(3, 4), drawn_with="a pen"
    )
    monkeypatch.setitem(EDITIONS, 99, made)
    first, rest = jobs(edition_parameters(99))[:FIRST_CLIPS], jobs(edition_parameters(99))[FIRST_CLIPS:]
    draw_chunk(tmp_path / "plain", edition_parameters(99), first)
    made = replace(made, first_sha256=checksum(tmp_path / "plain", (tmp_path / "plain").rglob("*.jpg")))
    draw_chunk(tmp_path / "plain", edition_parameters(99), rest)
    for split in ("train", "validation"):
        lines = [f"{job.clip_id};{job.label}\n" for job in (*first, *rest) if job.split == split]
        (tmp_path / "plain" / f"something-something-v1-{split}.csv").write_text("".join(lines))
    names = "".join(f"{label}\n" for label in sorted(made.labels))
    (tmp_path / "plain" / "something-something-v1-labels.csv").write_text(names)
    made = replace(made, sha256=listing(tmp_path / "plain"))
    monkeypatch.setitem(EDITIONS, 99, made)
    return made


def listing(root: Path) -> str:
    """The sha256 of what `sha256sum` prints of all files but the record, sorted by name."""
    names = sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
    lines = [f"{hashlib.sha256((root / n).read_bytes()).hexdigest()}  {n}\n" for n in names if n != "synthetic.json"]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_draws_checks_and_knows_again(tiny: Edition, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "set"
    made = synthesize(root, edition=99, progress=False)
    assert (made.edition, made.sha256, made.ceiling, made.reused) == (99, tiny.sha256, 50.0, False)
    assert listing(root) == tiny.sha256
    record = json.loads((root / "synthetic.json").read_text())
    assert record["edition"] == 99
    assert record["parameters"]["num_frames"] == [3, 4]
    with pytest.raises(SystemExit, match="0"):
        main(["data", "synthesize", str(root), "--edition", "99"])
    told = capsys.readouterr().out
    assert "the very same set was there already" in told
    assert f"Byte for byte edition 99: sha256 {tiny.sha256}." in told
    with pytest.raises(ConfigError, match=r"edition=99 \(asked for None\)"):
        synthesize(root, progress=False)
    (root / "notes.txt").write_text("mine")  # a file of the user's
    assert synthesize(root, edition=99, progress=False).reused
    frame = next(root.rglob("*.jpg"))
    frame.write_bytes(frame.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"The files in .*set are not those of edition 99: .*Delete it"):
        synthesize(root, edition=99, progress=False)


@pytest.mark.parametrize(("wrong", "what"), [("first_sha256", "The first clips"), ("sha256", "The clips")])
def test_other_clips_are_not_kept(
    tiny: Edition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, what: str
) -> None:
    monkeypatch.setitem(EDITIONS, 99, replace(tiny, **{wrong: "0" * 64}))
    with pytest.raises(DataError, match=f"{what} drawn here are not those of edition 99.*[Nn]one was kept.*with a pen"):
        synthesize(tmp_path / "set", edition=99, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["plain"]


def test_refuses_what_it_decides_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="edition=1 decides classes, size, seed itself"):
        synthesize(tmp_path / "set", edition=1, size=128, seed=1, classes=[*LABELS], progress=False)
    with pytest.raises(ConfigError, match="edition=2: there is no such edition"):
        synthesize(tmp_path / "set", edition=2, progress=False)
    assert list(tmp_path.iterdir()) == []


# ---- what a single frame tells

PROBED = ("Moving something up", "Turning the camera upwards while filming something",
          "Moving something closer to something")  # fmt: skip
PER_LABEL = 40
TRIALS = 2 * PER_LABEL * len(PROBED)
BOUND = 4 * np.sqrt(TRIALS) / 2  # four standard deviations of the number of right guesses


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """Grey, contrast and colour of a frame, in coarse cells: (280,)."""
    x = np.asarray(Image.fromarray(frame).resize((10, 8), Image.Resampling.BOX), np.float64)
    grey, hue = x.mean(2), x - x.mean(2, keepdims=True)
    coarse = hue.reshape(4, 2, 5, 2, 3).mean((1, 3))
    parts = (grey, np.abs(grey - grey.mean()), np.abs(x - x.mean((0, 1))).mean(2), coarse[:, :, :2])
    return np.concatenate([part.ravel() for part in parts])


def hits(x: np.ndarray, y: np.ndarray, folds: int = 5) -> int:
    """How many of `y`, -1 or 1, a ridge classifier of `x` gets right that has not seen them."""
    fold, right = np.arange(len(y)) // 2 % folds, 0
    for k in range(folds):
        train, test = fold != k, fold == k
        mean, std = x[train].mean(0), x[train].std(0) + 1e-6
        u, v = (x[train] - mean) / std, (x[test] - mean) / std
        weights = np.linalg.solve(u @ u.T + 0.3 * u.shape[1] * np.eye(len(u)), y[train])
        right += int((np.sign(v @ u.T @ weights) == y[test]).sum())
    return right


def test_a_single_frame_names_neither_member_of_a_pair() -> None:
    short = replace(ONE, num_frames=(6, 6))  # the edition's drawing, in fewer frames
    partner, chance = dict(PAIRS), np.random.default_rng(0)
    anywhere, early = 0, 0
    for label in PROBED:
        drawn = [
            clip(name, k, member, edition=short)
            for k in range(PER_LABEL)
            for member, name in enumerate((label, partner[label]))
        ]
        y = np.tile([-1.0, 1.0], PER_LABEL)
        anywhere += hits(np.stack([thumbnail(frames[chance.integers(len(frames))]) for frames in drawn]), y)
        early += hits(np.stack([thumbnail(frames[chance.integers(len(frames) // 3)]) for frames in drawn]), y)
    assert abs(anywhere - TRIALS / 2) < BOUND
    assert early > TRIALS / 2 + BOUND  # frames of the first third do tell, so the probe could
