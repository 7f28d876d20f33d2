"""The page about a run, or about several side by side, written again from what the runs left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from m2a.data.annotations import read_clips
from m2a.data.clipset import ClipFile, ClipSet
from m2a.data.shards import find_in_shard
from m2a.data.synthetic import LABELS, order_blind_ceiling, time_reversal_pairs
from m2a.errors import ConfigError, DataError, M2AError, NotFoundError, UnreadableClipError
from m2a.export import is_exported
from m2a.models import load
from m2a.recipes.rows import TABLES, PaperRow, find_row, list_recipes
from m2a.reporting import FilmStrip, Run, write_report
from m2a.reporting.analysis import mistakes
from m2a.reporting.entries import baseline_and_lead, entries
from m2a.reporting.owned import check_ours
from m2a.reporting.report import MOST_STRIPS
from m2a.training.config import TrainConfig
from m2a.workflows.strips import strip_of

Heat = Callable[[ClipFile, str, str], FilmStrip]
"""Makes the film strip of a clip that explains a label, under a title."""
DRAWN = "synthetic.json"  # what a drawn set leaves in its folder
MOST_EXAMPLES = 10


def report(
    runs: Sequence[str | Path], out: str | Path | None = None, *, heat: bool = False, console: Console | None = None
) -> Path:
    """Writes `report.html` of one run, or a page that compares several, with film strips of some clips and of the
    surest mistakes. Where the clips are gone from disk the page says so, and has no strips.

    Args:
        runs: folders of runs; differences are to the one without a mechanism, or where there is none to the first.
        out: the file, or a folder; by default `report.html` in the folder of a single run, and `comparison.html` here
            for several.
        heat: show under each strip where in the frames the model found what speaks for the class that it named
            (`m2a.explain`); takes a forward and a backward pass a strip.

    Returns the page's path. Raises ConfigError for a file that is there and is not ours, and with `heat` for the
    evaluation of an exported file, NotFoundError where a folder
    holds no run, or with `heat` no model, and DataError where a file is damaged or the runs have other classes.
    """
    console = console or Console(stderr=True)
    shown = entries([Run.load(run) for run in runs])
    path = _target(shown[0].run.folder, out, several=len(shown) > 1)
    check_ours(path)
    _, lead = baseline_and_lead(shown)
    heats = {entry.name: heat_of(entry.run) for entry in shown} if heat else {}
    notes: list[str] = []
    found = {entry.name: _clips_of(entry.run, entry.name, notes) for entry in shown}
    for note in notes:
        console.print(Text(note), soft_wrap=True)
    clips, root = found[lead.name]
    drawn = pairs_and_ceiling(root, lead.run.labels)
    labels = list(dict.fromkeys([*(label for pair in drawn["pairs"] for label in pair), *lead.run.labels]))
    return write_report(
        runs,
        path,
        title=_title([entry.name for entry in shown]) if len(shown) > 1 else shown[0].run.folder.name,
        strips=_examples(clips.values(), labels[:MOST_EXAMPLES], lead.run, heats.get(lead.name)),
        mistakes=[mistake_strips(entry.run, found[entry.name][0], heats.get(entry.name)) for entry in shown],
        notes=notes,
        paper=paper_figures([entry.run for entry in shown]),
        **drawn,
    )


def _title(names: Sequence[str]) -> str:
    title = f"Runs compared: {', '.join(names)}"
    return title if len(title) <= 80 else f"{len(names)} runs compared"


def mistake_strips(run: Run, clips: Mapping[str, ClipFile], heat: Heat | None = None) -> dict[str, FilmStrip]:
    """Film strips of the clips that a run was surest of and wrong about, by clip id; of those that can be read."""
    made: dict[str, FilmStrip] = {}
    for row in mistakes(run):
        clip = clips.get(row.clip)
        if clip is None or len(made) == MOST_STRIPS:
            continue
        sure = f", {100 * row.probability:.1f}% sure" if row.probability is not None else ""
        caption = f"called **{row.prediction}**{sure}; clip `{row.clip}`"
        if (strip := _strip(clip, row.label, row.prediction, heat, caption)) is not None:
            made[row.clip] = strip
    return made


def pairs_and_ceiling(root: Path | None, labels: Sequence[str]) -> dict[str, Any]:
    """Of a drawn set, the pairs that are exact time reversals and what an order-blind model can reach; of filmed clips
    neither is known."""
    if root is None or not (root / DRAWN).is_file() or not set(labels) <= set(LABELS):
        return {"pairs": [], "ceiling": None}
    return {"pairs": time_reversal_pairs(labels), "ceiling": order_blind_ceiling(labels)}


def paper_figures(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """What the paper reports of these runs' networks and mechanisms, and of the same networks without one."""
    rows = [find_row(name) for table in TABLES for name in list_recipes(table)]
    chosen: list[PaperRow] = []
    for run in runs:
        same = [row for row in rows if (row.network.backbone, row.network.inflate) == (run.backbone, run.inflate)]
        own = next((row for row in same if row.mechanism == run.mechanism), None)
        if own is not None:
            base = next(row for row in same if row.mechanism == "none")
            chosen += [row for row in (base, own) if row not in chosen]
    return {f"{row.name} ({row.network})": _known(gmacs=row.gmacs, top1=row.top1, top5=row.top5) for row in chosen}


