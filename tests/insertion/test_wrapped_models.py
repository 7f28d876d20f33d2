"""Compiled, scripted and wrapped models: a mechanism goes in before, and works inside; afterwards it is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import timm
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor
from toy_nets import TOYS, PlainNet

from m2a.errors import InsertionError, WrappedModelError
from m2a.insertion import get_num_frames, insert, remove, set_num_frames
from m2a.insertion.sites import Position
from m2a.models import VideoClassifier


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def resnet() -> nn.Module:
    return TOYS["resnet10t"].build()


def compiled() -> nn.Module:
    return torch.compile(resnet(), backend="eager")


def compiled_in_place() -> nn.Module:
    net = resnet()
    net.layer2.compile(backend="eager")
    return net


def traced() -> nn.Module:
    return torch.jit.trace(resnet(), torch.randn(2, 3, 32, 32))


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(5, 3), nn.ReLU(), nn.LazyConv2d(5, 3))


def in_data_parallel() -> nn.Module:
    return nn.DataParallel(resnet())


def sharded() -> nn.Module:
    return fully_shard(resnet(), mesh=init_device_mesh("cpu", (1,)))


def in_ddp() -> nn.Module:
    return nn.parallel.DistributedDataParallel(resnet())


REFUSED: list[tuple[Callable[[], nn.Module], str]] = [
    (compiled, r"This OptimizedModule cannot be changed: it is compiled, .*model\._orig_mod\), then compile\."),
    (compiled_in_place, r"This ResNet cannot be changed: its 'layer2' is compiled, and the compiled program would not"),
    (traced, r"TopLevelTracedModule, whose program cannot be changed any more\. Change .* first, then trace it, or"),
    (in_data_parallel, r"wrapped in DataParallel, which cuts a batch of frames in the middle of a clip\. .* wrap that"),
    (in_ddp, r"wrapped in DistributedDataParallel, which has made its list of parameters already\. Change the plain"),
    (sharded, r"wrapped in FSDP \(fully_shard\), which has made its list of parameters already\."),
    (lazy, r"has lazy layers: '0\.weight' has no shape yet\. Run the model once on a batch of images first\."),
]


@pytest.mark.usefixtures("one_process")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*", "ignore::torch.jit.TracerWarning", "ignore:.*[Ll]azy.*")
@pytest.mark.parametrize(("make", "message"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_what_cannot_be_changed_any_more(make: Callable[[], nn.Module], message: str) -> None:
    net = make()
    before = list(dict(net.named_modules()))
    with pytest.raises(WrappedModelError, match=message) as caught:
        insert(net, "m2a")
    assert isinstance(caught.value, InsertionError)
    assert list(dict(net.named_modules())) == before


@pytest.mark.filterwarnings("ignore:.*[Ll]azy.*")
def test_the_advice_for_lazy_layers_helps() -> None:
    net = lazy().eval()
    net(torch.randn(2, 3, 9, 9))
    assert insert(net, "m2a", where=["2"], num_frames=2).channels == [5]


def test_compiled_models_are_not_given_back_either() -> None:
    net = resnet()
    insert(net, "m2a", num_frames=3, reduction=2)
    with pytest.raises(WrappedModelError, match=r"it is compiled"):
        remove(torch.compile(net, backend="eager"))
    assert get_num_frames(net) == 3


@pytest.mark.usefixtures("as_users_run_it")
def test_a_program_compiled_afterwards_follows_the_clip_length() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 5, 3), nn.ReLU(), nn.Conv2d(5, 7, 3))
    x = torch.randn(6, 3, 32, 32)
    insert(net, "m2a", num_frames=3, reduction=2, where=["2", "4"])
    program = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(program(x), net(x))
    three = net(x)
    set_num_frames(program, 2)
    torch.testing.assert_close(program(x), net(x))
    assert float((net(x) - three).abs().max().detach()) > 1e-4


@pytest.mark.usefixtures("one_process", "as_users_run_it")
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_wrapped_afterwards_they_train(kind: str) -> None:
    net, clips = resnet(), torch.randn(2, 3, 3, 32, 32)
    insert(net, "m2a", num_frames=3, reduction=2)
    model = VideoClassifier(net, num_classes=5).eval()
    expected = model(clips).detach()
    expected_gradients = gradients(model, clips)
    if kind == "ddp":
        wrapped: nn.Module = nn.parallel.DistributedDataParallel(model)
    else:
        wrapped = fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    torch.testing.assert_close(wrapped(clips).detach(), expected)
    got = gradients(wrapped, clips)
    assert len(got) == len(expected_gradients)
    for one, other in zip(got, expected_gradients, strict=True):
        torch.testing.assert_close(one, other)


def gradients(model: nn.Module, clips: torch.Tensor) -> list[torch.Tensor]:
    model.zero_grad()
    model(clips).square().sum().backward()
    found = [p.grad for p in model.parameters()]
    return [(g.full_tensor() if hasattr(g, "full_tensor") else g).clone() for g in found]


def test_a_graph_of_torch_fx() -> None:
    net = PlainNet().eval()
    graph = torch.fx.symbolic_trace(net)
    assert insert(graph, "m2a", num_frames=3, reduction=3).sites == ["body.0"]
    assert graph(torch.randn(6, 3, 7, 5)).shape == (6, 5)


@pytest.mark.parametrize("position", ["before", "after"])
def test_features_that_torch_fx_takes_out(position: Position) -> None:
    """From a network whose sites are layers of torch's own, which are no part of the graph, and from another."""
    x = torch.randn(6, 3, 32, 32)
    net = resnet18().eval()
    insert(net, "m2a", num_frames=3, position=position)
    seen: list[torch.Tensor] = []
    net.layer3.register_forward_hook(lambda _, __, out: seen.append(out))
    net(x)
    torch.testing.assert_close(create_feature_extractor(net, ["layer3"])(x)["layer3"], seen[0])
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, embed_dim=12, depth=4, num_heads=3).eval()
    plain = create_feature_extractor(vit, ["blocks.3"])
    insert(vit, "m2a", num_frames=3, reduction=2, position=position)
    for extract in (torch.fx.symbolic_trace, lambda net: create_feature_extractor(net, ["blocks.3"])):
        with pytest.raises(
            WrappedModelError,
            match=r"torch\.fx, .* cannot follow the mechanism at 'blocks\.0\.norm1'\. Take features by forward hooks",
        ):
            extract(vit)
    assert insert(plain, "m2a", num_frames=3, reduction=2, position=position).sites  # as the message says
    assert plain(x)["blocks.3"].shape == (6, 5, 12)


