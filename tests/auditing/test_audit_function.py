"""audit() for scripts and notebooks: of checkpoints by their paths, and of modules with tensors."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator
from torch import Tensor, nn

from forgetkit.auditing.in_memory import NO_RECORD
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.run import audit
from forgetkit.errors import ForgetkitError
from forgetkit.events import Event, Note, Warned
from forgetkit.options import Compute
from forgetkit.training.classifier import predict
from tests.auditing.test_audit_options import SCHEMA
from tests.conftest import Run

Samples = tuple[Tensor, Tensor]
CLASSES = 4


def noise(count: int, seed: int) -> Samples:
    """Return images of noise with random labels: what a model knows of them, it remembers."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 6, 6), dtype=torch.uint8, generator=draw)
    return images, torch.randint(0, CLASSES, (count,), generator=draw)


class Net(nn.Module):
    """Memorises noise; takes uint8 images."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(36, 256), nn.ReLU(), nn.Linear(256, CLASSES))

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        logits: Tensor = self.layers(images.float() / 128 - 1)
        return logits


def trained(images: Tensor, labels: Tensor, seed: int) -> Net:
    model = Net(seed)
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    for _ in range(120):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def parts() -> dict[str, Samples]:
    return {
        name: noise(count, seed)
        for seed, (name, count) in enumerate({"forget": 400, "retain": 300, "unseen": 2000}.items())
    }


@pytest.fixture(scope="module")
def original(parts: dict[str, Samples]) -> Net:
    return trained(*map(torch.cat, zip(parts["forget"], parts["retain"], strict=True)), seed=0)


@pytest.fixture(scope="module")
def retrained(parts: dict[str, Samples]) -> Net:
    return trained(*parts["retain"], seed=1)


def refused(*arguments: object, **options: object) -> ForgetkitError:
    with pytest.raises(ForgetkitError) as caught:
        audit(*arguments, **options)  # type: ignore[arg-type]
    assert caught.value.status == 2
    return caught.value


def test_a_retrained_module_has_forgotten(parts: dict[str, Samples], original: Net, retrained: Net) -> None:
    found = audit(retrained, original=original, **parts)  # type: ignore[arg-type]
    checks = {check.id: check for check in found.checks}
    assert (found.verdict, found.exit_code) == ("forgotten", 0)
    assert (checks["integrity"].verdict, checks["integrity"].note) == ("not-run", NO_RECORD)
    assert (checks["membership"].verdict, checks["membership"].gating) == ("pass", True)
    assert list(Draft202012Validator(SCHEMA).iter_errors({**found.report, "warnings": []})) == []


def test_an_original_has_not(parts: dict[str, Samples], original: Net) -> None:
    found = audit(original, original=original, show_ids=True, **parts)  # type: ignore[arg-type]
    assert (found.verdict, found.exit_code) == ("not-forgotten", 1)
    assert found.reasons[0] == "integrity: the weights are the original's, bit for bit"
    assert set(found.report["ids"]["remembered"]["ids"]) <= {str(row) for row in range(400)}
    assert found.remembered == found.report["ids"]["remembered"]["ids"]


def test_without_the_original_a_module_is_inconclusive(parts: dict[str, Samples], retrained: Net) -> None:
    found = audit(retrained, **parts)  # type: ignore[arg-type]
    assert (found.verdict, found.exit_code) == ("inconclusive", 3)


def test_references_may_be_modules_too(parts: dict[str, Samples], original: Net, retrained: Net) -> None:
    others = [trained(*parts["retain"], seed=seed) for seed in range(2, 7)]
    found = audit(retrained, original=original, references=others, **parts)  # type: ignore[arg-type]
    checks = {check.id: check for check in found.checks}
    assert (checks["closer"].verdict, checks["closer"].gating) == ("pass", True)
    assert len(found.report["inputs"]["references"]) == 5


def test_a_module_is_left_as_it_was(parts: dict[str, Samples], original: Net, retrained: Net) -> None:
    before = {name: tensor.clone() for name, tensor in retrained.state_dict().items()}
    retrained.train()
    few = {name: (images[:100], labels[:100]) for name, (images, labels) in parts.items()}
    audit(retrained, original=original, relearn=True, **few)  # type: ignore[arg-type]
    assert retrained.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in retrained.state_dict().items())


class Indexed(Net):
    """Has integers among its weights."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.table = nn.Parameter(torch.arange(4), requires_grad=False)


