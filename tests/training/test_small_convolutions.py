"""Strided convolutions of tiny inputs in bfloat16 on a CPU: their gradients are those of float32, run after run."""

import pytest
import torch
from torch import Tensor, nn

from forgetkit.training.classifier import Classifier
from forgetkit.training.small_convolutions import SmallConvolutionsInFloat32, _is_small


def gradient(layer: nn.Module, images: Tensor) -> Tensor:
    """Return the gradient of the layer's weight, with NaN in the memory that comes free."""
    layer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16), SmallConvolutionsInFloat32():
        out = layer(images)
    for size in (256, 4096, 65536):
        torch.full((size,), torch.nan)
    out.float().pow(2).sum().backward()  # type: ignore[no-untyped-call]
    found = layer.weight.grad
    assert isinstance(found, Tensor)
    return found.clone()


@pytest.mark.parametrize(
    ("kind", "kernel", "stride", "size"),
    [(nn.Conv2d, 3, 2, 1), (nn.Conv2d, 5, 3, 2), (nn.Conv2d, 3, 4, 3), (nn.Conv1d, 3, 2, 1), (nn.Conv3d, 3, 2, 1)],
)
def test_weights_that_meet_only_padding_have_no_gradient(
    kind: type[nn.Conv2d], kernel: int, stride: int, size: int
) -> None:
    torch.manual_seed(0)
    layer = kind(16, 32, kernel, stride=stride, padding=kernel // 2, bias=False)
    images = torch.randn(17, 16, *[size] * (layer.weight.ndim - 2))
    found = [gradient(layer, images) for _ in range(5)]
    assert all(torch.equal(one, found[0]) for one in found)
    layer.zero_grad()
    layer(images).pow(2).sum().backward()
    assert torch.equal(found[0], layer.weight.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "kernel", "options", "small"),
    [
        ((1, 1), 3, {"stride": 2}, True),
        ((1, 1), 3, {"stride": 1}, False),
        ((4, 4), 3, {"stride": (2, 2)}, True),
        ((5, 5), 3, {"stride": [2]}, False),
        ((9, 1), 3, {"stride": (2, 1)}, False),
        ((9, 1), 3, {"stride": (1, 2)}, True),
        ((6, 6), 3, {"stride": 2, "dilation": 2}, True),
        ((32, 32), 4, {"stride": 4}, False),
    ],
)
def test_which_convolutions_are_small(size: tuple[int, int], kernel: int, options: dict[str, int], small: bool) -> None:
    images, weight = torch.zeros(2, 3, *size), torch.zeros(4, 3, kernel, kernel)
    assert _is_small(images, weight, **options) is small


def test_a_network_whose_last_stage_sees_one_pixel_trains_alike_each_time() -> None:
    layers = nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU()
    torch.manual_seed(0)
    net = nn.Sequential(*layers, nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 2, 1), nn.Flatten())
    model, images = Classifier(net, mean=[0.0], std=[1.0], precision="bfloat16"), torch.randn(32, 1, 8, 8)
    found = []
    for _ in range(5):
        model.zero_grad()
        model(images).logsumexp(1).sum().backward()
        found.append(torch.cat([one.grad.flatten() for one in net.parameters() if one.grad is not None]))
    assert all(torch.equal(one, found[0]) for one in found)
    assert found[0].isfinite().all()


def test_a_convolution_whose_tensors_are_named_is_computed_in_float32_too() -> None:
    images, weight = torch.randn(2, 3, 1, 1), torch.randn(4, 3, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16), SmallConvolutionsInFloat32():
        found = nn.functional.conv2d(input=images, weight=weight, stride=2, padding=1)
    assert found.dtype == torch.float32
