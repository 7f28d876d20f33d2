"""Whole work beside the paper's code's way of doing it: the same clips, the same answers, real steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from m2a.data import ClipDataset, ClipFile, ClipSet, Preprocessing, Sample, open_clip, read_clips
from m2a.data.synthetic import synthesize
from m2a.errors import ConfigError
from m2a.measurement.released import released_loader
from m2a.workflows import end_to_end
from m2a.workflows.end_to_end import WAYS, EndToEnd

GIVEN = Preprocessing(num_frames=3, size=23)


@pytest.fixture(scope="module", params=["something-something-v1", "class-folders"])
def clips(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    root = tmp_path_factory.mktemp("set") / "clips"
    synthesize(
        root, layout=request.param, classes=2, num_train=5, num_validation=2, size=34, num_frames=7, workers=1,
        progress=False,
    )  # fmt: skip
    return read_clips(root)


@pytest.mark.parametrize("train", [True, False])
def test_both_ways_read_the_same_clips(clips: ClipSet, train: bool) -> None:
    """The same frames and crops; PIL rounds at other places than torch."""
    members = clips.split("train")
    loader = released_loader(members, clips.labels, GIVEN, train=train, batch_size=2, workers=0)
    dataset = ClipDataset(members, labels=clips.labels, preprocessing=GIVEN, train=train)
    pixels, targets = (torch.cat(parts) for parts in zip(*loader, strict=True))
    assert pixels.shape == (5, 3, 3, 23, 23)
    assert targets.tolist() == list(dataset.targets)
    samples = [dataset[index] for index in range(5)]
    ours = dataset.collate([sample for sample in samples if isinstance(sample, Sample)])
    differences = (GIVEN.normalize(ours.clips) - pixels).abs() * min(GIVEN.std) * 255
    assert float(differences.max()) < 3
    shifted = (GIVEN.normalize(ours.clips).flip(1) - pixels).abs() * min(GIVEN.std) * 255
    assert float(shifted.max()) > 20


@pytest.mark.parametrize("job", ["predict", "train"])
def test_every_way_does_the_work(clips: ClipSet, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {}

    def remember(given: EndToEnd, name: str, make: Callable = end_to_end._model) -> object:
        models[name] = make(given, name)
        return models[name]

    monkeypatch.setattr(end_to_end, "_model", remember)
    given = EndToEnd(
        job=job, clips=clips.split("train"), labels=clips.labels, backbone="test_resnet", size=32, num_frames=3,
        batch_size=2, workers=0, repeats=2,
    )  # fmt: skip
    ways = given.measure()
    assert [way["way"] for way in ways] == list(WAYS)
    assert ways[0]["ratio"] == 1
    for way in ways:
        assert len(way["seconds"]) == len(way["model_seconds"]) == len(way["reading_seconds"]) == 2
        assert all(0 < inside < whole for inside, whole in zip(way["model_seconds"], way["seconds"], strict=True))
        assert way["clips_per_second"] == pytest.approx(5 / (sum(way["seconds"]) / 2))
    weights = [model.head.weight.detach() for model in models.values()]
    if job == "predict":
        assert torch.equal(weights[0], weights[1])
    else:  # two ways of the same steps: PIL's pixels are a little different, and so are the weights in the end
        assert not torch.equal(weights[0], weights[1])
        torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=2e-3)


@pytest.fixture(scope="module")
def odd_clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipFile, ...]:
    """Files that do not say how many frames they hold, frames called .JPG, and parts of both."""
    root = tmp_path_factory.mktemp("odd")
    paths = [root / "a.mkv", root / "a.webm", root / "frames"]
    for path, codec in zip(paths, ("libx264", "libvpx"), strict=False):
        write_video(path, codec)
    paths[2].mkdir()
    for number in range(20):
        Image.new("RGB", (40, 34), (12 * number, 0, 0)).save(paths[2] / f"{number}.JPG", format="JPEG")
    windows = [None, (9, 6)]
    pairs = [(path, window) for path in paths for window in windows]
    return tuple(ClipFile(id=str(k), path=p, label="a", window=w) for k, (p, w) in enumerate(pairs))


def write_video(path: Path, codec: str) -> None:
    """20 frames, each brighter than the one before."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = 40, 34
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((34, 40, 3), 12 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("train", [True, False])
def test_both_ways_read_other_containers_names_and_parts(odd_clips: tuple[ClipFile, ...], train: bool) -> None:
    pixels = torch.cat([p for p, _ in released_loader(odd_clips, ["a"], GIVEN, train=train, batch_size=2, workers=0)])
    dataset = ClipDataset(odd_clips, labels=["a"], preprocessing=GIVEN, train=train)
    samples = [dataset[index] for index in range(len(odd_clips))]
    ours = dataset.collate([sample for sample in samples if isinstance(sample, Sample)])
    differences = (GIVEN.normalize(ours.clips) - pixels).abs() * min(GIVEN.std) * 255
    assert float(differences.max()) < 3


def test_predicting_looks_at_the_parts(odd_clips: tuple[ClipFile, ...]) -> None:
    given = EndToEnd(
        job="predict", clips=odd_clips, labels=["a", "b"], backbone="test_resnet", size=23, num_frames=3, batch_size=2,
        workers=0, threads=1, repeats=1,
    )  # fmt: skip
    seen: list[float] = []
    run = end_to_end._Predicting(given, "m2a")
    run.model.register_forward_pre_hook(lambda _, args: seen.extend(args[0].mean((2, 3, 4)).flatten().tolist()))
    run._predict()
    assert len(seen) == 3 * len(odd_clips)
    with open_clip(odd_clips[1].path, window=odd_clips[1].window) as clip:
        preprocessing = run.model.preprocessing
        pixels = preprocessing.test_transform(clip.read(preprocessing.sample_test(6)))
    expected = preprocessing.normalize(pixels).mean((1, 2, 3)).tolist()
    assert seen[3:6] == pytest.approx(expected, abs=1e-3)


def test_what_cannot_be_measured(clips: ClipSet) -> None:
    with pytest.raises(ConfigError, match=r"repeats=0: these must be at least 1"):
        EndToEnd(job="predict", clips=clips.split("train"), labels=clips.labels, repeats=0)
    with pytest.raises(ConfigError, match=r"There are 5 clips, fewer than a batch of 8"):
        EndToEnd(job="train", clips=clips.split("train"), labels=clips.labels)
    lost = [ClipFile(id="1", path=clips.root / "train-000000.tar" / "1.mp4", label="a")]
    with pytest.raises(ConfigError, match=r"train-000000\.tar/1\.mp4 is no file or folder of its own"):
        EndToEnd(job="predict", clips=lost, labels=["a"])
