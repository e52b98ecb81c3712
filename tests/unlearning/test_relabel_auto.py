"""Relabeling that aims, and a fixed rate that misses: on noise, which can only be memorised, and on digits."""

from dataclasses import replace
from pathlib import Path
from shutil import copy

import pytest

from forgetkit.cli import app as cli
from forgetkit.files.header import read_record
from forgetkit.files.record import Step
from tests.conftest import Ran, Run
from tests.noise import TWINS

SURE = ("--optimizer", "sgd", "--momentum", "0.9", "--utility-margin", "0.2")
"""Options with which the search ends at the place, in the middle of a bracket."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint that memorised noise, 260 samples."""
    path = tmp_path_factory.mktemp("hiss") / "m.st"
    words = ("train", "--dataset", TWINS[0], "--epochs", "60", "--rate", "0.003", "-q", "-o", str(path))
    assert cli.run([*words, "--threads", "1", "--precision", "float32"]) == 0
    return path


@pytest.fixture
def here(trained: Path, tmp_path: Path) -> Path:
    """Return ``tmp_path`` with ``m.st``, ``ids.txt`` (120 of 260) and ``few.txt`` (20)."""
    copy(trained, tmp_path / "m.st")
    for name, count in (("ids", 120), ("few", 20)):
        (tmp_path / f"{name}.txt").write_text("".join(f"{row}\n" for row in range(count)))
    return tmp_path


def auto(forgetkit: Run, ids: str, *options: str) -> Ran:
    """Relabel ``m.st``; the rate is searched for unless given."""
    return forgetkit("relabel", "m.st", "-i", ids, "--threads", "1", *options)


def last(name: str = "m.relabel.st") -> Step:
    return read_record(Path(name)).steps[-1]


def test_the_rate_is_found_where_the_ids_look_never_seen(forgetkit: Run, here: Path) -> None:
    ran = auto(forgetkit, "ids.txt", *SURE, "--json")
    metrics, trials = ran.json["metrics"], ran.json["metrics"]["trials"]
    assert ran.code == 0
    assert metrics["tune_auc_before"] > 0.8
    assert abs(metrics["tune_auc"] - 0.5) < 0.1
    assert 5 < len(trials) <= 10
    best = min((t for t in trials), key=lambda trial: abs(trial["gap"]))
    assert (last().options["rate"], last().options["mix"], last().options["joint_steps"]) == (
        best["rate"],
        "per-id",
        None,
    )
    assert metrics["tune_auc"] == pytest.approx(best["auc"])
    assert "judged on the forget set and the tune half" in ran.err
    assert ran.json["warnings"] == []


def test_the_rate_that_was_found_given_again_is_the_same_step(forgetkit: Run, here: Path) -> None:
    auto(forgetkit, "ids.txt", *SURE)
    rate = repr(last().options["rate"])
    ran = auto(forgetkit, "ids.txt", *SURE, "--rate", rate, "-o", "again.st")
    assert ran.code == 0, ran.err
    assert read_record(Path("again.st")).digest == read_record(Path("m.relabel.st")).digest


def test_the_record_holds_what_was_found_and_never_auto(forgetkit: Run, here: Path) -> None:
    auto(forgetkit, "ids.txt", *SURE)
    options = last().options
    assert isinstance(options["rate"], float)
    assert "auto" not in [value for value in options.values() if isinstance(value, str)]
    assert options["searched"] == ["mix", "rate", "joint_steps", "norm_statistics"]


def test_the_same_search_again_is_answered_at_once(forgetkit: Run, here: Path) -> None:
    auto(forgetkit, "ids.txt", *SURE)
    before = Path("m.relabel.st").read_bytes()
    again = auto(forgetkit, "ids.txt", *SURE)
    assert (again.code, again.lines) == (0, ["m.relabel.st"])
    assert "up to date" in again.err
    assert "tried" not in again.err
    assert Path("m.relabel.st").read_bytes() == before


@pytest.mark.parametrize(
    "other",
    [("--mix", "joint"), ("--mix", "per-id"), ("--rate", "0.003"), ("--utility-margin", "0.3"), ("--seed", "1")],
)
def test_what_is_asked_for_otherwise_is_another_step(forgetkit: Run, here: Path, other: tuple[str, str]) -> None:
    auto(forgetkit, "ids.txt", *SURE)
    ran = auto(forgetkit, "ids.txt", *SURE, *other, "--json")
    assert (ran.code, ran.json["code"]) == (2, "output-exists")


def test_a_rate_of_joint_steps_that_is_given_is_part_of_the_step(forgetkit: Run, here: Path) -> None:
    joint = (*SURE, "--mix", "joint", "--ids-per-step", "8", "--replay", "8", "--forget-weight", "1")
    assert auto(forgetkit, "ids.txt", *joint, "--rate", "0.03").code == 0
    assert (last().options["rate"], last().options["searched"]) == (0.03, ["joint_steps"])
    assert last().options["joint_steps"] == last().metrics["steps"] > 0
    assert auto(forgetkit, "ids.txt", *joint, "--rate", "0.02", "--json").json["code"] == "output-exists"


def test_a_step_compares_all_but_what_it_searched_for() -> None:
    step = Step("relabel", {"rate": 0.1, "mix": "joint", "searched": ["rate"]}, 0, None, None, {"a": 1})
    assert step.same_work(replace(step, options={**step.options, "rate": None}, metrics={}))
    assert not step.same_work(replace(step, options={**step.options, "mix": "per-id"}))
    assert not step.same_work(replace(step, options={"rate": 0.1, "mix": "joint", "searched": []}))
    assert not step.same_work(replace(step, seed=1))
    assert step.same_work(step)


