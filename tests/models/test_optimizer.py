"""The way in which an optimiser takes its steps: the fastest that the device has, also after a run has moved."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tiny import tiny
from torch.optim import Optimizer

from m2a.measurement.model_speed import BenchSettings, Subject
from m2a.models import parameter_groups
from m2a.models.optimizer import Kind, choose_way_again, create_optimizer, forget_way


def made(kind: Kind, device: str) -> Optimizer:
    groups = parameter_groups(tiny().to(device), lr=0.1, weight_decay=0.01)
    return create_optimizer(groups, kind=kind, lr=0.1)


def stepped(kind: Kind, device: str = "cpu") -> Optimizer:
    optimizer = made(kind, device)
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.grad = torch.ones_like(weight)
    optimizer.step()
    return optimizer


def ways(optimizer: Optimizer) -> list[tuple[Any, Any]]:
    options = (optimizer.defaults, *optimizer.param_groups)
    return [(group["fused"], group["foreach"]) for group in options]


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_one_pass_on_a_cpu_and_elsewhere_what_torch_chooses(kind: Kind) -> None:
    """Where neither way is named; "meta" is a device without numbers."""
    assert set(ways(made(kind, "cpu"))) == {(True, None)}
    assert set(ways(made(kind, "meta"))) == {(None, None)}


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("saved", [True, False])
def test_the_state_of_another_device_does_not_bring_its_way(kind: Kind, saved: bool) -> None:
    """Of a CPU (True), or of a GPU as earlier versions wrote it (False)."""
    state = copy.deepcopy(stepped(kind).state_dict())
    for group in state["param_groups"]:
        group["fused"] = saved
    optimizer = made(kind, "meta" if saved else "cpu")
    forget_way(state)
    optimizer.load_state_dict(state)
    choose_way_again(optimizer)
    counts = [kept["step"] for kept in optimizer.state.values() if "step" in kept]
    assert {(count.device.type, float(count)) for count in counts} == ({("cpu", 1.0)} if kind == "adamw" else set())
    assert set(ways(optimizer)) == {(None if saved else True, None)}


def test_what_is_measured_is_the_optimizer_of_a_run() -> None:
    """Its groups too: each is a pass of its own."""
    settings = BenchSettings(backbone="test_resnet", size=32, num_frames=3, batch_size=2)
    subject = Subject("m2a", "training", settings)
    names = [group["name"] for group in subject.optimizer.param_groups]
    assert names == [group["name"] for group in parameter_groups(subject.model, lr=1.0, weight_decay=1.0)]
    assert set(ways(subject.optimizer)) == {(True, None)}
    before = [weight.detach().clone() for weight in subject.model.head.parameters()]
    subject()
    assert all(
        not torch.equal(weight, was) for weight, was in zip(subject.model.head.parameters(), before, strict=True)
    )
