"""Time and memory of models: what is run, counted and divided. No test looks at how long anything takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from m2a.errors import ConfigError, SpecError
from m2a.insertion import insert
from m2a.measurement import (
    LITERAL,
    BenchSettings,
    LiteralM2A,
    Pair,
    interleave,
    make_literal,
    measure_growth,
    measure_model,
    measure_models,
    measure_roofline,
    peak_growth,
    saved_bytes,
    threads,
)
from m2a.measurement.memory import held_bytes
from m2a.measurement.model_speed import Subject, build
from m2a.measurement.roofline import site_cost
from m2a.measurement.timing import quantile
from m2a.mechanisms import create_mechanism
from m2a.reporting import write_growth

TINY = BenchSettings(backbone="test_resnet", size=32, num_frames=3, batch_size=2, repeats=2, warmup=1)


def test_ratios_are_of_pairs() -> None:
    pair = Pair(bare_seconds=(1.0, 2.0, 4.0), seconds=(2.0, 2.0, 6.0))
    assert pair.ratios == (2.0, 1.0, 1.5)
    assert pair.ratio == 1.5
    assert pair.overhead_ms == 1000
    told = pair.to_dict()
    assert (told["p50_ms"], told["bare_p50_ms"]) == (2000, 2000)
    assert told["p95_ms"] == pytest.approx(5600)
    assert told["ratio_range"] == [1.0, 2.0]
    assert told["ratio_quartiles"] == [1.25, 1.75]


def test_pairs_have_two_sides() -> None:
    with pytest.raises(ConfigError, match=r"got 2 and 1"):
        Pair(bare_seconds=(1.0, 2.0), seconds=(1.0,))
    with pytest.raises(ConfigError, match=r"at least one; got 0 and 0"):
        Pair(bare_seconds=(), seconds=())


def test_quantiles() -> None:
    assert quantile([7.0], 0.95) == 7
    assert [quantile([4.0, 1.0, 2.0], share) for share in (0.0, 0.25, 0.5, 1.0)] == [1, 1.5, 2, 4]


def test_the_two_run_in_turns_and_the_warm_up_is_not_counted() -> None:
    order: list[str] = []
    pair = interleave(lambda: order.append("a"), lambda: order.append("b"), repeats=3, warmup=2)
    assert order == ["a", "b"] * 5
    assert len(pair.seconds) == len(pair.bare_seconds) == 3
    assert min(pair.seconds) > 0
    with pytest.raises(ConfigError, match=r"repeats must be at least 1 and warmup at least 0; got 0 and 1"):
        interleave(list, list, repeats=0)


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with threads(2) as count:
        assert count == torch.get_num_threads() == 2
    with threads(None) as count:
        assert count == before
    assert torch.get_num_threads() == before


def _small() -> tuple[nn.Module, Tensor]:
    """What it keeps: the ReLU its result, which the second convolution takes, (2, 5, 7, 7), and the sigmoid its own,
    (2, 3, 7, 7)."""
    net = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.Conv2d(5, 3, 1), nn.Sigmoid())
    return net, torch.randn(2, 3, 7, 7)


KEPT = 4 * 2 * (5 + 3) * 7 * 7


def test_what_is_kept_for_backward_is_counted_once() -> None:
    net, images = _small()
    assert saved_bytes(lambda: net(images).sum()) == KEPT


def test_hooks_on_saved_tensors_see_the_same() -> None:
    net, images = _small()
    there = {tensor.data_ptr() for tensor in (images, *net.parameters())}
    saved: dict[int, Tensor] = {}
    with saved_tensors_hooks(lambda tensor: saved.setdefault(tensor.data_ptr(), tensor), lambda kept: kept):
        loss = net(images).sum()
    assert sum(tensor.nbytes for address, tensor in saved.items() if address not in there) == KEPT
    del loss


class _KeepsByItself(torch.autograd.Function):
    """Keeps a tensor where no hook sees it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.own = x.exp()
        return x * 2


def test_what_hooks_do_not_see_is_counted_too() -> None:
    x = torch.randn(11, 13, requires_grad=True)
    assert saved_bytes(lambda: _KeepsByItself.apply(x).sum()) == 4 * 11 * 13


def test_nothing_is_kept_without_gradients() -> None:
    net, images = _small()
    with torch.no_grad():
        assert saved_bytes(lambda: net(images).sum()) == 0


