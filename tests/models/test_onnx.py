"""Models leave torch by ONNX and give the same scores there, whatever the number of clips."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
import torch

import m2a

FRAMES, SIZE = 3, 32
MECHANISMS = ("none", "tsm", "m2a", "m2a-plus", "tea", "tdn", "tanet", "m2a:tam", "m2a:patch8", "m2a+tsm")


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_scores_are_the_same_in_onnx(mechanism: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = m2a.create_model(
        "resnet10t", mechanism=mechanism, num_classes=5, num_frames=FRAMES, size=SIZE, pretrained=False
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) * parameter.std(correction=0))  # no two weights alike
    file = tmp_path / "model.onnx"
    clips = torch.randn(2, FRAMES, 3, SIZE, SIZE)
    any_number = ({0: torch.export.Dim.DYNAMIC},)
    torch.onnx.export(model, (clips,), file, dynamo=True, dynamic_shapes=any_number, verbose=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    more = torch.randn(7, FRAMES, 3, SIZE, SIZE)
    (scores,) = session.run(None, {session.get_inputs()[0].name: more.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(scores), model(more), atol=1e-4, rtol=1e-4)
