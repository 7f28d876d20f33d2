"""The mechanisms against recordings of the released code, whose weights are converted to our names."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from m2a.interop import convert_state_dict
from m2a.mechanisms import create_mechanism, parse_spec
from m2a.mechanisms.spec import Cell

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.safetensors")))
def test_the_released_codes_numbers(name: str) -> None:
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        about = file.metadata()
        recorded = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    weights = {key.removeprefix("weight/"): value for key, value in recorded.items() if key.startswith("weight/")}
    (layer,) = parse_spec(about["mechanism"]).layers
    options = {"boundary": about["boundary"]} if isinstance(layer, Cell) and layer.motion == "m2a" else {}
    num_frames = int(about["num_frames"])
    mechanism = create_mechanism(
        about["mechanism"],
        channels=int(about["channels"]),
        num_frames=num_frames,
        reduction=int(about["reduction"]),
        **options,
    ).eval()
    mechanism.load_state_dict(convert_state_dict(weights, source="m2a"))
    x = recorded["input"].requires_grad_()
    output = mechanism(x.unflatten(0, (-1, num_frames))).flatten(0, 1)
    output.square().mean().backward()
    assert x.grad is not None
    assert float((output - recorded["output"]).detach().abs().max()) < 1e-5
    largest = recorded["grad_input"].abs().max()  # about 1e-3, so that an absolute 1e-5 would say little
    assert float((x.grad - recorded["grad_input"]).abs().max() / largest) < 1e-5


def test_every_row_of_the_papers_tables_is_recorded() -> None:
    """Stacks are not: a stack applies its layers one after the other."""
    recorded = {safe_open(path, "pt").metadata()["mechanism"] for path in GOLDEN.glob("*.safetensors")}
    cells = {
        f"{motion}:{attention}" for motion in ("none", "m2a", "tdn", "tea") for attention in ("none", "m2a", "tam")
    }
    wanted = {str(parse_spec(cell)) for cell in cells} - {"none"} | {"m2a:patch4", "m2a:patch8", "tsm"}
    assert {str(parse_spec(spec)) for spec in recorded} == wanted
