"""A stream of requests: what was forgotten stays so, and past a limit it stops or retrains."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from forgetkit.cli import app as cli
from forgetkit.errors import NotReached
from forgetkit.files.header import read_record
from forgetkit.models.checkpoint import load_model, save_checkpoint
from forgetkit.unlearning.stream_limits import check_divergence, check_membership
from tests.conftest import Ran, Run


def write(path: Path, rows: range) -> str:
    path.write_text("".join(f"{row}\n" for row in rows))
    return path.name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``m.st``, ``refs`` (5 without the first 50 ids), ``known.st`` (trained on one of them)."""
    folder = tmp_path_factory.mktemp("stream")
    write(folder / "fifty.txt", range(50))
    write(folder / "fewer.txt", range(1, 50))
    model, fifty = str(folder / "m.st"), str(folder / "fifty.txt")
    one = ("-q", "--threads", "1", "--precision", "float32")
    assert cli.run(["train", "--dataset", "digits", "--epochs", "2", *one, "-o", model]) == 0
    for n in range(1, 6):
        assert (
            cli.run(["train", "--like", model, "--exclude", fifty, "--seed", str(n), *one, "-o", ref(folder, n)]) == 0
        )
    known = ["train", "--like", model, "--exclude", str(folder / "fewer.txt"), "--epochs", "1", *one]
    assert cli.run([*known, "-o", str(folder / "known.st")]) == 0
    return folder


def ref(folder: Path, number: int) -> str:
    return str(folder / "refs" / f"{number}.st")


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """Return ``tmp_path`` with what was made."""
    copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def relabel(forgetkit: Run, path: str, ids: str, *options: str) -> Ran:
    return forgetkit("relabel", path, "-i", ids, "--rate", "0.01", "--threads", "1", *options)


def test_a_rate_that_was_found_is_used_again_in_the_stream(forgetkit: Run, here: Path) -> None:
    def next_of(path: str, rows: range, *more: str) -> Ran:
        given = ("-i", write(here / "next.txt", rows), "--threads", "1", "--json", *more)
        ran = forgetkit("relabel", path, *given, "-o", f"after-{rows.stop}.st", "-f")
        assert ran.code == 0, ran.err
        return ran

    found = next_of("m.st", range(5))
    assert found.json["metrics"]["trials"]
    again = next_of("after-5.st", range(5, 10))
    assert again.json["metrics"]["reused"]
    steps = [read_record(here / f"after-{last}.st").steps[-1] for last in (5, 10)]
    assert steps[0].options["rate"] == steps[1].options["rate"]
    assert "as for the last request of 5 ids" in again.err
    assert next_of("after-5.st", range(5, 10)).json["up_to_date"]
    assert forgetkit("mask", "m.st", "-i", "fifty.txt", "-q", "-o", "mask.st").code == 0
    others = [("--optimizer", "sgd"), ("--weight-decay", "0.001"), ("--mask", "mask.st"), ("--labels-per-id", "3")]
    for rows, more in ((range(5, 11), ()), *((range(5, 10), more) for more in others)):
        given = (*more, "--utility-margin", "0.9") if "--mask" in more else more
        assert next_of("after-5.st", rows, *given).json["metrics"]["trials"]


def test_a_rate_that_was_found_before_is_searched_anew_where_it_costs_accuracy(forgetkit: Run, here: Path) -> None:
    given = ("-i", write(here / "five.txt", range(5)), "--threads", "1", "--json")
    assert forgetkit("relabel", "m.st", *given, "-o", "one.st").code == 0
    rewrite(here / "one.st", rate=1.0)
    given = ("-i", write(here / "more.txt", range(5, 10)), "--threads", "1", "--json")
    ran = forgetkit("relabel", "one.st", *given, "-o", "two.st")
    assert ran.code == 0, ran.err
    assert "accuracy is lost" in ran.err
    assert ran.json["metrics"]["trials"]


def rewrite(path: Path, **options: object) -> None:
    """Change options of the last step in a checkpoint's record."""
    record = read_record(path)
    step = record.steps[-1]
    steps = [*record.steps[:-1], replace(step, options=step.options | options | {"mix": "per-id", "joint_steps": None})]
    save_checkpoint(path, load_model(path, record), replace(record, steps=steps))


