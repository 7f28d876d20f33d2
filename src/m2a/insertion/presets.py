"""Where the paper's mechanisms go in each family of image networks. Data, not code.

A preset names a residual block by its class, the layer inside it that opens the residual branch, and the condition
under which a block counts. The paper's sites: in front of the first convolution of each residual branch; in
MobileNetV2, of the expanding blocks that have a skip.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One kind of residual block."""

    block: str
    """Name of the block's class."""
    first_conv: str
    """Name, inside the block, of the first layer of its residual branch."""
    last_conv: str
    """Name, inside the block, of the last convolution of its residual branch; tells MobileNetV2's blocks apart."""
    when: str | None = None
    """Name of a boolean attribute of the block that must be true, such as having a skip."""
    when_reason: str = ""
    """What the report says of a block for which it is not."""


PRESETS: tuple[Preset, ...] = (
    Preset(block="BasicBlock", first_conv="conv1", last_conv="conv2"),  # resnet18, 34 (timm and torchvision)
    Preset(block="Bottleneck", first_conv="conv1", last_conv="conv3"),  # resnet50, 101, resnext, wide, ...
    Preset(
        block="InvertedResidual",  # mobilenetv2*
        first_conv="conv_pw",
        last_conv="conv_pwl",
        when="has_skip",
        when_reason="no skip around it",
    ),
)

LONG_STAGE = 23
"""From this many sites in a stage on (ResNet-101's third), every second one is taken, as TSM and M2A were released."""
