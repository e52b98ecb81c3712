"""The audit is audited: on noise with random labels, which a model can only memorise, and on digits."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from html import unescape
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from forgetkit.cli import app as cli
from forgetkit.data.dataset import Split, row_numbers
from forgetkit.data.sources import DATASETS, Source
from forgetkit.files.header import read_record
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Step
from forgetkit.models.build import build_model, register_model
from forgetkit.models.checkpoint import load_model, save_checkpoint
from tests.conftest import Ran, Run

PARTS = ("cosine divergence", "difference in norm")
REFERENCES = 5
"""Offered as references; one more is offered as the model."""


def noise(root: Path, *, download: bool) -> Source:
    """Make 900 + 4,000 images of noise with random labels: nothing to learn, everything to memorise."""
    source = np.random.default_rng(0)

    def half(count: int) -> Split:
        images = source.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
        return Split(row_numbers(count), images, source.integers(0, 4, count))

    return Source(("a", "b", "c", "d"), half(900), half(4000))


@register_model("wide")
def wide(*, in_channels: int, image_size: tuple[int, int], classes: int) -> nn.Module:
    """Build a network that memorises noise within seconds."""
    pixels = in_channels * image_size[0] * image_size[1]
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 512), nn.ReLU(), nn.Linear(512, classes))


DATASETS.register("noise")(noise)


def call(*arguments: object) -> int:
    return cli.run([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``m.st`` (memorised), ``ids.txt`` (600 of 900) and references ``r1.st`` … without them."""
    folder = tmp_path_factory.mktemp("noise")
    model, ids = folder / "m.st", folder / "ids.txt"
    one = ("-q", "--threads", 1)
    assert (
        call("train", "--dataset", "noise", "--model", "wide", "--epochs", 60, "--rate", 0.003, "-o", model, *one) == 0
    )
    assert call("forget-ids", model, "--count", 600, "-q", "-o", ids) == 0
    for n in range(1, REFERENCES + 2):
        assert call("train", "--like", model, "--exclude", ids, "--seed", n, "-o", folder / f"r{n}.st", *one) == 0
    return folder


def test_an_original_that_memorised_is_not_called_forgotten(forgetkit: Run, noisy: Path) -> None:
    ran = forgetkit("audit", noisy / "m.st", "--ids", noisy / "ids.txt", "--original", noisy / "m.st", "--json")
    assert (ran.code, ran.json["verdict"]) == (1, "not-forgotten")
    assert {c["id"] for c in ran.json["checks"] if c["verdict"] == "fail"} == {"integrity", "membership"}


def claim(path: Path, out: Path, ids: Iterable[str], *, dust: float = 0.0) -> None:
    """Write a checkpoint that claims to have forgotten ``ids``, its weights as they were but for some dust."""
    record = read_record(path)
    model = load_model(path, record)
    with torch.no_grad():
        next(model.parameters()).add_(dust)
    steps = [*record.steps, Step("relabel", {}, 0, record.digest, None, {})]
    save_checkpoint(out, model, replace(record, forgotten=KeySet.of(ids, record.forgotten.salt), steps=steps))


def test_forgetting_on_paper_only_fails(forgetkit: Run, noisy: Path, tmp_path: Path) -> None:
    claim(noisy / "m.st", tmp_path / "paper.st", (noisy / "ids.txt").read_text().split())
    ran = forgetkit("audit", "paper.st", "--original", noisy / "m.st", "--json")
    assert ran.json["verdict"] == "not-forgotten"
    assert "bit for bit" in ran.json["reasons"][0]


def test_forgetting_on_paper_with_dust_on_the_weights_fails_too(forgetkit: Run, noisy: Path, tmp_path: Path) -> None:
    claim(noisy / "m.st", tmp_path / "dust.st", (noisy / "ids.txt").read_text().split(), dust=1e-7)
    ran = forgetkit("audit", "dust.st", "--original", noisy / "m.st", "--json")
    assert (ran.code, ran.json["verdict"]) == (1, "not-forgotten")
    assert ran.json["reasons"] == ["membership: remembered"]