def test_what_ten_requests_forgot_stays_forgotten(forgetkit: Run, here: Path) -> None:
    path, rows = "m.st", [str(row) for row in range(1297)]
    for number in range(10):
        ran = relabel(forgetkit, path, write(here / f"{number}.txt", range(5 * number, 5 * number + 5)))
        assert ran.code == 0, ran.err
        assert f"5 ids, {1297 - 5 * (number + 1)} retained samples" in ran.err
        (path,) = ran.lines
        record = read_record(Path(path))
        assert np.flatnonzero(record.forgotten.contains(rows)).tolist() == list(range(5 * number + 5))
        assert not record.retains(rows)[: 5 * number + 5].any()
    assert path == "m.relabel-10.st"
    assert [step.ids["count"] for step in record.steps[1:] if step.ids] == [5] * 10
    again = relabel(forgetkit, path, "3.txt")
    assert (again.code, again.lines) == (0, [path])
    assert "nothing left to do" in again.err


def test_a_sequence_of_ids_ends_when_its_limit_is_reached(forgetkit: Run, here: Path) -> None:
    limit = ("--sequence-limit", "12", "--json")
    assert relabel(forgetkit, "m.st", write(here / "a.txt", range(6)), *limit).code == 0
    assert relabel(forgetkit, "m.relabel.st", write(here / "b.txt", range(6, 11)), *limit).code == 0
    before = sorted(path.name for path in here.iterdir())
    write(here / "c.txt", range(11, 12))
    ran = relabel(forgetkit, "m.relabel-2.st", "c.txt", *limit)
    assert (ran.code, ran.json["code"]) == (1, "not-reached")
    assert (
        "12 ids forgotten since the last training from scratch: --sequence-limit 12 is reached" in ran.json["message"]
    )
    assert "--on-limit retrain" in ran.json["hint"]
    assert sorted(path.name for path in here.iterdir()) == sorted([*before, "c.txt"])


def test_at_the_limit_a_retraining_takes_its_place(forgetkit: Run, here: Path) -> None:
    limit = ("--sequence-limit", "8", "--on-limit", "retrain")
    relabel(forgetkit, "m.st", write(here / "a.txt", range(6)), *limit)
    write(here / "b.txt", range(6, 12))
    ran = relabel(forgetkit, "m.relabel.st", "b.txt", *limit, "--json")
    assert (ran.code, ran.json["command"], ran.json["outputs"]) == (0, "train", ["m.relabel-2.st"])
    assert [warning["code"] for warning in ran.json["warnings"]] == ["retraining"]
    record = read_record(Path("m.relabel-2.st"))
    rows = [str(row) for row in range(1297)]
    assert [(step.command, step.parent) for step in record.steps] == [("train", None)]
    assert np.flatnonzero(record.forgotten.contains(rows)).tolist() == list(range(12))
    write(here / "both.txt", range(12))
    by_hand = ("train", "--like", "m.st", "--exclude", "both.txt", "--threads", "1", "-o", "hand.st")
    assert forgetkit(*by_hand, "--precision", "float32").code == 0
    assert record.digest == read_record(Path("hand.st")).digest


def test_a_retraining_is_answered_at_once_when_it_is_there(forgetkit: Run, here: Path) -> None:
    limit = ("--sequence-limit", "3", "--on-limit", "retrain")
    write(here / "a.txt", range(6))
    assert relabel(forgetkit, "m.st", "a.txt", *limit).code == 0
    before = Path("m.relabel.st").read_bytes()
    again = relabel(forgetkit, "m.st", "a.txt", *limit, "--json")
    assert (again.code, again.json["up_to_date"], again.json["outputs"]) == (0, True, ["m.relabel.st"])
    assert Path("m.relabel.st").read_bytes() == before


def test_where_nothing_is_retained_there_is_nothing_to_retrain_on(forgetkit: Run, here: Path) -> None:
    assert forgetkit("forget-ids", "m.st", "--fraction", "1", "-q", "-o", "all.txt").code == 0
    ran = relabel(forgetkit, "m.st", "all.txt", "--sequence-limit", "3", "--on-limit", "retrain", "--json")
    assert (ran.code, ran.json["code"]) == (2, "ids-empty")


def test_after_a_retraining_the_sequence_begins_anew(forgetkit: Run, here: Path) -> None:
    limit = ("--sequence-limit", "8", "--on-limit", "retrain", "--json")
    relabel(forgetkit, "m.st", write(here / "a.txt", range(9)), *limit)
    ran = relabel(forgetkit, "m.relabel.st", write(here / "b.txt", range(9, 14)), *limit)
    assert (ran.code, ran.json["command"]) == (0, "relabel")
    assert len(read_record(Path("m.relabel-2.st")).forgotten) == 14


