"""The pictures of explanations, from plain arrays alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from m2a.errors import ConfigError
from m2a.reporting.animation import write_animation
from m2a.reporting.class_bars import write_class_bars
from m2a.reporting.heat import HeatRow, write_heat
from m2a.reporting.owned import MARK, check_ours
from m2a.reporting.pictures import fit
from m2a.reporting.site_maps import _COLOURS, SiteMaps, _caption, write_site_maps
from m2a.reporting.timeline import write_timeline

NUMBERS = [0, 3, 5]
LONG = "Moving something and something away from each other while nobody looks"


def frames(value: int, number: int = 3) -> np.ndarray:
    return np.full((number, 11, 13, 3), value, dtype=np.uint8)


def row(**changes: Any) -> HeatRow:
    usual: dict[str, Any] = {
        "name": "m2a", "said": LONG, "probability": 0.83, "right": True, "explained": LONG, "pictures": frames(200),
        "numbers": NUMBERS,
    }  # fmt: skip
    return HeatRow(**usual | changes)


def draw(path: Path, *rows: HeatRow) -> np.ndarray:
    scale = np.linspace(0, 255, 16).astype(np.uint8)[:, None].repeat(3, 1)
    write_heat(path, frames(100), NUMBERS, rows, title=LONG, caption="What heat is.", scale=scale)
    return np.asarray(Image.open(path).convert("RGB"))


def test_a_row_for_each_model(tmp_path: Path) -> None:
    one, three = draw(tmp_path / "1.png", row()), draw(tmp_path / "3.png", row(), row(), row(name="none"))
    assert one.shape[1] == three.shape[1]
    heights = {picture.shape[0] for picture in (one, three)}
    assert max(heights) - min(heights) > 250
    assert MARK.encode() in (tmp_path / "1.png").read_bytes()


def test_frames_and_heat_are_where_they_belong(tmp_path: Path) -> None:
    """Three pictures a row, those of the model below the frames, from left to right."""
    pictures = frames(0)
    pictures[..., 0] = np.array([210, 180, 150])[:, None, None]  # reds, which nothing else in the figure has
    drawn = draw(tmp_path / "a.png", row(pictures=pictures)).astype(int)
    upper = np.nonzero((drawn == 100).all(-1))
    assert len(upper[0]) > 3 * 100**2
    places = [np.nonzero((drawn == (value, 0, 0)).all(-1)) for value in (210, 180, 150)]
    for rows, columns in places:
        assert len(rows) > 100**2
        assert rows.min() > upper[0].mean()
        assert columns.min() > 200  # right of what the model says
    middles = [columns.mean() for _, columns in places]
    assert middles == sorted(middles)


@pytest.mark.parametrize(
    ("right", "probability", "said"),
    [
        (True, 0.831, "83%   ✓ right"),
        (False, 0.999, "over 99%   ✗ wrong"),
        (None, 1.0, "100%"),
    ],
)
def test_right_and_wrong_are_told_without_colours(right: bool | None, probability: float, said: str) -> None:
    assert row(right=right, probability=probability).verdict[0] == said


def site(**changes: Any) -> SiteMaps:
    rng = np.random.default_rng(0)
    usual: dict[str, Any] = {
        "name": "layer1.0.conv1", "mechanism": "m2a", "attention": np.eye(3), "motion": rng.random((3, 5, 7)),
        "gate": rng.random((3, 5, 7)), "numbers": NUMBERS,
    }  # fmt: skip
    return SiteMaps(**usual | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"attention": None, "mechanism": "m2a-motion"},
        {"motion": None, "mechanism": "m2a-attention"},
        {"attention": None, "motion": None, "gate": None, "mechanism": "tsm"},
        {"numbers": [0, 5], "attention": np.eye(2), "motion": np.ones((2, 3, 3)), "gate": np.ones((2, 3, 3))},
        {"motion": np.zeros((3, 5, 7)), "gate": np.full((3, 5, 7), 0.5)},
    ],
    ids=["all", "no attention", "no motion", "nothing", "strided", "still"],
)
def test_sites_are_drawn_with_what_they_have(changes: dict[str, Any], tmp_path: Path) -> None:
    write_site_maps(tmp_path / "a.png", frames(100), NUMBERS, [site(**changes)], title="one")
    write_site_maps(tmp_path / "b.png", frames(100), NUMBERS, [site(**changes), site(name="other")], title="two")
    one, two = (np.asarray(Image.open(tmp_path / name).convert("L")) for name in ("a.png", "b.png"))
    assert one.std() > 5
    assert two.shape[0] > one.shape[0] + 150


def test_no_motion_is_drawn_as_none(tmp_path: Path) -> None:
    """A scale of no range got one of both signs, and all that is zero the colour of much motion."""
    for name, motion in (("still", np.zeros((3, 5, 7))), ("moves", np.eye(5, 7)[None].repeat(3, 0))):
        write_site_maps(tmp_path / f"{name}.png", frames(100), NUMBERS, [site(motion=motion, gate=None)], title="")
    still, moves = (np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")) for name in ("still", "moves"))
    least = np.asarray(matplotlib.colormaps[_COLOURS["motion"]](0.0)[:3]) * 255
    dark = [(abs(picture[:330] - least).max(-1) < 3).sum() for picture in (still, moves)]
    assert dark[0] > dark[1] > 0


@pytest.mark.parametrize("there", [[0, 2, 4, 6], [1, 1, 5, 5]])
def test_maps_stand_under_their_own_frames(there: list[int], tmp_path: Path) -> None:
    """Of a network that strides time: those of every second frame."""
    left = there[::2]
    maps = np.ones((len(left), 3, 3))
    given = {"attention": None, "mechanism": "m2a-motion", "motion": maps, "gate": None, "numbers": left}
    write_site_maps(tmp_path / "a.png", frames(101, len(there)), there, [site(**given)], title="one")
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    yellow = (drawn[..., 0] > 200) & (drawn[..., 2] < 60)
    starts, found = (
        np.flatnonzero(np.diff(where.sum(0) > 30, prepend=False))[::2]  # letters have a few such pixels
        for where in ((drawn == 101).all(-1), yellow[:330])  # above the scale's bar
    )
    assert len(starts) == len(there)
    np.testing.assert_allclose(found, starts[[there.index(number) for number in left]], atol=2)


def test_which_frames_a_motion_is_between_is_said() -> None:
    told = {
        ("wrap", False): "the last frame's motion is that to the first",
        ("zero", False): "its motion is minus the frame",
        ("replicate", True): "a frame's motion is that since the frame before",
        ("zero", True): "a frame's motion is that since the frame before",
        (None, False): "",
        ("replicate", False): "",
    }
    for (boundary, looks_back), words in told.items():
        caption = _caption([site(boundary=boundary, looks_back=looks_back)])
        assert [other for other in {*told.values()} if other and other in caption] == ([words] if words else [])


@pytest.mark.parametrize("name", ["a.gif", "a.mp4", "12:30.mp4"])
def test_an_animation_of_one_frame(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder that one is in, where a colon is no protocol."""
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    panel = row(pictures=frames(200, 1), numbers=[0])
    write_animation(path, frames(100, 1), [0], [0], [panel], title=LONG, frame_rate=None)
    assert MARK.encode() in path.read_bytes()


