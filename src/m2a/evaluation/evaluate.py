"""How good a model is on labelled clips: top-1, top-5, per class, confusion, and the scores of every clip."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from m2a.data.batch import BadClip
from m2a.data.clipset import ClipFile
from m2a.data.dataset import ClipDataset, make_loader, naming_dead_workers
from m2a.errors import ConfigError, DataError
from m2a.estimate import wilson
from m2a.evaluation.predictor import Predictor, device_for, labels_of
from m2a.evaluation.probes import probed, summarize
from m2a.evaluation.scores import clips_at_once, predict_views
from m2a.writing import put

_WHOLE = "as filmed"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Predictions for a set of clips, and what follows from them. Shares are in percent."""

    labels: tuple[str, ...]
    clips: tuple[ClipFile, ...]
    """The clips that were decoded, in the order of the rows below."""
    targets: Int[Tensor, " N"]
    probabilities: Float[Tensor, "N K"]
    skipped: tuple[BadClip, ...] = ()
    """Clips that could not be decoded and were left out."""
    views: tuple[int, int] = (1, 1)
    """How often each clip was looked at: samples of its frames, crops of each; probabilities are the mean."""
    probes: Mapping[str, Float[Tensor, "N K"]] = field(default_factory=dict)
    """By name of `m2a.evaluation.PROBES`, the probabilities of the same clips with their frames shuffled, reversed, and
    replaced by one; empty when not asked for."""

    @property
    def top1(self) -> float:
        return self._accuracy(self.probabilities, 1)

    @property
    def top5(self) -> float:
        return self._accuracy(self.probabilities, min(5, len(self.labels)))

    @property
    def mean_class(self) -> float:
        """The mean of the classes' top-1, over those that have clips: each class counts as much, however many it has.
        Also called mean class accuracy, or macro recall."""
        shares = [row["top1"] for row in self.per_class() if row["clips"]]
        return sum(shares) / len(shares)

    @property
    def single_answer(self) -> str:
        """A sentence where every clip was given the same label though they have several; else ""."""
        answers = self.probabilities.argmax(1)
        if len(answers) < 2 or len(answers.unique()) > 1 or len(self.targets.unique()) < 2:
            return ""
        label = self.labels[int(answers[0])]
        return f"every clip was called {label!r}, which {self.top1:.1f}% of them are: the model tells none apart"

    @property
    def confusion(self) -> Int[Tensor, "K K"]:
        """Counts; rows are the truth, columns the prediction."""
        # loads matplotlib too, which takes a second and makes folders in the user's home; predicting needs neither
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        return multiclass_confusion_matrix(self.probabilities, self.targets, num_classes=len(self.labels))

    def per_class(self) -> list[dict[str, Any]]:
        """One entry a label: how many clips it has, and the share of them named rightly (None without clips)."""
        counts = self.confusion
        totals, right = counts.sum(dim=1).tolist(), counts.diagonal().tolist()
        return [
            {"label": label, "clips": total, "top1": 100 * hits / total if total else None}
            for label, total, hits in zip(self.labels, totals, right, strict=True)
        ]

    def groups(self) -> dict[str, str]:
        """By clip id, the `ClipFile.recording` of each clip that has one. Empty where no two of the clips share one."""
        found = {clip.id: clip.recording for clip in self.clips if clip.recording}
        return found if len(set(found.values())) < len(found) else {}

    def probe_summary(self) -> dict[str, Any] | None:
        """Plain values of the probes: `rows` with top-1, top-5 and an interval, `reversals` (how often a reversed clip
        is called its label's partner in time), and a `reading` in a sentence. None when they were not asked for."""
        if not self.probes:
            return None
        return summarize(self.probabilities, self.probes, self.targets, self.labels, self._accuracy)

    def summary(self) -> dict[str, Any]:
        """Plain values for `evaluation.json`; `top1_low` and `top1_high` are what the number of clips leaves open (95%,
        as if each were a recording of its own); `groups` only where there are any, `probes` only where they were
        asked for."""
        groups, probes = self.groups(), self.probe_summary()
        low, high = wilson(self.top1, len(self.clips))
        return {
            "num_clips": len(self.clips),
            "views": f"{self.views[0]} x {self.views[1]}",
            "skipped": [{"path": str(bad.path), "reason": bad.reason} for bad in self.skipped],
            "top1": self.top1,
            "top1_low": low,
            "top1_high": high,
            "top5": self.top5,
            "mean_class": self.mean_class,
            "labels": list(self.labels),
            "per_class": self.per_class(),
            "confusion": self.confusion.tolist(),
            **({"groups": groups} if groups else {}),
            **({"probes": probes} if probes else {}),
        }

    def write_predictions(self, path: str | Path) -> None:
        """Writes a csv: clip, label, prediction, then the probability of each class under its name."""
        put(path, self.predictions_csv())

    def predictions_csv(self) -> bytes:
        """What `write_predictions` writes."""
        file = io.StringIO(newline="")
        writer = csv.writer(file)
        writer.writerow(["clip", "label", "prediction", *self.labels])
        rows = zip(self.clips, self.probabilities.tolist(), self.probabilities.argmax(1).tolist(), strict=True)
        for clip, scores, best in rows:
            writer.writerow([clip.id, clip.label, self.labels[best], *(f"{score:.6g}" for score in scores)])
        return file.getvalue().encode("utf-8", "surrogateescape")

    def _accuracy(self, probabilities: Float[Tensor, "N K"], k: int) -> float:
        """Of equal scores the first counts as the higher, as `argmax` has it; torchmetrics leaves that to `topk`."""
        likeliest = probabilities.sort(dim=1, descending=True, stable=True).indices[:, :k]
        return 100 * int((likeliest == self.targets[:, None]).any(1).sum()) / len(self.targets)


