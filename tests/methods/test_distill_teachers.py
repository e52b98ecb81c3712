"""Distillation with a second teacher, which never saw what is to be forgotten."""

import json
from pathlib import Path
from shutil import copytree

import pytest

from forgetkit.cli import app as cli
from forgetkit.files.header import read_record
from tests.conftest import Ran, Run
from tests.noise import TWINS

ENOUGH = ("--steps", "400", "--rate", "0.05", "--utility-margin", "0.2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``m.st``, which memorised noise, ``ids.txt`` and ``proxy.st``, trained without them."""
    folder = tmp_path_factory.mktemp("teachers")
    (folder / "ids.txt").write_text("".join(f"{row}\n" for row in range(120)))
    (folder / "more.txt").write_text("120\n121\n")
    for command in (
        f"train --dataset {TWINS[0]} --epochs 60 --rate 0.003 -o m.st",
        "train --like m.st --exclude ids.txt --epochs 4 -o proxy.st",
    ):
        words = [str(folder / word) if word.endswith((".st", ".txt")) else word for word in command.split()]
        assert cli.run([*words, "--threads", "1", "--precision", "float32", "-q"]) == 0
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """Return ``tmp_path`` with what was made."""
    copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def distill(forgetkit: Run, path: str, *options: str) -> Ran:
    """Distil from ``m.st``."""
    machine = ("--threads", "1", "--precision", "float32")
    return forgetkit("distill", path, "--teacher", "m.st", *machine, *options)


LOG = ("--log", "looks.jsonl")
BOTH = ("--forget-teacher", "proxy.st", "-i", "ids.txt")


def test_the_ids_are_known_no_better_than_to_the_teacher_that_never_saw_them(forgetkit: Run, here: Path) -> None:
    ran = distill(forgetkit, "m.st", *BOTH, *ENOUGH, *LOG, "--json")
    assert ran.code == 0, ran.err
    metrics = ran.json["metrics"]
    assert metrics["tune_auc_before"] > 0.8
    gap = metrics["tune_auc_before"] - metrics["right"]
    assert abs(metrics["tune_auc"] - metrics["right"]) <= gap / 2
    assert metrics["look"]["auc"] == pytest.approx(metrics["tune_auc"], abs=0.02)
    lines = [json.loads(line) for line in Path("looks.jsonl").read_text().splitlines()]
    assert sum(line["steps"] for line in lines) == metrics["steps"] == 400
    assert abs(metrics["right"] - 0.5) < 0.1


def test_both_teachers_stand_in_the_record_by_their_digests(forgetkit: Run, here: Path) -> None:
    distill(forgetkit, "m.st", *BOTH, "--allow-unforgotten")
    record = read_record(Path("m.distill.st"))
    options = record.steps[-1].options
    assert options["teacher"] == read_record(Path("m.st")).digest
    assert options["forget_teacher"] == read_record(Path("proxy.st")).digest
    assert (options["steps"], options["ids_per_step"], options["replay"]) == (0, 16, 16)
    assert options["norm_statistics"] == "updated"
    assert len(record.forgotten) == 120
    assert "up to date" in distill(forgetkit, "m.st", *BOTH, "--allow-unforgotten").err


def test_without_it_the_record_is_that_of_the_paper(forgetkit: Run, here: Path) -> None:
    assert distill(forgetkit, "m.st", "-i", "ids.txt", "--epochs", "1").code == 0
    options = read_record(Path("m.distill.st")).steps[-1].options
    assert not {"forget_teacher", "steps", "replay", "ids_per_step", "utility_margin"} & options.keys()


def test_both_teachers_are_left_as_they_were(forgetkit: Run, here: Path) -> None:
    before = [Path(name).read_bytes() for name in ("m.st", "proxy.st", "ids.txt")]
    assert distill(forgetkit, "m.st", *BOTH, "--allow-unforgotten").code == 0
    assert [Path(name).read_bytes() for name in ("m.st", "proxy.st", "ids.txt")] == before
    for name in ("m.st", "proxy.st"):
        ran = distill(forgetkit, "m.st", *BOTH, "--allow-unforgotten", "-o", name, "-f", "--json")
        assert (ran.code, ran.json["code"]) == (2, "output-unwritable")


def test_short_of_the_goal_nothing_is_written(forgetkit: Run, here: Path) -> None:
    before = sorted(path.name for path in here.iterdir())
    ran = distill(forgetkit, "m.st", *BOTH, "--steps", "2", "--rate", "1e-6", "--json")
    assert (ran.code, ran.json["code"]) == (1, "not-reached")
    assert "the ids are not forgotten (membership AUC" in ran.json["message"]
    assert sorted(path.name for path in here.iterdir()) == before


def test_a_share_of_a_training_is_taken_unless_a_number_of_steps_is_asked_for(forgetkit: Run, here: Path) -> None:
    ran = distill(forgetkit, "m.st", *BOTH, "--allow-unforgotten", "--replay", "48", *LOG, "--json")
    assert ran.json["metrics"]["steps"] == 23  # 0.17 · 60 epochs · 140 retained samples / (16 + 48)
    lines = [json.loads(line) for line in Path("looks.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["steps"]) for line in lines] == [*((epoch, 3) for epoch in range(1, 8)), (8, 2)]
    ran = distill(forgetkit, "m.st", *BOTH, "--allow-unforgotten", "--steps", "9", "-o", "nine.st", "--json")
    assert ran.json["metrics"]["steps"] == 9


def test_what_was_forgotten_before_is_distilled_from_it_too(forgetkit: Run, here: Path) -> None:
    assert distill(forgetkit, "m.st", "-i", "ids.txt", "--epochs", "1", "-o", "first.st").code == 0
    ran = distill(forgetkit, "first.st", "--forget-teacher", "proxy.st", "--allow-unforgotten", "--json")
    assert (ran.code, len(read_record(Path("first.distill.st")).forgotten)) == (0, 120)
    assert ran.json["metrics"]["forget_accuracy"] is not None


def test_a_teacher_that_saw_an_id_is_refused(forgetkit: Run, here: Path) -> None:
    for teacher, count in (("m.st", 120), ("proxy.st", 2)):
        ids = "ids.txt" if teacher == "m.st" else "more.txt"
        ran = distill(forgetkit, "m.st", "--forget-teacher", teacher, "-i", ids, "--json")
        assert (ran.code, ran.json["code"]) == (2, "checkpoint-mismatch")
        assert f"trained on {count} of the {count} ids" in ran.json["message"]
        assert "--exclude" in ran.json["hint"]


def test_a_second_teacher_needs_something_to_teach(forgetkit: Run, here: Path) -> None:
    ran = distill(forgetkit, "m.st", "--forget-teacher", "proxy.st", "--json")
    assert (ran.code, ran.json["code"]) == (2, "ids-empty")


@pytest.fixture
def forgot(here: Path, forgetkit: Run) -> Path:
    """Return ``n.st``, which has forgotten ``ids.txt``, beside ``r.st``, which has forgotten them by another step."""
    forgetkit("neutralize", "m.st", "-i", "ids.txt", "--stop", "chance", "-o", "n.st")
    forgetkit("relabel", "m.st", "-i", "ids.txt", "--rate", "0.01", "--allow-unforgotten", "-o", "r.st")
    return here / "n.st"


@pytest.mark.parametrize("ids", [(), ("-i", "ids.txt")])
def test_a_model_is_not_taught_by_itself_what_it_has_lost(forgetkit: Run, forgot: Path, ids: tuple[str, ...]) -> None:
    Path("copy.st").write_bytes(forgot.read_bytes())
    original = read_record(Path("m.st")).digest
    for teacher in ("n.st", "copy.st"):
        ran = forgetkit("distill", "n.st", "--teacher", teacher, *ids, "-o", "out.st", "--json")
        assert (ran.code, ran.json["code"], Path("out.st").exists()) == (2, "usage", False)
        assert "the student itself, which forgot by neutralize" in ran.json["message"]
        assert f"sha256:{original[:8]}" in ran.json["hint"]


def test_the_digest_that_the_hint_names_is_shown_by_inspect(forgetkit: Run, forgot: Path) -> None:
    hint = forgetkit("distill", "n.st", "--teacher", "n.st", "--json").json["hint"]
    digest = hint.partition("sha256:")[2].split()[0]
    assert any(f"─{digest}  train" in line for line in forgetkit("inspect", "n.st").lines)


def warned(ran: Ran) -> list[str]:
    """Return the warnings of teachers that have forgotten."""
    return [one["message"] for one in ran.json["warnings"] if one["code"] == "teacher-unlearned"]


def test_a_teacher_that_has_forgotten_the_ids_itself_is_warned_of_once(forgetkit: Run, forgot: Path) -> None:
    ran = forgetkit("distill", "n.st", "--teacher", "r.st", "--epochs", 1, "--json")
    (text,) = warned(ran)
    assert "r.st: the teacher itself has forgotten 120 of the 120 ids, by relabel" in text
    assert ran.err.count("the teacher itself has forgotten") == 1


def test_a_forget_teacher_that_did_see_the_ids_is_warned_of(forgetkit: Run, forgot: Path) -> None:
    ran = distill(forgetkit, "m.st", "--forget-teacher", "n.st", "-i", "ids.txt", "--allow-unforgotten", "--json")
    (text,) = warned(ran)
    assert "n.st: the forget teacher has forgotten 120 of the 120 ids, by neutralize" in text


@pytest.mark.parametrize("teacher", ["m.st", "proxy.st"])
def test_a_teacher_that_was_only_trained_is_not_warned_of(forgetkit: Run, forgot: Path, teacher: str) -> None:
    assert warned(forgetkit("distill", "n.st", "--teacher", teacher, "--epochs", 1, "--json")) == []


def test_a_new_request_may_have_the_model_as_it_was_for_teacher_with_a_warning(forgetkit: Run, forgot: Path) -> None:
    ran = forgetkit("distill", "r.st", "--teacher", "r.st", "-i", "more.txt", "--epochs", 1, "--json")
    assert ran.code == 0
    assert "has forgotten 120 of the 122 ids" in warned(ran)[0]


def test_canaries_are_no_part_of_what_is_measured(forgetkit: Run, here: Path) -> None:
    train = ("train", "--dataset", "digits", "--epochs", "1", "--canaries", "40", "--threads", "1", "-o", "c.st")
    assert forgetkit(*train).code == 0
    assert forgetkit("forget-ids", "c.st", "--canaries", "-o", "canaries.txt").code == 0
    step = ("distill", "c.st", "--teacher", "c.st", "-i", "canaries.txt", "--threads", "1", "--json")
    ran = forgetkit(*step, "--epochs", "1")
    assert ran.code == 0, ran.err
    assert not {"forget_accuracy", "tune_auc", "forget_phi"} & ran.json["metrics"].keys()
    ran = forgetkit(*step, "--forget-teacher", "c.st", "-f")
    assert (ran.code, ran.json["code"]) == (2, "ids-empty")


def test_where_nothing_was_memorised_it_warns_that_no_check_can_tell(forgetkit: Run, model: Path, ids: Path) -> None:
    assert forgetkit("train", "--like", "model.st", "--exclude", "ids.txt", "--epochs", "3", "-o", "proxy.st").code == 0
    step = ("distill", "model.st", "--teacher", "model.st", "--forget-teacher", "proxy.st", "-i", "ids.txt")
    ran = forgetkit(*step, "--steps", "9", "--utility-margin", "0.9")
    assert "nothing measurable was memorised" in ran.err


@pytest.mark.parametrize(
    "option",
    [("--steps", "-1"), ("--epochs", "3"), ("--retain-fraction", "0.2"), ("--forget-weight", "0"), ("--replay", "0")],
)
def test_options_that_make_no_sense_are_bad_usage(forgetkit: Run, here: Path, option: tuple[str, str]) -> None:
    ran = distill(forgetkit, "m.st", *BOTH, *option, "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")