class Adapted(nn.Module):
    """A layer with a low-rank branch beside it, as PEFT's LoRA has it."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.base_layer = layer
        self.a = nn.Conv2d(layer.in_channels, 2, layer.kernel_size, layer.stride, layer.padding, bias=False)
        self.b = nn.Conv2d(2, layer.out_channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base_layer(x) + self.b(self.a(x))


def test_layers_with_a_low_rank_branch_are_no_residual_blocks() -> None:
    net, x = resnet(), torch.randn(3, 3, 32, 32)
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        stage[0].conv1 = Adapted(stage[0].conv1)
    with pytest.raises(
        WrappedModelError,
        match=r"'layer1\.0\.conv1' of this ResNet is wrapped in an adapter, Adapted, which .* Insert into the plain "
        r"model first, then wrap it .* or name layers yourself with where=, such as \['layer1\.0\.conv1'\]\.",
    ):
        insert(net, "m2a", num_frames=3)
    assert get_num_frames(net) is None
    report = insert(net, "m2a", num_frames=3, reduction=2, where=r"layer\d\.0\.conv1")
    assert report.sites == [f"layer{stage}.0.conv1" for stage in range(1, 5)]
    net(x).sum().backward()


def test_a_branch_beside_a_layer_that_no_site_stands_at_is_fine() -> None:
    net = resnet()
    insert(net, "tsm", num_frames=3)
    plain = [name for name, module in net.named_modules() if hasattr(module, "mechanism")]
    net.layer1[0].conv1 = Adapted(net.layer1[0].conv1)  # first inserted, then wrapped
    assert len(plain) == 4
    net(torch.randn(3, 3, 32, 32)).sum().backward()
    remove(net)
    assert get_num_frames(net) is None