class WithoutGradients(Net):
    """Computes no gradients, whoever asks."""

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        with torch.no_grad():
            return super().forward(images)


def weight_normed(seed: int) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = Net(seed).apply(lambda one: nn.utils.weight_norm(one) if isinstance(one, nn.Linear) else one)
    model(noise(3, 0)[0])
    return model


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        pytest.param(Indexed, "info", marks=pytest.mark.slow),
        (WithoutGradients, "not-run"),
        pytest.param(weight_normed, "info", marks=pytest.mark.slow),
    ],
)
def test_odd_modules_are_taught_or_the_report_says_why_not(make: Callable[[int], nn.Module], outcome: str) -> None:
    few = {"forget": noise(60, 0), "retain": noise(80, 2), "unseen": noise(200, 1)}
    found = audit(make(0), original=make(1), references=[make(2)], relearn=True, attacks="rea", **few)
    checks = {check.id: check.verdict for check in found.checks}
    assert (checks["relearn"], checks["attack-rea"]) == (outcome, outcome)


class Packed(Net):
    """Keeps its weights where no digest reaches them, as quantised layers do."""

    def state_dict(self, *_: object, **__: object) -> dict[str, object]:  # type: ignore[override]  # noqa: D102
        return {"scale": torch.ones(1), "packed": (1, 2)}


def test_models_whose_weights_have_no_digest_are_not_taken_for_the_same(parts: dict[str, Samples]) -> None:
    found = audit(Packed(0), original=Packed(1), **parts)  # type: ignore[arg-type]
    assert next(check.verdict for check in found.checks if check.id == "integrity") == "not-run"


def test_a_part_of_a_model_that_is_not_training_stays_so() -> None:
    model = nn.Sequential(Net(0), nn.BatchNorm1d(CLASSES))
    model[1].eval()
    predict(model, noise(3, 0)[0])
    assert [part.training for part in model] == [True, False]


def test_the_same_module_and_samples_give_the_same_report(parts: dict[str, Samples], retrained: Net) -> None:
    assert audit(retrained, **parts).report == audit(retrained, **parts).report  # type: ignore[arg-type]


def test_images_may_be_of_any_shape_and_dtype() -> None:
    draw = torch.Generator().manual_seed(0)
    parts = {
        name: (torch.randn(50, 7, generator=draw), torch.arange(50) % 3) for name in ("forget", "retain", "unseen")
    }
    found = audit(nn.Linear(7, 3), **parts)  # type: ignore[arg-type]
    assert {check.id for check in found.checks} >= {"membership", "chance"}
    assert not any(check.id.startswith("chance-") for check in found.checks)  # no image to flip


def test_weights_that_are_not_finite_are_a_verdict(parts: dict[str, Samples]) -> None:
    broken = Net(0)
    with torch.no_grad():
        broken.layers[1].bias[0] = float("inf")  # type: ignore[index]
    found = audit(broken, **parts)  # type: ignore[arg-type]
    assert found.verdict == "not-forgotten"
    assert "NaN or infinity" in found.reasons[0]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"unseen": None}, "usage", "a module is audited on forget, retain and unseen samples, not on ids"),
        ({"ids": ["1"]}, "usage", "a module is audited on forget, retain and unseen samples, not on ids"),
        ({"original": "m.st"}, "usage", "a module cannot be compared with str 'm.st'"),
        ({"forget": (np.zeros((2, 3)), torch.zeros(2))}, "usage", "forget: ndarray and Tensor, not two tensors"),
        (
            {"forget": (torch.zeros(2, 36), torch.zeros(3))},
            "usage",
            "forget: images of shape (2, 36), labels of shape (3,)",
        ),
        ({"forget": (torch.zeros(2, 36), torch.zeros(2))}, "usage", "labels are torch.float32, not class numbers"),
        ({"forget": (torch.zeros(0, 36), torch.zeros(0))}, "usage", "forget: images of shape (0, 36)"),
        (
            {"retain": (torch.zeros(1, 36), torch.tensor([4]))},
            "model-mismatch",
            "has 4 classes, but there are labels from 4 to 4",
        ),
        ({"original": nn.Identity()}, "model-mismatch", "the original returns (400, 1, 6, 6), not logits"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    parts: dict[str, Samples], changes: dict[str, Any], code: str, words: str
) -> None:
    problem = refused(Net(0), **{**parts, **changes})
    assert (problem.code, words in problem.message) == (code, True), problem.message
    assert problem.hint


