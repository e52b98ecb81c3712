"""``predict`` and ``audit --scores``: the same report as with the weights, from files of any tool, and their faults."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import forgetkit as library
from forgetkit.auditing.scores.read import read_scores
from forgetkit.auditing.scores.table import ScoreTable
from forgetkit.auditing.scores.write import scores_as
from forgetkit.cli import app as cli
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from forgetkit.files.id_digests import KeySet
from forgetkit.files.id_list import digest_of
from forgetkit.files.record import Record, Step
from forgetkit.models.checkpoint import load_model, save_checkpoint
from forgetkit.training import classifier
from tests.conftest import Ran, Run
from tests.shadowed import told

IDS = [str(row) for row in range(100)]
CLASSES, EACH = 4, 300
"""Classes of invented scores, and samples of each group."""
NEEDS_WEIGHTS = {"integrity", "chance-hflip", "chance-vflip", "chance-crop", "lookup"}


def table(seed: int = 0, *, known: float = 0.0, name: str = "s.npz") -> ScoreTable:
    """Return scores of a model that is ``known`` surer of its forgotten samples than of unseen ones."""
    source = np.random.default_rng(seed)
    labels = np.arange(3 * EACH) % CLASSES
    groups = np.repeat(["forget", "retain", "unseen"], EACH)
    logits = source.normal(size=(len(labels), CLASSES))
    logits[np.arange(len(labels)), labels] += 2 + 3.0 * (groups == "retain") + known * (groups == "forget")
    return ScoreTable(name, [f"x{row}" for row in range(len(labels))], labels, groups.tolist(), logits)


def save(found: ScoreTable, name: str | None = None) -> str:
    path = Path(name or found.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(scores_as(path, found))
    return str(path)


def checks(ran: Ran) -> dict[str, Any]:
    return {f"{check['group']}/{check['id']}": check for check in ran.json["checks"]}


def claim(path: Path, out: Path, ids: list[str]) -> None:
    """Say in a record that a step forgot the ids that the model knows; the weights are as they were but for dust."""
    record = read_record(path)
    model = load_model(path, record)
    with torch.no_grad():
        next(model.parameters()).add_(1e-6)
    known = [id_ for id_, trained in zip(ids, record.was_trained(ids), strict=True) if trained]
    step = Step("relabel", {"rate": 0.1}, 0, record.digest, {"count": len(known), "digest": digest_of(known)}, {})
    forgotten = record.forgotten | KeySet.of(known, record.forgotten.salt)
    save_checkpoint(out, model, replace(record, forgotten=forgotten, steps=[*record.steps, step]))


def call(*arguments: object) -> None:
    assert cli.run([*map(str, arguments), "-q"]) == 0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``m.st``, trained on noise, its shadow models, what forgot, and references."""
    folder, source = tmp_path_factory.mktemp("models"), np.random.default_rng(0)
    images = source.integers(0, 256, (700, 8, 8), dtype=np.uint8)
    labels, split = source.integers(0, 4, 700), np.repeat([0, 1], [400, 300])
    np.savez(folder / "noise.npz", images=images, labels=labels, split=split)
    (folder / "ids.txt").write_text("\n".join(IDS))
    start = ("train", "--dataset", f"arrays:{folder / 'noise.npz'}", "--epochs", 25, "--rate", 0.003)
    call(*start, "--shadows", 4, "-o", folder / "m.st")
    for path, out in [
        (folder / "m.st", folder / "r.st"),
        *zip(*[sorted((folder / "m.shadows").glob("*.st"))] * 2, strict=True),
    ]:
        claim(path, out, IDS)
    again = ("train", "--like", folder / "m.st", "--exclude", folder / "ids.txt", "--epochs", 25)
    call(*again, "--replicas", 5, "--threads", 1, "-o", folder / "refs/{n}.st")
    return folder


