"""Inflation: a ResNet for images made a 3D network, with its image weights (Carreira, Zisserman: "Quo Vadis, Action
Recognition?", section 2.4; the I3D-ResNet of M2A's Table III).

    w3[:, :, k] = w2 / K,   k = 1 .. K          K = 3 where the image kernel is larger than 1 x 1, else 1

so that a still clip gives the image network's features, away from the clip's ends (where the convolutions meet zeros).
Inside the four stages time is strided wherever space is: T, T, T/2, T/4, T/8 frames, rounded up. In the stem it is not.

Shapes: B clips, T frames, C channels, H, W; S frames that are left at the end, F features.

Differs from the released code in: the division by K, which the released code leaves out; the clip, which is transposed
to (B, 3, T, H, W), where the released code views T-major data in that shape and so scrambles colour and time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers.adaptive_avgmax_pool import SelectAdaptivePool2d
from timm.layers.conv_bn_act import ConvNormAct
from timm.layers.drop import DropPath
from timm.layers.selective_kernel import SelectiveKernel
from timm.models.res2net import Bottle2neck
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from timm.models.sknet import SelectiveKernelBasic, SelectiveKernelBottleneck
from torch import Tensor, nn

from m2a.errors import ConfigError
from m2a.insertion import get_num_frames

_KERNEL = 3  # K of every kernel larger than 1 x 1
_BLOCKS = (BasicBlock, Bottleneck, Bottle2neck, SelectiveKernelBasic, SelectiveKernelBottleneck)
_INSIDE = (*_BLOCKS, nn.Sequential, nn.ModuleList, ConvNormAct, SelectiveKernel)  # their forward takes any axes
_ANY_AXES = (nn.Identity, nn.Dropout, DropPath)
_ACTIVATIONS = ("torch.nn.modules.activation", "timm.layers.activations", "timm.layers.activations_me")


def inflate(network: nn.Module) -> Any:
    """Makes one of timm's ResNets a 3D network, in place, and returns it: `(B, 3, T, H, W) -> (B, num_features)`, or
    `(B, num_classes)` with a classifier.

    Modules and parameters keep their names, device, dtype, training mode and `requires_grad`; biases and norms are the
    same tensors as before, kernels are new ones. So load image weights before, make the optimiser after, and register
    hooks after. Layers that have no 3D twin (squeeze-and-excitation, blur pooling, ...) run frame by frame.

    Raises ConfigError, and changes nothing, for a network that is no timm ResNet, has a layer that cannot be inflated,
    is inflated already, or carries mechanisms.
    """
    if is_inflated(network):
        raise ConfigError("This network is inflated already, and takes (B, 3, T, H, W). Inflate it once.")
    if type(network) is not ResNet:
        raise ConfigError(
            f"Only timm's ResNets can be inflated (resnet18, resnet50d, seresnet50, res2net50d, ...); got a "
            f"{type(network).__module__}.{type(network).__name__}. Take one of those, or stay with 2D."
        )
    if get_num_frames(network) is not None:
        raise ConfigError(
            "This ResNet carries mechanisms, which were made for its 2D layers. Inflate first and insert afterwards; "
            "m2a.remove(network) takes them out."
        )
    layers = list(_layers(network))
    for name, layer in layers:
        network.set_submodule(name, _inflated(layer, strides=name.startswith("layer")))
    network.__class__ = InflatedResNet
    network.global_pool = _clip_pool(network.global_pool)
    return network


def is_inflated(network: nn.Module) -> bool:
    """Whether `inflate` has made `network`."""
    return isinstance(network, InflatedResNet)


def gives_frames(network: nn.Module) -> bool:
    """Whether `network`, called with `frames=True`, gives an inflated network's `frame_features`: that network itself,
    or what passes calls on to it, as torch.compile, DataParallel and the like do."""
    if is_inflated(network):
        return True
    inside = getattr(network, "_orig_mod", getattr(network, "module", None))
    keywords = any(given.kind is given.VAR_KEYWORD for given in signature(network.forward).parameters.values())
    return keywords and isinstance(inside, nn.Module) and gives_frames(inside)


class InflatedResNet(ResNet):
    """timm's ResNet with 3D layers: `(B, C, T, H, W) -> (B, F)`, or `(B, num_classes)`. `inflate` makes it."""

    def forward(self, x_BCTHW: Tensor, *, frames: bool = False) -> Tensor:
        """As timm's; with `frames` it gives `frame_features`, also through what wraps the network and calls it."""
        return self.frame_features(x_BCTHW) if frames else super().forward(x_BCTHW)

    def frame_features(self, x_BCTHW: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B S F"]:
        """Pooled features of each of the S frames that are left; the classifier is left out."""
        features_BSF = self.global_pool.frames(self.forward_features(x_BCTHW))
        return F.dropout(features_BSF, p=float(self.drop_rate), training=self.training)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """As timm's, which puts a 2D pooling in; ours takes its place."""
        super().reset_classifier(num_classes, global_pool)
        self.global_pool = _clip_pool(self.global_pool)


class ClipPool(SelectAdaptivePool2d):
    """timm's pooling over each frame's H and W, then the mean over frames: `(B, C, T, H, W) -> (B, F)`. Of type "" it
    passes its input through."""

    def forward(self, x_BCTHW: Float[Tensor, "B C T H W"]) -> Tensor:
        return x_BCTHW if self.is_identity() else self.frames(x_BCTHW).mean(1)

    def frames(self, x_BCTHW: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B T F"]:
        """Without the mean over frames."""
        x_BTCHW = x_BCTHW.transpose(1, 2)
        return super().forward(x_BTCHW.flatten(0, 1)).unflatten(0, x_BTCHW.shape[:2])


def _clip_pool(pool: SelectAdaptivePool2d) -> ClipPool:
    return ClipPool(pool_type=pool.pool_type, flatten=bool(pool.pool_type)).train(pool.training)


class TimePool(nn.AvgPool2d):
    """The average over time that belongs to a 2D average pooling: `(B, C, T, H, W) -> (B, C, ceil(T / stride), H, W)`.
    Frames that the clip does not have are not counted. (torch's AvgPool3d refuses clips shorter than its kernel.)"""

    def __init__(self, pool: nn.AvgPool2d):
        kernel, stride, padding = (_pair(value)[0] for value in (pool.kernel_size, pool.stride, pool.padding))
        super().__init__((kernel, 1), (stride, 1), (padding, 0), ceil_mode=padding == 0, count_include_pad=False)

    def forward(self, x_BCTHW: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B C S H W"]:
        return super().forward(x_BCTHW.flatten(3)).unflatten(3, x_BCTHW.shape[3:])


class PerFrame:
    """Put in front of the class of a 2D layer: folds time into the batch, runs the layer as it was, unfolds. The layer
    stays the same object with the same keys; only its class changes, to one made by `_per_frame_class`.

    frame_stride: of how many frames one is kept.
    """

    frame_stride: int

    def forward(self, x_BCTHW: Float[Tensor, "B *C T H W"]) -> Tensor:
        x_BTCHW = x_BCTHW[..., :: self.frame_stride, :, :].movedim(-3, 1)
        frames_NCHW = super().forward(x_BTCHW.flatten(0, 1))  # type: ignore[misc]
        return frames_NCHW.unflatten(0, x_BTCHW.shape[:2]).movedim(1, -3)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickles and deep copies name the 2D class, for ours is made at run time."""
        return _new_per_frame, (type(self).__bases__[1],), *super().__reduce_ex__(protocol)[2:]


@cache
def _per_frame_class(kind: Any) -> Any:  # kind: a class of 2D layers
    return type(f"PerFrame{kind.__name__}", (PerFrame, kind), {"__module__": __name__, "__doc__": PerFrame.__doc__})


def _per_frame(layer: Any, frame_stride: int) -> nn.Module:
    kind: Any = type(layer)
    layer.__class__ = _per_frame_class(kind)
    layer.frame_stride = frame_stride
    return layer


def _new_per_frame(kind: Any) -> Any:
    layer_class = _per_frame_class(kind)
    return layer_class.__new__(layer_class)


def _layers(network: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers that 3D ones take the place of, by name. Raises ConfigError for one that cannot be inflated."""
    for child_name, layer in network.named_children():
        name = prefix + child_name
        if name in ("global_pool", "fc"):
            continue
        if prefix.startswith("layer") and prefix.count(".") == 1 and not isinstance(layer, _BLOCKS):
            known = ", ".join(block.__name__ for block in _BLOCKS)
            raise ConfigError(
                f"{name!r} is a {type(layer).__name__}; ResNets of these blocks can be inflated: {known}. Take another "
                "ResNet, or stay with 2D."
            )
        if isinstance(layer, _INSIDE):
            yield from _layers(layer, f"{name}.")
        elif isinstance(layer, nn.Conv2d) and (type(layer) is not nn.Conv2d or isinstance(layer.padding, str)):
            raise ConfigError(
                f"{name!r} is a {type(layer).__name__} with padding={layer.padding!r}; only a plain nn.Conv2d, padded "
                "by numbers, can be inflated. Build the network without weight standardisation, parametrisation and "
                "SAME padding, or stay with 2D."
            )
        elif not isinstance(layer, _ANY_AXES) and type(layer).__module__ not in _ACTIVATIONS:
            yield name, layer


def _inflated(layer: Any, *, strides: bool) -> nn.Module:
    """The 3D twin of one layer; with `strides` it strides time where it strides space."""
    kind = type(layer)
    if kind is nn.Conv2d:
        return _conv(layer, strides)
    if kind is nn.BatchNorm2d:
        return _batch_norm(layer)
    if kind is nn.MaxPool2d:
        return _max_pool(layer, strides)
    if kind is nn.AvgPool2d and _frame_stride(layer, strides) > 1:
        return nn.Sequential(_per_frame(layer, 1), TimePool(layer)).train(layer.training)
    return _per_frame(layer, _frame_stride(layer, strides))


def _frame_stride(layer: Any, strides: bool) -> int:
    return max(_pair(getattr(layer, "stride", 1))) if strides else 1


class InflatedConv3d(nn.Conv3d):
    """On a CPU in bfloat16, torch (2.15) is wrong about kernels over three frames where maps are, or become, a single
    row or column, and its gradient also where zeros are padded to two frames: places are never written, or writes go
    where they must not, so that outputs are NaN or the process crashes (which of these depends on the processor). So
    thin maps run in 32 bits, and the zeros around two frames are put there first. The last stages of a clip of 8 or 16
    frames have two frames, and of one of 32 pixels maps of one."""

    def forward(self, x_BCTHW: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B D S I J"]:
        time, height, width = (int(size) for size in self.padding)
        if not (_is_rounded(x_BCTHW) and time and self.padding_mode == "zeros"):
            return super().forward(x_BCTHW)
        if self._is_thin(x_BCTHW):
            return self._in_32_bits(x_BCTHW)
        if x_BCTHW.shape[2] != 2 or not torch.is_grad_enabled():
            return super().forward(x_BCTHW)
        x_BCTHW = F.pad(x_BCTHW, (0, 0, 0, 0, time, time))
        return F.conv3d(x_BCTHW, self.weight, self.bias, self.stride, (0, height, width), self.dilation, self.groups)

    def _is_thin(self, x_BCTHW: Tensor) -> bool:
        """Whether its maps are a single row or column, or those of its output are."""
        for side in (1, 2):
            size, padding = x_BCTHW.shape[2 + side], int(self.padding[side])
            beyond = size + 2 * padding - self.dilation[side] * (self.kernel_size[side] - 1) - 1
            if size == 1 or beyond // self.stride[side] == 0:
                return True
        return False

    def _in_32_bits(self, x_BCTHW: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.float()
        with torch.autocast("cpu", enabled=False):
            out = self._conv_forward(x_BCTHW.float(), self.weight.float(), bias)
        return out.to(_computed_in(x_BCTHW))


def _is_rounded(x: Tensor) -> bool:
    """Whether a convolution of `x` is computed on a CPU in fewer than 32 bits."""
    return x.device.type == "cpu" and _computed_in(x).itemsize < torch.float32.itemsize


def _computed_in(x: Tensor) -> torch.dtype:
    """The dtype in which a convolution of `x` on a CPU is computed."""
    cast = torch.is_autocast_enabled("cpu") and x.dtype != torch.float64
    return torch.get_autocast_dtype("cpu") if cast else x.dtype


def _conv(conv: Any, strides: bool) -> nn.Conv3d:
    depth = _KERNEL if max(conv.kernel_size) > 1 else 1
    new = InflatedConv3d(
        conv.in_channels,
        conv.out_channels,
        (depth, *conv.kernel_size),
        stride=(_frame_stride(conv, strides), *conv.stride),
        padding=(depth // 2, *conv.padding),
        dilation=(1, *conv.dilation),
        groups=conv.groups,
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
        device="meta",  # no memory, and no draws
    )
    with torch.no_grad():
        weight = (conv.weight / depth).unsqueeze(2).repeat(1, 1, depth, 1, 1)
    new.weight = nn.Parameter(weight, requires_grad=conv.weight.requires_grad)
    new.bias = conv.bias
    return new.train(conv.training)


def _batch_norm(norm: Any) -> nn.BatchNorm3d:
    new = nn.BatchNorm3d(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats, device="meta"
    )
    for name, tensor in (*norm.named_parameters(), *norm.named_buffers()):
        setattr(new, name, tensor)
    return new.train(norm.training)


def _max_pool(pool: Any, strides: bool) -> nn.Module:
    """Over H and W alone."""
    new = nn.MaxPool3d(
        (1, *_pair(pool.kernel_size)),
        stride=(_frame_stride(pool, strides), *_pair(pool.stride)),
        padding=(0, *_pair(pool.padding)),
        dilation=(1, *_pair(pool.dilation)),
        ceil_mode=pool.ceil_mode,
    )
    return new.train(pool.training)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