def test_the_peak_is_the_most_at_one_time() -> None:
    x = torch.randn(1000)

    def run() -> None:
        twice = torch.cat([x, x])  # 8000 bytes
        four = torch.cat([twice, twice])  # and 16000
        del twice
        torch.cat([four[:10], four[:10]])  # and 80, when the 8000 are given back

    assert peak_growth(run) == 24000
    assert peak_growth(lambda: None) == 0


def test_what_is_held_between_steps() -> None:
    net, images = _small()
    weights = 4 * (3 * 5 + 5 + 5 * 3 + 3)
    assert held_bytes(net, images, images[0]) == weights + 4 * 2 * 3 * 7 * 7
    optimizer = torch.optim.SGD(net.parameters(), momentum=0.9)
    net(images).sum().backward()
    optimizer.step()
    assert held_bytes(net, optimizer=optimizer) == 2 * weights


@pytest.mark.parametrize("boundary", ["wrap", "zero", "replicate"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_literal_version_is_the_same_function(boundary: str, layout: torch.memory_format) -> None:
    mechanism = create_mechanism("m2a", channels=19, reduction=3, boundary=boundary)
    literal = LiteralM2A(mechanism.reduce, mechanism.expand, boundary=boundary)
    frames = torch.randn(2 * 5, 19, 7, 11).to(memory_format=layout)
    outcomes = []
    for module in (mechanism, literal):
        module.zero_grad()
        x = frames.clone(memory_format=torch.preserve_format).requires_grad_()
        out = module(x.unflatten(0, (2, 5)))
        (out * torch.arange(out.numel()).view_as(out).sin()).sum().backward()
        outcomes.append([out.detach(), x.grad, *(p.grad.clone() for p in mechanism.parameters())])
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_a_network_is_made_literal_and_computes_the_same() -> None:
    fast, literal = build("m2a", TINY), build(LITERAL, TINY)
    assert not any(isinstance(module, LiteralM2A) for module in fast.modules())
    assert sum(isinstance(module, LiteralM2A) for module in literal.modules()) == len(fast.insertion.sites)
    assert list(fast.state_dict()) == list(literal.state_dict())
    clips = torch.randn(2, 3, 3, 32, 32)
    torch.testing.assert_close(fast.eval()(clips), literal.eval()(clips), atol=1e-5, rtol=1e-5)


def test_what_cannot_be_made_literal() -> None:
    with pytest.raises(ConfigError, match=r'This VideoClassifier carries no "m2a"; insert it first'):
        make_literal(build("tsm", TINY))
    for option in ({"init": "identity"}, {"direction": "unidirectional"}, {"inner_skip": "none"}):
        net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3))
        insert(net, "m2a", num_frames=2, where=["1"], **option)
        with pytest.raises(ConfigError, match=r'Only "m2a" itself, with init="paper"'):
            make_literal(net)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repeats": 0}, r"repeats=0: these must be at least 1"),
        ({"size": 0, "batch_size": -1}, r"size=0, batch_size=-1: these"),
        ({"num_frames": 1}, r"num_frames must be at least 2 to see motion; got 1"),
        ({"precision": "16"}, r"precision must be one of 32, bf16; got '16'"),
        ({"device": "gpus"}, r"device='gpus' cannot be used: torch knows none"),
        ({"device": "meta"}, r"device='meta' cannot be used: .*This machine has cpu"),
    ],
)
def test_settings_that_cannot_work(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BenchSettings(**change)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"device='cuda' cannot be used: .*leave it out\. m2a doctor"):
        BenchSettings(device="cuda")


def test_rows_of_every_mechanism_and_task() -> None:
    rows = list(measure_models(["none", "m2a", LITERAL], TINY))
    assert [(row.task, row.mechanism) for row in rows] == [
        (task, name) for task in ("inference", "training") for name in ("none", "m2a", LITERAL)
    ]
    assert {len(row.pair.seconds) for row in rows} == {TINY.repeats}
    none, m2a, literal = rows[3:]
    assert none.memory == none.bare_memory == m2a.bare_memory
    assert none.memory.saved < m2a.memory.saved < literal.memory.saved
    assert none.memory_ratio == 1 < m2a.memory_ratio
    assert all(row.memory.saved < row.memory.peak for row in rows)
    told = m2a.to_dict()
    assert told["clips_per_second"] == pytest.approx(TINY.batch_size * 1000 / told["p50_ms"])
    assert "saved_bytes" not in rows[0].to_dict()
    json.dumps([row.to_dict() for row in rows])


def test_a_wrong_mechanism_is_named_before_anything_is_measured() -> None:
    with pytest.raises(SpecError, match=r"m2b"):
        next(measure_models(["none", "m2b"], TINY))


