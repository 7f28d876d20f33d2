"""Networks that behave as the sources' do and have their keys, written anew from the papers, a frame at a time where
that is plainest. Only evaluation matters: what they give is compared with what the imported model gives.

Shapes: clips (B, T, 3, H, W); features are folded, (B * T, C, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

CLASSES = 5
FRAMES = 4


class Consensus(nn.Module):
    """A network on every frame, a head, the mean over frames. The network's own classifier gives way to `new_fc`."""

    def __init__(self, base_model: nn.Module, classifier: str = "fc", *, dropout: bool = True):
        super().__init__()
        self.base_model = base_model
        width = getattr(base_model, classifier).in_features
        setattr(base_model, classifier, nn.Dropout(0.5) if dropout else nn.Linear(width, CLASSES))
        self.new_fc = nn.Linear(width, CLASSES) if dropout else None

    def forward(self, clips: Tensor) -> Tensor:
        features = self.base_model(clips.flatten(0, 1))
        scores = features if self.new_fc is None else self.new_fc(features)
        return scores.unflatten(0, clips.shape[:2]).mean(1)


class Shift(nn.Module):
    """TSM: an eighth of the channels from the next frame, an eighth from the one before."""

    def __init__(self, net: nn.Module, frames: int = FRAMES):
        super().__init__()
        self.net = net
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        clip = x.view(-1, self.frames, *x.shape[1:])
        eighth = x.shape[1] // 8
        moved = clip.clone()
        moved[:, :, : 2 * eighth] = 0
        moved[:, :-1, :eighth] = clip[:, 1:, :eighth]
        moved[:, 1:, eighth : 2 * eighth] = clip[:, :-1, eighth : 2 * eighth]
        return self.net(moved.view_as(x))


class FramesApart(nn.Module):
    """M2A's inside: layer norm, difference to the next frame (zeros after the last), attention over frames, skip."""

    def __init__(self, frames: int = FRAMES, *, motion: bool = True, attention: bool = True):
        super().__init__()
        self.frames = frames
        self.motion = motion
        self.attention = attention

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([self.clip(list(clip)) for clip in z.split(self.frames)])

    def clip(self, frames: list[Tensor]) -> Tensor:
        tokens = [F.layer_norm(frame, frame.shape) if self.attention else frame for frame in frames]
        if self.motion:
            following = [*tokens[1:], torch.zeros_like(tokens[0])]
            tokens = [after - now for now, after in zip(tokens, following, strict=True)]
        if not self.attention:
            return torch.stack(tokens)
        scale = math.sqrt(tokens[0].numel())
        mixed = []
        for query, skip in zip(tokens, frames, strict=True):
            weights = torch.stack([(query * key).sum() / scale for key in tokens]).softmax(0)
            mixed.append(sum(weight * value for weight, value in zip(weights, tokens, strict=True)) + skip)
        return torch.stack(mixed)


class Excitation(nn.Module):
    """TEA's motion as it stands inside M2A's gate."""

    def __init__(self, channels: int, frames: int = FRAMES):
        super().__init__()
        self.frames = frames
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.conv3 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        base = self.bn1(self.conv1(x))
        steps = torch.zeros_like(base)
        for index in range(len(base)):
            if (index + 1) % self.frames:
                steps[index] = self.conv2(base[index + 1 : index + 2])[0] - base[index]
        return self.bn3(self.conv3(steps))


