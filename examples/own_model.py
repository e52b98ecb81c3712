"""A model of your own in one file: forgetkit train --plugin examples/own_model.py --model tiny ..."""

from torch import nn

from forgetkit.models import register_model


@register_model("tiny")
def tiny(*, in_channels: int, image_size: tuple[int, int], classes: int, width: int = 16) -> nn.Module:
    """Build one convolution with batch norm, and a linear layer behind dropout."""
    block = [nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
    pixels = (image_size[0] // 2) * (image_size[1] // 2)
    return nn.Sequential(*block, nn.Flatten(), nn.Dropout(0.1), nn.Linear(width * pixels, classes))
