"""No option is accepted and ignored: it counts, or it is refused, or warned of."""

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.pictures import pets

ONE_TEACHER = "distill model.st --teacher model.st"
BOTH = f"{ONE_TEACHER} --forget-teacher proxy.st"
REFUSED = [
    *((f"{name} --stop published --utility-margin 0.5", "--utility-margin: not with --stop published")
      for name in ("ascend", "badteach", "finetune", "random-labels", "reset", "scrub")),
    ("scrub --stop rewind --utility-margin 0.5", "--utility-margin: not with --stop rewind"),
    ("finetune --free-epochs 2", "--free-epochs: needs --l1"),
    ("finetune --optimizer adam --momentum 0.5", "--momentum: adam has no momentum"),
    ("reset --share 0.5", "--share: needs --kind msg"),
    ("reset --others 0.5", "--others: needs --kind msg"),
    ("reset --kind msg --optimizer adam", "--optimizer: adam undoes the factor of --others"),
    ("random-labels --targets contrast --redraw once", "--redraw: not with --targets contrast"),
    ("random-labels --labels-per-id all --redraw once", "--redraw: not with --labels-per-id all"),
    ("scrub --epochs 5 --away-epochs 6", "--away-epochs: there are 5 epochs"),
    ("scrub --away-epochs 0 --ids-per-step 8", "--ids-per-step: not with --away-epochs 0"),
    ("scrub --away-epochs 0 --kl-weight 0 --temperature 1", "--temperature: not with --away-epochs 0 --kl-weight 0"),
    ("ascend --alpha 0 --batch-size 8", "--batch-size: not with --alpha 0"),
    ("ascend --alpha 1", "--alpha: 1 leaves the ids no weight"),
    *((f"{ONE_TEACHER} --{option}", f"--{option.split()[0]}: needs --forget-teacher")
      for option in ("forget-weight 3", "ids-per-step 8", "replay 8", "steps 9", "allow-unforgotten",
                     "utility-margin 0.5")),
    *((f"{BOTH} --{option}", f"--{option.split()[0]}: not with --forget-teacher")
      for option in ("schedule cosine", "augment flip", "batch-size 8", "keep best", "distill-epochs 2", "epochs 3",
                     "retain-fraction 0.2")),
    (f"{BOTH} --allow-unforgotten --utility-margin 0.5", "--utility-margin: not with --allow-unforgotten"),
    *((f"{ONE_TEACHER} --distill-epochs 0 --{option} 2", f"--{option}: not with --distill-epochs 0")
      for option in ("alpha", "beta", "temperature")),
    (f"{ONE_TEACHER} --beta 0 --temperature 2", "--temperature: not with --beta 0"),
    (f"{BOTH} --beta 0 --temperature 2", "--temperature: not with --beta 0"),
    ("train --dataset digits --dataset-changed -o out.st", "--dataset-changed is given, but no checkpoint"),
    ("forget-ids --dataset arrays:here/x.npz --data-root there --count 2", "--data-root: not with --dataset arrays:"),
    ("forget-ids --dataset digits --count 2 --check -o out.txt", "--out: not with --check"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), REFUSED)
def test_an_option_without_effect_is_refused_before_any_work(
    forgetkit: Run, tmp_path: Path, line: str, message: str
) -> None:
    name, *options = line.split()
    step = name not in {"distill", "train", "forget-ids"}
    ran = forgetkit(name, *(("model.st", "-i", "ids.txt") if step else ()), *options, "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage"), ran
    assert message in ran.json["message"]
    assert ran.json["hint"]
    assert not list(tmp_path.iterdir())


def test_adopted_weights_have_no_data_that_could_have_changed(forgetkit: Run, model: Path) -> None:
    assert forgetkit("export", "model.st", "-o", "exported").code == 0
    ran = forgetkit("adopt", "exported", "--dataset", "digits", "--dataset-changed", "-o", "out.st", "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")
    assert "no checkpoint" in ran.json["message"]


@pytest.mark.parametrize("name", ["finetune", "random-labels"])
def test_the_usual_momentum_of_a_method_is_that_of_sgd_alone(forgetkit: Run, model: Path, ids: Path, name: str) -> None:
    for optimizer, momentum in (("sgd", 0.9), ("adam", 0.0)):
        given = ("--optimizer", optimizer, "--rate", "0.001", "--stop", "published", "--epochs", "1")
        ran = forgetkit(name, "model.st", "-i", "ids.txt", *given, "-o", f"{optimizer}.st", "--json")
        assert ran.code == 0, ran.err
        assert ran.json["record"]["steps"][-1]["options"]["momentum"] == momentum


@pytest.mark.parametrize("name", ["ascend", "badteach", "finetune", "random-labels", "reset", "scrub"])
def test_the_log_of_a_published_run_has_a_line_for_each_epoch(
    forgetkit: Run, model: Path, ids: Path, name: str
) -> None:
    given = ("--stop", "published", "--epochs", "2", "--log", "log.jsonl", "--json")
    ran = forgetkit(name, "model.st", "-i", "ids.txt", *given)
    assert ran.code == 0, ran.err
    lines = [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert sum(line["steps"] for line in lines) == ran.json["metrics"]["steps"]
    assert all(isinstance(line["loss"], float) for line in lines)


def test_epochs_that_a_training_does_not_have_are_warned_of(forgetkit: Run, model: Path, ids: Path) -> None:
    given = (*ONE_TEACHER.split(), "-i", "ids.txt", "--epochs", "1", "--json")
    ran = forgetkit(*given, "--distill-epochs", "3")
    assert (ran.code, [one["code"] for one in ran.json["warnings"]]) == (0, ["unused"])
    assert forgetkit(*given, "-o", "other.st").json["warnings"] == []


def test_dampening_that_changes_nothing_says_so(forgetkit: Run, model: Path, ids: Path) -> None:
    ran = forgetkit("dampen", "model.st", "-i", "ids.txt", "--alpha", "1", "--strength", "1e9", "--json")
    assert (ran.code, [one["code"] for one in ran.json["warnings"]]) == (0, ["unmoved"])
    assert ran.json["metrics"]["dampened"] == 0


def test_a_table_of_attributes_that_are_not_asked_for_is_refused(forgetkit: Run, tmp_path: Path) -> None:
    pets(tmp_path)
    (tmp_path / "pens.csv").write_text("id,pen,ink\np0,red,no\n")
    asked = ("forget-ids", "--dataset", "table:pets.csv", "--attributes", "pens.csv", "--json", "--where")
    ran = forgetkit(*asked, "user=u0")
    assert (ran.code, ran.json["hint"]) == (2, "its columns: pen, ink")
    assert ran.json["message"] == "--attributes: no --where names a column of pens.csv"
    assert forgetkit(*asked, "user=u0", "--where", "pen=red").code == 0
