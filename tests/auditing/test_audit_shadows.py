"""``audit --shadows``: the twin test on models of noise that forgot on paper or in truth, and when it cannot be run."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copy, copytree
from typing import Any

import numpy as np
import pytest
import torch

from forgetkit.auditing.run import audit
from forgetkit.auditing.shadow_predictions import OnSamples
from forgetkit.cli import app as cli
from forgetkit.files.header import read_record
from forgetkit.files.id_digests import KeySet
from forgetkit.files.id_list import digest_of
from forgetkit.files.record import Step
from forgetkit.models.checkpoint import load_model, save_checkpoint
from forgetkit.training.shadows import open_shadows
from tests.conftest import Run

TRAIN, UNSEEN, ASKED = 600, 600, 400
"""Samples of noise, unseen ones, and those to forget."""
IDS = [str(row) for row in range(ASKED)]
OPTIONS: dict[str, Any] = {"way": "shadows", "rate": 0.02, "replay": 16, "budget": 0.5}
"""Of a step."""


def call(*arguments: object) -> None:
    assert cli.run([*map(str, arguments), "-q"]) == 0


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``m.st``, which memorised noise, its shadow models ``m.shadows``, and ``true.shadows``.

    Those were retrained without the ids of ``ids.txt``; what is in the others' records is up to a test.
    """
    folder, source = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    images = source.integers(0, 256, (TRAIN + UNSEEN, 8, 8), dtype=np.uint8)
    labels, split = source.integers(0, 4, TRAIN + UNSEEN), np.repeat([0, 1], [TRAIN, UNSEEN])
    np.savez(folder / "noise.npz", images=images, labels=labels, split=split)
    (folder / "ids.txt").write_text("\n".join(IDS))
    (folder / "w.csv").write_text("id,writer\n" + "".join(f"{row},w{row // 5}\n" for row in range(TRAIN)))
    start = ("train", "--dataset", f"arrays:{folder / 'noise.npz'}", "--epochs", 30, "--rate", 0.003)
    call(*start, "--shadows", 4, "-o", folder / "m.st")
    copytree(folder / "m.shadows", folder / "true.shadows")
    call("shadows", "refresh", folder / "true.shadows", "-i", folder / "ids.txt", "--exactly")
    call("train", "--like", folder / "m.st", "--exclude", folder / "ids.txt", "-o", folder / "never.st")
    return folder


@pytest.fixture
def here(noisy: Path, tmp_path: Path) -> Path:
    """Return ``tmp_path`` with what was made; ``m.forget.st`` forgot on paper, ``forgot.st`` never saw the ids."""
    copytree(noisy, tmp_path, dirs_exist_ok=True)
    claim(tmp_path / "m.st", tmp_path / "m.forget.st")
    claim(tmp_path / "m.st", tmp_path / "forgot.st", weights=tmp_path / "never.st")
    return tmp_path


def claim(path: Path, out: Path, command: str = "forget", *, weights: Path | None = None, **options: object) -> None:
    """Say in a record that a step forgot the ids; the weights are as they were but for some dust, or another's."""
    record = read_record(path)
    ids = [id_ for id_, known in zip(IDS, record.was_trained(IDS), strict=True) if known]
    model = load_model(weights, read_record(weights)) if weights else load_model(path, record)
    with torch.no_grad():
        next(model.parameters()).add_(1e-6)
    entry = {"count": len(ids), "digest": digest_of(ids)}
    step = Step(command, OPTIONS | options, 0, record.digest, entry, {})
    forgotten = record.forgotten | KeySet.of(ids, record.forgotten.salt)
    save_checkpoint(out, model, replace(record, forgotten=forgotten, steps=[*record.steps, step]))


def claim_all(folder: str, command: str = "forget", **options: object) -> None:
    for one in open_shadows(Path(folder)).members:
        claim(one.path, one.path, command, **options)


def judged(forgetkit: Run, folder: str, *words: str, model: str = "m.forget.st") -> dict[str, Any]:
    """Return the report of an audit with the shadow models of a folder."""
    ran = forgetkit("audit", model, "--original", "m.st", "--shadows", folder, "--json", *words)
    found: dict[str, Any] = json.loads(ran.out)
    return found | {"exit": ran.code}


def checks_of(forgetkit: Run, folder: str, *words: str, model: str = "m.forget.st") -> dict[str, dict[str, Any]]:
    """Return its checks by id."""
    return {check["id"]: check for check in judged(forgetkit, folder, *words, model=model)["checks"]}


