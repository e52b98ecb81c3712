"""Checks from outside: a plugin file end to end, and each way in which that goes wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator
from torch import nn

from forgetkit import registry
from forgetkit.auditing.check import BUILT_IN, CHECKS, Check, register_check
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.run import audit
from forgetkit.errors import ForgetkitError
from tests.auditing.test_audit_options import SCHEMA
from tests.conftest import Run

GAP = """
from forgetkit.auditing.check import Check, register_check

@register_check
def gap(model, forget, unseen, level):
    sure = [model(images).softmax(1)[range(len(labels)), labels].mean().item() for images, labels in (forget, unseen)]
    assert not model.training
    print("not a result")
    return Check("any", "fail", f"at {level}: surer of them", n=len(forget[1]), statistic=sure[0] - sure[1], null=0.0)
"""


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """Take out again what a test registers."""
    entries, path, known = dict(CHECKS._entries), list(sys.path), dict(registry._LOADED)
    yield
    CHECKS._entries.clear()
    CHECKS._entries.update(entries)
    sys.path[:] = path
    registry._LOADED.clear()
    registry._LOADED.update(known)


def samples(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (count, 1, 4, 4), dtype=np.uint8)
    return torch.from_numpy(images), torch.from_numpy(draw.integers(0, 3, count))


class Tiny(nn.Module):
    """One linear layer behind uint8 images."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.fc = nn.Linear(16, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # noqa: D102
        logits: torch.Tensor = self.fc(images.flatten(1).float() / 255)
        return logits


def audited(policy: Policy | None = None) -> dict[str, Check]:
    """Audit a tiny module; return the checks by name."""
    sides = {name: samples(40, seed) for seed, name in enumerate(("forget", "retain", "unseen"))}
    found = audit(Tiny(), original=Tiny(1), policy=policy, **sides)  # type: ignore[arg-type]
    return {check.id: check for check in found.checks}


def refused() -> ForgetkitError:
    """Return the error of an audit with a check that cannot be used; it is one line and has a hint."""
    with pytest.raises(ForgetkitError) as caught:
        audited()
    assert (caught.value.code, caught.value.status, bool(caught.value.hint)) == ("plugin-malformed", 2, True)
    assert "\n" not in caught.value.message
    return caught.value