def test_no_reference_fails_and_membership_clears_most(forgetkit: Run, noisy: Path) -> None:
    reports = [
        forgetkit("audit", noisy / f"r{n}.st", "--original", noisy / "m.st", "--json").json
        for n in range(1, REFERENCES + 1)
    ]
    membership = [check["verdict"] for report in reports for check in report["checks"] if check["id"] == "membership"]
    assert {report["verdict"] for report in reports} <= {"forgotten", "inconclusive"}
    assert membership.count("pass") > REFERENCES / 2
    assert "fail" not in membership


def test_without_the_original_references_can_convict_and_not_clear(forgetkit: Run, noisy: Path) -> None:
    given = [word for n in range(2, REFERENCES + 1) for word in ("--reference", noisy / f"r{n}.st")]
    checks = {}
    for name in ("m.st", "r1.st"):
        ran = forgetkit("audit", noisy / name, "--ids", noisy / "ids.txt", *given, "--json")
        checks[name] = {check["id"]: check for check in ran.json["checks"]}
    known, other = (checks[name]["rank"] for name in ("m.st", "r1.st"))
    assert known["p"] == pytest.approx(1 / REFERENCES)
    assert (other["verdict"], known["statistic"] > 1 > other["statistic"]) == ("info", True)
    assert checks["r1.st"]["divergence"]["statistic"] < checks["m.st"]["divergence"]["statistic"]


def test_the_parts_of_the_divergence_are_in_the_document_and_on_the_page(forgetkit: Run, noisy: Path) -> None:
    given = ("--ids", noisy / "ids.txt", "--reference", noisy / "r2.st", "--json", "--html", "page.html")
    ran = forgetkit("audit", noisy / "r1.st", *given)
    note = next(check["note"] for check in ran.json["checks"] if check["id"] == "divergence")
    (cosine,), (norm,) = (re.findall(rf"of the {part} ([0-9.]+)", note) for part in PARTS)
    assert (0 < float(cosine) < 1, 0 < float(norm) < 1) == (True, True)
    page = unescape(Path("page.html").read_text(encoding="utf-8"))
    assert note in page
    assert "Bayes error, interval" in page


def test_beside_references_the_ids_that_are_listed_are_the_calibrated_ones(forgetkit: Run, noisy: Path) -> None:
    given = [word for n in range(1, REFERENCES + 1) for word in ("--reference", noisy / f"r{n}.st")]
    audit = ("audit", noisy / "m.st", "--ids", noisy / "ids.txt", "--remembered-out", "left.txt", "--json")
    alone = forgetkit(*audit, "--show-ids").json["ids"]["remembered"]
    ran = forgetkit(*audit, "--show-ids", *given)
    listed, notes = ran.json["ids"]["remembered"], {check["id"]: check["note"] for check in ran.json["checks"]}
    assert notes["per-id-calibrated"].startswith(f"{listed['count']} stand out as remembered")
    assert sorted(listed["ids"]) == sorted(Path("left.txt").read_text().split()) != sorted(alone["ids"])


def test_without_the_original_a_reference_is_inconclusive(forgetkit: Run, noisy: Path) -> None:
    ran = forgetkit("audit", noisy / "r1.st", "--json")
    assert (ran.code, ran.json["verdict"]) == (3, "inconclusive")
    assert "--original" in " ".join(ran.json["reasons"])


def test_a_model_pushed_to_zero_on_the_ids_is_called_over_forgotten(forgetkit: Run, noisy: Path) -> None:
    forgetkit("neutralize", noisy / "m.st", "-i", noisy / "ids.txt", "--stop", "zero", "--threads", 1, "-o", "z.st")
    ran = forgetkit("audit", "z.st", "--original", noisy / "m.st", "--json")
    membership = next(check for check in ran.json["checks"] if check["id"] == "membership")
    assert membership["statistic"] < 0.5
    assert (ran.code, ran.json["verdict"]) == (1, "over-forgotten")


def test_relabeling_with_adam_at_the_papers_rate_fails(forgetkit: Run, model: Path, ids: Path) -> None:
    forgetkit("forget-ids", "model.st", "--count", 200, "-o", "many.txt")
    forgetkit("relabel", "model.st", "-i", "many.txt", "--optimizer", "adam", "--rate", 0.001, "--allow-unforgotten")
    ran = forgetkit("audit", "model.relabel.st", "--original", "model.st", "--json")
    assert ran.json["verdict"] in {"over-forgotten", "utility-lost"}


