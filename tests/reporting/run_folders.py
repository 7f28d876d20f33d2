"""Runs' folders on disk as `m2a train` and `m2a evaluate` leave them, with made-up but consistent numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

PAIRS = [
    ("Pushing something from left to right", "Pushing something from right to left"),
    ("Approaching something with your camera", "Moving away from something with your camera"),
    ("Moving something up", "Moving something down"),
    ("Moving something and something closer to each other", "Moving something and something away from each other"),
    ("Turning the camera left while filming something", "Turning the camera right while filming something"),
]
ALONE = ["Holding something", "Spinning something that quickly stops spinning"]
LABELS = [label for pair in PAIRS for label in pair] + ALONE
CEILING = 100 * (0.5 * 10 + 2) / 12


def confusion_of(labels: Sequence[str], clips: int, within: float, across: float, seed: int = 0) -> np.ndarray:
    """Counts in which a share `across` leaves the pair and a share `within` of the rest goes to the right member."""
    rng = np.random.default_rng(seed)
    table = np.zeros((len(labels), len(labels)), dtype=int)
    for row in range(len(labels)):
        share = np.full(len(labels), across / len(labels))
        partner = row ^ 1 if row < len(labels) - len(labels) % 2 and row < 10 else row
        share[row] += (1 - across) * (within if partner != row else 1.0)
        if partner != row:
            share[partner] += (1 - across) * (1 - within)
        table[row] = rng.multinomial(clips, share / share.sum())
    return table


def evaluation_of(confusion: np.ndarray, labels: Sequence[str] = LABELS, **changes: Any) -> dict[str, Any]:
    """The `evaluation.json` that goes with a confusion matrix."""
    clips = int(confusion.sum())
    rows = confusion.sum(axis=1)
    return {
        "schema": 1,
        "mechanism": "m2a",
        "backbone": "resnet18",
        "num_frames": 8,
        "size": 64,
        "data": "demo/data",
        "split": "validation",
        "num_clips": clips,
        "skipped": [],
        "top1": 100 * float(np.trace(confusion)) / clips,
        "top5": 99.1,
        "macs": 1203000000,
        "parameters": 11290000,
        "labels": list(labels),
        "per_class": [
            {"label": label, "clips": int(n), "top1": 100 * float(confusion[i, i]) / int(n) if n else None}
            for i, (label, n) in enumerate(zip(labels, rows, strict=True))
        ],
        "confusion": confusion.tolist(),
        "hardware": "Intel Xeon, 2 cores",
        "versions": {"m2a": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
        **changes,
    }


def _write_predictions(path: Path, evaluation: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = evaluation["labels"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "label", "prediction", *labels])
        number = 0
        for truth, row in enumerate(evaluation["confusion"]):
            for guess, times in enumerate(row):
                for _ in range(times):
                    scores = rng.dirichlet(np.full(len(labels), 0.3))
                    high = int(scores.argmax())
                    scores[[guess, high]] = scores[[high, guess]]
                    number += 1
                    writer.writerow([f"{1000 + number}", labels[truth], labels[guess], *np.round(scores, 6)])


def _write_metrics(path: Path, top1: float, epochs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "train_loss", "val_loss", "val_top1", "val_top5", "lr", "seconds"])
        for epoch in range(1, epochs + 1):
            done = 1 - np.exp(-4 * epoch / epochs)
            loss = 2.5 - (0.5 + top1 / 55) * done + 0.05 * rng.normal()
            accuracy = 8 + (top1 - 8) * done / (1 - np.exp(-4)) + (epoch < epochs) * rng.normal()
            writer.writerow([epoch, f"{loss:.4f}", f"{loss + 0.15 * done:.4f}", f"{accuracy:.2f}", "", 0.01, "12.5"])


def write_run(
    folder: Path,
    evaluation: dict[str, Any],
    *,
    config: dict[str, Any] | None = None,
    epochs: int = 12,
    predictions: bool = True,
    seed: int = 0,
) -> Path:
    """Make a run's folder and return it."""
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps(evaluation), encoding="utf-8")
    if config is not None:
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    if epochs:
        _write_metrics(folder / "metrics.csv", evaluation["top1"] or 50.0, epochs, seed)
    if predictions:
        _write_predictions(folder / "predictions.csv", evaluation, seed)
    return folder


def write_guesses(
    folder: Path, guesses: Sequence[tuple[str, str]], labels: Sequence[str], *, ids: Sequence[str] = (), **changes: Any
) -> Path:
    """A run's folder of (truth, guess) clip by clip; clips are numbered unless `ids` are given."""
    table = np.zeros((len(labels), len(labels)), dtype=int)
    for truth, guess in guesses:
        table[labels.index(truth), labels.index(guess)] += 1
    write_run(folder, evaluation_of(table, labels, **changes), epochs=0, predictions=False)
    with (folder / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "label", "prediction", *labels])
        for name, (truth, guess) in zip(ids or map(str, range(len(guesses))), guesses, strict=True):
            writer.writerow([name, truth, guess, *(0.9 if label == guess else 0.0 for label in labels)])
    return folder


def write_demo(root: Path) -> list[Path]:
    """Three runs as the demonstration makes them: `none`, `tsm` and `m2a` on twelve classes, five pairs."""
    runs = []
    for seed, (mechanism, within, macs) in enumerate(
        [("none", 0.5, 1.184), ("tsm", 0.86, 1.184), ("m2a", 0.94, 1.203)]
    ):
        ours = mechanism == "m2a"
        evaluation = evaluation_of(
            confusion_of(LABELS, 20, within, 0.12, seed),
            mechanism=mechanism,
            macs=int(macs * 1e9),
            parameters=11_180_000 + 110_000 * ours,
            skipped=[{"path": "demo/data/1017/00003.jpg", "reason": "truncated <JPEG>"}] if ours else [],
        )
        config = {"mechanism": mechanism, "backbone": "resnet18", "epochs": 12, "batch_size": 16, "lr": 0.01, "seed": 0}
        runs.append(write_run(root / mechanism, evaluation, config=config, seed=seed))
    return runs
