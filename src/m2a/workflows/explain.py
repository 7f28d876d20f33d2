"""Several models asked about one video, and the pictures of what they look at."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from m2a.data.annotations import read_clips
from m2a.data.preprocessing import Preprocessing
from m2a.errors import ConfigError, M2AError
from m2a.explanation import Explanation, SiteEvidence, explain, heat_overlay, heat_scale, whole_clip
from m2a.models import VideoClassifier, load_several
from m2a.models.device import pick_device
from m2a.reporting.animation import FORMATS, write_animation
from m2a.reporting.heat import HeatRow, write_heat
from m2a.reporting.owned import check_ours
from m2a.reporting.site_maps import SiteMaps, write_site_maps
from m2a.training.config import TrainConfig

LAST_FRAMES = 5  # as the paper's Figure 4 has it


@dataclass(frozen=True, kw_only=True)
class ExplainedBy:
    """What one model sees."""

    name: str
    model: str
    """Where it was loaded from."""
    explanation: Explanation
    preprocessing: Preprocessing
    right: bool | None
    """Whether its likeliest label is the truth, where that is known."""

    def to_dict(self) -> dict[str, Any]:
        return {"model": self.model, "name": self.name, "right": self.right, **self.explanation.to_dict()}


@dataclass(frozen=True, kw_only=True)
class ExplainedVideo:
    """What several models see in one video."""

    path: Path
    truth: str | None
    by: tuple[ExplainedBy, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"path": str(self.path), "truth": self.truth, "models": [one.to_dict() for one in self.by]}


def explain_video(
    video: str | Path,
    models: Sequence[str],
    *,
    label: str | None = None,
    layer: str | None = None,
    truth: str | None = None,
    sites: bool = False,
    device: str | torch.device | None = None,
    image_weights: str | Path | None = None,
) -> ExplainedVideo:
    """Asks each model about a video. `models` are folders that `m2a train` wrote (RUN, RUN/model, RUN/adapter) or names
    on the hub; `truth` is what the video shows, by default what is known of it: the name of its folder where that is
    one of the model's labels, else the label that a run's own data gives it. The rest goes to `m2a.explain`.

    Raises ConfigError for a device that is not there or a truth that is none of a model's labels, and what `m2a.load`
    and `m2a.explain` raise.
    """
    place = None if device is None else pick_device(device)
    found: list[tuple[str, VideoClassifier, Explanation]] = []
    for name, model in zip(models, load_several(models, image_weights=image_weights), strict=True):
        if place is not None:
            model.to(place)
        if truth is not None:
            _check_truth(truth, model, name)
        try:
            found.append((name, model, explain(model, video, label=label, layer=layer, sites=sites)))
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error
    truths = (
        [truth]
        if truth is not None
        else [known for name, model, _ in found if (known := known_truth(video, model, name))]
    )
    truth = truths[0] if len(set(truths)) == 1 else None  # two runs may know it by other names
    names = _names([(name, model) for name, model, _ in found])
    by = tuple(
        ExplainedBy(
            name=shown,
            model=name,
            explanation=one,
            preprocessing=model.preprocessing,
            right=one.guesses[0].label == truth if truth in (model.labels or ()) else None,
        )
        for shown, (name, model, one) in zip(names, found, strict=True)
    )
    return ExplainedVideo(path=Path(video), truth=truth, by=by)


def known_truth(video: str | Path, model: VideoClassifier, name: str) -> str | None:
    """The label of a video: that of the data set of the run that the model is from, where that holds it, else that of
    the folder that it is in, where a label of the model's has its name; else None."""
    path = Path(video).resolve()
    listed = _listed(path, name)
    if len(listed) == 1:
        return listed.pop()
    return path.parent.name if not listed and path.parent.name in (model.labels or ()) else None


