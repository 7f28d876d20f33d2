"""What one clip is: found by opening it and decoding every frame."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...errors import UnreadableClipError
from ..clipset import is_frame, natural_key

if TYPE_CHECKING:
    from av.container import InputContainer

    from ..frame_folder import FrameFolder
    from ..video import VideoReader

_FAULTS = (
    (r"\(0 bytes\)|holds no frames|no \.jpg file", "empty"),
    (r"cut off", "truncated"),
    (r"no picture in the file", "no picture"),
    (r"frames differ in size", "frame sizes differ"),
    (r"there is no such file", "missing"),
    (r"^frame .* is damaged|decoding stops|can be decoded|reading the file stops", "damaged"),
)
_THUMBNAIL = 64  # side in pixels of the pictures by which frames are compared
_SAME, _BLACK = 1, 16  # largest difference of two equal thumbnails, largest value of a black one; compression adds some


@dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """What is known of one clip; what could not be told is None or empty."""

    fault: str = ""
    """`empty`, `truncated`, `damaged`, ...; empty where all frames can be decoded."""
    reason: str = ""
    """Of a fault, in one line."""
    num_frames: int | None = None
    seconds: float | None = None
    frame_rate: float | None = None
    """Frames a second, on average."""
    width: int | None = None
    """In pixels, as the clip is shown."""
    height: int | None = None
    codec: str = ""
    pixel_format: str = ""
    rotation: int = 0
    """Degrees counter-clockwise by which a player turns the picture."""
    mirrored: bool = False
    """A player mirrors the picture left to right, before it turns it."""
    uneven: str = ""
    """Where the time between frames varies: from what to what."""
    gap: str = ""
    """Of a folder of frames: which numbers are left out."""
    still: bool = False
    """All frames look the same."""
    black: bool = False
    """All frames are black."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without those that are not known."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "", False)}

    def of(self, window: tuple[int, int] | None) -> ClipFacts:
        """The same for a clip that is only a part of the file: its first frame and its number of frames."""
        if window is None or self.fault:
            return self
        seconds = window[1] / self.frame_rate if self.frame_rate else None
        return replace(self, num_frames=window[1], seconds=seconds)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClipFacts:
        """The opposite of `to_dict`; raises TypeError for what is not known here."""
        return cls(**values)


def find_facts(path: Path, *, quick: bool = False) -> ClipFacts:
    """Opens a clip and decodes all its frames, or with `quick` only counts them. Damage is told, not raised."""
    try:
        return _of_clip(path, quick=quick)
    except UnreadableClipError as error:
        return faulty(error.reason)
    except Exception as error:  # whatever a file makes FFmpeg or Pillow do, the check goes on with the next
        return faulty(f"reading it fails ({type(error).__name__}: {' '.join(str(error).split())})")


def faulty(reason: str) -> ClipFacts:
    """The facts of a clip that cannot be decoded."""
    kinds = (kind for pattern, kind in _FAULTS if re.search(pattern, reason))
    return ClipFacts(fault=next(kinds, "unreadable"), reason=reason)


class _Watch:
    """Looks at the frames of a clip one by one, as small grey pictures."""

    def __init__(self) -> None:
        self.count = 0
        self.sizes: dict[tuple[int, int], int] = {}
        self._first: Any = None
        self._difference = self._brightest = 0

    def see(self, thumbnail: Any, *, width: int, height: int) -> None:
        self.sizes.setdefault((width, height), self.count)
        self.count += 1
        picture = thumbnail.astype(int)
        self._first = picture if self._first is None else self._first
        self._difference = max(self._difference, int(abs(picture - self._first).max()))
        self._brightest = max(self._brightest, int(picture.max()))

    @property
    def still(self) -> bool:
        return self.count > 1 and self._difference <= _SAME and not self.black

    @property
    def black(self) -> bool:
        return self.count > 0 and self._brightest <= _BLACK

    def check_sizes(self, path: Path) -> None:
        if len(self.sizes) > 1:
            shown = ", ".join(f"{w}x{h} at frame {index}" for (w, h), index in self.sizes.items())
            raise UnreadableClipError(path, f"its frames differ in size ({shown}); all must have the same")


def _of_clip(path: Path, *, quick: bool) -> ClipFacts:
    from ..frame_folder import FrameFolder
    from ..readers import open_clip
    from ..video import VideoReader

    reader = open_clip(path)
    if isinstance(reader, FrameFolder):
        return _of_folder(reader, quick=quick)
    assert isinstance(reader, VideoReader)
    return _of_video(reader, quick=quick)