@pytest.fixture
def here(models: Path, tmp_path: Path) -> Path:
    return copytree(models, tmp_path, dirs_exist_ok=True)


def test_scores_give_the_report_of_the_weights_to_the_last_digit(forgetkit: Run, here: Path) -> None:
    asked = ("r.st", "--original", "m.st", "--reference", "refs", "--shadows", "m.shadows")
    weights = forgetkit("audit", *asked, "--json")
    forgetkit("predict", "r.st", "m.st", "refs", "--unseen", "--retain", "all", "-o", "s/{name}.npz")
    forgetkit("predict", "r.st", "m.shadows", "--unseen", "--retain", "all", "-o", "t/{name}.npz")
    Path("t/r.npz").unlink()
    (here / "refs.npz").mkdir()
    for path in Path("s").glob("[0-9]*.npz"):
        path.rename(here / "refs.npz" / path.name)
    given = ("--scores", "s/r.npz", "--original-scores", "s/m.npz", "--reference-scores", "refs.npz")
    scores = forgetkit("audit", *given, "--shadow-scores", "t", "--json")
    expected = {name: check for name, check in checks(weights).items() if check["id"] not in NEEDS_WEIGHTS}
    found = {name: check for name, check in checks(scores).items() if check["id"] not in NEEDS_WEIGHTS}
    assert {name: check["note"].replace("-scores", "") for name, check in found.items()} == {
        name: check["note"] for name, check in expected.items()
    }
    for name, check in expected.items():
        assert {**found[name], "note": ""} == {**check, "note": ""}
    assert [ran.json["verdict"] for ran in (weights, scores)] == [scores.json["verdict"]] * 2
    assert scores.json["accuracy"] == weights.json["accuracy"]
    assert checks(scores)["ids/integrity"]["verdict"] == "not-run"
    assert scores.json["limits"][0].startswith("Only scores were judged")


