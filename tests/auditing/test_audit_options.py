"""Options of audit that files stand behind: the policy, and the list of what is still remembered."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from forgetkit.auditing.checks import relearn
from forgetkit.auditing.report.files import UNMEASURED, id_list
from forgetkit.cli import app as cli
from forgetkit.files.id_list import read_ids
from tests.conftest import Ran, Run

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "audit.schema.json").read_text())


@pytest.fixture(scope="module")
def reference(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model trained without 60 random ids; few enough that the verdict on it is inconclusive."""
    folder = tmp_path_factory.mktemp("reference")
    ids, out = folder / "ids.txt", folder / "r.st"
    assert call("forget-ids", digits_model, "--count", 60, "-o", ids, "-q") == 0
    assert call("train", "--like", digits_model, "--exclude", ids, "-o", out, "-q") == 0
    return out


def call(*arguments: object) -> int:
    return cli.run([str(argument) for argument in arguments])


def checks_of(ran: Ran) -> dict[str, dict[str, Any]]:
    return {check["id"]: check for check in ran.json["checks"]}


def judged(forgetkit: Run, reference: Path, original: Path, policy: str, *options: object) -> Ran:
    """Audit under a policy."""
    Path("policy.toml").write_text(policy)
    return forgetkit("audit", reference, "--original", original, "--policy", "policy.toml", "--json", *options)


@pytest.mark.parametrize(("word", "code"), [("report", 3), ("fail", 1), ("pass", 0)])
def test_the_policy_says_what_inconclusive_exits_with(
    forgetkit: Run, reference: Path, digits_model: Path, word: str, code: int
) -> None:
    ran = judged(forgetkit, reference, digits_model, f'inconclusive = "{word}"')
    assert (ran.code, ran.json["exit_code"], ran.json["verdict"]) == (code, code, "inconclusive")
    assert list(Draft202012Validator(SCHEMA).iter_errors(ran.json)) == []
    assert list(Draft202012Validator(SCHEMA).iter_errors({**ran.json, "exit_code": (code + 1) % 4})) != []


