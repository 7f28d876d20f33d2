"""What a model says of a video as its frames come in: the answers that `m2a.Stream` gives where a camera is."""

from __future__ import annotations

from math import inf
from pathlib import Path

from m2a.data.readers import open_clip
from m2a.data.shards import check_video
from m2a.errors import ConfigError
from m2a.evaluation.predict import likeliest
from m2a.evaluation.predictor import Streamer, labels_of, stream_of
from m2a.evaluation.scores import checked
from m2a.evaluation.ticks import evenly, picture_of, strip_of
from m2a.evaluation.timeline import Timeline, Window


def predict_stream(
    model: Streamer,
    path: str | Path,
    *,
    window: float = 2.0,
    frame_rate: float | None = None,
    top_k: int = 5,
) -> Timeline:
    """Says of each moment of a video what the model would have said then, from the frames until then alone.

    T frames, of `model.num_frames`, are taken every `window` seconds, and each goes through the network once; where a
    video has fewer, one that stands for longer is taken again. An answer stands until the next one, window / T seconds
    later. It is that of `m2a.Stream`: the consensus of the last T frames.

    Args:
        model: with labels, and such as `m2a.Stream` takes: without a mechanism, or with one that looks back alone
            (`direction="unidirectional"`); it stays as it is. Or a file that one step was exported to
            (`m2a.export.load_stream`).
        path: a video file, or a folder of JPEG frames.
        window: seconds that T frames are of: those of the clips that the model was trained on.
        frame_rate: frames a second; of what does not say, as folders of frames do not. What says keeps its own times.
        top_k: labels of each answer.

    Raises:
        NotFoundError: nothing is at `path`.
        UnreadableClipError: it cannot be decoded.
        ConfigError: the model has no labels or cannot answer a stream, `window` or the frame rate is no number above 0,
            or the rate is not known.
        DivergedError: scores are nan or infinite.
    """
    labels = labels_of(model)
    for name, value in (("window", window), ("frame_rate", frame_rate)):
        if value is not None and not 0 < value < inf:
            raise ConfigError(f"{name}={value} must be a finite number above 0, such as 2.")
    if top_k < 1:
        raise ConfigError(f"top_k={top_k} must be at least 1.")
    check_video(Path(path))
    stream = stream_of(model)
    with open_clip(path) as clip:
        rate, ticks = evenly(clip, frame_rate)
        seconds = len(ticks) / rate
        pause = window / stream.num_frames
        times = [min(pause * (number + 0.5), seconds) for number in range(max(1, round(seconds / pause)))]
        ends = dict(zip(times, [*times[1:], seconds], strict=True))
        answered: dict[int, list[float]] = {}
        for time in times:
            answered.setdefault(ticks[min(int(time * rate), len(ticks) - 1)], []).append(time)
        shown = strip_of(ticks, rate)
        pictures, windows = [], list[Window]()
        for index, frame in clip.stream(sorted(answered.keys() | shown.keys())):
            pictures += [(time, picture_of(frame)) for time in shown.get(index, ())]
            for time in answered.get(index, ()):
                cropped = stream.preprocessing.test_transform(frame[None])
                row = checked(stream.step(cropped).cpu(), [f"{path}, at {time:.2f} s,"], model)[0]
                guesses = likeliest(row, labels, top_k)
                windows.append(Window(start=time, end=ends[time], guesses=guesses))
    return Timeline(path=Path(path), seconds=seconds, frame_rate=rate, windows=tuple(windows), frames=tuple(pictures))
