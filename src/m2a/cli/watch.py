"""`m2a watch`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from m2a.data import LiveVideo
    from m2a.evaluation import Answer, Watcher


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
        export wrote, with --stream one of m2a export --stream.
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
    video = LiveVideo(source, input_format=input_format, every=watcher.every, keep=keep, timeout=timeout)
    seen = _Seen()
    try:
        with video:
            _look(video, watcher, seen, seconds=seconds, most=network.num_frames, json=json)
    except KeyboardInterrupt:
        pass  # the usual end
    finally:
        error_console().print(seen.told(video, watcher, network.num_frames), highlight=False, soft_wrap=True)


@dataclass
class _Seen:
    """What there was of a source."""

    seconds: float = 0.0
    frames: int = 0
    answers: int = 0

    def told(self, video: LiveVideo, watcher: Watcher, enough: int) -> str:
        missed = f", {watcher.num_missed} more were due and did not come in time" if watcher.num_missed else ""
        damaged = f"; {video.num_damaged} were damaged" if video.num_damaged else ""
        hint = (
            f". An answer takes {enough} frames in {watcher.window:g} s without a break of as long; make --window "
            "longer where fewer come."
        )
        told = f"{self.seconds:.1f} s of {video.name}: {self.frames} frames looked at{missed}, {self.answers} answers"
        return told + damaged + (hint if self.frames and not self.answers else "")


def _look(video: LiveVideo, watcher: Watcher, seen: _Seen, *, seconds: float | None, most: int, json: bool) -> None:
    """Until the source ends or `seconds` are over. Where frames wait an answer can, but not for `most` of them."""
    said, waited = "", 0
    for frame in video:
        if seconds is not None and frame.time >= seconds:
            return
        seen.seconds = frame.time
        seen.frames += 1
        wanted = not video.num_waiting or waited >= most
        answer = watcher.see(frame.time, frame.pixels(), answer=wanted)
        waited = 0 if wanted else waited + 1
        seen.answers += answer is not None
        if answer is not None and (json or answer.guesses[0].label != said):
            said = answer.guesses[0].label
            _print(answer, json)


def _print(answer: Answer, json: bool) -> None:
    """At once, also into a pipe."""
    from json import dumps

    from m2a.cli.output import CONSOLE

    if json:
        sys.stdout.write(dumps(answer.to_dict()) + "\n")
        sys.stdout.flush()
        return
    best = answer.guesses[0]
    CONSOLE.print(f"{answer.time:8.1f} s  {best.probability:6.1%}  {best.label}", highlight=False, soft_wrap=True)
    sys.stdout.flush()