def _listed(path: Path, name: str) -> set[str]:
    """The labels that a video has in the data set of the run of that name; none where either is not known."""
    config = next(
        (file for file in (Path(name) / "config.yaml", Path(name).parent / "config.yaml") if file.is_file()), None
    )
    if config is None:
        return set()
    try:
        run = TrainConfig.load(config)
    except (M2AError, OSError):
        return set()  # the file is of no run, or of one that this version does not know
    root = Path(run.data)
    home = root if root.is_dir() else root.parent  # it may be a list
    if not root.exists() or not path.is_relative_to(home.resolve()):
        return set()
    try:
        clips = read_clips(root, format=run.format, missing="skip", split=run.split)
    except M2AError:
        return set()  # the set has changed; the video itself is there all the same
    return {clip.label for split in clips.splits.values() for clip in split if clip.path.resolve() == path}


def _check_truth(truth: str, model: VideoClassifier, name: str) -> None:
    labels = list(model.labels or ())
    if truth not in labels:
        near = difflib.get_close_matches(truth, labels, n=3, cutoff=0.4) or labels[:3]
        raise ConfigError(f"The truth {truth!r} is no label of {name}. Near it: {', '.join(map(repr, near))}.")


def _names(models: Sequence[tuple[str, VideoClassifier]]) -> list[str]:
    """Each model's mechanism; with more where several have the same."""
    names = [model.config.mechanism if model.config else type(model.backbone).__name__ for _, model in models]
    if len(set(names)) < len(names):
        backbones = [model.config.backbone if model.config else "" for _, model in models]
        names = [f"{name}, {backbone}" for name, backbone in zip(names, backbones, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name} {number}" for number, name in enumerate(names, 1)]
    return names


def draw(
    explained: ExplainedVideo,
    *,
    out: Path | None = None,
    animation: Path | None = None,
    frames: int | None = LAST_FRAMES,
    sites: Sequence[str] = (),
) -> list[Path]:
    """Draws what was found, and returns the files.

    Args:
        out: a PNG of frames under heat; of the mechanisms' sites one more beside it, `<out>-sites.png`.
        animation: a GIF or mp4 of the whole clip; where there is no `out`, sites are drawn beside it.
        frames: how many of those that the models saw, the last ones; None is all.
        sites: names of sites to draw, "all" for all of them.

    Raises ConfigError for a file of somebody else, another suffix, an unknown site, or fewer than one frame.
    """
    if frames is not None and frames < 1:
        raise ConfigError(f"frames must be at least 1, or all; got {frames}.")
    chosen = [(one, _chosen(one, sites)) for one in explained.by] if sites else []
    shown = [(one, found) for one, found in chosen if found]
    beside = animation.with_suffix(".png") if out is None and animation is not None else out
    site_files = _site_files(beside, [one.name if len(shown) > 1 else "" for one, _ in shown]) if beside else []
    written = [path for path in (out, *site_files, animation) if path is not None]
    check_outputs(out, animation)
    for path in site_files:
        check_ours(path)
    for path in written:
        path.parent.mkdir(parents=True, exist_ok=True)
    if out is not None:
        _draw_heat(explained, out, frames)
    for path, (one, found) in zip(site_files, shown, strict=False):
        _draw_sites(one, found, path)
    if animation is not None:
        _draw_animation(explained, animation)
    return written


def check_outputs(out: Path | None, animation: Path | None, *, flag_of_animation: str = "--animation") -> None:
    """Raises ConfigError for another suffix, or a file of somebody else."""
    if out is not None and out.suffix.lower() != ".png":
        raise ConfigError(f"A picture is a .png; got {out}. For a moving one give --animation (.gif or .mp4).")
    if animation is not None and animation.suffix.lower() not in FORMATS:
        raise ConfigError(f"An animation is a {' or '.join(FORMATS)}; got {animation}.")
    for path, flag in ((out, "--out"), (animation, flag_of_animation)):
        if path is not None:
            check_ours(path, flag)


def _draw_heat(explained: ExplainedVideo, out: Path, frames: int | None) -> None:
    last = slice(None if frames is None else -frames, None)
    rows = [
        _row(one, heat_overlay(one.explanation.frames, one.explanation.heat)[last], one.explanation.indices[last])
        for one in explained.by
    ]
    first = explained.by[0].explanation
    write_heat(
        out,
        first.frames[last],
        first.indices[last],
        rows,
        title=_title(explained),
        caption=_caption(explained),
        scale=heat_scale(),
    )


def _row(one: ExplainedBy, pictures: NDArray[np.uint8], numbers: Sequence[int]) -> HeatRow:
    best = one.explanation.guesses[0]
    return HeatRow(
        name=one.name,
        said=best.label,
        probability=best.probability,
        right=one.right,
        explained=one.explanation.label,
        pictures=pictures,
        numbers=numbers,
    )


def _title(explained: ExplainedVideo) -> str:
    return f"Truth: {explained.truth}" if explained.truth else explained.path.name


def _caption(explained: ExplainedVideo) -> str:
    layers = list(dict.fromkeys(one.explanation.layer for one in explained.by))
    whose = "what each model says" if all(_explains_its_own(one) for one in explained.by) else "the label named"
    empty = [one.name for one in explained.by if not one.explanation.heat.any()]
    said = (
        f"Heat is Grad-CAM at {' and '.join(layers)} for {whose}: where features raise the score of that label. 1 is "
        "the hottest place of the clip, for each model by itself; grey is no heat."
    )
    return said + (f" Nothing raises it in {', '.join(empty)}." if empty else "")


def _explains_its_own(one: ExplainedBy) -> bool:
    return one.explanation.label == one.explanation.guesses[0].label


def _draw_animation(explained: ExplainedVideo, path: Path) -> None:
    clips = [whole_clip(one.explanation, one.preprocessing) for one in explained.by]
    panels = [
        _row(one, heat_overlay(clip.frames, clip.heat), clip.indices)
        for one, clip in zip(explained.by, clips, strict=True)
    ]
    seen = sorted({index for one in explained.by for index in one.explanation.indices})
    write_animation(
        path,
        clips[0].frames,
        clips[0].indices,
        seen,
        panels,
        title=_title(explained),
        frame_rate=clips[0].frame_rate,
    )


def _chosen(one: ExplainedBy, wanted: Sequence[str]) -> list[SiteEvidence]:
    there = list(one.explanation.sites)
    names = list(dict.fromkeys(site.name for site in there))
    if list(wanted) == ["all"] or not there:
        return [site for site in there if _has_maps(site)]
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or names[:3]
            raise ConfigError(
                f"{one.model} has no site {name!r}. Near it: {', '.join(map(repr, near))}; --sites all shows all "
                f"{len(names)}."
            )
    return [site for site in there if site.name in wanted]


def _has_maps(site: SiteEvidence) -> bool:
    """A shift has none, nor has TANet."""
    return any(values is not None for values in (site.attention, site.motion_energy, site.gate))


def _draw_sites(one: ExplainedBy, found: Sequence[SiteEvidence], path: Path) -> None:
    indices = one.explanation.indices
    maps = [
        SiteMaps(
            name=site.name,
            mechanism=site.mechanism,
            attention=site.attention,
            motion=site.motion_energy,
            gate=site.gate,
            numbers=_numbers_at(site, indices),
            boundary=site.boundary,
            looks_back=site.looks_back,
        )
        for site in found
    ]
    title = f"What {one.name} makes of the clip"
    write_site_maps(path, one.explanation.frames, indices, maps, title=title)


def _numbers_at(site: SiteEvidence, indices: Sequence[int]) -> list[int]:
    """The frames that are left at a site: fewer where time is strided, each then standing for the first of several."""
    arrays = [array for array in (site.attention, site.motion_energy, site.gate) if array is not None]
    left = len(arrays[0]) if arrays else len(indices)
    return [indices[place * len(indices) // left] for place in range(left)]


def _site_files(out: Path, names: Sequence[str]) -> list[Path]:
    """Beside `out`, one for each name; names that are alike in a file's name are numbered."""
    words = [re.sub(r"[\W_]+", "-", name).strip("-") for name in names]
    words = [f"{word}-{k}" if words.count(word) > 1 else word for k, word in enumerate(words, 1)]
    return [out.with_name("-".join(part for part in (out.stem, "sites", word) if part) + out.suffix) for word in words]
