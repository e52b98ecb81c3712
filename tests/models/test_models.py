"""The built-in models, torchvision's, and the errors of those that do not fit."""

import hashlib
from collections.abc import Iterator
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError
from forgetkit.models.build import MODELS, build_model, check_fit, find_factory, register_model, resolve_options

CONVNET = ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "fc.weight", "fc.bias"]
Shape = tuple[int, int, int]


def build(name: str, shape: Shape, classes: int = 7, seed: int = 0, **given: object) -> nn.Module:
    """Build a model as the commands do, checked."""
    model = build_model(name, resolve_options(name, given), shape=shape, classes=classes, seed=seed)
    check_fit(model, name, shape=shape, classes=classes)
    return model


def logits(model: nn.Module, shape: Shape) -> Tensor:
    """Return the logits of three images."""
    with torch.no_grad():
        found: Tensor = model.eval()(torch.rand(3, *shape))
    return found


def refusal(name: str, shape: Shape, **given: object) -> ForgetkitError:
    """Return the error of a model that does not fit; its message is one line."""
    with pytest.raises(ForgetkitError) as caught:
        build(name, shape, **given)
    assert caught.value.status == 2
    assert "\n" not in caught.value.message
    return caught.value


@pytest.fixture
def registered() -> Iterator[None]:
    """Take the models that a test registers out again."""
    before = dict(MODELS._entries)
    yield
    MODELS._entries.clear()
    MODELS._entries.update(before)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(4, 4), (8, 8), (28, 28), (32, 32), (33, 21)])
def test_convnet_takes_images_of_any_size(channels: int, size: tuple[int, int]) -> None:
    model = build("convnet", (channels, *size))
    assert [name for name, _ in model.named_parameters()] == CONVNET
    assert model.conv1.weight.shape == (32, channels, 3, 3)
    assert model.fc.weight.shape == (7, 64 * (size[0] // 4) * (size[1] // 4))
    assert logits(model, (channels, *size)).shape == (3, 7)


def test_convnet_is_the_papers_network() -> None:
    model, images = build("convnet", (1, 8, 8)), torch.randn(5, 1, 8, 8)
    hidden = nn.MaxPool2d(2)(nn.ReLU()(nn.functional.conv2d(images, *model.conv1.parameters(), padding=1)))
    hidden = nn.MaxPool2d(2)(nn.ReLU()(nn.functional.conv2d(hidden, *model.conv2.parameters(), padding=1)))
    assert torch.equal(model(images), model.fc(hidden.flatten(1)))


@pytest.mark.parametrize("shape", [(1, 3, 8), (1, 8, 3)])
def test_convnet_refuses_images_below_4_pixels(shape: Shape) -> None:
    problem = refusal("convnet", shape)
    assert problem.code == "model-mismatch"
    assert problem.message.endswith("images must be at least 4×4")


@pytest.mark.parametrize("name", ["resnet50", "torchvision:resnet18"])
@pytest.mark.parametrize("stem, kernel, stride, pool", [("usual", 7, 2, nn.MaxPool2d), ("small", 3, 1, nn.Identity)])
def test_resnets_take_one_channel_and_either_stem(
    name: str, stem: str, kernel: int, stride: int, pool: type[nn.Module]
) -> None:
    model = build(name, (1, 32, 32), stem=stem)
    assert (model.conv1.in_channels, model.conv1.kernel_size, model.conv1.stride) == (1, (kernel,) * 2, (stride,) * 2)
    assert isinstance(model.maxpool, pool)
    assert logits(model, (1, 32, 32)).shape == (3, 7)


def test_the_recorded_options_are_the_resolved_ones() -> None:
    assert resolve_options("resnet50", {}) == {"stem": "usual"}
    assert resolve_options("convnet", {}) == {}


def test_an_unknown_option_names_the_nearest() -> None:
    problem = refusal("resnet50", (3, 32, 32), stemm="small")
    assert (problem.code, problem.hint) == ("usage", "did you mean 'stem'?")


def test_an_option_of_a_model_without_any_says_so() -> None:
    assert refusal("convnet", (1, 8, 8), width=3).hint == "convnet has no options"


def test_a_wrong_value_names_the_right_ones() -> None:
    problem = refusal("resnet50", (3, 32, 32), stem="tiny")
    assert (problem.code, problem.hint) == ("usage", "it takes usual or small")


@pytest.mark.parametrize("name, hint", [("convnett", "'convnet'"), ("torchvision:resnet81", "'resnet18'")])
def test_an_unknown_model_names_the_nearest(name: str, hint: str) -> None:
    problem = refusal(name, (1, 8, 8))
    assert problem.code == "model-unknown"
    assert hint in str(problem.hint)


def test_a_small_stem_where_it_is_not_known_is_refused() -> None:
    assert "small stem" in refusal("torchvision:squeezenet1_1", (3, 32, 32), stem="small").message


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("outputs, found", [(5, "(1, 5)"), (0, "tuple")])
def test_a_model_of_other_outputs_is_refused(outputs: int, found: str) -> None:
    class Odd(nn.Linear):
        def forward(self, images: Tensor) -> Tensor | tuple[()]:
            return images.flatten(1)[:, :outputs] if outputs else ()

    register_model("odd")(lambda *, in_channels, image_size, classes: Odd(1, 1))
    problem = refusal("odd", (1, 8, 8))
    assert problem.code == "model-mismatch"
    assert problem.message.endswith(f"for one image it returns {found}, not 7 logits")


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("problem", [ValueError, TypeError, RuntimeError, AssertionError])
def test_a_model_that_fails_on_an_image_is_refused(problem: type[Exception]) -> None:
    class Failing(nn.Linear):
        def forward(self, images: Tensor) -> Tensor:
            raise problem("cannot do that\nand more")

    register_model("failing")(lambda *, in_channels, image_size, classes: Failing(1, 1))
    assert refusal("failing", (1, 8, 8)).message == "failing cannot take 1×8×8 images: cannot do that"


@pytest.mark.usefixtures("registered")
def test_an_own_models_typed_options_are_checked() -> None:
    @register_model("own")
    def own(
        *,
        in_channels: int,
        image_size: tuple[int, int],
        classes: int,
        width: int = 4,
        rate: "float" = 0.5,
        deep: bool = False,
        kind: Literal["a", "b"] = "a",
        note: str | None = None,
    ) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], classes))

    assert resolve_options("own", {"width": 8, "rate": 1, "note": "x"}) == {
        "width": 8,
        "rate": 1,
        "deep": False,
        "kind": "a",
        "note": "x",
    }
    for wrong in ({"width": 1.5}, {"width": True}, {"rate": "high"}, {"deep": 1}, {"kind": "c"}, {"note": 3}):
        assert refusal("own", (1, 8, 8), **wrong).code == "usage"