def relabel_little(forgetkit: Run, noisy: Path) -> None:
    """Relabel at a rate that leaves all as it was, to ``d.st``."""
    little = ("--rate", 0.001, "--allow-unforgotten", "-o", "d.st")
    assert forgetkit("relabel", noisy / "m.st", "-i", noisy / "ids.txt", *little).code == 0


def test_adadelta_at_a_thousandth_is_called_not_forgotten(forgetkit: Run, noisy: Path) -> None:
    relabel_little(forgetkit, noisy)
    ran = forgetkit("audit", "d.st", "--original", noisy / "m.st", "--json")
    assert (ran.code, ran.json["verdict"]) == (1, "not-forgotten")


def test_random_weights_are_called_utility_lost(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> None:
    forgetkit("relabel", "model.st", "-i", "ids.txt", "--rate", "0.1")
    record = read_record(tmp_path / "model.relabel.st")
    fresh = build_model("convnet", {}, shape=(1, 8, 8), classes=10, seed=1)
    save_checkpoint(tmp_path / "random.st", fresh, record)
    ran = forgetkit("audit", "random.st", "--original", "model.st", "--json")
    assert (ran.code, ran.json["verdict"]) == (1, "utility-lost")


def test_weights_that_are_not_finite_are_a_verdict_not_bad_input(forgetkit: Run, noisy: Path, tmp_path: Path) -> None:
    from forgetkit.files.header import dumps
    from forgetkit.models.tensor_file import tensor_digest, write_tensors

    record = read_record(noisy / "r1.st")
    tensors = load_model(noisy / "r1.st", record).state_dict()
    tensors["3.bias"][0] = float("nan")
    record = replace(record, digest=tensor_digest(tensors))
    write_tensors(tmp_path / "nan.st", tensors, {"format": "pt", "forgetkit": dumps(record)})
    ran = forgetkit("audit", "nan.st", "--original", noisy / "m.st", "--json")
    assert (ran.code, ran.json["verdict"]) == (1, "not-forgotten")
    assert "NaN" not in json.dumps(ran.json["accuracy"])


def without_threes(forgetkit: Run) -> str:
    """Train on digits without the threes; return the checkpoint."""
    forgetkit("forget-ids", "model.st", "--class", "3", "-o", "threes.txt")
    forgetkit("train", "--like", "model.st", "--exclude", "threes.txt", "-o", "ref.st")
    return "ref.st"


def test_a_whole_class_forgotten_by_retraining_is_no_failure(forgetkit: Run, model: Path) -> None:
    ran = forgetkit("audit", without_threes(forgetkit), "--original", "model.st", "--json")
    gone = next(check for check in ran.json["checks"] if check["id"] == "vanished")
    assert ran.json["accuracy"]["forget"] == 0
    assert (gone["verdict"], gone["gating"], ran.code) == ("info", False, 3)
    assert gone["note"].startswith("no sample of class '3' is retained")


def test_a_class_that_came_back_is_not_forgotten(forgetkit: Run, model: Path) -> None:
    forgetkit("forget-ids", "model.st", "--class", "3", "-o", "threes.txt")
    forgetkit("relabel", "model.st", "-i", "threes.txt", "--rate", 0.001, "--allow-unforgotten")
    ran = forgetkit("audit", "model.relabel.st", "--original", "model.st", "--json")
    assert (ran.code, ran.json["verdict"]) == (1, "not-forgotten")


def test_an_original_that_never_saw_the_ids_is_refused(forgetkit: Run, model: Path) -> None:
    reference = without_threes(forgetkit)
    forgetkit("relabel", "model.st", "-i", "threes.txt", "--rate", 0.1, "--allow-unforgotten")
    ran = forgetkit("audit", "model.relabel.st", "--original", reference, "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-mismatch")


def test_chance_decides_under_its_criterion(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    forgetkit("forget-ids", "model.st", "--count", 400, "-o", "many.txt")
    forgetkit("neutralize", "model.st", "-i", "many.txt", "--stop", "chance", "--threads", 1)
    args = ("audit", "model.neutralize.st", "--original", "model.st", "--json")
    gates = {c["id"] for c in forgetkit(*args, "--criterion", "chance").json["checks"] if c["gating"]}
    assert gates == {"integrity", "chance", "utility"}


def test_what_was_forgotten_before_is_a_group_that_can_only_fail(forgetkit: Run, noisy: Path, tmp_path: Path) -> None:
    ids = (noisy / "ids.txt").read_text().split()
    (tmp_path / "first.txt").write_text("\n".join(ids[:300]))
    relabel_little(forgetkit, noisy)
    ran = forgetkit("audit", "d.st", "-i", "first.txt", "--original", noisy / "m.st", "--json")
    earlier = [c for c in ran.json["checks"] if c["group"] == "earlier"]
    assert [(c["id"], c["n"], c["verdict"]) for c in earlier] == [("membership", 300, "fail")]
    ran = forgetkit("audit", noisy / "r1.st", "-i", "first.txt", "--original", noisy / "m.st", "--json")
    assert [c["verdict"] for c in ran.json["checks"] if c["group"] == "earlier"] == ["info"]


def test_the_same_audit_twice_prints_the_same_bytes(forgetkit: Run, noisy: Path) -> None:
    args = ("audit", noisy / "r1.st", "--original", noisy / "m.st", "--json", "--threads", 1)
    assert forgetkit(*args).out == forgetkit(*args).out


def test_single_ids_are_counted_and_listed_only_on_request(forgetkit: Run, noisy: Path) -> None:
    args = ("audit", noisy / "m.st", "--ids", noisy / "ids.txt", "--json")
    hidden, shown = forgetkit(*args).json["ids"], forgetkit(*args, "--show-ids").json["ids"]
    assert hidden["remembered"]["ids"] is None
    assert hidden["remembered"]["count"] == len(shown["remembered"]["ids"]) > 0
    assert set(shown["remembered"]["ids"]) <= set((noisy / "ids.txt").read_text().split())


def test_what_is_remembered_is_listed_and_goes_back_into_a_step(forgetkit: Run, noisy: Path, tmp_path: Path) -> None:
    args = ("audit", noisy / "m.st", "--ids", noisy / "ids.txt", "--remembered-out", "left.txt", "--show-ids", "--json")
    listed = forgetkit(*args).json["ids"]["remembered"]["ids"]
    assert (tmp_path / "left.txt").read_text() == "".join(f"{id_}\n" for id_ in sorted(listed))
    forgetkit("forget-ids", noisy / "m.st", "--ids", "left.txt", "-o", "again.txt")
    assert (tmp_path / "again.txt").read_text() == (tmp_path / "left.txt").read_text()


def test_an_earlier_request_that_was_chosen_cannot_fail(forgetkit: Run, noisy: Path, tmp_path: Path) -> None:
    forgetkit("forget-ids", noisy / "m.st", "--class", "a", "--count", 150, "-o", "chosen.txt")
    forgetkit("forget-ids", noisy / "m.st", "--minus", "chosen.txt", "--count", 100, "-o", "drawn.txt")
    both = {id_ for name in ("chosen", "drawn") for id_ in (tmp_path / f"{name}.txt").read_text().split()}
    (tmp_path / "both.txt").write_text("\n".join(sorted(both)))
    claim(noisy / "m.st", tmp_path / "paper.st", both)
    ran = forgetkit("audit", "paper.st", "-i", "drawn.txt", "--json")
    earlier = [(c["n"], c["verdict"]) for c in ran.json["checks"] if c["group"] == "earlier"]
    assert earlier == [(150, "info")]


def test_the_report_has_the_keys_of_the_contract(forgetkit: Run, noisy: Path) -> None:
    report = forgetkit("audit", noisy / "r1.st", "--original", noisy / "m.st", "--json").json
    assert {"ok", "verdict", "exit_code", "reasons", "checks", "accuracy", "ids", "inputs", "policy", "limits"} <= set(
        report
    )
    keys = {"id", "group", "gating", "n", "statistic", "interval", "null", "margin", "p", "verdict", "note"}
    assert all(set(check) == keys for check in report["checks"])
    assert set(report["accuracy"]) == {"forget", "retain", "unseen", "original_unseen"}


def test_the_report_opens_with_the_verdict_its_exit_code_and_what_it_means(forgetkit: Run, noisy: Path) -> None:
    ran = forgetkit("audit", noisy / "m.st", "--ids", noisy / "ids.txt", "--original", noisy / "m.st")
    assert re.fullmatch(r"\S+m\.st  NOT FORGOTTEN {2,}exit 1", ran.lines[0])
    assert ran.lines[1] == "On these 600 ids it does not answer like a model that never saw them."


def test_exit_zero_keeps_the_verdict(forgetkit: Run, noisy: Path) -> None:
    ran = forgetkit("audit", noisy / "m.st", "--ids", noisy / "ids.txt", "--exit-zero", "--json")
    assert (ran.code, ran.json["exit_code"]) == (0, 1)


def test_an_audit_of_nothing_is_bad_input(forgetkit: Run, model: Path) -> None:
    ran = forgetkit("audit", "model.st", "--original", "model.st", "--json")
    assert (ran.code, ran.json["code"]) == (2, "ids-empty")


def test_an_original_of_other_data_is_a_mismatch(forgetkit: Run, noisy: Path, model: Path) -> None:
    ran = forgetkit("audit", noisy / "r1.st", "--original", "model.st", "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-mismatch")


def test_the_audit_judges_on_the_check_half_alone(
    forgetkit: Run, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = forgetkit("audit", noisy / "r1.st", "--original", noisy / "m.st", "--json").out
    honest = DATASETS["noise"](tmp_path, download=False)
    tune = [row for row in range(4000) if not _in_check(str(row))]
    images, labels = honest.test.images.copy(), honest.test.labels.copy()
    images[tune], labels[tune] = 0, 0
    changed = replace(honest, test=Split(honest.test.ids, images, labels))
    monkeypatch.setattr(
        "forgetkit.data.open.fingerprint_of", lambda *_: read_record(noisy / "m.st").dataset["fingerprint"]
    )
    monkeypatch.setitem(DATASETS._entries, "noise", lambda root, *, download: changed)
    assert forgetkit("audit", noisy / "r1.st", "--original", noisy / "m.st", "--json").out == report


def _in_check(id_: str) -> bool:
    import hashlib

    return bool(hashlib.blake2b(id_.encode()).digest()[0] & 1)


def test_the_subject_may_stand_in_another_folder_than_the_original(forgetkit: Run, noisy: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    copy(noisy / "r1.st", tmp_path / "elsewhere" / "r.st")
    assert forgetkit("audit", "elsewhere/r.st", "--original", noisy / "m.st").code in {0, 3}


def checks_of(ran: Ran) -> dict[str, dict[str, Any]]:
    return {check["id"]: check for check in ran.json["checks"]}


def test_references_clear_a_reference_and_convict_the_original(forgetkit: Run, noisy: Path, tmp_path: Path) -> None:
    refs = tmp_path / "refs"
    refs.mkdir()
    for n in range(2, REFERENCES + 2):
        copy(noisy / f"r{n}.st", refs / f"{n}.st")
    against = ("--original", noisy / "m.st", "--reference", refs, "--json")
    other = checks_of(forgetkit("audit", noisy / "r1.st", *against))
    same = checks_of(forgetkit("audit", noisy / "m.st", "--ids", noisy / "ids.txt", *against))
    assert (other["closer"]["verdict"], other["closer"]["gating"]) == ("pass", True)
    assert same["closer"]["statistic"] == 1
    assert same["closer"]["verdict"] != "pass"
    assert (other["rank"]["verdict"], "at least 19 are needed" in other["rank"]["note"]) == ("info", True)
    assert same["per-id-calibrated"]["verdict"] == "info"


def test_one_reference_lists_single_ids_and_no_more(forgetkit: Run, noisy: Path) -> None:
    ran = forgetkit("audit", noisy / "r1.st", "--original", noisy / "m.st", "--reference", noisy / "r2.st", "--json")
    found = checks_of(ran)
    assert found["closer"]["verdict"] == found["rank"]["verdict"] == "not-run"
    assert found["per-id-calibrated"]["verdict"] == "info"
    assert len(ran.json["inputs"]["references"]) == 1


def test_a_reference_that_saw_the_ids_is_refused(forgetkit: Run, noisy: Path) -> None:
    ran = forgetkit("audit", noisy / "r1.st", "--reference", noisy / "m.st", "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-mismatch")


def test_the_same_reference_twice_is_refused(forgetkit: Run, noisy: Path) -> None:
    twice = ("--reference", noisy / "r2.st", "--reference", noisy / "r2.st")
    ran = forgetkit("audit", noisy / "r1.st", *twice, "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-mismatch")


def test_a_reference_by_another_recipe_is_left_out_with_a_warning(forgetkit: Run, noisy: Path) -> None:
    ids = noisy / "ids.txt"
    forgetkit("train", "--like", noisy / "m.st", "--exclude", ids, "--epochs", 2, "-o", "short.st")
    ran = forgetkit("audit", noisy / "r1.st", "--reference", "short.st", "--json")
    assert [warning["code"] for warning in ran.json["warnings"]] == ["other-recipe"]
    assert ran.json["inputs"]["references"] == []


def test_an_empty_folder_of_references_is_missing(forgetkit: Run, noisy: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    ran = forgetkit("audit", noisy / "r1.st", "--reference", "none", "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-missing")


def test_reports_are_written_beside_the_verdict(
    forgetkit: Run, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    (tmp_path / "step.md").write_text("before\n")
    args = ("audit", noisy / "m.st", "--ids", noisy / "ids.txt", "--original", noisy / "m.st")
    assert forgetkit(*args, "--junit", "out/a.xml").code == 1
    assert "<failure" in (tmp_path / "out" / "a.xml").read_text()
    assert (tmp_path / "step.md").read_text().startswith("before\n#")
    assert forgetkit(*args, "--summary", "a.md").code == 1
    assert "NOT FORGOTTEN" in (tmp_path / "a.md").read_text()
    assert (tmp_path / "step.md").read_text().count("## m.st: ") == 2


def test_a_job_summary_that_cannot_be_written_costs_no_verdict(
    forgetkit: Run, noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/nonexistent/step.md")
    ran = forgetkit("audit", noisy / "m.st", "--ids", noisy / "ids.txt", "--junit", "a.xml", "--json")
    assert (ran.code, ran.json["ok"]) == (1, True)
    assert [one["code"] for one in ran.json["warnings"]] == ["no-summary"]
    assert ran.err.index("warning: GITHUB_STEP_SUMMARY: /nonexistent/step.md") < ran.err.index("NOT FORGOTTEN")


def test_the_verdict_is_out_before_a_report_fails(forgetkit: Run, noisy: Path, tmp_path: Path) -> None:
    (tmp_path / ".a.xml.lock").mkdir()  # no file can be written there now, which only shows at the end
    ran = forgetkit("audit", noisy / "m.st", "--ids", noisy / "ids.txt", "--junit", "a.xml", "--json")
    assert (ran.code, ran.json["verdict"]) == (2, "not-forgotten")
    assert ran.err.splitlines()[-2].startswith("error: a.xml: ")
    assert not (tmp_path / "a.xml").exists()


def test_an_audit_without_a_verdict_is_an_error_in_junit_and_no_stale_success(
    forgetkit: Run, noisy: Path, tmp_path: Path
) -> None:
    args = ("audit", noisy / "m.st", "--ids", noisy / "ids.txt", "--junit", "a.xml")
    assert forgetkit(*args, "--original", noisy / "m.st").code == 1
    assert forgetkit(*args, "--original", "nowhere.st").code == 2
    text = (tmp_path / "a.xml").read_text()
    assert ('errors="1"' in text, "<error message=" in text, "nowhere.st" in text) == (True, True, True)
    (tmp_path / "mine.txt").write_text("mine")
    assert forgetkit(*args[:-1], "mine.txt", "--original", "nowhere.st").code == 2
    assert (tmp_path / "mine.txt").read_text() == "mine"
    before = text
    assert forgetkit(*args, "--original", "elsewhere.st", "--dry-run").code == 2
    assert (tmp_path / "a.xml").read_text() == before


def test_the_findings_are_on_stderr_too(forgetkit: Run, noisy: Path) -> None:
    args = ("audit", noisy / "m.st", "--ids", noisy / "ids.txt", "--original", noisy / "m.st", "--json")
    ran = forgetkit(*args)
    shown = [line for line in ran.err.splitlines() if "NOT FORGOTTEN" in line or line.startswith("  because")]
    assert len(shown) == 1 + len(ran.json["reasons"])


def test_a_report_may_not_replace_the_checkpoint(forgetkit: Run, model: Path, ids: Path) -> None:
    assert forgetkit("audit", "model.st", "--ids", "ids.txt", "--junit", "model.st").code == 2