def _of_video(reader: VideoReader, *, quick: bool) -> ClipFacts:
    from av.video.reformatter import VideoReformatter

    from ..orientation import Orientation, Orientations
    from ..video import ONE_THREAD

    path = reader.path
    watch, converter, shown, lies = _Watch(), VideoReformatter(), Orientation(), Orientations()
    times: list[float] = []
    for index, frame in enumerate(reader.frames()):
        if frame.is_corrupt and not quick:
            raise UnreadableClipError(path, f"frame {index} of {reader.num_frames} is damaged")
        small = converter.reformat(frame, width=_THUMBNAIL, height=_THUMBNAIL, format="gray", **ONE_THREAD)
        watch.see(small.to_ndarray(), width=frame.width, height=frame.height)
        shown = lies.of(frame)
        if frame.time is not None:
            times.append(frame.time)
        if quick:
            break
    facts = _of_stream(reader, None if quick else times)
    if shown.quarter_turns % 2:
        facts = replace(facts, width=facts.height, height=facts.width)
    facts = replace(facts, rotation=shown.degrees, mirrored=shown.mirrored)
    if quick:
        return facts
    if watch.count < reader.num_frames:
        raise UnreadableClipError(path, f"only {watch.count} of {reader.num_frames} frames can be decoded")
    watch.check_sizes(path)
    return replace(facts, still=watch.still, black=watch.black)


def _of_stream(reader: VideoReader, times: list[float] | None) -> ClipFacts:
    """What the container says. `times` are those of its frames, by default of its packets."""
    from ..video import pictures

    num_frames = reader.num_frames
    with reader.opened() as container:
        stream = pictures(container)[0]
        times = sorted(_packet_times(container) if times is None else times)
        tick = float(stream.time_base or 0)
        rate = float(stream.average_rate) if stream.average_rate else None
        context = stream.codec_context
        steps = [later - earlier for earlier, later in pairwise(times)]
        if steps and times[-1] > times[0]:
            rate = len(steps) / (times[-1] - times[0])
        return ClipFacts(
            num_frames=num_frames,
            seconds=num_frames / rate if rate else None,
            frame_rate=rate,
            width=context.width,
            height=context.height,
            codec=context.name,
            pixel_format=context.pix_fmt or "",
            uneven=_uneven(steps, tick),
        )


def _packet_times(container: InputContainer) -> Iterator[float]:
    from ..video import pictures

    for packet in container.demux(pictures(container)[0]):
        if packet.size and packet.pts is not None and packet.time_base is not None and not packet.is_discard:
            yield float(packet.pts * packet.time_base)


def _uneven(steps: list[float], tick: float) -> str:
    if not steps:
        return ""
    usual = sorted(steps)[len(steps) // 2]
    if max(steps) - min(steps) <= max(0.2 * usual, 2.5 * tick):
        return ""  # the rounding of a container
    return f"{1000 * min(steps):.0f} to {1000 * max(steps):.0f} ms pass from one frame to the next"


def _of_folder(reader: FrameFolder, *, quick: bool) -> ClipFacts:
    import numpy as np
    from PIL import Image

    names = [file.name for file in reader.files]
    watch = _Watch()
    for index in range(1 if quick else reader.num_frames):
        picture = Image.fromarray(np.ascontiguousarray(reader.read([index])[0].permute(1, 2, 0).numpy()))
        small = picture.convert("L").resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
        watch.see(np.asarray(small), width=picture.width, height=picture.height)
    watch.check_sizes(reader.path)
    width, height = next(iter(watch.sizes))
    with reader.files[0].open("rb") as file, Image.open(cast(Any, file), formats=["JPEG"]) as first:
        mode = first.mode
    return ClipFacts(
        num_frames=reader.num_frames,
        width=width,
        height=height,
        codec="jpeg",
        pixel_format=mode.lower(),
        gap=_gap(names),
        still=watch.still and not quick,
        black=watch.black and not quick,
    )


def frame_names(folder: Path) -> list[str]:
    """The names of a folder's frames, in order."""
    return sorted((child.name for child in folder.iterdir() if is_frame(child.name)), key=natural_key)


def _gap(names: list[str]) -> str:
    """Where the numbers in the names leave some out, compared with their usual step."""
    numbers = [int(found[-1]) for name in names if (found := re.findall(r"[0-9]+", Path(name).stem))]
    if 2 * len(numbers) > len(names) > len(numbers):
        odd = next(name for name in names if not re.search("[0-9]", Path(name).stem))
        return f"{odd} has no number, as the other frames have; it is taken for a frame"
    steps = Counter(later - earlier for earlier, later in pairwise(numbers))
    if len(numbers) < len(names) or not steps:
        return ""
    usual = max(steps, key=lambda step: (steps[step], -step))
    gaps = list(_left_out(numbers, usual))
    return f"frame numbers {', '.join(gaps[:3])}{' and more' if gaps[3:] else ''} are missing" if gaps else ""


def _left_out(numbers: list[int], usual: int) -> Iterator[str]:
    for earlier, later in pairwise(numbers):
        if usual > 0 and later - earlier > usual:
            first, last = earlier + usual, later - usual
            yield str(first) if first >= last else f"{first} to {last}"