def heat_of(run: Run) -> Heat:
    """Explains clips by the model of a run, or by the one that an evaluation says it is of. Raises NotFoundError where
    there is none, ConfigError for an exported file."""
    source: str | Path = run.folder / "model"
    if not Path(source).is_dir():
        if not run.model or (run.folder / "config.yaml").is_file():  # a run, whose own it would be
            raise NotFoundError(
                f"{run.folder} has no model/, which --heat explains. Leave --heat out, or finish the run first."
            )
        source = run.model
    if is_exported(source):
        raise ConfigError(
            f"{run.folder} is an evaluation of {source}, an exported file: it gives scores and no gradients, of which "
            "--heat is made. Leave --heat out, or evaluate the model that the file was made of."
        )
    from m2a.explanation import explain, heat_overlay  # few runs of the commands need it

    model = load(source)

    def strip(clip: ClipFile, label: str, title: str) -> FilmStrip:
        found = explain(model, clip.path, label=label)
        return FilmStrip(
            title=title,
            frames=list(found.frames),
            overlay=list(heat_overlay(found.frames, found.heat)),
            overlay_shows=f"where the network finds what speaks for “{label}”, the brighter the more",
        )

    return strip


def _examples(clips: Iterable[ClipFile], labels: Sequence[str], run: Run, heat: Heat | None) -> list[FilmStrip]:
    """One clip of each label, the first that can be read; with heat, explaining what the run said of it."""
    said = {row.clip: row for row in run.predictions}
    made = []
    for label in labels:
        for clip in (clip for clip in clips if clip.label == label):
            guess = said[clip.id].prediction if clip.id in said else label
            caption = f"called **{guess}** by `{run.mechanism}`" if heat is not None else ""
            if (strip := _strip(clip, label, guess, heat, caption)) is not None:
                made.append(strip)
                break
    return made


def _strip(clip: ClipFile, title: str, explained: str, heat: Heat | None, caption: str) -> FilmStrip | None:
    try:
        if heat is None or clip.window is not None:  # a part of a recording cannot be explained by itself
            made = strip_of(clip.path, title, window=clip.window)
        else:
            made = heat(clip, explained, title)
    except UnreadableClipError:
        return None  # the evaluation names it; this is an illustration
    return FilmStrip(**{**vars(made), "caption": caption})


def _clips_of(run: Run, name: str, notes: list[str]) -> tuple[dict[str, ClipFile], Path | None]:
    """The clips a run was evaluated on, by id, and the set's folder; where they are gone, none, and a note."""
    try:
        clips = _read(run)
        members = clips.split(run.split)
    except M2AError as error:
        first = str(error).splitlines()[0]
        notes.append(f"No film strips of `{name}`: the clips it was tested on cannot be read any more. {first}")
        return {}, None
    known = {row.clip for row in run.predictions}
    if not known:
        notes.append(f"No film strips of `{name}`: {run.folder} has no predictions.csv, or none in it.")
    found = {clip.id: clip for clip in members if clip.id in known and _is_there(clip.path)}
    if known and len(found) < len(known):
        notes.append(
            f"{len(known) - len(found):,} of the {len(known):,} clips that `{name}` was tested on are gone from "
            f"{clips.root}; they have no film strips."
        )
    return found, clips.root


def _is_there(path: Path) -> bool:
    try:
        return path.exists() or find_in_shard(path) is not None
    except UnreadableClipError:
        return False  # the shard is cut off before it


def _read(run: Run) -> ClipSet:
    path = run.folder / "config.yaml"
    config = TrainConfig.load(path) if path.is_file() else None
    if config is not None:
        try:
            clips = read_clips(config.data, format=config.format, missing="skip", split=config.split)
        except M2AError:
            if not run.data or Path(run.data) == config.data:
                raise
        else:
            if not run.data or Path(run.data) in (config.data, clips.root):  # the data may be one list of several
                return clips
    if not run.data and not run.read_as:
        raise DataError(f"{run.folder / 'evaluation.json'} does not say on which data")
    how = dict(run.read_as) or {"root": run.data}
    try:  # it may be a set that can only be measured on
        clips = read_clips(**how, missing="skip", to_train=False)
    except M2AError:
        return read_clips(**how, missing="skip")
    whole = run.split == "all" or run.split in clips.splits
    return clips if whole else read_clips(**how, missing="skip")  # the split was held out of it


def _target(folder: Path, out: str | Path | None, *, several: bool) -> Path:
    if out is None:
        return Path("comparison.html") if several else folder / "report.html"
    return Path(out) / ("comparison.html" if several else "report.html") if Path(out).is_dir() else Path(out)


def _known(**numbers: float | None) -> dict[str, float]:
    return {name: number for name, number in numbers.items() if number is not None}