def test_the_three_formats_hold_the_same_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known = replace(table(), owners=["a", "b"] * (EACH * 3 // 2), saw=np.arange(EACH * 3) < EACH)
    for suffix in ("npz", "csv", "parquet"):
        found = read_scores(save(known, f"s.{suffix}"))
        assert (found.ids, found.groups, found.owners) == (known.ids, known.groups, known.owners)
        assert np.array_equal(found.logits, known.logits)
        assert found.saw is not None
        assert np.array_equal(found.saw, known.saw)  # type: ignore[arg-type]


def test_the_formats_give_one_verdict_and_the_order_of_rows_does_not_count(forgetkit: Run, tmp_path: Path) -> None:
    model, original = table(1), table(2, known=3)
    order = np.random.default_rng(5).permutation(len(original))
    mixed = replace(
        original,
        ids=[original.ids[row] for row in order],
        labels=original.labels[order],
        groups=[original.groups[row] for row in order],
        logits=original.logits[order],
    )
    save(model, "m.csv")
    save(mixed, "o.parquet")
    one = forgetkit("audit", "--scores", save(model), "--original-scores", save(original, "o.npz"), "--json")
    other = forgetkit("audit", "--scores", "m.csv", "--original-scores", "o.parquet", "--json")
    assert (one.code, one.json["verdict"]) == (0, "forgotten")
    assert (other.json["checks"], other.json["verdict"]) == (one.json["checks"], one.json["verdict"])


def test_probabilities_mean_what_their_logits_mean(forgetkit: Run, tmp_path: Path) -> None:
    found = {}
    for name, seed, known in (("m", 1, 0.0), ("o", 2, 3.0)):
        one = table(seed, known=known)
        shares = np.exp(one.logits) / np.exp(one.logits).sum(axis=1, keepdims=True)
        np.savez(f"{name}.npz", id=one.ids, label=one.labels, group=one.groups, probabilities=shares)
        save(one, f"{name}.logits.npz")
    for kind in ("", ".logits"):
        ran = forgetkit("audit", "--scores", f"m{kind}.npz", "--original-scores", f"o{kind}.npz", "--json")
        found[kind] = {name: check["statistic"] for name, check in checks(ran).items()}
    assert found[""] == pytest.approx(found[".logits"], nan_ok=True)


def test_what_is_remembered_is_caught_and_without_the_original_nothing_is_cleared(
    forgetkit: Run, tmp_path: Path
) -> None:
    save(table(2, known=3), "o.npz")
    remembered = forgetkit("audit", "--scores", save(table(1, known=2)), "--original-scores", "o.npz")
    assert (remembered.code, "NOT FORGOTTEN" in remembered.out) == (1, True)
    alone = forgetkit("audit", "--scores", save(table(1)))
    assert alone.code == 3
    assert "--original-scores ORIGINAL.npz" in alone.out
    assert "--original " not in alone.out


def test_scores_that_are_the_originals_fail_by_their_integrity(forgetkit: Run, tmp_path: Path) -> None:
    one = table(1)
    ran = forgetkit("audit", "--scores", save(one), "--original-scores", save(one, "copy.csv"), "--json")
    assert (ran.code, ran.json["reasons"][0]) == (1, "integrity: the scores are the original's, bit for bit")


def test_samples_of_whole_people_are_not_taken_for_a_random_draw(forgetkit: Run, tmp_path: Path) -> None:
    people = [f"p{row // 30}" if row < EACH else f"q{row // 30}" for row in range(3 * EACH)]
    save(replace(table(2, known=3), owners=people), "o.npz")
    ran = forgetkit("audit", "--scores", save(replace(table(1), owners=people)), "--original-scores", "o.npz", "--json")
    found = checks(ran)
    assert "all samples of some people" in found["ids/exchangeable"]["note"]
    assert found["ids/membership"]["gating"] is False


def test_an_owner_for_each_sample_is_pointed_out(forgetkit: Run, tmp_path: Path) -> None:
    one = table()
    ran = forgetkit("audit", "--scores", save(replace(one, owners=one.ids)), "--json")
    assert [entry["code"] for entry in ran.json["warnings"]] == ["owners-unused"]


def test_100_000_rows_are_judged(forgetkit: Run, tmp_path: Path) -> None:
    one = table()
    times = 112
    many = ScoreTable(
        "many.npz",
        [f"{copy}-{id_}" for copy in range(times) for id_ in one.ids],
        np.tile(one.labels, times),
        one.groups * times,
        np.random.default_rng(0).normal(size=(times * len(one), CLASSES))
        + 4 * np.eye(CLASSES)[np.tile(one.labels, times)],
    )
    ran = forgetkit("audit", "--scores", save(many), "--json")
    assert checks(ran)["ids/membership"]["n"] == times * EACH


# What no audit can judge: one line, exit 2.


def rows_of(one: ScoreTable) -> list[dict[str, Any]]:
    texts = scores_as(Path("s.csv"), one).decode().splitlines()
    return list(csv.DictReader(texts))


def written(change: Callable[[list[dict[str, Any]]], object]) -> None:
    rows = rows_of(table())
    change(rows)
    with Path("s.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def only(groups: set[str]) -> Callable[[list[dict[str, Any]]], object]:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[:] = [row for row in rows if row["group"] in groups]

    return change


def without(*names: str) -> Callable[[list[dict[str, Any]]], object]:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[:] = [{key: value for key, value in row.items() if key not in names} for row in rows]

    return change


def named(old: str, new: str) -> Callable[[list[dict[str, Any]]], object]:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[:] = [{key.replace(old, new): value for key, value in row.items()} for row in rows]

    return change


def at(row: int, **values: object) -> Callable[[list[dict[str, Any]]], object]:
    return lambda rows: rows[row].update(values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (only({"forget", "retain"}), "no row is of the group 'unseen'"),
        (only({"retain", "unseen"}), "no row is of the group 'forget'"),
        (without("group"), "there is no 'group'"),
        (without("id", "label"), "there is no 'id' and no 'label'"),
        (without(*(f"logit_{n}" for n in range(CLASSES))), "there are no scores"),
        (without("logit_1"), "not numbered from 0 without gaps"),
        (without("logit_1", "logit_2", "logit_3"), "scores of 1 class"),
        (named("logit_", "probability_"), "negative"),
        (at(3, group="seen"), "s.csv:5: 'seen' is no group"),
        (at(3, label="cat"), "s.csv:5: the label 'cat' is not the number of a class"),
        (at(3, label="4"), "s.csv:5: the label 4, but scores of 4 classes"),
        (at(3, id="x7"), "the id 'x7' is in s.csv:5 too"),
        (at(3, id=""), "'id' is empty"),
        (at(3, logit_2="nan"), "s.csv:5: a score is NaN or infinite (1 such rows)"),
        (at(3, logit_2="high"), "s.csv:5: 'high' in 'logit_2' is no number"),
    ],
)
def test_a_malformed_table_is_refused_in_one_line(
    forgetkit: Run, tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], said: str
) -> None:
    written(change)
    ran = forgetkit("audit", "--scores", "s.csv")
    assert ran.code == 2, ran.err
    assert said in ran.err
    assert ran.err.count("error:") == ran.err.count("hint:") == 1


def test_probabilities_that_do_not_sum_to_1_are_refused(forgetkit: Run, tmp_path: Path) -> None:
    one = table()
    np.savez("s.npz", id=one.ids, label=one.labels, group=one.groups, probabilities=np.full((len(one), 4), 0.3))
    assert "s.npz row 0: the probabilities sum up to 1.2, not 1" in forgetkit("audit", "--scores", "s.npz").err


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"logits": np.zeros(900)}, "'logits' are float64 of shape (900,)"),
        ({"logits": np.zeros((900, 4), dtype=complex)}, "complex"),
        ({"label": np.zeros(7, dtype=int)}, "'label' is int64 of shape (7,)"),
        ({"label": np.zeros(900)}, "'label' is float64"),
        ({"probabilities": np.zeros((900, 4))}, "both logits and probabilities"),
        ({"classes": np.array(["a", "b"])}, "'classes'"),
        ({"model": np.array("{}x")}, "'model' is not what forgetkit predict writes"),
        ({"saw": np.full(900, "maybe")}, "'maybe' in 'saw' is neither 1 nor 0"),
    ],
)
def test_malformed_arrays_are_refused(forgetkit: Run, tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    one = table()
    np.savez("s.npz", **{"id": one.ids, "label": one.labels, "group": one.groups, "logits": one.logits, **arrays})
    ran = forgetkit("audit", "--scores", "s.npz")
    assert (ran.code, said in ran.err) == (2, True), ran.err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ids": [f"y{row}" for row in range(900)]}, "o.npz: 300 of 300 'forget' samples of s.npz are missing"),
        ({"labels": np.zeros(900, dtype=np.int64)}, "'x1' has the label 0, in s.npz 1"),
        ({"logits": np.zeros((900, 5))}, "scores of 5 classes, but s.npz of 4"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused(
    forgetkit: Run, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    other = save(replace(table(2), **change), "o.npz")
    ran = forgetkit("audit", "--scores", save(table()), "--original-scores", other, "--json")
    assert (ran.code, ran.json["code"]) == (2, "scores-mismatch")
    assert said in ran.json["message"]


def test_shadow_scores_must_say_what_was_seen_and_come_in_pairs(forgetkit: Run, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    half = np.arange(900) % 2 == 0
    for number, saw in enumerate((half, half)):
        save(replace(table(number + 5), saw=saw), f"t/{number}.npz")
    given = ("audit", "--scores", save(table()), "--shadow-scores")
    assert "its half does not complete that of t/0.npz" in forgetkit(*given, "t").err
    assert "they come in pairs" in forgetkit(*given, "t/0.npz").err
    one, two = save(table(8), "a.npz"), save(table(9), "b.npz")
    assert "does not say what the model saw" in forgetkit(*given, one, "--shadow-scores", two).err


@pytest.mark.parametrize("name", ["nothing.npz", "", "s.txt", "folder"])
def test_a_file_that_is_not_there_or_no_table_is_refused(forgetkit: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "s.txt").write_text("id\n")
    (tmp_path / "folder").mkdir()
    ran = forgetkit("audit", "--scores", name, "--json")
    assert (ran.code, ran.json["code"].startswith("scores-") or ran.json["code"] == "usage") == (2, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("m.st", "--scores", "s.npz"), "both a checkpoint, m.st, and --scores are given"),
        (("--original-scores", "s.npz"), "--original-scores is given, but no --scores"),
        (("--scores", "s.npz", "--original", "m.st"), "--original does not go with --scores"),
        (("--scores", "s.npz", "--ids", "ids.txt"), "--ids does not go with --scores"),
        (("--scores", "s.npz", "--relearn"), "--relearn does not go with --scores"),
        ((), "missing argument 'CHECKPOINT'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    forgetkit: Run, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    save(table())
    ran = forgetkit("audit", *options)
    assert (ran.code, said in ran.err) == (2, True), ran.err


# predict


def test_predict_writes_what_was_asked_for_and_equal_bytes(forgetkit: Run, here: Path) -> None:
    ran = forgetkit("predict", "m.st", "--ids", "ids.txt", "--unseen", "--retain", 50, "-o", "s.npz", "--json")
    counts = ran.json["samples"]
    assert (counts["forget"], counts["retain"], counts["earlier"]) == (100, 50, 0)
    assert 100 < counts["unseen"] < 200
    first = Path("s.npz").read_bytes()
    assert forgetkit("predict", "m.st", "--ids", "ids.txt", "--unseen", "--retain", 50, "-o", "s.npz").code == 2
    forgetkit("predict", "m.st", "--ids", "ids.txt", "--unseen", "--retain", 50, "-o", "s.npz", "-f")
    assert Path("s.npz").read_bytes() == first
    assert {*read_scores("s.npz").groups} == {"forget", "retain", "unseen"}


def test_predict_draws_the_same_retained_samples_for_every_model(forgetkit: Run, here: Path) -> None:
    for name in ("m", "r"):
        forgetkit("predict", f"{name}.st", "--ids", "ids.txt", "--retain", 60, "-o", f"{name}.csv")
    assert read_scores("m.csv").ids == read_scores("r.csv").ids


def test_predict_marks_samples_forgotten_before(forgetkit: Run, here: Path) -> None:
    (here / "some.txt").write_text("1\n2\n")
    forgetkit("predict", "r.st", "--ids", "some.txt", "--unseen", "-o", "s.npz")
    found = read_scores("s.npz")
    assert [found.groups.count(group) for group in ("forget", "earlier")] == [2, 98]


def test_predict_names_the_outputs_beside_the_checkpoints(forgetkit: Run, here: Path) -> None:
    assert forgetkit("predict", "m.st", "r.st", "--ids", "ids.txt").lines == ["m.scores.npz", "r.scores.npz"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("m.st",), "ids-empty"),
        (("m.st", "--unseen", "-o", "s.txt"), "usage"),
        (("m.st", "r.st", "--unseen", "-o", "s.npz"), "usage"),
        (("m.st", "m.st", "--unseen"), "usage"),
        (("m.st", "--retain", "many"), "usage"),
        (("nothing.st", "--unseen"), "checkpoint-missing"),
        (("m.st", "--unseen", "--owner", "writer"), "usage"),
    ],
)
def test_predict_refuses_what_it_cannot_do(forgetkit: Run, here: Path, words: tuple[str, ...], code: str) -> None:
    ran = forgetkit("predict", *words, "--json")
    assert (ran.code, json.loads(ran.out)["code"]) == (2, code)
    assert not list(here.glob("*.npz.*"))


def test_the_owner_that_predict_writes_is_the_group_of_the_twin_test(forgetkit: Run, here: Path) -> None:
    (here / "w.csv").write_text("id,writer\n" + "".join(f"{row},w{row // 5}\n" for row in range(400)))
    forgetkit("predict", "r.st", "--unseen", "--owner", "writer", "--attributes", "w.csv", "-o", "s.csv")
    owners = read_scores("s.csv").owners
    assert owners is not None
    assert (owners[:5], owners[-1]) == (["writer=w0"] * 5, "")


# several checkpoints


def test_several_models_get_a_line_each_and_the_worst_exit_code(forgetkit: Run, here: Path) -> None:
    given = ("--ids", "ids.txt", "--original", "m.st")
    ran = forgetkit("audit", "refs/1.st", "m.st", "refs/2.st", *given)
    assert [line.split()[0] for line in ran.lines] == ["refs/1.st", "m.st", "refs/2.st"]
    assert ran.code == 1
    document = told(forgetkit("audit", "refs/1.st", "m.st", *given, "--json"))
    alone = forgetkit("audit", "m.st", *given, "--json")
    assert [entry["checkpoint"] for entry in document["audits"]] == ["refs/1.st", "m.st"]
    assert document["audits"][1]["report"] == alone.json
    assert document["exit_code"] == 1


def test_reports_of_several_models_need_a_name_each(forgetkit: Run, here: Path) -> None:
    given = ("audit", "refs/1.st", "refs/2.st", "--original", "m.st")
    ran = forgetkit(*given, "--junit", "a.xml")
    assert (ran.code, "--junit reports/{name}.xml" in ran.err) == (2, True)
    forgetkit(*given, "--junit", "x/{name}.xml", "--html", "x/{name}.html")
    assert sorted(path.name for path in Path("x").iterdir()) == ["1.html", "1.xml", "2.html", "2.xml"]


def test_nothing_is_judged_where_one_of_several_cannot_be(forgetkit: Run, here: Path) -> None:
    ran = forgetkit("audit", "refs/1.st", "nothing.st", "--original", "m.st")
    assert (ran.code, ran.out) == (2, "")


def test_reports_of_scores_are_written(forgetkit: Run, tmp_path: Path) -> None:
    save(table(2, known=3), "o.npz")
    reports = ("--junit", "a.xml", "--html", "a.html", "--summary", "a.md")
    assert forgetkit("audit", "--scores", save(table(1)), "--original-scores", "o.npz", *reports).code == 0
    assert all(Path(name).stat().st_size for name in reports[1::2])


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    path.write_bytes(scores_as(path, table())[:-200])
    with pytest.raises(ForgetkitError, match="not readable as"):
        read_scores(str(path))


def test_the_library_judges_scores_as_the_command_does(forgetkit: Run, tmp_path: Path) -> None:
    model, original = save(table(1)), save(table(2, known=3), "o.npz")
    found = library.audit_scores(model, original=original)
    assert found.verdict == "forgotten"
    assert forgetkit("audit", "--scores", model, "--original-scores", original, "--json").json == {
        **found.report,
        "warnings": [],
    }


def test_references_of_several_models_are_evaluated_once(
    forgetkit: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, given = list[str](), ("--ids", "ids.txt", "--original", "m.st", "--reference", "refs")
    whole = classifier.load_model

    def load(path: Path, record: Record, *, finite: bool = True) -> nn.Module:
        loaded.append(str(path))
        return whole(path, record, finite=finite)

    monkeypatch.setattr(classifier, "load_model", load)
    several = told(forgetkit("audit", "m.st", "r.st", *given, "--json"))
    assert loaded.count("refs/3.st") == 1
    assert several["audits"][1]["report"] == forgetkit("audit", "r.st", *given, "--json").json
