"""What `m2a bench data` waits for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from m2a.data import read_clips
from m2a.data.dataset import ClipDataset
from m2a.data.preprocessing import Preprocessing
from m2a.data.synthetic import synthesize
from m2a.measurement.data_speed import _stages, _timed


def test_it_waits_for_the_gpu_that_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever that is, and for none where a processor is measured on a machine that has some."""
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    spent = {"device": 0.0}
    assert _timed(spent, "device", lambda: 7, torch.device("cuda:1")) == 7
    assert waited == [torch.device("cuda:1")]
    assert spent["device"] > 0
    synthesize(tmp_path, classes=2, num_train=2, num_validation=2, size=24, num_frames=5, workers=1, progress=False)
    clips = read_clips(tmp_path)
    preprocessing = Preprocessing(num_frames=3, size=24)
    dataset = ClipDataset(clips.split("train"), labels=clips.labels, preprocessing=preprocessing, train=True)
    assert sum(_stages(dataset, torch.device("cpu"), 2).values()) == pytest.approx(1)
    assert waited == [torch.device("cuda:1")]
