"""`m2a predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

if TYPE_CHECKING:
    from m2a.data import BadClip
    from m2a.evaluation import Prediction, Timeline
    from m2a.evaluation.predictor import Predictor, Streamer

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer", "Prediction", "Timeline")
_WINDOW = 2.0
_ENOUGH = 16  # videos from which on it pays to start processes that decode, beside a GPU


def predict(
    *videos: Path,
    model: str,
    image_weights: Path | None = None,
    top_k: int = 5,
    num_clips: int = 1,
    num_crops: int = 1,
    sliding: bool = False,
    stream: bool = False,
    window: float | None = None,
    step: float | None = None,
    frame_rate: float | None = None,
    picture: Path | None = None,
    batch_size: int = 16,
    workers: int | None = None,
    bf16: bool = False,
    device: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Name the action in videos.

    A video that cannot be decoded is named at the end, after the answers for the others, and the command exits with 1.

    Parameters
    ----------
    videos:
        Video files of any kind that FFmpeg opens, folders of .jpg frames, or folders with such files and folders in
        them.
    model:
        A folder that m2a train wrote (RUN, RUN/model, RUN/adapter), or owner/name on the hub; or a file that m2a
        export wrote.
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
    stream:
        Say what the model would have said as the video's frames came in, with one pass of the network for each frame
        that it takes: what it does where a camera is. For models that look back alone.
    window:
        With --sliding and --stream: seconds that a clip's frames are of; by default 2.
    step:
        With --sliding: seconds from one window to the next; by default half a window.
    frame_rate:
        With --sliding and --stream: frames a second, of what does not say, as folders of frames do not; videos keep
        their own times.
    picture:
        With --sliding or --stream, and one video: a PNG to draw the timeline into.
    batch_size:
        Videos that go through the model together, where they do: on a GPU, or with --workers. With --sliding, windows;
        with --stream of no consequence.
    workers:
        Processes that decode videos ahead, not with --sliding or --stream. By default, on a GPU, none for fewer than 16
        videos, else one a core but one, at most 8. On a processor none, and no batches: several videos at the same
        time, each by one thread, which is faster.
    bf16:
        Compute in bfloat16: about twice as fast where the processor has instructions for it.
    device:
        cpu, cuda, ...; by default cuda where there is one.
    json:
        Print JSON: for each video its path, its labels with probabilities and whether it is a still picture, or its
        path and an error.
    """
    from m2a.data import BadClip, find_clips
    from m2a.errors import ConfigError
    from m2a.evaluation import load_predictor
    from m2a.evaluation.predictor import load_streamer
    from m2a.reporting.owned import check_picture

    if not videos:
        raise ConfigError("Which videos? Name at least one: m2a predict VIDEO... --model RUN/model")
    paths = [path for video in videos for path in find_clips(video)]
    if picture is not None:
        if not (sliding or stream) or len(paths) != 1:
            raise ConfigError("--picture draws the timeline of one video; give --sliding or --stream, and name one.")
        check_picture(picture, "--picture")
    if sliding or stream:
        if (num_clips, num_crops) != (1, 1) or workers is not None:
            raise ConfigError(
                "--sliding and --stream look at everything once, and read one video after the other; leave "
                "--num-clips, --num-crops and --workers out."
            )
        if frame_rate is None and (folders := [path for path in paths if path.is_dir()]):
            raise ConfigError(f"{folders[0]} does not say how many frames make a second. Give --frame-rate.")
    else:
        _refuse_for_sliding(window=window, step=step, frame_rate=frame_rate)
    options: dict[str, Any] = {"top_k": top_k, "batch_size": batch_size, "bf16": bf16}
    if stream:
        _refuse_for_stream(sliding=sliding, bf16=bf16, step=step)
        streamer = load_streamer(model, image_weights=image_weights, device=device)
        look: Callable[..., Timeline] = partial(_stream, streamer, top_k=top_k)
    else:
        network = load_predictor(model, image_weights=image_weights, device=device, bf16=bf16)
        look = partial(_slide, network, step=step, **options)
        if not sliding:
            views = {"num_clips": num_clips, "num_crops": num_crops}
            _show(_predict(network, paths, workers=workers, **views, **options), len(paths), _print, json)
            return
    seconds: dict[str, Any] = {"window": _WINDOW if window is None else window, "frame_rate": frame_rate}
    timelines = _timelines(partial(look, **seconds), paths)
    said = _show(timelines, len(paths), _print_timelines, json)  # ends where the one video of a picture is bad
    if picture is not None and not isinstance(said[0], BadClip):
        _draw(said[0], picture)


def _refuse_for_sliding(**given: float | None) -> None:
    from m2a.errors import ConfigError

    if named := [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]:
        verb, them = ("is", "it") if len(named) == 1 else ("are", "them")
        raise ConfigError(
            f"{' and '.join(named)} {verb} for windows that slide over a video, and each is looked at as "
            f"a whole here. Add --sliding (or --stream, which has no --step), or leave {them} out."
        )


def _predict(
    network: Predictor, paths: Sequence[Path], *, workers: int | None, **options: Any
) -> Iterable[Prediction | BadClip]:
    from m2a.evaluation import predict_all

    how: dict[str, Any] = _how(network, len(paths)) if workers is None else {"workers": workers}
    return predict_all(network, paths, **how, **options)