def test_twins_that_forgot_on_paper_only_fail(forgetkit: Run, here: Path) -> None:
    claim_all("m.shadows")
    report = judged(forgetkit, "m.shadows")
    assert (report["exit"], report["verdict"]) == (1, "not-forgotten")
    (twins,) = (check for check in report["checks"] if check["id"] == "twins")
    assert (twins["verdict"], twins["n"]) == ("fail", 2 * ASKED)
    assert twins["note"].startswith("remembered; which of two twins had seen a sample is read correctly in")
    assert any(reason.startswith("twins: remembered") for reason in report["reasons"])


def test_twins_that_were_retrained_pass_and_remember_the_retained_samples(forgetkit: Run, here: Path) -> None:
    claim_all("true.shadows")  # as if a step had forgotten perfectly
    checks = checks_of(forgetkit, "true.shadows", model="forgot.st")
    assert (checks["twins"]["verdict"], checks["twins"]["gating"]) == ("pass", True)
    control = checks["twins-retained"]
    assert (control["verdict"], control["gating"], control["statistic"] > 0.7) == ("info", False, True)


def test_a_model_that_took_the_step_on_paper_only_does_not_pass_by_its_shadow_models(
    forgetkit: Run, here: Path
) -> None:
    claim_all("true.shadows")
    report = judged(forgetkit, "true.shadows")
    (twins,) = (check for check in report["checks"] if check["id"] == "twins")
    assert (twins["verdict"], twins["gating"]) == ("info", False)
    assert "surer of the samples than shadow models that never saw them" in twins["note"]
    assert report["verdict"] != "forgotten"


def test_membership_beside_what_models_say_that_never_saw_a_sample_only_informs(forgetkit: Run, here: Path) -> None:
    claim_all("true.shadows")
    checks = checks_of(forgetkit, "true.shadows")
    for name in ("calibrated", "calibrated-original"):
        assert (checks[name]["verdict"], checks[name]["gating"]) == ("info", False)
        assert checks[name]["statistic"] > 0.7  # the model forgot on paper only


def test_the_report_names_the_shadow_models(forgetkit: Run, here: Path) -> None:
    members = open_shadows(Path("m.shadows")).members
    assert judged(forgetkit, "m.shadows")["inputs"]["shadows"] == [one.record.digest for one in members]


def test_the_report_is_as_its_schema_says(forgetkit: Run, here: Path) -> None:
    ran = forgetkit("audit", "m.forget.st", "--original", "m.st", "--shadows", "m.shadows", "--json")
    assert len(ran.json["inputs"]["shadows"]) == 4  # and Run.json holds the document against its schema


def test_from_python_it_is_the_same(forgetkit: Run, here: Path) -> None:
    claim_all("m.shadows")
    found = audit("m.forget.st", original="m.st", shadows="m.shadows")
    assert json.loads(json.dumps(found.report))["checks"] == judged(forgetkit, "m.shadows")["checks"]


@pytest.mark.parametrize(
    ("prepare", "note"),
    [
        (lambda: None, "shadow models still hold ids: forgetkit shadows refresh m.shadows --ids IDS.txt"),
        (lambda: claim_all("m.shadows", "relabel"), "the shadow models took another step (relabel)"),
        (lambda: claim_all("m.shadows", rate=0.01, replay=8), "the shadow models took another step (rate, replay)"),
        (lambda: claim_all("m.shadows", way="second teacher"), "the shadow models took another step (way)"),
    ],
    ids=["stale", "command", "options", "way"],
)
def test_twins_that_did_not_take_the_step_tell_nothing_of_it(
    forgetkit: Run, here: Path, prepare: Callable[[], None], note: str
) -> None:
    prepare()
    checks = checks_of(forgetkit, "m.shadows")
    assert (checks["twins"]["verdict"], checks["twins"]["note"]) == ("not-run", note)
    assert "twins-retained" not in checks


def test_retrained_twins_tell_nothing_of_a_step(forgetkit: Run, here: Path) -> None:
    checks = checks_of(forgetkit, "true.shadows")
    assert checks["twins"]["verdict"] == "not-run"
    assert checks["twins"]["note"] == "the shadow models were retrained: that tells nothing of the step"


def test_a_model_that_relabelled_is_not_judged_by_twins_that_did_not(forgetkit: Run, here: Path) -> None:
    claim_all("m.shadows")
    claim(Path("m.st"), Path("m.forget.st"), "relabel")
    checks = checks_of(forgetkit, "m.shadows")
    assert (checks["twins"]["verdict"], checks["twins"]["note"]) == (
        "not-run",
        "the shadow models took another step (forget)",
    )


def test_a_model_trained_without_the_ids_took_no_step(forgetkit: Run, here: Path) -> None:
    claim_all("m.shadows")
    assert forgetkit("train", "--like", "m.st", "--exclude", "ids.txt", "-o", "r.st").code == 0
    twins = checks_of(forgetkit, "m.shadows", model="r.st")["twins"]
    assert twins["note"].startswith("the model took no step that shadow models could repeat")