def test_checkpoints_are_audited_as_the_command_does(
    forgetkit: Run, model: Path, ids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = forgetkit("audit", "model.st", "--ids", "ids.txt", "--original", "model.st", "--json").json
    found = audit(Path("model.st"), "ids.txt", original="model.st")
    assert {**found.report, "warnings": []} == printed
    assert (found.verdict, found.exit_code, found.reasons) == (
        printed["verdict"], printed["exit_code"], printed["reasons"]
    )  # fmt: skip
    assert [check.to_json() for check in found.checks] == printed["checks"]


def test_ids_may_be_given_as_they_are(model: Path, ids: Path) -> None:
    listed = ids.read_text().split()
    assert audit(model, listed).report == audit(model, ids).report == audit(model, (id_ for id_ in listed)).report


def test_without_ids_those_of_the_record_are_audited(forgetkit: Run, model: Path, ids: Path) -> None:
    forgetkit("relabel", "model.st", "--ids", "ids.txt", "--rate", "0.1", "-q")
    assert audit("model.relabel.st", original="model.st").report["inputs"]["ids"]["count"] == 30


@pytest.mark.parametrize(
    ("ids", "code", "words"),
    [
        ([], "ids-empty", "ids: holds no ids"),
        ([1, 2.5], "ids-unknown", "ids:2: '2.5' is not an id of digits"),
        (["0", "no-such-id"], "ids-unknown", "ids:2: 'no-such-id' is not an id of digits"),
        ("nowhere.txt", "ids-missing", "nowhere.txt"),
    ],
)
def test_ids_that_are_none_are_refused(model: Path, ids: object, code: str, words: str) -> None:
    problem = refused(model, ids)
    assert (problem.code, words in problem.message) == (code, True), problem.message


def test_a_checkpoint_is_not_compared_with_tensors_or_modules(model: Path, ids: Path) -> None:
    assert refused(model, ids, forget=noise(3, 0)).code == "usage"
    assert refused(model, ids, original=Net(0)).code == "usage"


def test_a_policy_may_be_made_in_code(model: Path, ids: Path) -> None:
    policy = Policy(criterion="chance", level=0.1)
    found = audit(model, ids, policy=policy)
    assert found.report["policy"] == policy.to_json(None)
    assert audit(model, ids, policy=replace(policy, inconclusive="fail")).report["policy"]["inconclusive"] == "fail"


def test_a_policy_in_code_is_held_to_its_limits() -> None:
    with pytest.raises(ValueError, match=r"less than or equal to 0\.2"):
        Policy(level=0.3)
    with pytest.raises(ForgetkitError, match="no check that can decide"):
        Policy(gating=("advantage",))


def test_nothing_is_printed_and_events_are_told(model: Path, ids: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[Event] = []
    audit(model, [*ids.read_text().split()], compute=Compute(threads=1), tell=told.append)
    assert capfd.readouterr() == ("", "")
    assert [event.text for event in told if isinstance(event, Note)] == [
        "audit: 30 ids of digits, cpu, float32, 1 thread"
    ]
    assert not any(isinstance(event, Warned) for event in told)
