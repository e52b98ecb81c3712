"""Models that pretend to have forgotten a class are caught, each of bench_fakes.py; an honest model is not."""

from collections import OrderedDict
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from forgetkit.auditing.checks import relearn_like
from forgetkit.auditing.result import Audited
from forgetkit.training.classifier import Classifier, Samples
from tests.benchmarks.class_models import Asked, Request, judged
from tests.benchmarks.fakes import FAKES, NAMED

CLASSES, REFERENCES = 4, 19
CAUGHT = {"not-forgotten", "over-forgotten", "utility-lost"}


def shapes(count: int, seed: int) -> Samples:
    """Return images of four classes: each has a picture of its own, under noise."""
    pictures = torch.randn(CLASSES, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    images = 128 + 30 * (pictures[labels] + torch.randn(count, 1, 6, 6, generator=draw))
    return images.clamp(0, 255).to(torch.uint8), labels


def trained(samples: Samples, seed: int) -> Classifier:
    torch.manual_seed(seed)
    layers = OrderedDict(flat=nn.Flatten(), first=nn.Linear(36, 64), bend=nn.ReLU(), fc=nn.Linear(64, CLASSES))
    model = Classifier(nn.Sequential(layers), mean=[128.0], std=[42.0])
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(samples[0]), samples[1]).backward()
        optimizer.step()
    return model.eval()


class Case:
    """A class to forget, the original, and 21 models that never saw the class, of which 19 are references."""

    def __init__(self) -> None:
        train, unseen = shapes(240, 1), shapes(400, 2)
        gone = train[1] == 3
        retain = train[0][~gone], train[1][~gone]
        self.request = Request({"forget": (train[0][gone], train[1][gone]), "retain": retain, "unseen": unseen})
        self.original = trained(train, 0)
        *references, self.honest, self.other = (trained(retain, seed) for seed in range(1, REFERENCES + 3))
        self.references: list[Asked] = [self.request.ask(one) for one in references]
        self.known = self.request.ask(self.original)

    def audited(self, model: nn.Module) -> Audited:
        """Audit a model with all others."""
        return judged(self.request.ask(model, self.original), self.known, self.references)


@pytest.fixture(scope="module")
def case() -> Iterator[Case]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relearn_like, "STEPS", 10)
        yield Case()


@pytest.mark.parametrize("name", [name for name in FAKES if name not in NAMED])
def test_a_model_that_pretends_is_caught(case: Case, name: str) -> None:
    assert case.audited(FAKES[name](case.original, case.honest, case.request.samples, 0)).verdict in CAUGHT


@pytest.mark.parametrize("name", NAMED)
def test_one_that_may_pass_is_named_in_the_limits(case: Case, name: str) -> None:
    found = case.audited(FAKES[name](case.original, case.honest, case.request.samples, 0))
    assert any(
        limit.startswith("A model that recognises the samples, or their class") for limit in found.report["limits"]
    )


def test_an_honest_model_is_not_caught(case: Case) -> None:
    assert case.audited(case.other).verdict not in CAUGHT