def digest(model: nn.Module) -> str:
    """Return a digest of a model's tensors."""
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())).hexdigest()


@pytest.mark.parametrize("name", ["convnet", "torchvision:resnet18"])
def test_weights_depend_on_the_seed_only(name: str) -> None:
    digests = []
    for seed, disturbance in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(disturbance)
        digests.append(digest(build(name, (1, 32, 32), seed=seed)))
    assert digests[0] == digests[1] != digests[2]


def test_building_leaves_the_global_randomness_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    build("torchvision:resnet18", (1, 32, 32))
    assert torch.equal(torch.rand(4), expected)


QUICK = ["mobilenet_v3_small", "squeezenet1_1", "googlenet", "shufflenet_v2_x0_5", "mnasnet0_5", "regnet_y_400mf"]
HEAVY = ["densenet121", "vit_b_16", "efficientnet_b0", "convnext_tiny", "swin_t", "vgg11", "resnext50_32x4d"]


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(heavy, marks=pytest.mark.slow) for heavy in ["alexnet", *HEAVY])]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_torchvisions_classifiers_take_small_images(name: str, channels: int) -> None:
    size = 64 if name == "alexnet" else 32
    model = build(f"torchvision:{name}", (channels, size, size))
    assert logits(model, (channels, size, size)).shape == (3, 7)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, shape, why",
    [
        ("alexnet", (3, 32, 32), "Output size is too small"),
        ("inception_v3", (3, 64, 64), "actual input size"),
        ("maxvit_t", (3, 32, 32), "is invalid for input"),
        ("vit_b_16", (3, 33, 21), "it needs square images"),
        ("vit_b_16", (3, 33, 33), "divisible by patch size"),
    ],
)
def test_torchvisions_classifiers_say_in_one_line_why_not(name: str, shape: Shape, why: str) -> None:
    problem = refusal(f"torchvision:{name}", shape)
    assert problem.code == "model-mismatch"
    assert why in problem.message


def test_a_factory_is_found_by_its_name() -> None:
    assert find_factory("convnet") is MODELS["convnet"]
