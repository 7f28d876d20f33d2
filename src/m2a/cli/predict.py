"""`m2a predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from m2a.evaluation import Prediction, Timeline


def predict(
    *videos: Path,
    model: str,
    image_weights: Path | None = None,
    top_k: int = 5,
    num_clips: int = 1,
    num_crops: int = 1,
    sliding: bool = False,
    window: float = 2.0,
    step: float | None = None,
    frame_rate: float | None = None,
    picture: Path | None = None,
    device: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Name the action in videos.

    Parameters
    ----------
    videos:
        Video files of any kind that FFmpeg opens, or folders of .jpg frames.
    model:
        A folder that m2a train wrote (RUN, RUN/model, RUN/adapter), or owner/name on the hub.
    image_weights:
        For an adapter: the image checkpoint it was trained beside, when it is not where it was.
    top_k:
        How many labels to show.
    num_clips:
        Samples of the video's frames, spread over it; probabilities are averaged.
    num_crops:
        Crops of each sample, spread over the longer side; 3 sees all of it.
    sliding:
        Slide a window over each video, and say what is in it when: for long videos.
    window:
        Seconds of a window.
    step:
        Seconds from one window to the next; by default half a window.
    frame_rate:
        Frames a second, of folders of frames, which do not say.
    picture:
        With --sliding and one video: a PNG to draw the timeline into.
    device:
        cpu, cuda, ...; by default cuda where there is one.
    json:
        Print JSON: for each video its path and its labels with probabilities.
    """
    import torch

    from m2a.cli.output import print_json
    from m2a.errors import ConfigError
    from m2a.evaluation import predict as predict_one
    from m2a.evaluation import predict_timeline
    from m2a.models import load

    if not videos:
        raise ConfigError("Which videos? Name at least one: m2a predict VIDEO... --model RUN/model")
    if picture is not None and (not sliding or len(videos) != 1):
        raise ConfigError("--picture draws the timeline of one video; give --sliding and name one.")
    if sliding and (num_clips, num_crops) != (1, 1):
        raise ConfigError("--sliding looks at each window once; leave --num-clips and --num-crops out.")
    network = load(model, image_weights=image_weights).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if sliding:
        timelines = [
            predict_timeline(network, video, window=window, step=step, frame_rate=frame_rate, top_k=top_k)
            for video in videos
        ]
        if picture is not None:
            _draw(timelines[0], picture)
        print_json([timeline.to_dict() for timeline in timelines]) if json else _print_timelines(timelines)
        return
    views = {"num_clips": num_clips, "num_crops": num_crops}
    predictions = [predict_one(network, video, top_k=top_k, **views) for video in videos]
    if json:
        print_json([prediction.to_dict() for prediction in predictions])
        return
    _print(predictions)


def _print(predictions: Sequence[Prediction]) -> None:
    from rich.table import Table

    from m2a.cli.output import CONSOLE

    for prediction in predictions:
        table = Table("probability", "label", title=str(prediction.path), title_justify="left")
        for guess in prediction.guesses:
            table.add_row(f"{guess.probability:.1%}", guess.label)
        CONSOLE.print(table)


def _print_timelines(timelines: Sequence[Timeline]) -> None:
    from rich.table import Table

    from m2a.cli.output import CONSOLE

    for timeline in timelines:
        table = Table("from, s", "to, s", "probability", "label", title=str(timeline.path), title_justify="left")
        for part in timeline.intervals():
            table.add_row(f"{part.start:.1f}", f"{part.end:.1f}", f"{part.probability:.1%}", part.label)
        CONSOLE.print(table)


def _draw(timeline: Timeline, picture: Path) -> None:
    from m2a.reporting import write_timeline

    parts = [(part.start, part.end, part.label, part.probability) for part in timeline.intervals()]
    picture.parent.mkdir(parents=True, exist_ok=True)
    write_timeline(picture, parts, timeline.frames, seconds=timeline.seconds, title=timeline.path.name)