def _refuse_for_stream(*, sliding: bool, bf16: bool, step: float | None) -> None:
    from m2a.errors import ConfigError

    if sliding:
        raise ConfigError("--sliding looks at windows, --stream at frames as they come in; give one of them.")
    if bf16:
        raise ConfigError("A stream is computed in the model's own precision; leave --bf16 out.")
    if step is not None:
        raise ConfigError("--stream answers at each frame that it looks at, so many a --window; leave --step out.")


def _slide(network: Predictor, path: Path, **options: Any) -> Timeline:
    from m2a.evaluation import predict_timeline

    return predict_timeline(network, path, **options)


def _stream(network: Streamer, path: Path, **options: Any) -> Timeline:
    from m2a.evaluation import predict_stream

    return predict_stream(network, path, **options)


def _timelines(look: Callable[[Path], Timeline], paths: Sequence[Path]) -> Iterable[Timeline | BadClip]:
    from m2a.data import BadClip
    from m2a.errors import UnreadableClipError

    def said(index: int, path: Path) -> Timeline | BadClip:
        try:
            return look(path)
        except UnreadableClipError as error:
            return BadClip(path=path, reason=error.reason, index=index)

    return (said(index, path) for index, path in enumerate(paths))


def _followed(answers: Iterable[_Item], total: int) -> Iterator[_Item]:
    """Where there are many, a bar shows how far they are."""
    from rich.progress import track

    from m2a.cli.output import error_console

    console = error_console()
    hidden = not console.is_terminal or total < _ENOUGH
    yield from track(answers, "predicting", total=total, console=console, transient=True, disable=hidden)


def _how(network: Predictor, videos: int) -> dict[str, int]:
    """The threads or processes that predict so many videos fastest."""
    import torch

    from m2a.data.cores import default_workers
    from m2a.export import ExportedClassifier
    from m2a.models.device import kind_of_input

    if isinstance(network, ExportedClassifier):
        return {}  # it has threads of its own
    if kind_of_input(network)[0].type == "cpu":
        return {"threads": min(torch.get_num_threads(), videos)}
    return {"workers": default_workers() if videos >= _ENOUGH else 0}


def _show(
    answers: Iterable[_Answer | BadClip], total: int, print_answers: Callable[[Sequence[_Answer]], None], json: bool
) -> list[_Answer | BadClip]:
    """The answers, then what could not be answered, as an error. Where memory does not suffice, those that there
    are until then."""
    from m2a.cli.main import fail, is_out_of_memory
    from m2a.data import BadClip

    said: list[_Answer | BadClip] = []
    try:
        said.extend(_followed(answers, total))
    except (RuntimeError, MemoryError) as error:
        if said and is_out_of_memory(error):
            _print_all(said, print_answers, json)
        raise
    _print_all(said, print_answers, json)
    if bad := [clip for clip in said if isinstance(clip, BadClip)]:
        many = f"{len(bad)} of {len(said)} videos cannot be decoded:\n  " if len(said) > 1 else ""
        fail(many + "\n  ".join(f"{clip.path}: {clip.reason}" for clip in bad))
    return said


def _print_all(
    said: Sequence[_Answer | BadClip], print_answers: Callable[[Sequence[_Answer]], None], json: bool
) -> None:
    from m2a.cli.output import print_json
    from m2a.data import BadClip

    if json:
        print_json(
            [
                {"path": str(one.path), "error": one.reason} if isinstance(one, BadClip) else one.to_dict()
                for one in said
            ]
        )
    else:
        print_answers([one for one in said if not isinstance(one, BadClip)])


def _say_still(predictions: Sequence[Prediction]) -> None:
    from m2a.cli.output import error_console

    for path in (prediction.path for prediction in predictions if prediction.still):
        told = f"{path}: the frames that the model looked at are all the same picture: nothing moves in it"
        error_console().print(told, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _print(predictions: Sequence[Prediction]) -> None:
    """Of one video all labels, of several the likeliest of each."""
    from rich.table import Table

    from m2a.cli.output import print_table

    if len(predictions) == 1:
        table = Table("probability", "label", title=str(predictions[0].path), title_justify="left")
        for guess in predictions[0].guesses:
            table.add_row(f"{guess.probability:.1%}", guess.label)
        print_table(table)
    elif predictions:
        table = Table("video", "probability", "label", caption="--json has the other labels", caption_justify="left")
        table.columns[0].overflow = "fold"
        for prediction in predictions:
            table.add_row(str(prediction.path), f"{prediction.guesses[0].probability:.1%}", prediction.guesses[0].label)
        print_table(table)
    _say_still(predictions)


def _print_timelines(timelines: Sequence[Timeline]) -> None:
    from rich.table import Table

    from m2a.cli.output import print_table

    for timeline in timelines:
        table = Table("from, s", "to, s", "probability", "label", title=str(timeline.path), title_justify="left")
        for part in timeline.intervals():
            table.add_row(f"{part.start:.1f}", f"{part.end:.1f}", f"{part.probability:.1%}", part.label)
        print_table(table)


def _draw(timeline: Timeline, picture: Path) -> None:
    from m2a.reporting import write_timeline

    parts = [(part.start, part.end, part.label, part.probability) for part in timeline.intervals()]
    picture.parent.mkdir(parents=True, exist_ok=True)
    write_timeline(picture, parts, timeline.frames, seconds=timeline.seconds, title=timeline.path.name)
