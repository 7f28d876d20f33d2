"""Models leave torch by ONNX and give the same scores there, whatever the number of clips."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import nn

import m2a

FRAMES, SIZE, CLASSES = 3, 26, 5
MECHANISMS = ("m2a-plus", "tea", "tdn", "tanet", "m2a:tam", "m2a:patch8", "m2a+tsm")
"""Every part of the catalogue once: those of m2a and of tsm are in their stack."""


def classifier(mechanism: str) -> m2a.VideoClassifier:
    """Of two convolutions, a mechanism between them: every further site makes the export longer, and shows no more."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.Conv2d(16, 24, 3, padding=1)
    net = nn.Sequential(first, nn.ReLU(), second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, CLASSES))
    m2a.insert(net, mechanism, num_frames=FRAMES, where=["2"])
    model = m2a.VideoClassifier(net, CLASSES).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) * parameter.std(correction=0))  # no two weights alike
    return model


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_scores_are_the_same_in_onnx(mechanism: str, tmp_path: Path) -> None:
    model, file = classifier(mechanism), tmp_path / "model.onnx"
    any_number = ({0: torch.export.Dim.DYNAMIC},)
    clips = torch.randn(2, FRAMES, 3, SIZE, SIZE)
    torch.onnx.export(model, (clips,), file, dynamo=True, dynamic_shapes=any_number, verbose=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    more = torch.randn(7, FRAMES, 3, SIZE, SIZE)
    (scores,) = session.run(None, {session.get_inputs()[0].name: more.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(scores), model(more), atol=1e-4, rtol=1e-4)