def test_a_training_step_trains_and_leaves_no_gradients() -> None:
    subject = Subject("m2a", "training", TINY)
    assert subject.model.training
    before = [parameter.detach().clone() for parameter in subject.model.parameters()]
    subject()
    after = list(subject.model.parameters())
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert all(parameter.grad is None for parameter in after)
    assert all(torch.isfinite(parameter).all() for parameter in after)


def test_inference_changes_nothing() -> None:
    subject = Subject("tsm", "inference", TINY)
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    subject()
    assert all(torch.equal(value, before[name]) for name, value in subject.model.state_dict().items())


@pytest.mark.parametrize("channels_last", [True, False])
def test_layout_and_precision_are_what_was_asked_for(channels_last: bool) -> None:
    plain = {"backbone": "test_resnet", "size": 32, "num_frames": 3, "channels_last": channels_last}
    subject = Subject("m2a", "inference", BenchSettings(**plain, precision="bf16"))
    kernel = next(p for p in subject.model.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1)
    assert kernel.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert subject.clips.flatten(0, 1).is_contiguous(memory_format=torch.channels_last) == channels_last
    with subject.precision():
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
    subject()
    with Subject("none", "inference", BenchSettings(**plain)).precision():
        assert not torch.is_autocast_enabled("cpu")


def test_compiled_is_compiled() -> None:
    settings = BenchSettings(backbone="test_resnet", size=32, compile=True)
    subject = Subject("none", "inference", settings)
    assert isinstance(subject.program, torch._dynamo.eval_frame.OptimizedModule)
    assert subject.program._orig_mod is subject.model


def test_what_a_site_must_move_and_multiply() -> None:
    moved, macs = site_cost(torch.empty(2, 5, 16, 7, 11), 2)
    places = 2 * 5 * 7 * 11
    assert moved == 4 * places * (16 + 2 + 2 + 2 + 16 + 16)
    convolutions = places * 2 * 16 * 2
    gram_and_mix = 2 * (2 * 5 * 5 * (2 * 7 * 11))
    assert macs == convolutions + gram_and_mix
    assert site_cost(torch.empty(2, 5, 16, 7, 11, dtype=torch.bfloat16), 2) == (moved // 2, macs)


def test_the_roofline_has_every_site() -> None:
    found = measure_roofline(TINY)
    assert [site.site for site in found.sites] == build("m2a", TINY).insertion.sites
    assert all(site.bound_ms > 0 < site.mechanism_ms for site in found.sites)
    assert all(site.copy_rate >= found.copy_rate for site in found.sites)
    assert found.bound_ms == pytest.approx(sum(site.bound_ms for site in found.sites))
    for site in found.sites:
        slower = max(site.moved_bytes / site.copy_rate, site.macs / found.mac_rate)
        assert site.bound_ms == pytest.approx(1000 * slower)


def test_growth_is_in_proportion() -> None:
    points = list(measure_growth("m2a", TINY, {"num_frames": (2, 4), "batch_size": (1, 3)}))
    assert [(point.axis, point.value) for point in points] == [
        ("num_frames", 2), ("num_frames", 4), ("batch_size", 1), ("batch_size", 3),
    ]  # fmt: skip
    saved = [point.training.memory.saved for point in points]
    assert saved[1] == pytest.approx(2 * saved[0], rel=0.02)
    assert saved[3] == pytest.approx(3 * saved[2], rel=0.02)
    assert [point.training.task for point in points] == ["training"] * 4
    assert [point.inference.task for point in points] == ["inference"] * 4
    assert points[0].to_dict()["training"]["saved_bytes"] == saved[0]


def test_one_mechanism_alone() -> None:
    row = measure_model("tsm", "inference", TINY)
    assert (row.mechanism, row.memory.saved) == ("tsm", 0)


def test_the_picture_of_growth(tmp_path: Path) -> None:
    line = {"value": [2.0, 4.0], "bare_ms": [1.0, 2.0], "ms": [1.5, 3.0], "ms_ratio": [1.5, 1.5]}
    line |= {"bare_mib": [1.0, 2.0], "mib": [2.0, 4.0], "mib_ratio": [2.0, 2.0]}
    write_growth(tmp_path / "a.png", {"num_frames": line, "size": line}, mechanism="m2a", title="a network")
    write_growth(tmp_path / "b.png", {"num_frames": line}, mechanism="m2a", title="a network")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "b.png").stat().st_size > 5000
