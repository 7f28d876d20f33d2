"""`m2a watch`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from m2a.evaluation import Answer


def watch(
    source: str,
    *,
    model: str,
    image_weights: Path | None = None,
    window: float = 2.0,
    stream: bool = False,
    top_k: int = 5,
    seconds: float | None = None,
    input_format: str | None = None,
    timeout: float = 10.0,
    device: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Name the action in a camera's frames, as they come.

    A line for each change of the likeliest label, until the source ends, --seconds are over, or Ctrl-C. So many frames
    a --window are looked at as the model's clips have; those that come meanwhile are passed by.

    Parameters
    ----------
    source:
        What FFmpeg opens and what gives frames as they happen: rtsp://..., http://..., udp://..., a camera of Linux
        such as /dev/video0, a named pipe, or /dev/stdin. A file, in its own time: ffmpeg -re -i FILE -f mpegts - | m2a
        watch /dev/stdin ...
    model:
        A folder that m2a train wrote (RUN, RUN/model, RUN/adapter), or owner/name on the hub; or a file that m2a
        export wrote.
    image_weights:
        For an adapter: the image checkpoint it was trained beside, when it is not where it was.
    window:
        Seconds that a clip's frames are of: those of the clips that the model was trained on.
    stream:
        Answer frame by frame, with one pass of the network for each (m2a.Stream), instead of a clip of the last frames
        for each answer. For models that look back alone.
    top_k:
        How many labels --json shows.
    seconds:
        End after as many, of the source's own time.
    input_format:
        FFmpeg's name of the source's format, where it cannot tell: avfoundation (cameras of macOS), dshow (of
        Windows), mjpeg, mpegts.
    timeout:
        Seconds to wait for a frame before giving up.
    device:
        cpu, cuda, ...; by default cuda where there is one.
    json:
        Print JSON, a line for each answer: the time of its last frame, and labels with probabilities.
    """
    from m2a.cli.output import error_console
    from m2a.data import LiveVideo
    from m2a.data.live import check_source
    from m2a.errors import ConfigError
    from m2a.evaluation import Watcher, load_predictor
    from m2a.evaluation.predictor import load_streamer

    if seconds is not None and not seconds > 0:
        raise ConfigError(f"--seconds {seconds:g} must be above 0.")
    check_source(source, input_format)  # before a model is loaded
    load = load_streamer if stream else load_predictor
    network = load(model, image_weights=image_weights, device=device)
    watcher = Watcher(network, window=window, stream=stream, top_k=top_k)
    # frames of a clip may wait while the one before goes through the network; in a stream each has to
    keep = 1 if stream else network.num_frames
    looked_at, answers, last, said = 0, 0, 0.0, ""
    with LiveVideo(source, input_format=input_format, every=watcher.every, keep=keep, timeout=timeout) as video:
        for frame in video:
            last = frame.time
            if seconds is not None and last >= seconds:
                break
            looked_at += 1
            answer = watcher.see(last, frame.pixels(), answer=not video.num_waiting)
            answers += answer is not None
            if answer is not None and (json or answer.guesses[0].label != said):
                said = answer.guesses[0].label
                _print(answer, json)
    missed = f", {watcher.num_missed} more were due and missed" if watcher.num_missed else ""
    damaged = f"; {video.num_damaged} were damaged" if video.num_damaged else ""
    told = f"{last:.1f} s of {source}: {looked_at} frames looked at{missed}, {answers} answers{damaged}"
    error_console().print(told, highlight=False, soft_wrap=True)


def _print(answer: Answer, json: bool) -> None:
    """At once, also into a pipe."""
    from json import dumps

    from m2a.cli.output import CONSOLE

    best = answer.guesses[0]
    line = dumps(answer.to_dict()) if json else f"{answer.time:8.1f} s  {best.probability:6.1%}  {best.label}"
    CONSOLE.print(line, highlight=False, soft_wrap=True)
    sys.stdout.flush()
