"""What the page takes and refuses, and the films that it makes: functions, without a server."""

from __future__ import annotations

import importlib
import time
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from parts import LABELS, tiny_model, write_clip
from PIL import Image
from torch import nn

from m2a.app import create_app
from m2a.app.analysis import Entrant, StoppedError, analyse
from m2a.app.examples import choose_labels, draw_examples
from m2a.app.film import crop_of, encode, read_film, shown_size, weights_of, with_heat
from m2a.app.limits import Limits
from m2a.app.naming import shown_names, shown_titles
from m2a.data import Preprocessing
from m2a.data.readers import open_clip
from m2a.data.synthetic import LABELS as DRAWN
from m2a.errors import ConfigError, DataError, UnreadableClipError
from m2a.explanation import heat_overlay
from m2a.models import VideoClassifier

pytest.importorskip("starlette", reason="the page needs the extra m2a[serve]")
module = importlib.import_module("m2a.app.analysis")
LIMITS = Limits(max_megabytes=0.5, max_seconds=2)


def look_at(path: Path, limits: Limits = LIMITS) -> None:
    analyse(Entrant.of({"it": tiny_model()}), path, path.name, limits)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["max_megabytes", "max_seconds"])
def test_limits_must_be_above_zero(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is .*; it must be a number above 0"):
        Limits(**{name: value})


def test_size_is_checked() -> None:
    LIMITS.check_size("a.mp4", 500_000)
    with pytest.raises(DataError, match=r"a\.mp4 is empty \(0 bytes\)\. A clip may have up to 0\.5 MB and 2 s, as mp4"):
        LIMITS.check_size("a.mp4", 0)
    with pytest.raises(DataError, match=r"a\.mp4 has 0\.7 MB\. A clip may have up to 0\.5 MB .* Cut it"):
        LIMITS.check_size("a.mp4", 700_000)
    with pytest.raises(DataError, match=r"a\.mp4 has over 0\.5 MB\."):
        LIMITS.check_size("a.mp4", 500_001)


@pytest.mark.parametrize(
    ("codec", "format"),
    [("libx264", "mp4"), ("libvpx", "webm"), ("mpeg4", "avi"), ("gif", "gif"), ("libx264", "matroska")],
)
def test_videos_are_taken_by_what_they_hold_not_by_their_names(codec: str, format: str, tmp_path: Path) -> None:  # noqa: A002
    clip = write_clip(tmp_path / "no-suffix", codec=codec, format=format)
    analysis = analyse(Entrant.of({"it": tiny_model()}), clip, "clip", LIMITS)
    assert (analysis.num_frames, analysis.width, analysis.height) == (13, 62, 46)
    assert analysis.seconds == pytest.approx(1.3, abs=0.02)


def test_a_long_clip(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "long.mp4", num_frames=23)
    with pytest.raises(DataError, match=r"long\.mp4 lasts 2\.3 s\. A clip may have up to 0\.5 MB and 2 s.* Cut it"):
        look_at(clip)
    look_at(clip, Limits(max_seconds=2.5))


def test_a_recording_that_does_not_say_how_long_it_is(tmp_path: Path) -> None:
    """As browsers write them: the length is known from the pictures alone."""
    stream = BytesIO()
    with av.open(stream, "w", format="webm", options={"live": "1"}) as container:
        video = container.add_stream("libvpx", rate=10)
        video.width, video.height, video.pix_fmt = 62, 46, "yuv420p"
        for _ in range(23):
            frame = av.VideoFrame.from_ndarray(np.zeros((46, 62, 3), dtype=np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    clip = tmp_path / "recording.webm"
    clip.write_bytes(stream.getvalue())
    with av.open(str(clip)) as container:
        assert container.duration is None
    with pytest.raises(DataError, match=r"recording\.webm lasts 2\.3 s"):
        look_at(clip)


def test_frames_that_are_too_large(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "huge.mp4", num_frames=2, width=4610, height=2306)
    with pytest.raises(DataError, match=r"huge\.mp4 has frames of 4610 x 2306 pixels; 4096 x 2304 are the most"):
        look_at(clip)


def test_a_single_picture(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "still.gif", num_frames=1, codec="gif")
    with pytest.raises(DataError, match=r"still\.gif holds a single picture; motion takes a video"):
        look_at(clip)
    Image.new("RGB", (31, 23)).save(tmp_path / "photo.png")
    with pytest.raises(DataError, match=r"photo\.png is not a video, or of a kind that this page does not take"):
        look_at(tmp_path / "photo.png")


def test_a_list_of_other_files_is_not_followed(tmp_path: Path) -> None:
    """FFmpeg would open what such a list names."""
    write_clip(tmp_path / "other.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    with open_clip(tmp_path / "list.mp4") as clip:
        assert clip.num_frames == 13  # it can be opened, so that it has to be refused
    with pytest.raises(DataError, match=r"list\.mp4 is not a video, or of a kind that this page does not take"):
        look_at(tmp_path / "list.mp4")


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello there")
    with pytest.raises(UnreadableClipError, match=r"this is not a video, or its start is damaged"):
        look_at(tmp_path / "notes.txt")
    with av.open(str(tmp_path / "sound.m4a"), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=8000)
        sound.layout = "mono"
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        samples.sample_rate = 8000
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    with pytest.raises(UnreadableClipError, match=r"there is no picture in the file, only: audio"):
        look_at(tmp_path / "sound.m4a")
    cut = write_clip(tmp_path / "cut.mp4")
    cut.write_bytes(cut.read_bytes()[:500])
    with pytest.raises(UnreadableClipError, match="the file is cut off"):
        look_at(cut)


def test_frames_whose_size_changes(tmp_path: Path) -> None:
    parts = [write_clip(tmp_path / f"{width}.h264", width=width, format="h264") for width in (62, 94)]
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(UnreadableClipError, match=r"both\.h264: the size of its frames changes at frame 14"):
        look_at(both)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ((46, 62), (240, 324)), ((480, 640), (360, 480)), ((1080, 1920), (360, 640)), ((640, 360), (640, 360)),
        ((3, 2000), (2, 640)),
    ],
)  # fmt: skip
def test_sizes_that_are_good_to_watch(given: tuple[int, int], shown: tuple[int, int]) -> None:
    assert shown_size(*given) == shown


def test_a_film_lasts_as_long_as_its_clip(tmp_path: Path) -> None:
    with open_clip(write_clip(tmp_path / "clip.mp4", num_frames=31, rate=31)) as clip:
        film = read_film(clip, 1.0)
    assert film.frames.shape == (12, 240, 324, 3)
    assert film.frame_rate == 12
    assert film.size == (46, 62)
    assert film.indices == (1, 3, 6, 9, 11, 14, 16, 19, 21, 24, 27, 29)


def test_sound_behind_the_pictures_does_not_slow_the_film(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    with av.open(str(clip), "w") as container:
        video, sound = container.add_stream("libx264", rate=12), container.add_stream("aac", rate=8000)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(24):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(video.encode(None))
        for start in range(0, 8 * 8000, 1000):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts = 8000, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    assert Limits(max_seconds=3).check_clip("clip", clip) == pytest.approx(2, abs=0.1)


def test_frames_that_do_not_come_evenly_are_shown_when_they_were(tmp_path: Path) -> None:
    """Five in half a second, then one that stays for half a second."""
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as container:
        video = container.add_stream("libx264", rate=10, options={"bf": "0"})
        video.width, video.height, video.pix_fmt, video.time_base = 64, 48, "yuv420p", Fraction(1, 10)
        video.codec_context.time_base = Fraction(1, 10)
        for time in (0, 1, 2, 3, 4, 9):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    with open_clip(clip) as reader:
        film = read_film(reader, 1.0)
    assert film.indices == (0, 2, 4, 4, 4, 5)
    assert len(film.frames) == 6


def test_a_clip_is_given_up_where_the_page_is_stopped(tmp_path: Path) -> None:
    entrants, clip = Entrant.of({"it": tiny_model()}), write_clip(tmp_path / "clip.mp4", num_frames=12)
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) > 3

    with pytest.raises(StoppedError):
        analyse(entrants, clip, "clip.mp4", LIMITS, stopped)
    assert len(asked) == 4


def test_a_long_film_has_fewer_frames_a_second(tmp_path: Path) -> None:
    with open_clip(write_clip(tmp_path / "clip.mp4", num_frames=400)) as clip:
        film = read_film(clip, 40.0)
    assert len(film.frames) == 180
    assert film.frame_rate == Fraction(9, 2)


def test_films_are_of_the_kind_that_browsers_play() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 34, 62, 3)).astype(np.uint8)
    with av.open(BytesIO(encode(frames, Fraction(7, 2)))) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.frames) == (62, 34, 5)
        assert stream.average_rate == Fraction(7, 2)


