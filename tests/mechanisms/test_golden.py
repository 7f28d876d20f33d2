"""The mechanisms against recordings of the released code, whose weights are converted to our names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from m2a.errors import CheckpointError, ConfigError
from m2a.interop import convert_state_dict
from m2a.mechanisms import create_mechanism

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.safetensors")))
def test_the_released_codes_numbers(name: str) -> None:
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        about = file.metadata()
        recorded = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    weights = {key.removeprefix("weight/"): value for key, value in recorded.items() if key.startswith("weight/")}
    options = {"boundary": about["boundary"]} if about["mechanism"] in ("m2a", "m2a-motion") else {}
    num_frames = int(about["num_frames"])
    mechanism = create_mechanism(
        about["mechanism"],
        channels=int(about["channels"]),
        num_frames=num_frames,
        reduction=int(about["reduction"]),
        **options,
    )
    mechanism.load_state_dict(convert_state_dict(weights, source="m2a"))
    x = recorded["input"].requires_grad_()
    output = mechanism(x.unflatten(0, (-1, num_frames))).flatten(0, 1)
    output.square().mean().backward()
    assert x.grad is not None
    assert float((output - recorded["output"]).detach().abs().max()) < 1e-5
    assert float((x.grad - recorded["grad_input"]).abs().max()) < 1e-5


def test_there_are_six_recordings() -> None:
    assert len(list(GOLDEN.glob("*.safetensors"))) == 6


def test_keys_of_a_whole_released_network() -> None:
    ours = convert_state_dict(
        {
            "module.base_model.conv1.weight": torch.zeros(1),
            "module.base_model.layer1.0.conv1.net.weight": torch.zeros(2),
            "module.base_model.layer1.0.conv1.conv_down.weight": torch.zeros(3),
            "module.base_model.layer1.0.conv1.conv_up.bias": torch.zeros(4),
            "module.new_fc.weight": torch.zeros(5),
        }
    )
    assert {key: len(value) for key, value in ours.items()} == {
        "backbone.conv1.weight": 1,
        "backbone.layer1.0.conv1.weight": 2,
        "backbone.layer1.0.conv1.mechanism.reduce.weight": 3,
        "backbone.layer1.0.conv1.mechanism.expand.bias": 4,
        "head.weight": 5,
    }


def test_what_cannot_be_converted() -> None:
    with pytest.raises(ConfigError, match=r'source must be "m2a", the released code; got \'tsm\''):
        convert_state_dict({}, source="tsm")
    with pytest.raises(CheckpointError, match=r"Two keys of the state dict fall on the same name"):
        convert_state_dict({"conv_down.bias": torch.zeros(1), "reduce.bias": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"1 keys belong to a mechanism that this version does not have: modules"):
        convert_state_dict({"modules_list.0.weight": torch.zeros(1)})
