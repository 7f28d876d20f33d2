"""Training with a cache and on shards: the same run as without, and clear ends."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from torch.utils.data import get_worker_info

from m2a.data import ClipSet, read_clips
from m2a.data.cache import ClipCache
from m2a.data.sharding import write_shards
from m2a.data.synthetic import synthesize
from m2a.errors import CacheError, ConfigError, DataError
from m2a.training import TrainConfig, caching, fit


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    """7 videos to train on and 4 to validate on, of 2 classes, larger than training needs."""
    root = tmp_path_factory.mktemp("set") / "videos"
    synthesize(
        root, layout="class-folders", classes=2, num_train=7, num_validation=4, size=72, num_frames=5, workers=1,
        progress=False,
    )  # fmt: skip
    return read_clips(root)


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /dev/shm."""
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr(caching, "MEMORY", folder)
    return folder


def run(clips: ClipSet, folder: Path, **changes: Any) -> tuple[list[dict[str, str]], str]:
    """The metrics of a training run of an epoch, and what it printed."""
    tiny: dict[str, Any] = {
        "data": clips.root, "out": folder, "backbone": "resnet10t", "reduction": 2, "pretrained": "none",
        "backbone_options": {"channels": [8, 8, 16, 16], "zero_init_last": False}, "num_frames": 3, "size": 32,
        "epochs": 1, "batch_size": 3, "accumulate": 1, "optimizer": "adamw", "lr": 1e-3, "schedule": "constant",
        "workers": 0, "device": "cpu",
    }  # fmt: skip
    out = io.StringIO()
    fit(TrainConfig(**(tiny | changes)), clips, console=Console(file=out, width=1000))
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
    return rows, out.getvalue()