def test_the_report_holds_the_policy_and_its_digest(forgetkit: Run, reference: Path, digits_model: Path) -> None:
    text = "membership_margin = 0.03\nutility_margin = 0.5\n"
    ran = judged(forgetkit, reference, digits_model, text)
    assert ran.json["policy"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    margins = {check["id"]: check["margin"] for check in ran.json["checks"]}
    assert (margins["membership"], margins["utility"]) == (0.03, 0.5)
    assert forgetkit("audit", reference, "--json").json["policy"]["sha256"] is None


def test_the_policy_says_what_decides(forgetkit: Run, reference: Path, digits_model: Path) -> None:
    ran = judged(forgetkit, reference, digits_model, 'gating = ["integrity", "membership"]')
    utility = checks_of(ran)["utility"]
    assert (utility["verdict"], utility["gating"]) == ("info", False)


def test_the_policys_criterion_and_level_hold_and_may_be_repeated(
    forgetkit: Run, reference: Path, digits_model: Path
) -> None:
    text = 'criterion = "chance"\nlevel = 0.1'
    ran = judged(forgetkit, reference, digits_model, text, "--criterion", "chance", "--level", 0.1)
    assert (ran.json["policy"]["criterion"], ran.json["policy"]["level"]) == ("chance", 0.1)
    assert "chance" in {check["id"] for check in ran.json["checks"] if check["gating"]}


@pytest.mark.parametrize("option", [("--criterion", "retrain"), ("--level", 0.05)])
def test_an_option_that_contradicts_the_policy_is_refused(
    forgetkit: Run, reference: Path, digits_model: Path, option: tuple[object, ...]
) -> None:
    ran = judged(forgetkit, reference, digits_model, 'criterion = "chance"\nlevel = 0.1', *option)
    assert (ran.code, ran.json["code"]) == (2, "usage")
    assert f"{option[0]}: {option[1]} contradicts policy.toml" in ran.json["message"]


@pytest.mark.parametrize(("name", "code"), [("none.toml", "policy-missing"), ("bad.toml", "policy-malformed")])
def test_a_policy_that_cannot_be_read_is_refused_before_anything_else(
    forgetkit: Run, tmp_path: Path, name: str, code: str
) -> None:
    (tmp_path / "bad.toml").write_text("level = 2")
    ran = forgetkit("audit", "nowhere.st", "--policy", name, "--json")
    assert (ran.code, ran.json["code"]) == (2, code)


def test_chosen_ids_are_judged_by_membership_only_on_the_policys_word(forgetkit: Run, model: Path) -> None:
    forgetkit("forget-ids", "model.st", "--class", 3, "--count", 60, "-o", "threes.txt")
    forgetkit("train", "--like", "model.st", "--exclude", "threes.txt", "-o", "r.st")
    found = checks_of(forgetkit("audit", "r.st", "--json"))
    assert (found["exchangeable"]["verdict"], found["exchangeable"]["p"]) == ("info", 0.0005)
    assert (found["membership"]["verdict"], found["membership"]["gating"]) == ("info", False)
    Path("policy.toml").write_text("assume_exchangeable = true")
    found = checks_of(forgetkit("audit", "r.st", "--policy", "policy.toml", "--json"))
    assert found["membership"]["gating"]
    assert "the policy says they were drawn" in found["exchangeable"]["note"]


def test_a_whole_class_was_not_chosen_within_it(forgetkit: Run, model: Path) -> None:
    forgetkit("forget-ids", "model.st", "--class", 3, "-o", "threes.txt")
    found = checks_of(forgetkit("audit", "model.st", "-i", "threes.txt", "--json"))
    assert found["exchangeable"]["p"] == 1.0
    assert found["membership"]["gating"]


def test_canaries_are_a_group_of_their_own_and_no_other_checks(forgetkit: Run, tmp_path: Path) -> None:
    forgetkit("train", "--dataset", "digits", "--epochs", 3, "--canaries", 100, "-o", "m.st")
    forgetkit("forget-ids", "m.st", "--count", 40, "--canaries", "-o", "both.txt")
    forgetkit("train", "--like", "m.st", "--exclude", "both.txt", "-o", "r.st")
    report = forgetkit("audit", "r.st", "--original", "m.st", "--json").json
    groups = {check["id"]: check["group"] for check in report["checks"]}
    assert (groups["membership"], groups["canaries"]) == ("ids", "canaries")
    assert report["inputs"]["ids"]["count"] == 40
    assert list(Draft202012Validator(SCHEMA).iter_errors(report)) == []
    assert not report["limits"][-1].startswith("Not tested: canaries")


def test_canaries_alone_can_be_audited(forgetkit: Run, tmp_path: Path) -> None:
    forgetkit("train", "--dataset", "digits", "--epochs", 3, "--canaries", 100, "-o", "m.st")
    forgetkit("forget-ids", "m.st", "--canaries", "-o", "canaries.txt")
    forgetkit("train", "--like", "m.st", "--exclude", "canaries.txt", "-o", "r.st")
    ran = forgetkit("audit", "r.st", "--original", "m.st", "--relearn", "--remembered-out", "left.txt", "--json")
    assert (ran.code, ran.json["accuracy"]["forget"], ran.json["inputs"]["ids"]["count"]) == (3, None, 0)
    assert "membership" not in checks_of(ran)
    assert ran.json["ids"]["remembered"]["count"] is None
    assert (tmp_path / "left.txt").read_text() == UNMEASURED
    assert list(Draft202012Validator(SCHEMA).iter_errors(ran.json)) == []


def test_an_empty_list_replaces_an_older_one_and_is_said(forgetkit: Run, reference: Path, tmp_path: Path) -> None:
    (tmp_path / "left.txt").write_text("older\n")
    ran = forgetkit("audit", reference, "--remembered-out", "left.txt")
    assert (tmp_path / "left.txt").read_text() == ""
    assert "left.txt: no id stands out as remembered" in ran.err
    assert forgetkit("forget-ids", "--dataset", "digits", "--ids", "left.txt", "--json").json["code"] == "ids-empty"


def test_the_list_is_sorted_by_bytes_and_can_be_read_back(tmp_path: Path) -> None:
    text = id_list(["é", "9", "10", "z", "Z"])
    assert text.encode() == "10\n9\nZ\nz\né\n".encode()
    (tmp_path / "left.txt").write_text(text)
    assert read_ids(str(tmp_path / "left.txt")).ids == ["10", "9", "Z", "z", "é"]
    assert id_list(None) == UNMEASURED


@pytest.mark.parametrize("option", ["--junit", "--summary", "--html", "--remembered-out"])
@pytest.mark.parametrize("target", ["r.st", "ids.txt", "policy.toml", "", "folder"])
def test_no_report_replaces_an_input(forgetkit: Run, reference: Path, tmp_path: Path, option: str, target: str) -> None:
    for name in ("r.st", "ids.txt"):
        (tmp_path / name).write_bytes((reference.parent / name).read_bytes())
    (tmp_path / "policy.toml").touch()
    (tmp_path / "folder").mkdir()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    ran = forgetkit("audit", "r.st", "-i", "ids.txt", "--policy", "policy.toml", option, target)
    assert (ran.code, ran.out) == (2, "")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_two_reports_in_one_file_are_refused(forgetkit: Run, reference: Path) -> None:
    ran = forgetkit("audit", reference, "--junit", "a", "--html", "./a", "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")
    assert "--junit and --html name the same file" in ran.json["message"]


def test_a_dry_run_writes_no_report(forgetkit: Run, reference: Path, tmp_path: Path) -> None:
    ran = forgetkit("audit", reference, "--html", "a.html", "--remembered-out", "left.txt", "--dry-run")
    assert (ran.code, list(tmp_path.iterdir())) == (0, [])


def test_the_page_is_written_with_figures_and_the_way_the_model_came(
    forgetkit: Run, reference: Path, digits_model: Path, tmp_path: Path
) -> None:
    forgetkit("audit", reference, "--original", digits_model, "--html", "out/a.html")
    page = (tmp_path / "out" / "a.html").read_text()
    assert "<svg" in page
    assert "without 60 ids" in page


def test_relearning_is_run_on_request_and_then_no_limit(
    forgetkit: Run, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relearn, "CAP", 20)
    plain, asked = (forgetkit("audit", reference, *more, "--json").json for more in ((), ("--relearn",)))
    assert {check["id"] for check in asked["checks"]} - {check["id"] for check in plain["checks"]} == {"relearn"}
    assert ["relearning the samples" in report["limits"][-1] for report in (plain, asked)] == [True, False]


def test_the_auditor_checks_itself_on_request(forgetkit: Run, reference: Path) -> None:
    assert forgetkit("audit", reference, "--json").json["self_check"] is None
    ran = forgetkit("audit", reference, "--self-check", "--json")
    assert ran.json["self_check"]["ids"] == 60
    assert list(Draft202012Validator(SCHEMA).iter_errors(ran.json)) == []
    assert any(line.startswith("self-check:") for line in forgetkit("audit", reference, "--self-check").lines)