KINDS = ["heat", "animation", "sites", "timeline", "bars"]


def draw_one(kind: str, name: str, path: Path) -> None:
    named = row(name=name[:20], said=name, explained=name, pictures=frames(200, 1), numbers=[0])
    one = frames(100, 1)
    match kind:
        case "heat":
            write_heat(path, one, [0], [named], title=name, caption=name, scale=np.zeros((16, 3), dtype=np.uint8))
        case "animation":
            write_animation(path, one, [0], [0], [named], title=name, frame_rate=None)
        case "sites":
            write_site_maps(path, frames(100), NUMBERS, [site(name=name[:20])], title=name)
        case "timeline":
            write_timeline(path, [(0.0, 1.0, name, 0.5)], [(0.5, one[0])], seconds=1.0, title=name)
        case "bars":
            write_class_bars(path, {name[:20]: {name: (1.0, 0.5)}}, ours=name[:20], title=name)


@pytest.mark.parametrize("kind", KINDS)
def test_dollars_in_names_are_no_mathematics(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.gif" if kind == "animation" else "a.png")
    draw_one(kind, "win $5 and _$6^", path)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("letter", ["a", "W ", "\u6c34", "$"])
def test_long_titles_lose_their_middle(letter: str) -> None:
    figure = Figure(figsize=(7, 3), dpi=110)
    text = figure.text(0, 0, f"first{letter * 250}last.mp4", fontsize=12, parse_math=False)
    fit(text, 5.0)
    said = text.get_text()
    assert said.startswith(f"first{letter}")
    assert said.endswith("last.mp4")
    assert 4.7 < text.get_window_extent().width / 110 <= 5.0
    before = said.count(letter)
    text.set_text("short.mp4")
    fit(text, 5.0)
    assert text.get_text() == "short.mp4"
    assert before > 5


@pytest.mark.parametrize("kind", KINDS)
def test_letters_that_no_font_has_are_no_warnings(kind: str, tmp_path: Path) -> None:
    draw_one(kind, "\U00013000\U00013001", tmp_path / ("a.gif" if kind == "animation" else "a.png"))


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_with_long_titles(kind: str, tmp_path: Path) -> None:
    """Where one ran off, the right edge of the title's lines is inked."""
    path = tmp_path / ("a.gif" if kind == "animation" else "a.png")
    draw_one(kind, f"{'W' * 250}.mp4", path)
    with Image.open(path) as opened:
        picture = np.asarray(opened.convert("L"))
    title = picture[: 30 if kind != "animation" else 14]
    assert title.min() < 150
    assert title[:, -3:].min() > 200


def test_only_our_own_pictures_are_written_over(tmp_path: Path) -> None:
    check_ours(tmp_path / "deep" / "new.png")
    draw(tmp_path / "ours.png", row())
    check_ours(tmp_path / "ours.png")
    (tmp_path / "theirs.png").write_text("hello")
    with pytest.raises(ConfigError, match=r"theirs.png is there already.*nothing is overwritten\. Name another file"):
        check_ours(tmp_path / "theirs.png")
    with pytest.raises(ConfigError, match="is a folder; nothing is overwritten"):
        check_ours(tmp_path)