def test_a_reference_bounds_the_divergence(forgetkit: Run, here: Path) -> None:
    near = ("--reference", "refs/1.st", "--json")
    ran = relabel(forgetkit, "m.st", "fifty.txt", "--max-divergence", "1.4", *near)
    metrics = ran.json["metrics"]
    assert (ran.code, metrics["divergence_bound"]) == (0, 1.4)
    assert 0 < metrics["divergence"] < 1.4
    step = read_record(Path("m.relabel.st")).steps[-1]
    assert step.metrics == metrics
    assert 0 < metrics["norm_difference"] < metrics["divergence"]
    assert 0 < metrics["cosine_divergence"] < 1
    assert step.options["references"] == [read_record(Path("refs/1.st")).digest]
    tight = repr(metrics["divergence"] * 0.9)
    ran = relabel(forgetkit, "m.st", "fifty.txt", "--max-divergence", tight, "-o", "out.st", *near)
    assert (ran.code, ran.json["code"]) == (1, "not-reached")
    assert "from the references" in ran.json["message"]
    assert not Path("out.st").exists()


def test_five_references_say_what_honest_retraining_shows(forgetkit: Run, here: Path) -> None:
    auto = ("--max-divergence", "auto", "--reference", "refs", "--json")
    ran = relabel(forgetkit, "m.st", "fifty.txt", *auto, "--optimizer", "adam", "--rate", "0.01", "-o", "far.st")
    assert (ran.code, ran.json["code"]) == (1, "not-reached")
    assert not Path("far.st").exists()
    ran = relabel(forgetkit, "refs/1.st", write(here / "next.txt", range(60, 62)), *auto[:3], "refs/1.st", "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-mismatch")


def test_within_what_honest_retraining_shows_the_bound_is_recorded_as_a_number(forgetkit: Run, here: Path) -> None:
    auto = ("--max-divergence", "auto", "--reference", "refs", "--json")
    ran = relabel(forgetkit, "m.st", "fifty.txt", "--rate", "1e-9", *auto)
    if ran.code:
        assert "beyond the bound" in ran.json["message"]
        return
    step = read_record(Path("m.relabel.st")).steps[-1]
    assert step.metrics["false_alarms"] == pytest.approx(1 / 6)
    assert {"cosine_divergence", "norm_difference"} <= set(step.metrics)
    assert step.options["max_divergence"] == step.metrics["divergence_bound"] >= step.metrics["divergence"]
    assert relabel(forgetkit, "m.st", "fifty.txt", "--rate", "1e-9", *auto).json["up_to_date"]


def test_a_reference_that_saw_an_id_is_none(forgetkit: Run, here: Path) -> None:
    given = ("--max-divergence", "1", "--reference", "known.st", "--json")
    ran = relabel(forgetkit, "m.st", "fifty.txt", *given)
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-mismatch")
    assert "trained on 1 of the 50 ids" in ran.json["message"]


def test_without_references_membership_judges_from_300_ids_on(forgetkit: Run, here: Path) -> None:
    auto = ("--max-divergence", "auto", "--json")
    few = relabel(forgetkit, "m.st", write(here / "few.txt", range(299)), *auto, "--rate", "1e-6", "-o", "few.st")
    assert (few.code, few.json["metrics"]["membership_bound"]) == (0, None)
    (warning,) = (one for one in few.json["warnings"] if one["code"] == "limit-not-judged")
    assert warning["message"].startswith("299 ids are too few")
    many = relabel(forgetkit, "m.st", write(here / "many.txt", range(300)), *auto, "--rate", "1e-6", "-o", "many.st")
    assert many.code == 0, many.err
    assert 0 < many.json["metrics"]["membership_bound"] <= 0.1


def test_membership_that_is_seen_in_300_ids_is_past_the_limit() -> None:
    source = np.random.default_rng(0)
    labels, unseen = np.arange(300) % 4, (source.normal(size=800), np.arange(800) % 4)
    assert check_membership((source.normal(size=300), labels), unseen)["membership_bound"] < 0.1
    for shift in (1.0, -1.0):
        with pytest.raises(NotReached, match="300 ids so far"):
            check_membership((source.normal(size=300) + shift, labels), unseen)
    assert check_membership((np.full(299, 9.0), labels[:299]), unseen) == {"membership_bound": None}