def test_the_check_of_a_plugin_file_is_in_the_report(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> None:
    (tmp_path / "gap.py").write_text(GAP)
    audits = ("audit", "model.st", "--ids", "ids.txt", "--plugin", "gap.py")
    ran = forgetkit(*audits, "--original", "model.st", "--html", "a.html", "--junit", "a.xml", "--json")
    assert "checks" in ran.json, ran.err
    (found,) = (check for check in ran.json["checks"] if check["id"] == "gap")
    assert (found["verdict"], found["gating"], found["n"]) == ("info", False, 30)
    assert found["note"] == "at 0.05: surer of them"
    assert list(Draft202012Validator(SCHEMA).iter_errors(ran.json)) == []
    assert "not a result" in ran.err
    assert "gap" in (tmp_path / "a.html").read_text()
    assert 'name="gap"' in (tmp_path / "a.xml").read_text()


def test_the_check_of_the_docs_runs(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    (tmp_path / "gap.py").write_text(page.partition("## A check of your own\n\n```python\n")[2].partition("```")[0])
    registry.load_plugins([tmp_path / "gap.py"])
    assert audited()["gap"].statistic is not None


def test_it_decides_where_the_policy_names_it(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> None:
    (tmp_path / "gap.py").write_text(GAP)
    (tmp_path / "policy.toml").write_text('gating = ["membership", "gap"]')
    audits = ("audit", "model.st", "--ids", "ids.txt", "--policy", "policy.toml", "--json")
    ran = forgetkit(*audits, "--plugin", "gap.py")
    assert (ran.code, ran.json["verdict"]) == (1, "not-forgotten")
    assert ran.json["reasons"] == ["gap: at 0.05: surer of them"]
    CHECKS._entries.clear()
    ran = forgetkit(*audits)
    assert (ran.code, ran.json["message"].endswith("'gating' names 'gap', which is no check that can decide")) == (
        2,
        True,
    )


def test_a_pass_of_it_proves_no_forgetting() -> None:
    register_check("sure")(lambda: Check("sure", "pass", "fine", gating=True, proves=True))
    found = audited(Policy(gating=("integrity", "membership", "sure")))["sure"]
    assert (found.verdict, found.gating, found.proves) == ("pass", True, False)


def test_it_is_passed_what_its_signature_names() -> None:
    seen: dict[str, Any] = {}

    @register_check()
    def nosy(model, original, forget, retain, unseen, classes, level, seed, own=3):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        seen.update(locals())

    check = audited()["nosy"]
    assert (check.verdict, check.note) == ("not-run", "does not apply to this model")
    assert (seen["classes"], seen["level"], seen["seed"], seen["own"]) == (3, 0.05, 0, 3)
    assert all(len(seen[name][0]) == len(seen[name][1]) == 40 for name in ("forget", "retain", "unseen"))
    assert isinstance(seen["model"], Tiny)
    assert isinstance(seen["original"], Tiny)


def test_each_form_of_the_decorator_names_the_check() -> None:
    def first() -> Check:
        return Check("first", "info", "")

    assert register_check(first) is register_check()(first) is register_check("second-one")(first) is first
    assert {"first", "second-one"} <= set(audited())


def test_its_models_are_given_back_in_the_mode_they_came_in() -> None:
    modes = []
    register_check("mode")(lambda model: modes.append(model.training))
    model = Tiny().train()
    sides = {name: samples(40, seed) for seed, name in enumerate(("forget", "retain", "unseen"))}
    audit(model, **sides)  # type: ignore[arg-type]
    assert (modes, model.training) == ([False], True)


def test_it_is_not_run_on_weights_that_are_not_finite() -> None:
    register_check("never")(lambda: 1 / 0)
    model = Tiny()
    with torch.no_grad():
        model.fc.bias[0] = float("nan")
    sides = {name: samples(40, seed) for seed, name in enumerate(("forget", "retain", "unseen"))}
    found = audit(model, **sides)  # type: ignore[arg-type]
    assert [check.verdict for check in found.checks if check.id == "never"] == ["not-run"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((3,), "@register_check: 3 is neither a name nor a function"),
        (("a", "b"), "@register_check: 'a', 'b' is neither a name nor a function"),
        (("membership",), "a check of that name is built in"),
        (("mine-original",), "a check of that name is built in"),
        (("no spaces",), "a name has letters, digits, '-' and '_' only"),
    ],
)
def test_what_is_no_name_is_refused_at_its_line(tmp_path: Path, given: tuple[object, ...], words: str) -> None:
    path = tmp_path / "mine.py"
    text = f"from forgetkit.auditing.check import register_check\n\nregister_check{given!r}(lambda: None)\n"
    path.write_text(text.replace(",)", ")"))
    with pytest.raises(ForgetkitError) as caught:
        registry.load_plugins([path])
    assert words in caught.value.message
    assert f"{path}:3" in caught.value.message


@pytest.mark.parametrize(
    ("signature", "words", "hint"),
    [
        ("model, forgot", "it has a parameter 'forgot', for which there is no value", "did you mean 'forget'?"),
        ("model, /", "'model' cannot be passed by name", "remove the '/' from its signature"),
        ("*given", "'*given' is not an option with a name", "name each parameter"),
        ("**given", "'**given' is not an option with a name", "name each parameter"),
    ],
)
def test_a_signature_that_cannot_be_served_is_refused(signature: str, words: str, hint: str) -> None:
    names: dict[str, Any] = {}
    exec(f"def odd({signature}): ...", names)
    with pytest.raises(ForgetkitError) as caught:
        register_check(names["odd"])
    assert caught.value.message == f"the function of 'odd' cannot be used: {words}"
    assert str(caught.value.hint).startswith(hint)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 3", "returned int, not a Check or None"),
        ("return Check('odd', 'maybe', '')", "returned a Check with an impossible verdict: input should be 'pass'"),
        ("return Check('odd', 'info', '', statistic='x')", "returned a Check with an impossible statistic: "),
        ("return Check('odd', 'info', '', interval=(1,))", "returned a Check with an impossible interval"),
        ("return {}['x']", "KeyError: 'x'"),
        ("raise ValueError('first\\nsecond')", "ValueError: first second"),
    ],
)
def test_a_wrong_return_value_names_the_function_and_its_file(tmp_path: Path, body: str, words: str) -> None:
    path = tmp_path / "mine.py"
    head = "from forgetkit.auditing.check import Check, register_check\n@register_check\ndef odd():\n"
    path.write_text(f"{head}    {body}\n")
    registry.load_plugins([path])
    message = refused().message
    assert message.startswith(f"{path}:")
    assert words in message
    assert "Error" in words or message.startswith(f"{path}:2: the check 'odd' returned ")


def test_a_check_that_fails_is_two_lines_and_exit_2(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> None:
    (tmp_path / "gap.py").write_text(GAP.replace("return Check(", "return str("))
    ran = forgetkit("audit", "model.st", "--ids", "ids.txt", "--plugin", "gap.py", "-q")
    assert (ran.code, ran.out) == (2, "")
    assert "gap.py:9: TypeError: " in ran.err
    assert "hint: " in ran.err


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan")])
def test_a_number_that_is_not_finite_is_left_out_with_a_note(value: float) -> None:
    register_check("odd")(lambda: Check("odd", "info", "hm", statistic=value, interval=(0.0, value)))
    found = audited()["odd"]
    assert (found.statistic, found.interval, found.note) == (None, None, "hm; not finite: statistic, interval")


def test_numbers_of_numpy_are_numbers() -> None:
    register_check("odd")(lambda: Check("odd", "info", "", n=np.int64(3), statistic=np.float32(0.5)))  # type: ignore[arg-type]
    found = audited()["odd"]
    assert (found.n, found.statistic) == (3, 0.5)
    assert json.dumps(found.to_json())


def test_every_built_in_check_has_a_reserved_name() -> None:
    assert {name.removesuffix("-original") for name in audited()} <= set(BUILT_IN)


def test_an_installed_package_adds_checks_by_entry_point(tmp_path: Path) -> None:
    """A real package on the path, in a process of its own."""
    (tmp_path / "our_checks.py").write_text(GAP.replace("@register_check\n", ""))
    info = tmp_path / "our_checks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-checks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[forgetkit.checks]\ngap = our_checks:gap\n")
    script = "from tests.auditing.test_audit_registered import audited\nprint(audited()['gap'].verdict)\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.splitlines()[-1] == "info"