def evaluate(
    model: Predictor,
    clips: Sequence[ClipFile],
    *,
    batch_size: int = 16,
    workers: int = 0,
    device: str | torch.device | None = None,
    bf16: bool = False,
    num_clips: int = 1,
    num_crops: int = 1,
    skip_bad: bool = False,
    probes: bool = False,
    console: Console | None = None,
) -> Evaluation:
    """Predicts every clip: frames from the centres of its segments, centre crop; or the mean of the probabilities of
    several views.

    Args:
        model: with labels; it is set to evaluation mode and moved to `device`. Or a file that one was exported to
            (`m2a.export.load_exported`).
        clips: labelled clips, whose labels must be the model's.
        batch_size: clips that go through the model together; each view counts.
        device: cuda where there is one, by default.
        bf16: compute in bfloat16 (autocast).
        num_clips, num_crops: views of each clip in time and in space, such as 2 x 3 or 10 x 3.
        skip_bad: leave out clips that cannot be decoded, and say which, instead of stopping at them.
        probes: predict each clip also with its frames shuffled, reversed, and replaced by the middle one. Clips are
            decoded once; it takes four forward passes.

    Raises:
        ConfigError: the model has no labels, the device is not there, an exported file is to run on another than a
            processor or in bfloat16, or probes are asked of a model that takes a single frame.
        DataError: there are no clips, a label is not the model's, or a clip cannot be decoded.
        DivergedError: scores are nan or infinite.
    """
    labels = _checked_labels(model, clips)
    device = device_for(model, device, bf16=bf16)
    model.to(device).eval()
    dataset = ClipDataset(
        clips,
        labels=labels,
        preprocessing=model.preprocessing,
        train=False,
        num_clips=num_clips,
        num_crops=num_crops,
    )
    loaded = clips_at_once(batch_size, num_clips * num_crops)
    loader = make_loader(dataset, batch_size=loaded, shuffle=False, workers=workers, seed=0)
    autocast = torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()
    said: dict[str, list[Tensor]] = {}
    targets, indices, bad = [], [], []
    hidden = console is None or not console.is_terminal
    with naming_dead_workers(), Progress(console=console, transient=True, disable=hidden) as progress:
        bar = progress.add_task("evaluating", total=len(clips))
        for batch in loader:
            bad += batch.bad
            if batch.bad and not skip_bad:
                raise DataError(_refusal(batch.bad[0]))
            if len(batch):
                changed = probed(batch.clips, [clips[index].id for index in batch.indices]) if probes else {}
                with autocast:
                    for name, frames in {_WHOLE: batch.clips, **changed}.items():
                        which = "" if name == _WHOLE else f", {name},"
                        paths = [f"{clips[index].path}{which}" for index in batch.indices]
                        said.setdefault(name, []).append(predict_views(model, frames, paths, at_once=batch_size))
                targets.append(batch.labels)
                indices += batch.indices.tolist()
            progress.advance(bar, len(batch) + len(batch.bad))
    if not indices:
        raise DataError(f"None of the {len(clips)} clips can be decoded; the first: {bad[0].path}: {bad[0].reason}")
    joined = {name: torch.cat(parts) for name, parts in said.items()}
    return Evaluation(
        labels=labels,
        clips=tuple(clips[index] for index in indices),
        targets=torch.cat(targets),
        probabilities=joined.pop(_WHOLE),
        probes=joined,
        skipped=tuple(bad),
        views=(num_clips, num_crops),
    )


def _refusal(bad: BadClip) -> str:
    return (
        f"{bad.path} cannot be decoded: {bad.reason}. An accuracy without it would be another number. Repair or remove "
        "it, or leave such clips out with --skip-bad; evaluation.json then names them."
    )


def _checked_labels(model: Predictor, clips: Sequence[ClipFile]) -> tuple[str, ...]:
    """The model's. Raises what `evaluate` does for a model or clips that cannot be evaluated."""
    labels = labels_of(model)
    if len(labels) < 2:
        raise ConfigError(f"This model has one class, {labels[0]!r}, and is always right. It takes 2 to evaluate.")
    if not clips:
        raise DataError("There are no clips to evaluate.")
    unknown = sorted({clip.label for clip in clips} - set(labels))
    if unknown:
        raise DataError(
            f"{len(unknown)} labels of these clips are not among the {len(labels)} the model was trained with: "
            f"{', '.join(map(repr, unknown[:3]))}{', ...' if len(unknown) > 3 else ''}. Evaluate on data with its "
            f"labels ({', '.join(map(repr, list(labels)[:3]))}, ...)."
        )
    return labels