def test_divergence_by_hand() -> None:
    model, reference = np.array([[1.0, 0.0]] * 4), np.array([[0.0, 1.0]] * 4)
    assert check_divergence(model, [reference], 1.5) == {
        **{"divergence": pytest.approx(2**0.5), "divergence_bound": 1.5},
        **{"cosine_divergence": pytest.approx(1), "norm_difference": pytest.approx(0)},
    }
    with pytest.raises(NotReached, match=r"1\.414 from the references, beyond the bound 1\.4"):
        check_divergence(model, [reference], 1.4)


def test_a_destroyed_model_is_past_the_limit_though_it_tells_nobody_apart(forgetkit: Run, here: Path) -> None:
    """A model that fails on everybody has a membership AUC of one half."""
    ruin = ("--optimizer", "adadelta", "--rate", "1", "--allow-unforgotten", "-o", "ruin.st", "--json")
    write(here / "many.txt", range(400))
    assert relabel(forgetkit, "m.st", "many.txt", *ruin).json["metrics"]["tune_accuracy"] < 0.5
    ran = relabel(forgetkit, "m.st", "many.txt", *ruin, "--max-divergence", "auto", "-f")
    assert (ran.code, ran.json["code"]) == (1, "not-reached")
    assert "accuracy on the tune half fell from" in ran.json["message"]
    ran = relabel(forgetkit, "m.st", "many.txt", *ruin, "--max-divergence", "auto", "--on-limit", "retrain", "-f")
    assert (ran.code, ran.json["command"]) == (0, "train")
    assert ran.json["metrics"]["test_accuracy"] > 0.8


@pytest.mark.parametrize("count", [1, 4])
def test_too_few_references_for_a_bound_are_refused(forgetkit: Run, here: Path, count: int) -> None:
    given = [word for number in range(1, count + 1) for word in ("--reference", f"refs/{number}.st")]
    ran = relabel(forgetkit, "m.st", "fifty.txt", "--max-divergence", "auto", *given, "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")
    assert f"needs 5 references, or none, not {count}" in ran.json["message"]


def test_a_class_that_vanishes_is_not_judged_and_that_is_said(forgetkit: Run, here: Path) -> None:
    assert forgetkit("forget-ids", "m.st", "--class", "3", "-q", "-o", "class.txt").code == 0
    more = ("--max-divergence", "auto", "--rate", "1e-6", "--allow-unforgotten", "--json")
    ran = relabel(forgetkit, "m.st", "class.txt", *more)
    assert ran.code == 0, ran.err
    assert "of classes without retained samples" in next(
        one["message"] for one in ran.json["warnings"] if one["code"] == "limit-not-judged"
    )


def test_neutralize_has_the_same_limits(forgetkit: Run, here: Path) -> None:
    stage1 = ("neutralize", "m.st", "-i", "fifty.txt", "--stop", "chance", "--threads", "1", "--json")
    ran = forgetkit(*stage1, "--sequence-limit", "50")
    assert (ran.code, ran.json["code"]) == (1, "not-reached")
    assert "50 ids forgotten since the last training" in ran.json["message"]
    ran = forgetkit(*stage1, "--max-divergence", "auto", "--reference", "refs")
    assert (ran.code, "accuracy on the tune half fell" in ran.json["message"]) == (1, True)
    ran = forgetkit(*stage1, "--max-divergence", "1.4", "--reference", "refs/1.st", "--utility-margin", "0.99")
    assert (ran.code, ran.json["metrics"]["divergence_bound"]) == (0, 1.4)
    ran = forgetkit(*stage1, "--sequence-limit", "50", "--on-limit", "retrain", "-o", "again.st")
    assert (ran.code, ran.json["command"]) == (0, "train")


@pytest.mark.parametrize(
    "options",
    [
        ("--reference", "refs"),
        ("--max-divergence", "0.3"),
        ("--max-divergence", "0", "--reference", "refs"),
        ("--max-divergence", "far"),
        ("--on-limit", "go"),
        ("--sequence-limit", "0"),
    ],
)
def test_limits_that_make_no_sense_are_bad_usage(forgetkit: Run, here: Path, options: tuple[str, ...]) -> None:
    ran = relabel(forgetkit, "m.st", "fifty.txt", *options, "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")
