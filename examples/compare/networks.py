"""Two small networks for images of some 32 pixels, of torchvision's parts: with batch norm, and a transformer.

usage: forgetkit train --plugin examples/compare/networks.py --model small-resnet …
"""

from functools import partial
from itertools import pairwise
from typing import Literal

from torch import nn
from torchvision.models import VisionTransformer
from torchvision.models.resnet import BasicBlock

from forgetkit.models import register_model


@register_model("small-resnet")
def small_resnet(
    *, in_channels: int, classes: int, width: int = 16, norm: Literal["batch", "group"] = "batch"
) -> nn.Module:
    """Build a ResNet of ten layers: a 3×3 convolution, four blocks of two, and a linear layer."""
    layer = nn.BatchNorm2d if norm == "batch" else partial(nn.GroupNorm, 8)
    widths = [width, width, 2 * width, 4 * width, 8 * width]
    stem = [nn.Conv2d(in_channels, width, 3, padding=1, bias=False), layer(width), nn.ReLU(), nn.MaxPool2d(2)]
    blocks = [_block(before, after, layer) for before, after in pairwise(widths)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, classes))


def _block(before: int, after: int, layer: partial[nn.Module] | type[nn.Module]) -> nn.Module:
    """Return a block of two convolutions; one that widens halves the image."""
    if before == after:
        return BasicBlock(before, after, norm_layer=layer)
    shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=2, bias=False), layer(after))
    return BasicBlock(before, after, stride=2, downsample=shortcut, norm_layer=layer)


@register_model("small-vit")
def small_vit(*, in_channels: int, image_size: tuple[int, int], classes: int, dropout: float = 0.0) -> nn.Module:
    """Build a vision transformer of four blocks, 64 wide, on square images cut into 4 × 4 patches."""
    size = {"image_size": image_size[0], "patch_size": image_size[0] // 4}
    depth = {"num_layers": 4, "num_heads": 4, "hidden_dim": 64, "mlp_dim": 128}
    model = VisionTransformer(**size, **depth, dropout=dropout, num_classes=classes)
    if in_channels != 3:
        model.conv_proj = nn.Conv2d(in_channels, 64, size["patch_size"], stride=size["patch_size"])
    return model
