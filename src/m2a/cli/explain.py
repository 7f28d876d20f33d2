"""`m2a explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from m2a.explanation import SiteEvidence
    from m2a.workflows.explain import ExplainedVideo


def explain(
    video: Path,
    /,
    *,
    model: Annotated[list[str], Parameter(consume_multiple=False)],
    label: str | None = None,
    truth: str | None = None,
    layer: str | None = None,
    frames: str | None = None,
    sites: list[str] | None = None,
    out: Path | None = None,
    animation: Path | None = None,
    image_weights: Path | None = None,
    device: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Show where models look: Grad-CAM over the frames of a video, one row a model.

    Parameters
    ----------
    video:
        A video file of any kind that FFmpeg opens, or a folder of .jpg frames.
    model:
        A folder that m2a train wrote (RUN, RUN/model, RUN/adapter), or owner/name on the hub. Repeat it to compare.
    label:
        Explain this label; by default what each model says.
    truth:
        What the video shows. By default what is known of it: its folder's name where that is a label, else its label in
        the run's own data.
    layer:
        Module of the backbone to look at; by default the end of its second stage, as in the paper (ResNets: layer2).
    frames:
        How many of the frames that the models saw to draw, the last ones; or all. By default 5.
    sites:
        Draw what the mechanisms make of the clip too, at these sites, or all: attention over frames, motion, gate. A
        .png beside the picture or the animation, named after it.
    out:
        The picture, a .png; by default explain.png. Given a .gif or .mp4, an animation is made instead.
    animation:
        A .gif or .mp4 as well, of the whole video; between frames that the models saw, heat is interpolated.
    image_weights:
        For an adapter: the image checkpoint it was trained beside, when it is not where it was.
    device:
        cpu, cuda, ...; by default cuda where there is one.
    json:
        Print JSON: guesses, heat and sites in numbers. Pictures are drawn only where --out or --animation is given.
    """
    from m2a.cli.output import CONSOLE, print_json
    from m2a.models.device import pick_device
    from m2a.workflows.explain import check_outputs, draw, explain_video

    count = _count(frames)
    flag = "--animation"
    if out is not None and out.suffix.lower() in (".gif", ".mp4") and animation is None:
        out, animation, flag = None, out, "--out"
    elif out is None and not json:
        out = Path("explain.png")
    if frames is not None and out is None:
        _refuse_frames(animation)
    check_outputs(out, animation, flag_of_animation=flag)
    explained = explain_video(
        video,
        model,
        label=label,
        layer=layer,
        truth=truth,
        sites=sites is not None,
        device=pick_device(device),
        image_weights=image_weights,
    )
    drawn = draw(explained, out=out, animation=animation, frames=count, sites=sites or ())
    if json:
        print_json(explained.to_dict() | {"pictures": [str(path) for path in drawn]})
        return
    _print(explained, sites is not None)
    for path in drawn:
        CONSOLE.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _refuse_frames(animation: Path | None) -> None:
    from m2a.errors import ConfigError

    shown = "no picture is drawn" if animation is None else f"{animation} shows every frame"
    raise ConfigError(f"--frames is for a picture, and {shown}. Leave it out, or name a picture with --out (.png).")


def _count(frames: str | None) -> int | None:
    from m2a.errors import ConfigError
    from m2a.workflows.explain import LAST_FRAMES

    if frames is None:
        return LAST_FRAMES
    if frames == "all":
        return None
    if not frames.isdecimal() or int(frames) < 1:
        raise ConfigError(f"--frames is a number from 1, or all; got {frames!r}.")
    return int(frames)


def _print(explained: ExplainedVideo, sites: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from m2a.cli.output import CONSOLE, print_table

    table = Table("model", "says", "probability", "layer", title=str(explained.path), title_justify="left")
    if explained.truth is not None:
        table.add_column("")
    for one in explained.by:
        best = one.explanation.guesses[0]
        verdict = [] if one.right is None else [Text("right", "green") if one.right else Text("wrong", "red")]
        table.add_row(one.name, best.label, f"{best.probability:.1%}", one.explanation.layer, *verdict)
    print_table(table)
    if explained.truth is not None:
        CONSOLE.print(f"It shows: {explained.truth}", highlight=False, soft_wrap=True)
    for one in explained.by[:1]:
        if one.explanation.still:
            said = "the frames that the model looked at are all the same picture: nothing moves in it"
            CONSOLE.print(f"{explained.path}: {said}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    for one in explained.by:
        if not one.explanation.heat.any():
            said = f"{one.name}: nothing at {one.explanation.layer} raises the score of {one.explanation.label!r}."
            CONSOLE.print(f"{said} Its heat is empty; try another --layer or --label.", highlight=False, soft_wrap=True)
        if sites:
            _say_absent(one.name, one.explanation.sites)


def _say_absent(name: str, sites: tuple[SiteEvidence, ...]) -> None:
    """What a model's mechanisms do not have, and what is therefore not drawn."""
    from m2a.cli.output import CONSOLE

    if not sites:
        CONSOLE.print(f"{name}: it carries no mechanism, so there are no sites to show.", highlight=False)
    for mechanism in dict.fromkeys(site.mechanism for site in sites):
        absent = next(site.absent for site in sites if site.mechanism == mechanism)
        if absent:
            words = ", ".join(word.replace("_", " ") for word in absent)
            CONSOLE.print(f"{name}: {mechanism} has no {words}.", highlight=False, soft_wrap=True)