class Difference(Excitation):
    """TDN's motion as it stands inside the released M2A's gate, where the backward direction, at full resolution, is
    made of the forward one."""

    def __init__(self, channels: int):
        super().__init__(channels)
        for scale in (2, 4):
            self.add_module(f"conv3_smallscale{scale}", nn.Conv2d(channels, channels, 3, padding=1, bias=False))
            self.add_module(f"bn3_smallscale{scale}", nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        base = self.bn1(self.conv1(x))
        ahead, behind = torch.zeros_like(base), torch.zeros_like(base)
        for index in range(len(base)):
            if (index + 1) % self.frames:
                ahead[index] = self.conv2(base[index + 1 : index + 2])[0] - base[index]
            if index % self.frames:
                behind[index] = self.conv2(base[index - 1 : index])[0] - base[index]
        full = self.scaled(4, ahead)
        return (self.squashed(ahead, full) + self.squashed(behind, self.scaled(4, full))) / 2

    def scaled(self, scale: int, x: Tensor) -> Tensor:
        conv, norm = self.get_submodule(f"conv3_smallscale{scale}"), self.get_submodule(f"bn3_smallscale{scale}")
        return norm(conv(x))

    def squashed(self, x: Tensor, full: Tensor) -> Tensor:
        half = F.interpolate(self.scaled(2, F.avg_pool2d(x, 2)), x.shape[2:])
        return self.bn3(self.conv3((x + half + full) / 3)).sigmoid() - 0.5


class Adaptive(nn.Module):
    """TAM: each channel's own kernel over time, after weights for each frame."""

    def __init__(self, channels: int, inner: int, frames: int = FRAMES):
        super().__init__()
        self.frames = frames
        self.G = nn.Sequential(
            nn.Linear(frames, 2 * frames, bias=False), nn.BatchNorm1d(2 * frames), nn.ReLU(),
            nn.Linear(2 * frames, 3, bias=False), nn.Softmax(-1),
        )  # fmt: skip
        self.L = nn.Sequential(
            nn.Conv1d(channels, inner, 3, padding=1, bias=False), nn.BatchNorm1d(inner), nn.ReLU(),
            nn.Conv1d(inner, channels, 1, bias=False), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        for start in range(0, len(x), self.frames):
            clip = x[start : start + self.frames]
            pooled = clip.mean((2, 3)).T  # channels, frames
            kernels = self.G(pooled)
            weighted = clip * self.L(pooled[None])[0].T[:, :, None, None]
            for now in range(self.frames):
                for tap in (-1, 0, 1):
                    if 0 <= now + tap < self.frames:
                        out[start + now] += kernels[:, tap + 1, None, None] * weighted[now + tap]
        return out


class MotionThenTam(nn.Module):
    """TEA's motion and TAM, with the norm in front and the skip around."""

    def __init__(self, channels: int):
        super().__init__()
        self.motion_mod = Excitation(channels)
        self.attn = Adaptive(channels, channels)

    def forward(self, z: Tensor) -> Tensor:
        return self.attn(self.motion_mod(F.layer_norm(z, z.shape[1:]))) + z


class Gate(nn.Module):
    """M2A's gate around a module on an eighth of the channels."""

    def __init__(self, channels: int, inside: Callable[[int], nn.Module] = lambda _: FramesApart()):
        super().__init__()
        self.conv_down = nn.Conv2d(channels, channels // 8, 1)
        self.modules_list = nn.ModuleList([inside(channels // 8)])
        self.conv_up = nn.Conv2d(channels // 8, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + self.conv_up(self.modules_list[0](self.conv_down(x))).sigmoid())


def shifted_resnet(network: nn.Module) -> nn.Module:
    """TSM in front of the first convolution of every block, or of every second one in a deep network."""
    step = 2 if len(network.layer3) >= 23 else 1  # type: ignore[arg-type]
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in stage[::step]:  # type: ignore[index]
            block.conv1 = Shift(block.conv1)
    return network


def gated_resnet(inside: Callable[[int], nn.Module] = lambda _: FramesApart(), *, tsm: bool = False) -> nn.Module:
    network = torchvision.models.resnet18()
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in stage:
            shift = [Shift(nn.Sequential())] if tsm else []
            block.conv1 = nn.Sequential(Gate(block.conv1.in_channels, inside), *shift, block.conv1)
    return network


class AdaptiveBlock(nn.Module):
    """A bottleneck with TAM in front of its second convolution."""

    def __init__(self, net: Any):
        super().__init__()
        self.net = net
        self.tam = Adaptive(net.conv1.out_channels, net.conv1.out_channels // 4)

    def forward(self, x: Tensor) -> Tensor:
        net = self.net
        out = self.tam(net.bn1(net.conv1(x)).relu())
        out = net.bn3(net.conv3(net.bn2(net.conv2(out)).relu()))
        return (out + (net.downsample(x) if net.downsample is not None else x)).relu()


def adaptive_resnet50() -> nn.Module:
    network = torchvision.models.resnet50()
    for name in ("layer1", "layer2", "layer3", "layer4"):
        setattr(network, name, nn.Sequential(*map(AdaptiveBlock, getattr(network, name))))
    return network


class Inverted(nn.Module):
    """MobileNetV2's block, in one sequence."""

    def __init__(self, inner: int, outer: int, stride: int, ratio: int):
        super().__init__()
        self.skip = stride == 1 and inner == outer
        wide = inner * ratio
        expand = [nn.Conv2d(inner, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()] if ratio > 1 else []
        self.conv = nn.Sequential(
            *expand,
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, outer, 1, bias=False), nn.BatchNorm2d(outer),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + (x if self.skip else 0)


class MobileNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6())]
        inner = 32
        rows = [
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ]
        for ratio, outer, count, stride in rows:
            for index in range(count):
                layers.append(Inverted(inner, outer, stride if index == 0 else 1, ratio))
                inner = outer
        layers.append(nn.Sequential(nn.Conv2d(inner, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6()))
        self.features = nn.Sequential(*layers)
        self.classifier: nn.Module = nn.Linear(1280, 1000)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


def mobilenet(wrap: Callable[[nn.Conv2d], nn.Module]) -> nn.Module:
    """With something at the first convolution of the expanding blocks that have a skip."""
    network = MobileNet()
    for block in network.features:
        if isinstance(block, Inverted) and block.skip and len(block.conv) == 8:
            block.conv[0] = wrap(block.conv[0])
    return network


class ScaleBlock(nn.Module):
    """Res2Net's block, 26 channels wide and 4 branches, holding TEA's two parts without using them."""

    def __init__(self, inner: int, planes: int, stride: int, first: bool):
        super().__init__()
        self.width = planes * 26 // 64
        self.stride, self.first = stride, first
        wide = 4 * self.width
        self.conv1, self.bn1 = nn.Conv2d(inner, wide, 1, bias=False), nn.BatchNorm2d(wide)
        convs = [nn.Conv2d(self.width, self.width, 3, stride, 1, bias=False) for _ in range(3)]
        self.convs, self.bns = nn.ModuleList(convs), nn.ModuleList([nn.BatchNorm2d(self.width) for _ in range(3)])
        self.conv3, self.bn3 = nn.Conv2d(wide, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes)
        self.downsample = None
        if first:
            self.downsample = nn.Sequential(
                nn.Conv2d(inner, 4 * planes, 1, stride, bias=False), nn.BatchNorm2d(4 * planes)
            )
        self.me = Excitation(16)
        self.shifts = nn.ModuleList(
            [nn.ModuleDict({"conv": nn.Conv1d(8, 8, 3, groups=8, bias=False)}) for _ in range(4)]
        )

    def forward(self, x: Tensor) -> Tensor:
        branches = self.bn1(self.conv1(x)).relu().split(self.width, 1)
        outs: list[Tensor] = []
        for index, (conv, norm) in enumerate(zip(self.convs, self.bns, strict=True)):
            joined = branches[index] if self.first or index == 0 else branches[index] + outs[-1]
            outs.append(norm(conv(joined)).relu())
        outs.append(F.avg_pool2d(branches[3], 3, self.stride, 1) if self.first else branches[3])
        return (self.bn3(self.conv3(torch.cat(outs, 1))) + (self.downsample(x) if self.downsample else x)).relu()


class Res2Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inner = 64
        for stage, (planes, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=1):
            blocks = []
            for index in range(count):
                blocks.append(ScaleBlock(inner, planes, 2 if stage > 1 and index == 0 else 1, index == 0))
                inner = 4 * planes
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.fc: nn.Module = nn.Linear(inner, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


class DifferenceNet(nn.Module):
    """TDN's network: a ResNet-50 with biases under other names, holding its three parts without using them."""

    def __init__(self) -> None:
        super().__init__()
        image = torchvision.models.resnet50()
        for conv in [module for module in image.modules() if isinstance(module, nn.Conv2d)]:
            conv.bias = nn.Parameter(torch.randn(conv.out_channels))
        self.conv1, self.bn1 = image.conv1, image.bn1
        self.conv1_temp = nn.Conv2d(3, 64, 7)
        self.conv1_5 = nn.Sequential(nn.Conv2d(12, 64, 7, bias=False), nn.BatchNorm2d(64))
        self.resnext_layer1 = nn.Sequential(nn.ModuleDict({"conv1": nn.Conv2d(64, 64, 1), "bn1": nn.BatchNorm2d(64)}))
        self.layer1_bak, self.layer2_bak = image.layer1, image.layer2
        self.layer3_bak, self.layer4_bak = image.layer3, image.layer4
        for block in self.layer2_bak:
            block.mse = Excitation(8)
            block.shift = nn.ModuleDict({"conv": nn.Conv1d(8, 8, 3, groups=8, bias=False)})
        self.fc: nn.Module = image.fc

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        for stage in (self.layer1_bak, self.layer2_bak, self.layer3_bak, self.layer4_bak):
            x = stage(x)
        return self.fc(x.mean((2, 3)))


class ClipGate(nn.Module):
    """The gate in a 3D network: frames folded, and told how many there are."""

    def __init__(self, channels: int):
        super().__init__()
        self.m2a = Gate(channels)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[2]
        self.m2a.modules_list[0].frames = frames
        return self.m2a(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (-1, frames)).transpose(1, 2)


class ClipBlock(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int):
        super().__init__()
        conv = nn.Conv3d(inner, outer, 3, stride, 1, bias=False)
        self.conv1, self.bn1 = nn.Sequential(ClipGate(inner), conv), nn.BatchNorm3d(outer)
        self.conv2, self.bn2 = nn.Conv3d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm3d(outer)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv3d(inner, outer, 1, stride, bias=False), nn.BatchNorm3d(outer))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (out + (self.downsample(x) if self.downsample else x)).relu()


class ClipResNet(nn.Module):
    """A ResNet-18 over clips (B, 3, T, H, W), whose last three stages halve time too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        inner = 64
        for stage, outer in enumerate((64, 128, 256, 512), start=1):
            stride = 1 if stage == 1 else 2
            self.add_module(f"layer{stage}", nn.Sequential(ClipBlock(inner, outer, stride), ClipBlock(outer, outer, 1)))
            inner = outer
        self.fc = nn.Linear(512, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool3d(self.bn1(self.conv1(x)).relu(), (1, 3, 3), (1, 2, 2), (0, 1, 1))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(x.mean((3, 4)).transpose(1, 2)).mean(1)


class ClipModel(nn.Module):
    """The released I3D's outer module, given clips whose colour and time are where they belong. With `tam`, TAM for the
    number of frames that come to each block."""

    def __init__(self, *, tam: bool = False) -> None:
        super().__init__()
        self.model = ClipResNet()
        blocks = [block for block in self.modules() if isinstance(block, ClipBlock)]
        for block, frames in zip(blocks, (4, 4, 4, 2, 2, 1, 1, 1), strict=True):
            gate = block.conv1[0].m2a
            reduced = gate.conv_down.out_channels
            gate.modules_list[0] = Adaptive(reduced, reduced, frames) if tam else gate.modules_list[0]

    def forward(self, clips: Tensor) -> Tensor:
        return self.model(clips.transpose(1, 2))


def trained(network: nn.Module) -> nn.Module:
    """As after training: no norm is the identity, and the scores differ by more than rounding."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
        elif isinstance(module, nn.Linear) and module.out_features == CLASSES:
            nn.init.normal_(module.weight, std=0.05)
            nn.init.normal_(module.bias)
    return network.eval()


def save(network: nn.Module, path: Path, **extra: Any) -> Path:
    """The file that the sources' training writes."""
    parallel = nn.DataParallel(network)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1, momentum=0.9)
    content = {
        "epoch": 30,
        "arch": "resnet",
        "state_dict": parallel.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best_prec1": 12.3,
    }
    torch.save(content | extra, path)
    return path
