"""A long video, window by window: each window is what the model says of those frames alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

import m2a
from m2a.data import read_clips
from m2a.data.clipset import find_clips
from m2a.data.readers import open_clip
from m2a.data.sharding import write_shards
from m2a.data.synthetic import synthesize
from m2a.errors import ConfigError, DataError, NotFoundError
from m2a.evaluation import predict, predict_timeline
from m2a.evaluation.predict import Guess, likeliest
from m2a.evaluation.ticks import evenly
from m2a.evaluation.timeline import Interval, Timeline, Window
from m2a.models import VideoClassifier, create_model
from m2a.reporting import write_timeline

LABELS = ("a", "b", "c")


@pytest.fixture
def model() -> VideoClassifier:
    torch.manual_seed(3)
    model = create_model(
        "resnet10t",
        num_classes=3,
        labels=LABELS,
        num_frames=3,
        reduction=2,
        size=32,
        backbone_options={"channels": (8, 8, 16, 16), "zero_init_last": False},
    )
    torch.nn.init.normal_(model.head.weight, std=5.0)
    return model


def test_a_clip_in_a_shard(video: Path, model: VideoClassifier, tmp_path: Path) -> None:
    clips = read_clips(video.parents[2])
    write_shards(clips, tmp_path / "shards")
    packed = {clip.id: clip.path for clip in read_clips(tmp_path / "shards").split("all")}
    clip = clips.split("all")[0]
    assert predict(model, packed[clip.id]).guesses == predict(model, clip.path).guesses
    assert predict_timeline(model, packed[clip.id]).windows == predict_timeline(model, clip.path).windows
    with pytest.raises(NotFoundError, match=r"There is no video .*gone"):
        predict(model, packed[clip.id].parent / "gone")


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_each_window_is_seen_by_itself(video: Path, model: VideoClassifier, batch_size: int) -> None:
    with open_clip(video) as clip:
        rate, total = clip.frame_rate, clip.num_frames
    assert rate is not None
    window, step = 11 / rate, 7 / rate
    timeline = predict_timeline(model, video, window=window, step=step, top_k=3, batch_size=batch_size)
    starts = [round(part.start * rate) for part in timeline.windows]
    assert starts == [0, 7, 14, 21, 26]  # the last ends with the video
    assert timeline.seconds == pytest.approx(total / rate)
    for start, part in zip(starts, timeline.windows, strict=True):
        assert part.end == pytest.approx((start + 11) / rate)
        with open_clip(video, window=(start, 11)) as clip:
            pixels = model.preprocessing.test_transform(clip.read(model.preprocessing.sample_test(11)))
        expected = model.predict_probabilities(pixels[None])[0]
        got = {guess.label: guess.probability for guess in part.guesses}
        torch.testing.assert_close(torch.tensor([got[label] for label in LABELS]), expected, rtol=0, atol=1e-5)
        assert part.guesses[0].probability == max(got.values())
    assert len(timeline.frames) == 12
    assert [time for time, _ in timeline.frames] == sorted(time for time, _ in timeline.frames)


def test_a_stream_is_what_reading_gives(video: Path) -> None:
    with open_clip(video) as clip:
        wanted = [0, 3, 4, 17, 36]
        streamed: Iterator[tuple[int, torch.Tensor]] = clip.stream(wanted)
        frames = clip.read(wanted)
        for (index, frame), place, expected in zip(streamed, wanted, frames, strict=True):
            assert index == place
            assert torch.equal(frame, expected)


def part(start: float, end: float, label: str, probability: float) -> Window:
    return Window(start=start, end=end, guesses=(Guess(label=label, probability=probability),))


def test_neighbours_that_agree_are_one_interval(tmp_path: Path) -> None:
    windows = (part(0.0, 2.0, "a", 0.5), part(1.0, 3.0, "a", 0.75), part(2.0, 4.0, "b", 0.9), part(3.0, 5.0, "a", 0.8))
    timeline = Timeline(path=Path("x.mp4"), seconds=5.0, frame_rate=25.0, windows=windows, frames=())
    assert timeline.intervals() == [
        Interval(start=0.0, end=2.5, label="a", probability=0.625),
        Interval(start=2.5, end=3.5, label="b", probability=0.9),
        Interval(start=3.5, end=5.0, label="a", probability=0.8),
    ]
    plain = timeline.to_dict()
    assert plain["intervals"][1] == {"start": 2.5, "end": 3.5, "label": "b", "probability": 0.9}
    assert plain["windows"][0] == {"start": 0, "end": 2, "top": [{"label": "a", "probability": 0.5}]}
    parts = [(p.start, p.end, p.label, p.probability) for p in timeline.intervals()]
    write_timeline(tmp_path / "t.png", parts, timeline.frames, seconds=5.0, title="x.mp4")
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


def test_where_no_window_looked_nothing_is_said() -> None:
    windows = (part(0.0, 2.0, "a", 0.5), part(2.0, 4.0, "a", 0.75), part(7.0, 9.0, "a", 0.9))
    timeline = Timeline(path=Path("x.mp4"), seconds=9.0, frame_rate=25.0, windows=windows, frames=())
    assert timeline.intervals() == [
        Interval(start=0.0, end=4.0, label="a", probability=0.625),
        Interval(start=7.0, end=9.0, label="a", probability=0.9),
    ]


@pytest.mark.parametrize("name", ["a.JPG", "a.png", "videos"])
def test_what_is_no_single_video(name: str, video: Path, model: VideoClassifier, tmp_path: Path) -> None:
    """A picture; and a folder of videos, with a cover beside them that is no frame."""
    path = tmp_path / name
    if name == "videos":
        path.mkdir()
        shutil.copy(video, path / "one.mp4")
        path = path / "cover.jpg"
    Image.new("RGB", (40, 30)).save(path)
    message = r"is a picture, and motion takes a video"
    if name == "videos":
        path, message = path.parent, r"is a folder of videos \(one\.mp4\), not a clip\. Name one of them\."
    for ask in (predict_timeline, predict, m2a.explain):
        with pytest.raises(DataError, match=message):
            ask(model, path)
    if name != "videos":
        with pytest.raises(DataError, match=message):
            find_clips(path)


def test_a_video_shorter_than_the_window_is_one(video: Path, model: VideoClassifier) -> None:
    timeline = predict_timeline(model, video, window=100.0)
    assert len(timeline.windows) == 1
    assert timeline.windows[0].end == pytest.approx(timeline.seconds)
    assert len(timeline.intervals()) == 1


def test_what_cannot_be_slid_over(video: Path, model: VideoClassifier, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no video .*gone\.mp4\."):
        predict_timeline(model, tmp_path / "gone.mp4")
    for name in ("window", "step", "frame_rate"):
        for value in (0.0, -1.0, float("nan"), float("inf")):
            with pytest.raises(ConfigError, match=f"{name}={value} must be a finite number above 0"):
                predict_timeline(model, video, **{name: value})
    synthesize(
        tmp_path / "frames", classes=2, num_train=2, num_validation=2, size=24, num_frames=5, workers=1, progress=False
    )
    folder = next((tmp_path / "frames" / "20bn-something-something-v1").iterdir())
    with pytest.raises(ConfigError, match=r"does not say how many frames make a second\. Give frame_rate="):
        predict_timeline(model, folder)
    assert len(predict_timeline(model, folder, frame_rate=5.0, window=0.6, step=0.2).windows) == 3


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mkv", "libx264"), (".webm", "libvpx")])
def test_frames_that_do_not_comeevenly(suffix: str, codec: str, model: VideoClassifier, tmp_path: Path) -> None:
    """A second at 10 frames a second, then nothing moves for 2 seconds, then a second at 25."""
    times = [0.1 * k for k in range(10)] + [3 + 0.04 * k for k in range(25)]
    path = write_at(tmp_path / f"uneven{suffix}", codec, times)
    timeline = predict_timeline(model, path, window=1.0, step=1.0, frame_rate=5.0)  # for what says no times of its own
    assert timeline.seconds == pytest.approx(4.0)
    assert [part.start for part in timeline.windows] == pytest.approx([0, 1, 2, 3])
    assert [part.end for part in timeline.windows] == pytest.approx([1, 2, 3, 4])
    assert timeline.frame_rate == pytest.approx(25)
    with open_clip(path) as clip:
        assert clip.times() == pytest.approx(times)
        still, fast = (clip.read(frames) for frames in ([9, 9, 9], [14, 22, 30]))
    for number, frames in ((1, still), (3, fast)):
        expected = model.eval().predict_probabilities(model.preprocessing.test_transform(frames)[None])[0]
        guess = timeline.windows[number].guesses[0]
        assert guess.probability == pytest.approx(expected[LABELS.index(guess.label)].item(), abs=1e-4)
    assert len(timeline.frames) == 12
    assert all(b - a == pytest.approx(1 / 3, abs=0.05) for (a, _), (b, _) in pairwise(timeline.frames))


@pytest.mark.parametrize(
    ("times", "rate", "seen"),
    [
        ([0, 0, 0, 0, 0, 0.5, 1.0, 1.5], 2, [4, 5, 6, 7]),  # the step between frames is 0 in half of the cases
        ([0, 0, 0], 5, [0, 1, 2]),  # no times at all
    ],
)
def test_frames_at_one_and_the_same_time(
    times: list[float], rate: float, seen: list[int], video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_clip(video) as clip:
        monkeypatch.setattr(clip, "times", lambda: times)  # no file that we can write has such times
        monkeypatch.setattr(clip, "frame_rate", None)
        monkeypatch.setattr(clip, "num_frames", len(times))
        found, ticks = evenly(clip, 5.0)
    assert (found, list(ticks)) == (rate, seen)


def write_at(path: Path, codec: str, times: list[float]) -> Path:
    """A video whose frames are shown at these times, in seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width = stream.height = 32
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 7 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_of_labels_alike_the_first_is_likeliest() -> None:
    """As argmax, and so an evaluation's top-1 and predictions.csv, have it; bfloat16 gives many scores twice."""
    shares = torch.zeros(174)
    shares[[101, 17, 53]] = 1 / 3
    names = [str(k) for k in range(174)]
    assert [guess.label for guess in likeliest(shares, names, 5)] == ["17", "53", "101", "0", "1"]