def test_heat_between_two_frames_is_interpolated() -> None:
    weights = weights_of([0, 2, 3, 6, 9, 11], [2, 6, 10])
    expected = [[1, 0, 0], [1, 0, 0], [0.75, 0.25, 0], [0, 1, 0], [0, 0.25, 0.75], [0, 0, 1]]
    np.testing.assert_allclose(weights, expected)


def test_where_a_model_does_not_look_there_is_no_heat() -> None:
    weights = weights_of(range(13), [5, 6, 7])  # a dense sample
    assert weights.any(1).nonzero()[0].tolist() == [4, 5, 6, 7, 8]


def test_a_short_clip_whose_frames_repeat() -> None:
    np.testing.assert_allclose(weights_of([0, 1], [0, 0, 1, 1]).sum(1), 1)
    np.testing.assert_allclose(weights_of([0, 1, 2], [1, 1]).sum(1), 1)


def test_heat_lies_where_the_model_looks(tmp_path: Path) -> None:
    preprocessing = Preprocessing(num_frames=3, size=32, resize=40)
    with open_clip(write_clip(tmp_path / "clip.mp4", num_frames=12, width=80, height=40)) as clip:
        film = read_film(clip, 1.0)
    heat = np.zeros((3, 32, 32), dtype=np.float32)
    heat[:, :16] = 1
    top, left, side = crop_of(240, 480, preprocessing)
    assert (top, left, side) == (24, 144, 192)
    painted = with_heat(film, heat, [2, 6, 10], preprocessing).astype(int)
    plain = heat_overlay(film.frames, np.zeros(film.frames.shape[:3])).astype(int)
    below = slice(top + side * 3 // 4, top + side), slice(left, left + side)
    above = slice(top, top + side // 4), slice(left, left + side)
    assert (painted[:, *below] == plain[:, *below]).all()  # no heat
    assert (np.abs(painted[:, *above] - plain[:, *above]).mean((1, 2, 3)) > 50).all()
    assert (painted[:, :, : left - 1] <= plain[:, :, : left - 1] / 2).all()  # outside it is darkened


def test_examples_are_of_labels_that_the_model_knows() -> None:
    assert choose_labels(["Holding something", "Unfolding something", "Folding something", "juggling"]) == (
        "Folding something",
        "Unfolding something",
        "Holding something",
    )
    assert len(choose_labels(DRAWN)) == 6
    assert set(choose_labels(["juggling"])) <= set(DRAWN)


def test_examples_are_videos() -> None:
    examples = draw_examples(LABELS)
    assert [example.label for example in examples] == list(LABELS)
    for example in examples:
        with av.open(BytesIO(example.video)) as container:
            assert container.streams.video[0].frames == 12


def test_an_answer_holds_all_that_is_shown(tmp_path: Path) -> None:
    model = tiny_model("tsm").train()
    with torch.no_grad():
        entrants = Entrant.of({"a": tiny_model(), "b": model})
        analysis = analyse(entrants, write_clip(tmp_path / "clip.mp4"), "clip.mp4", LIMITS)
    content = analysis.to_dict()
    assert content["name"] == "clip.mp4"
    assert content["decode_ms"] > 0
    assert [answer["title"] for answer in content["answers"]] == [
        "resnet10t, mechanism m2a",
        "resnet10t, mechanism tsm",
    ]
    for answer, entrant in zip(analysis.answers, entrants, strict=True):
        assert answer.forward_ms > 0
        assert answer.problem is None
        assert sum(guess.probability for guess in answer.guesses) == pytest.approx(1)
        assert answer.video not in (None, analysis.video)
        assert not entrant.model.training


def test_a_model_that_cannot_be_explained_answers_without_heat(clip: Path) -> None:
    """A backbone whose features are no maps: the labels are shown all the same."""
    answer = analyse(Entrant.of({"it": flat_model()}), clip, "clip.mp4", LIMITS).answers[0]
    assert answer.video is None
    assert answer.problem
    assert len(answer.guesses) == 3
    assert create_app({"it": flat_model()})


def flat_model() -> VideoClassifier:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 7), nn.ReLU(), nn.Linear(7, 3))
    return VideoClassifier(
        net, num_classes=3, labels=LABELS, num_frames=3, preprocessing=Preprocessing(num_frames=3, size=32)
    )


