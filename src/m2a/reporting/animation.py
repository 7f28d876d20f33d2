"""A clip in motion: the video beside what each model looks at, as GIF or mp4."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from m2a.reporting.heat import HeatRow
from m2a.reporting.owned import MARK
from m2a.reporting.pictures import FONT, fit, in_letters_alone, quiet_of_letters
from m2a.writing import put

FORMATS = (".gif", ".mp4")
_CELL, _GAP, _TOP, _BOTTOM = 2.3, 0.14, 0.95, 0.62  # inches
_DPI = 100
_LINE = 0.15  # of text above a picture
_USUAL_RATE = 12.0


def write_animation(
    path: str | Path,
    frames: NDArray[np.uint8],
    numbers: Sequence[int],
    seen: Sequence[int],
    panels: Sequence[HeatRow],
    *,
    title: str,
    frame_rate: float | None,
) -> None:
    """Writes a GIF or an mp4, by the suffix.

    Args:
        frames: (N, H, W, 3) uint8, every frame to be shown; numbers: of these in the video.
        seen: numbers of the frames that the models saw, marked on the bar of time.
        panels: one a model, each with N pictures.
        frame_rate: frames a second; 12 where it is not known.
    """
    rate = frame_rate or _USUAL_RATE
    made = io.BytesIO()
    pictures = list(_rendered(frames, numbers, seen, panels, title))
    if Path(path).suffix.lower() == ".gif":
        first, *rest = _with_one_palette([Image.fromarray(picture) for picture in pictures])
        duration = max(20, round(1000 / rate))
        first.save(
            made, format="GIF", save_all=True, append_images=rest, duration=duration, loop=0, comment=MARK.encode()
        )
    else:
        _write_mp4(made, pictures, rate)
    put(path, made.getvalue())


def _rendered(
    frames: NDArray[np.uint8], numbers: Sequence[int], seen: Sequence[int], panels: Sequence[HeatRow], title: str
) -> Iterator[NDArray[np.uint8]]:
    width = (len(panels) + 1) * (_CELL + _GAP) + _GAP
    headings = list(_headings(frames, panels))
    lines = max(2, *(said.count("\n") + 1 for _, said, _, _ in headings))
    height = _TOP + (lines - 2) * _LINE + _CELL + _BOTTOM
    with matplotlib.rc_context(FONT | {"font.size": 9}):
        figure = Figure(figsize=(width, height), dpi=_DPI)
        canvas = FigureCanvasAgg(figure)
        heading = figure.text(_GAP / width, 1 - 0.12 / height, title, fontsize=11, fontweight="bold", va="top")
        fit(heading, width - 2 * _GAP)
        images = []
        for place, (name, verdict, colour, first) in enumerate(headings):
            left = _GAP + place * (_CELL + _GAP)
            axes = figure.add_axes((left / width, _BOTTOM / height, _CELL / width, _CELL / height))
            axes.axis("off")
            images.append(axes.imshow(first, interpolation="bicubic"))
            axes.text(
                0, 1.155 + (lines - 2) * _LINE / _CELL, name, transform=axes.transAxes, fontweight="bold", va="bottom"
            )
            axes.text(0, 1.025, verdict, transform=axes.transAxes, color=colour, va="bottom", fontsize=8)
        bar = figure.add_axes((_GAP / width, 0.3 / height, 1 - 2 * _GAP / width, 0.14 / height))
        line, text = _time_bar(bar, numbers, seen)
        in_letters_alone(figure)
        for index, number in enumerate(numbers):
            for image, strip in zip(images, [frames, *(panel.pictures for panel in panels)], strict=True):
                image.set_data(strip[index])
            line.set_xdata([number, number])
            text.set_text(f"frame {number}")
            with quiet_of_letters():
                canvas.draw()
            yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _headings(
    frames: NDArray[np.uint8], panels: Sequence[HeatRow]
) -> Iterator[tuple[str, str, str, NDArray[np.uint8]]]:
    yield "the video", "", "black", frames[0]
    for panel in panels:
        verdict, colour = panel.verdict
        if panel.explained != panel.said:
            said = f"{_cut(panel.said, 1)}  {verdict}\n{_cut(f'heat for: {panel.explained}', 2)}"
        else:
            said = _cut(panel.said, 2)
            said = f"{said}  {verdict}" if "\n" in said else f"{said}\n{verdict}"
        yield panel.name, said, colour, panel.pictures[0]


def _cut(label: str, lines: int) -> str:
    """A label in so many lines; an ellipsis stands for what has no place in them."""
    return "\n".join(textwrap.wrap(label, 38, max_lines=lines, placeholder=" …"))


def _time_bar(
    axes: Axes, numbers: Sequence[int], seen: Sequence[int]
) -> tuple[matplotlib.lines.Line2D, matplotlib.text.Text]:
    axes.set(xlim=(min(numbers) - 0.5, max(numbers) + 0.5), ylim=(0, 1))
    axes.axis("off")
    axes.axhspan(0.35, 0.65, color="0.85")
    axes.plot(list(seen), [0.5] * len(seen), linestyle="", marker="|", markersize=8, color="0.35", markeredgewidth=1.6)
    (line,) = axes.plot([min(numbers)] * 2, [-0.4, 1.4], color="#0b57d0", linewidth=2.5, clip_on=False)
    between = "marks: frames that the models saw; between them heat is interpolated"
    axes.text(1, -0.7, between, transform=axes.transAxes, va="top", ha="right", fontsize=7, color="0.3")
    return line, axes.text(0, -0.7, "", transform=axes.transAxes, va="top", fontsize=8, color="0.3")


def _with_one_palette(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """In 256 colours, the same for all, so that nothing flickers; taken from the first, the middle and the last."""
    samples = [pictures[0], pictures[len(pictures) // 2], pictures[-1]]
    sheet = Image.fromarray(np.concatenate([np.asarray(sample) for sample in samples]))
    palette = sheet.quantize(256, kmeans=1)
    return [picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for picture in pictures]


def _write_mp4(file: io.BytesIO, pictures: Sequence[NDArray[np.uint8]], rate: float) -> None:
    import av  # takes a while to load, and only this format needs it

    height, width = (side - side % 2 for side in pictures[0].shape[:2])
    with av.open(file, "w", format="mp4") as container:
        container.metadata["comment"] = MARK
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1000), options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