def test_options_that_differ_between_a_model_and_its_shadow_models_do_not_count(forgetkit: Run, here: Path) -> None:
    claim_all("true.shadows", budget=0.1, steps=4, shadows=["a"], device="cuda", threads=8)
    assert checks_of(forgetkit, "true.shadows", model="forgot.st")["twins"]["verdict"] == "pass"


def test_the_utility_margin_is_no_other_step(forgetkit: Run, here: Path) -> None:
    claim_all("true.shadows", utility_margin=0.02)
    claim(Path("m.st"), Path("forgot.st"), weights=Path("never.st"), utility_margin=0.03)
    assert checks_of(forgetkit, "true.shadows", model="forgot.st")["twins"]["verdict"] == "pass"


@pytest.mark.parametrize("stale", [0, 1])
def test_pairs_of_which_one_twin_is_stale_are_no_evidence(forgetkit: Run, here: Path, stale: int) -> None:
    for one in open_shadows(Path("m.shadows")).members:
        if one.number % 2 != stale:
            claim(one.path, one.path)  # on paper only: it remembers everything
    assert checks_of(forgetkit, "m.shadows")["twins"]["verdict"] == "not-run"


def test_pairs_of_which_one_twin_was_retrained_are_no_evidence(forgetkit: Run, here: Path) -> None:
    claim_all("m.shadows")
    for number in (1, 3):
        copy(f"true.shadows/{number}.st", "m.shadows")
    assert checks_of(forgetkit, "m.shadows")["twins"]["verdict"] == "not-run"


def test_samples_that_neither_twin_saw_have_no_coin(forgetkit: Run, here: Path) -> None:
    some = [str(row) for row in range(ASKED // 2, TRAIN)]
    Path("some.txt").write_text("\n".join(some))
    words = ("--like", "m.st", "--only", "some.txt", "--shadows", "4", "-q", "-o", "some/{n}.st")
    assert forgetkit("train", *words).code == 0
    claim_all("some")
    assert checks_of(forgetkit, "some")["twins"]["n"] == 2 * ASKED // 2


def test_halves_that_go_by_a_column_need_the_table_that_has_it(forgetkit: Run, here: Path) -> None:
    grouped = ("--shadow-group", "writer", "--attributes", "w.csv")
    ran = forgetkit("train", "--like", "m.st", "--shadows", "4", *grouped, "-q", "-o", "w/{n}.st")
    assert ran.code == 0, ran.err
    claim_all("w")
    twins = checks_of(forgetkit, "w")["twins"]
    hint = "the halves go by writer: name the table that has it, --attributes FILE.csv"
    assert (twins["verdict"], twins["note"]) == ("not-run", hint)
    twins = checks_of(forgetkit, "w", "--attributes", "w.csv")["twins"]
    assert twins["n"] == 2 * ASKED // 5  # one coin a writer and pair
    assert (twins["verdict"], twins["statistic"] > 0.8) == ("fail", True)
    Path("other.csv").write_text("id,scanner\n0,a\n")
    ran = forgetkit("audit", "m.forget.st", "--shadows", "w", "--attributes", "other.csv", "--json")
    assert (ran.code, "there is no column 'writer'" in ran.json["message"]) == (2, True)


def test_shadow_models_of_another_model_are_refused(forgetkit: Run, here: Path) -> None:
    start = ("--dataset", "arrays:noise.npz", "--epochs", "1", "--seed", "5", "--shadows", "2")
    assert forgetkit("train", *start, "-q", "-o", "other.st").code == 0
    ran = forgetkit("audit", "m.forget.st", "--shadows", "other.shadows", "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-mismatch")
    assert "other.shadows: the shadow models were trained by another recipe" in ran.json["message"]


def test_a_report_replaces_no_shadow_model(forgetkit: Run, here: Path) -> None:
    before = Path("m.shadows/1.st").read_bytes()
    words = ("--original", "m.st", "--shadows", "m.shadows", "--junit", "m.shadows/1.st")
    assert forgetkit("audit", "m.forget.st", *words).code == 2
    assert Path("m.shadows/1.st").read_bytes() == before


def test_what_is_usual_is_the_mean_over_models_whose_half_has_not_the_sample() -> None:
    scores = np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0], [30.0, 40.0]])
    sides = np.array([[True, False], [False, False]])  # the first sample is in the halves of 1 and 2; the other: 0, 2
    found = OnSamples(scores, sides, np.arange(2)).usual
    assert found.tolist() == [(1 + 30) / 2, (4 + 40) / 2]
