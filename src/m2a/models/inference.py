"""A copy of a classifier for prediction alone, whose batch norms are part of the convolutions in front of them."""

from __future__ import annotations

import copy
from collections import Counter
from contextlib import ExitStack
from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from m2a.insertion.trace import other_tensors
from m2a.models.classifier import VideoClassifier
from m2a.models.device import kind_of_input
from m2a.models.inflation import InflatedConv3d
from m2a.models.layout import to_channels_last

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, InflatedConv3d)  # themselves: a subclass may do anything
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, BatchNormAct2d)  # likewise


def for_inference(model: VideoClassifier, *, bf16: bool = False) -> VideoClassifier:
    """A copy in evaluation mode that gives the same scores, to rounding, with fewer passes over memory.

    A batch norm that is all that takes a convolution's output becomes part of the convolution's weights. Which those
    are is read off the autograd graph of one clip of noise, whatever the network's code looks like; where the features
    of that clip do not stay after all, as where a convolution's output is looked at detached, too, all norms stay.
    Weights are laid out channels last, in which convolutions are fastest.

    Args:
        bf16: the copy is for use under autocast to bfloat16: the weights of these convolutions are kept in it.
    """
    with torch.inference_mode(False):  # in it there is no graph to read
        folded = copied(model)
        if any(type(module) in _NORMS for module in folded.modules()) and not _fold_all(folded, bf16):
            folded = copied(model)
        to_channels_last(folded)
    return folded


def _fold_all(model: VideoClassifier, bf16: bool) -> bool:
    """Folds norms, in place; whether features stay."""
    trace, clip = _Trace(model), noise(model)
    expected = trace.run(clip)
    if bf16:
        trace = _Trace(model)
        with torch.autocast(clip.device.type, torch.bfloat16):
            trace.run(clip)
    folded = trace.fold()
    with torch.no_grad():
        found = model.frame_features(clip)
    for convolution in trace.low.intersection(folded):
        for parameter in convolution.parameters(recurse=False):
            parameter.data = parameter.data.to(torch.bfloat16)
    return _agree(found, expected)


def _agree(found: Tensor, expected: Tensor) -> bool:
    """Whether they are equal but for rounding; what is wrongly folded is far off."""
    share = 1e-3 if expected.dtype in (torch.float32, torch.float64) else 0.1
    return bool((found - expected).abs().max() <= share * expected.abs().max())


def copied(model: VideoClassifier) -> VideoClassifier:
    """In evaluation mode. Tensors that are computed from parameters, as those of pruned layers, are computed anew."""
    computed = {id(tensor): tensor.detach().clone() for tensor in other_tensors(model) if not tensor.is_leaf}
    return copy.deepcopy(model, computed).eval()


class _Trace:
    """What a forward pass does with the outputs of convolutions."""

    def __init__(self, model: VideoClassifier) -> None:
        self.model = model
        self.calls: Counter[nn.Module] = Counter()
        self.made: dict[Any, nn.Module] = {}
        """Convolutions by the node of the autograd graph that their output comes from."""
        self.taken: dict[nn.Module, Any] = {}
        """Of each batch norm the node that its input comes from."""
        self.uses: Counter[Any] = Counter()
        """How many operations take what a node gives."""
        self.low: set[nn.Module] = set()
        """Convolutions that ran under autocast."""

    def run(self, clip: Tensor) -> Tensor:
        """Runs the backbone, and returns its features."""
        with ExitStack() as stack, torch.enable_grad():
            for module in self.model.modules():
                if type(module) in _CONVOLUTIONS:
                    # the first hook of all: a mechanism behind the convolution makes another tensor of its output
                    stack.callback(module.register_forward_hook(self._after_convolution, prepend=True).remove)
                elif type(module) in _NORMS:
                    stack.callback(module.register_forward_pre_hook(self._before_norm).remove)
            features = self.model.frame_features(clip.requires_grad_())
        if features.grad_fn is None:  # the network runs without gradients, so that nothing is known
            self.taken.clear()
            return features.detach()
        found: set[Any] = {features.grad_fn}
        open_nodes = list(found)
        while open_nodes:
            for node, _ in open_nodes.pop().next_functions:
                self.uses[node] += 1
                if node is not None and node not in found:
                    found.add(node)
                    open_nodes.append(node)
        return features.detach()

    def _after_convolution(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self.calls[module] += 1
        self.made[output.grad_fn] = module
        if torch.is_autocast_enabled(output.device.type):
            self.low.add(module)

    def _before_norm(self, module: nn.Module, args: Any) -> None:
        self.calls[module] += 1
        if args:  # what is put in the place of a norm may not know the name by which that is called
            self.taken[module] = args[0].grad_fn

    def fold(self) -> list[nn.Module]:
        """Makes one of each convolution and the batch norm behind it, where both ran once; gives these convolutions."""
        names = {module: name for name, module in self.model.named_modules()}
        folded = []
        for norm, node in self.taken.items():
            convolution = self.made.get(node)
            if (
                node is None
                or convolution is None
                or self.uses[node] != 1
                or not _is_plain(norm)
                or _is_reparametrized(convolution)
            ):
                continue
            if self.calls[norm] == self.calls[convolution] == 1:
                _fold(convolution, norm)
                after = norm.act if isinstance(norm, BatchNormAct2d) else nn.Identity()
                self.model.set_submodule(names[norm], after)
                folded.append(convolution)
        return folded


def _is_plain(norm: nn.Module) -> bool:
    """Whether it does the same to every batch, and nothing is hooked onto it."""
    return norm.running_mean is not None and not norm._forward_hooks and not norm._forward_pre_hooks


def _is_reparametrized(layer: nn.Module) -> bool:
    """Whether its weights are computed from other parameters, as those of a pruned layer."""
    own = dict(layer.named_parameters(recurse=False))
    return any(name not in own and getattr(layer, name) is not None for name in ("weight", "bias"))


def _fold(convolution: Any, norm: Any) -> None:
    weights = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    convolution.weight, convolution.bias = (nn.Parameter(part.detach(), False) for part in weights)


def noise(model: VideoClassifier, clips: int = 1) -> Tensor:
    """Clips of the model's size, as it takes them."""
    (device, dtype), given = kind_of_input(model), model.preprocessing
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(clips, given.num_frames, len(given.mean), given.size, given.size, generator=generator)
    return noise.to(device, dtype)
