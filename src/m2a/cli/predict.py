"""`m2a predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def predict(
    *videos: Path,
    model: str,
    image_weights: Path | None = None,
    top_k: int = 5,
    num_clips: int = 1,
    num_crops: int = 1,
    device: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Name the action in videos.

    Parameters
    ----------
    videos:
        Video files of any kind that FFmpeg opens, or folders of .jpg frames.
    model:
        A folder that m2a train wrote (RUN/model, RUN/adapter), or owner/name on the hub.
    image_weights:
        For an adapter: the image checkpoint it was trained beside, when it is not where it was.
    top_k:
        How many labels to show.
    num_clips:
        Samples of the video's frames, spread over it; probabilities are averaged.
    num_crops:
        Crops of each sample, spread over the longer side; 3 sees all of it.
    device:
        cpu, cuda, ...; by default cuda where there is one.
    json:
        Print JSON: for each video its path and its labels with probabilities.
    """
    import torch
    from rich.table import Table

    from m2a.cli.output import CONSOLE, print_json
    from m2a.errors import ConfigError
    from m2a.evaluation import predict as predict_one
    from m2a.models import load

    if not videos:
        raise ConfigError("Which videos? Name at least one: m2a predict VIDEO... --model RUN/model")
    network = load(model, image_weights=image_weights).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    predictions = [
        predict_one(network, video, top_k=top_k, num_clips=num_clips, num_crops=num_crops) for video in videos
    ]
    if json:
        print_json([prediction.to_dict() for prediction in predictions])
        return
    for prediction in predictions:
        table = Table("probability", "label", title=str(prediction.path), title_justify="left")
        for guess in prediction.guesses:
            table.add_row(f"{guess.probability:.1%}", guess.label)
        CONSOLE.print(table)