def arrays(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*.npy")}


def test_a_warm_cache_gives_the_same_run(clips: ClipSet, tmp_path: Path) -> None:
    options = {"cache": "disk", "cache_folder": tmp_path / "cache"}
    cold, said = run(clips, tmp_path / "cold", **options)
    assert f"cache of decoded clips: {tmp_path / 'cache'}, 0 clips, 0.0 MB; it may be deleted" in said
    written = arrays(tmp_path / "cache")
    assert len(written) == 11
    warm, said = run(clips, tmp_path / "warm", **options)
    assert warm == cold
    assert f"{tmp_path / 'cache'}, 11 clips, 0.5 MB" in said
    assert arrays(tmp_path / "cache") == written
    workers, _ = run(clips, tmp_path / "workers", workers=2, **options)
    assert workers == cold
    assert TrainConfig.load(tmp_path / "warm" / "config.yaml").cache_folder == tmp_path / "cache"


def test_small_clips_train_as_without_a_cache(clips: ClipSet, tmp_path: Path, memory: Path) -> None:
    plain, _ = run(clips, tmp_path / "plain", size=64)
    cached, said = run(clips, tmp_path / "cached", size=64, cache="ram")
    assert cached == plain
    assert f"cache of decoded clips: {memory}" in said
    assert "it is removed at the end" in said
    assert list(memory.iterdir()) == []


def test_a_cache_in_memory_is_gone_after_a_run_that_fails(clips: ClipSet, tmp_path: Path, memory: Path) -> None:
    broken = shutil.copy(clips.split("validation")[0].path, tmp_path / "bad.mp4")
    Path(broken).write_bytes(Path(broken).read_bytes()[:700])
    validation = (replace(clips.split("validation")[0], path=Path(broken)), *clips.split("validation")[1:])
    with pytest.raises(DataError, match=r"The validation clip .*bad\.mp4 cannot be decoded: the file is cut off"):
        run(replace(clips, splits={**clips.splits, "validation": validation}), tmp_path / "run", cache="ram", workers=1)
    assert list(memory.iterdir()) == []


def test_a_bad_training_clip_is_named_as_without_a_cache(clips: ClipSet, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(clips.split("train")[0].path.read_bytes()[:700])
    broken = replace(
        clips,
        splits={**clips.splits, "train": (replace(clips.split("train")[0], path=bad), *clips.split("train")[1:])},
    )
    said = run(broken, tmp_path / "run", cache="disk", cache_folder=tmp_path / "cache")[1]
    assert said.count(str(bad)) == 1
    assert "1 clip could not be decoded, left out of training:" in said
    assert len(arrays(tmp_path / "cache")) == 10


def test_no_shared_memory(clips: ClipSet, tmp_path: Path, memory: Path) -> None:
    memory.rmdir()
    with pytest.raises(ConfigError, match=r"cache=ram needs .*memory, and there is none here .*\. Use --cache disk\."):
        run(clips, tmp_path / "run", cache="ram")
    assert not (tmp_path / "run").exists()


def test_too_little_space_leaves_no_run(
    clips: ClipSet, tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "ClipCache", partial(ClipCache, free=lambda _: 1000))
    with pytest.raises(CacheError, match=r"needs about \d\.\d MB more in .*, where 0\.0 MB may be used\. Nothing"):
        run(clips, tmp_path / "run", cache="ram")
    assert not (tmp_path / "run").exists()
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_take_memory_too(clips: ClipSet, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of workers: room that the clips alone would fit in. On a disk batches take none."""
    monkeypatch.setattr(caching, "ClipCache", partial(ClipCache, free=lambda _: 800_000))
    if not workers:
        run(clips, tmp_path / "run", cache="ram")
        return
    message = r"needs about 0\.5 MB more in .*, and the batches of the workers 0\.7 MB, where 0\.8 MB .* Use fewer --w"
    with pytest.raises(CacheError, match=message):
        run(clips, tmp_path / "run", cache="ram", workers=workers)
    run(clips, tmp_path / "disk", cache="disk", cache_folder=tmp_path / "cache", workers=workers)


def free_until_training(_: Path) -> int:
    return 10**9 if get_worker_info() is None else 0


def test_space_that_runs_out_in_a_worker_ends_the_run_with_one_message(
    clips: ClipSet, tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "ClipCache", partial(ClipCache, free=free_until_training))
    with pytest.raises(CacheError, match=r"for the next clip, and 0\.0 MB may be used there\.") as caught:
        run(clips, tmp_path / "run", cache="ram", workers=2)
    assert "\n" not in str(caught.value)
    assert list(memory.iterdir()) == []


def test_where_the_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "set").mkdir(parents=True)
    assert caching.default_folder(tmp_path / "data" / "set") == tmp_path / "data" / ".m2a-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (tmp_path / "file").touch()
    assert caching.default_folder(tmp_path / "file" / "set") == tmp_path / "home" / "m2a" / "clips"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CacheError, match=r"Neither .*\.m2a-cache nor .*clips can be written\. Name a folder with --"):
        caching.default_folder(tmp_path / "file" / "set")


def test_shards_train_as_the_set_does(clips: ClipSet, tmp_path: Path) -> None:
    write_shards(clips, tmp_path / "shards", shard_size=100_000)
    shards = read_clips(tmp_path / "shards")
    plain, _ = run(clips, tmp_path / "plain")
    for name, options in (("alone", {}), ("workers", {"workers": 2})):
        assert run(shards, tmp_path / name, **options)[0] == plain
    cache = {"cache": "disk", "cache_folder": tmp_path / "cache"}
    assert run(shards, tmp_path / "cached", **cache)[0] == run(clips, tmp_path / "plain-cached", **cache)[0]


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache": "disc"}, r"cache must be one of none, ram, disk; got 'disc'\."),
        ({"cache_folder": Path("here")}, r"cache_folder is for cache=disk, and cache is none\. Use both, or neither\."),
        ({"cache": "ram", "cache_folder": Path("here")}, r"cache_folder is for cache=disk, and cache is ram"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(data=Path("set"), **options)