def test_models_that_cannot_be_shown() -> None:
    with pytest.raises(ConfigError, match="The page needs at least one model"):
        create_app({})
    with pytest.raises(ConfigError, match=r"The model it has no labels, so its outputs have no names"):
        create_app({"it": tiny_model(labels=None)})


def test_a_clip_of_a_moment_is_shown_moving(tmp_path: Path) -> None:
    """Of 2 frames in 0.08 seconds both, not one that stands still."""
    with open_clip(write_clip(tmp_path / "short.mp4", num_frames=2, rate=25)) as clip:
        assert read_film(clip, 0.08).indices == (0, 1)


def test_models_take_turns_when_they_are_timed(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And none is timed cold, or the first would seem the slowest."""
    asked: list[Any] = []
    predict = module.predict_views

    def slowly(model: Any, *rest: Any) -> Any:
        asked.append(model)
        time.sleep(0.2 if len(asked) == 1 else 0.01)
        return predict(model, *rest)

    one, other = tiny_model("none"), tiny_model("m2a")
    entrants = Entrant.of({"one": one, "other": other})
    monkeypatch.setattr(module, "predict_views", slowly)
    answers = analyse(entrants, clip, "it", Limits()).answers
    assert asked == [one, other] * 4
    assert all(answer.forward_ms < 150 for answer in answers)


@pytest.mark.parametrize(
    ("given", "shown", "titles"),
    [
        (("runs/a/model", "runs/b/model"), ("runs/a/model", "runs/b/model"), ("it (a)", "it (b)")),
        (("/data/x/runs/a/model", "/data/x/runs/b"), ("a", "b"), ("it (a)", "it (b)")),
        (("/data/x/a/model", "/data/y/a/model"), ("x/a", "y/a"), ("it (x/a)", "it (y/a)")),
        (("/x/a", "b/a"), ("x/a", "b/a"), ("it (x/a)", "it (b/a)")),
        (("before", "after"), ("before", "after"), ("it (before)", "it (after)")),
        (("/data/a/model",), ("a",), ("it",)),
        (("/data/a", "/x/data/a"), ("data/a", "x/data/a"), ("it (data/a)", "it (x/data/a)")),
        (("/data/a/model", "/data/a/adapter"), ("model", "adapter"), ("it (model)", "it (adapter)")),
        (("model",), ("model",), ("it",)),
    ],
)
def test_names_of_models(given: tuple[str, ...], shown: tuple[str, ...], titles: tuple[str, ...]) -> None:
    """Shown are no folders of the machine but what tells models apart."""
    assert tuple(shown_names(given)) == shown
    assert tuple(shown_titles(["it"] * len(given), given)) == titles
    assert shown_titles([f"title {k}" for k in range(len(given))], given) == [f"title {k}" for k in range(len(given))]