@pytest.mark.parametrize("searched", [3, "rate", None, {"rate": 1}])
def test_a_record_with_a_senseless_list_of_searched_options_is_compared_as_it_is(searched: object) -> None:
    step = Step("relabel", {"rate": 0.1, "searched": searched}, 0, None, None, {})
    assert step.same_work(replace(step))
    assert not step.same_work(replace(step, options={**step.options, "rate": 0.2}))


def test_where_no_rate_forgets_joint_steps_are_tried_then_nothing_is_written(forgetkit: Run, here: Path) -> None:
    before = sorted(path.name for path in here.iterdir())
    ran = auto(forgetkit, "few.txt", "--optimizer", "adam", "--json")
    assert (ran.code, ran.json["code"]) == (1, "not-reached")
    assert "20 ids are too few: rehearsed on 120 retained samples" in ran.err
    assert ran.err.count("tried per-id at ") == 5
    assert ran.err.count("tried joint at ") == 2
    assert "7 tried; closest: " in ran.json["message"]
    assert [trial["mix"] for trial in ran.json["trials"]] == ["per-id"] * 5 + ["joint"] * 2
    assert "before: membership AUC 0.8" in ran.err
    assert "forgetkit forget" in ran.json["hint"]
    assert sorted(path.name for path in here.iterdir()) == before


def test_few_ids_are_relabeled_at_the_rate_that_was_rehearsed(forgetkit: Run, here: Path) -> None:
    ran = auto(forgetkit, "few.txt", *SURE[:3], "0.97", *SURE[4:], "--json")
    assert ran.code == 0, ran.err
    assert ran.json["metrics"]["judged"].startswith("20 ids are too few")
    assert ran.json["metrics"]["steps"] == 20
    assert ran.json["metrics"]["tune_auc"] < ran.json["metrics"]["tune_auc_before"] - 0.1


@pytest.mark.parametrize("options", [(), ("--mix", "per-id")])
def test_a_fixed_rate_that_changes_nothing_is_not_reached(forgetkit: Run, here: Path, options: tuple[str, ...]) -> None:
    ran = auto(forgetkit, "ids.txt", "--rate", "1e-5", *options, "--json")
    assert (ran.code, ran.json["code"]) == (1, "not-reached")
    assert "still recognisable" in ran.json["message"]
    assert "--allow-unforgotten" in ran.json["hint"]
    assert not Path("m.relabel.st").exists()


def test_unless_that_is_allowed(forgetkit: Run, here: Path) -> None:
    ran = auto(forgetkit, "ids.txt", "--rate", "1e-5", "--allow-unforgotten", "--json")
    assert ran.code == 0
    assert [warning["code"] for warning in ran.json["warnings"]] == ["unmoved"]
    assert len(read_record(Path("m.relabel.st")).forgotten) == 120


def test_fewer_than_a_hundred_ids_at_a_fixed_rate_are_not_judged(forgetkit: Run, here: Path) -> None:
    assert auto(forgetkit, "few.txt", "--rate", "1e-5").code == 0


def test_a_fixed_rate_that_loses_the_model_is_bad_input_not_a_bug(forgetkit: Run, here: Path) -> None:
    ran = auto(forgetkit, "ids.txt", "--optimizer", "sgd", "--rate", "1e30", "--json")
    assert (ran.code, ran.json["code"]) == (2, "diverged")


def test_a_search_among_rates_that_lose_the_model_ends_without_one(forgetkit: Run, here: Path) -> None:
    joint = ("--mix", "joint", "--optimizer", "sgd", "--rate", "1e30", "--utility-margin", "0.001")
    ran = auto(forgetkit, "ids.txt", *joint, "--json")
    assert ran.code in {1, 2}
    assert ran.json["code"] in {"not-reached", "diverged"}


def test_where_nothing_was_memorised_that_is_said_once(forgetkit: Run, model: Path, ids: Path) -> None:
    ran = forgetkit("relabel", "model.st", "-i", "ids.txt", "--threads", "1", "--json")
    assert (ran.code, [warning["code"] for warning in ran.json["warnings"]]) == (0, ["nothing-memorised"])
    assert len(ran.json["metrics"]["trials"]) == 1


def test_canaries_alone_are_relabeled_without_being_measured(forgetkit: Run, here: Path) -> None:
    train = ("train", "--dataset", "digits", "--epochs", "2", "--canaries", "60", "--threads", "1", "-o", "c.st")
    assert forgetkit(*train).code == 0
    assert forgetkit("forget-ids", "c.st", "--canaries", "-o", "canaries.txt").code == 0
    for options in ((), ("--rate", "0.001")):
        ran = forgetkit("relabel", "c.st", "-i", "canaries.txt", "--threads", "1", "-f", "--json", *options)
        assert ran.code == 0, ran.err
        assert "forget_accuracy" not in ran.json["metrics"]
        assert "test_accuracy" in ran.json["metrics"]
    assert "tune_auc" not in ran.json["metrics"]


@pytest.mark.parametrize("rate", ["fast", "0", "-1", "nan", "inf", ""])
def test_a_rate_is_auto_or_a_number_above_0(forgetkit: Run, here: Path, rate: str) -> None:
    ran = auto(forgetkit, "ids.txt", "--rate", rate, "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")


def test_a_kept_optimizer_ends_as_it_was_after_the_steps_taken(forgetkit: Run, here: Path) -> None:
    ran = auto(forgetkit, "ids.txt", "--optimizer", "adadelta", "--keep-optimizer")
    assert ran.code == 0, ran.err
    from safetensors.torch import load_file

    assert load_file("m.relabel.optimizer.st")["0.step"] == 120
