"""Samples of the test split that a request names: no model was trained on them, so they are left out, and counted."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Run

DATA = ("--dataset", "table:./pets.csv")
TRAIN = ("train", *DATA, "--epochs", "1", "--batch-size", "8", "-q", "-o", "m.st")
RELABEL = ("relabel", "m.st", "--ids", "ids.txt", "--rate", "0.05", "--allow-unforgotten", "-o", "out.st", "--json")
LEFT_OUT = "are left out: they are in the test split, on which no model was trained"


@pytest.fixture(autouse=True)
def table(tmp_path: Path) -> None:
    """Write a table of cats and dogs in turn: p0 to p15 to train on, t0 to t7 to test with; each third is of ann."""
    draw, pixels = np.random.default_rng(0), [f"pixel{at}" for at in range(64)]
    lines = [",".join(["id", "label", "split", "user", *pixels])]
    for at, (id_, split) in enumerate([(f"p{n}", "train") for n in range(16)] + [(f"t{n}", "test") for n in range(8)]):
        image = draw.integers(0, 256, 64).astype(str)
        lines.append(",".join([id_, ("cat", "dog")[at % 2], split, "bob" if at % 3 else "ann", *image]))
    (tmp_path / "pets.csv").write_text("\n".join([*lines, ""]))


def test_matching_samples_of_the_test_split_are_counted_in_words_and_in_json(forgetkit: Run) -> None:
    says = "matching samples in the test split: 2; they are not chosen, as no model was trained on them"
    ran = forgetkit("forget-ids", *DATA, "--where", "user=ann")
    assert (ran.lines, ran.err.splitlines()[-2]) == (["p0", "p12", "p15", "p3", "p6", "p9"], f"warning: {says}")
    as_json = forgetkit("forget-ids", *DATA, "--where", "user=ann", "--json").json
    assert as_json["warnings"] == [{"code": "ids-untrained", "message": says}]


def test_so_are_those_that_a_table_of_attributes_names_if_they_are_of_the_wanted_classes(
    forgetkit: Run, tmp_path: Path
) -> None:
    (tmp_path / "who.csv").write_text("id,writer\np0,eve\np1,eve\nt0,eve\nt1,eve\nt2,eve\n")
    choose = ("forget-ids", *DATA, "--where", "writer=eve", "--attributes", "who.csv")
    assert "matching samples in the test split: 3;" in forgetkit(*choose).err
    assert "matching samples in the test split: 1;" in forgetkit(*choose, "--class", "dog").err
    assert "test split" not in forgetkit(*choose, "--ids", "-", stdin="p0\n").err


def test_a_person_of_the_test_split_alone_has_nothing_to_forget(forgetkit: Run, tmp_path: Path) -> None:
    (tmp_path / "who.csv").write_text("id,writer\np0,eve\nt3,mia\nt5,mia\n")
    ran = forgetkit("forget-ids", *DATA, "--where", "writer=mia", "--attributes", "who.csv")
    assert (ran.code, ran.err.splitlines()[-2:]) == (
        2,
        [
            "error: --where: writer=mia: its samples, 2, are all in the test split",
            "hint: no model was trained on them: there is nothing to forget",
        ],
    )


def test_a_step_leaves_them_out_and_refuses_unknown_ids(forgetkit: Run, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("p0\nt3\nt5\n")
    assert forgetkit(*TRAIN).code == 0
    ran = forgetkit(*RELABEL)
    assert ran.json["warnings"][0] == {"code": "ids-untrained", "message": f"2 of 3 ids {LEFT_OUT}"}
    assert ran.json["record"]["steps"][-1]["ids"]["count"] == 1
    (tmp_path / "ids.txt").write_text("p0\nt3\np99\n")
    refused = forgetkit(*RELABEL).json
    assert (refused["code"], refused["message"][:16]) == ("ids-unknown", "ids.txt:3: 'p99'")


def test_a_request_with_such_samples_is_answered_and_closed(forgetkit: Run, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("p0\nt3\np6\n")
    booked = ("--request", "case-7", "--book", "b.db")
    assert forgetkit(*TRAIN).code == 0
    assert forgetkit("requests", "add", "case-7", "--ids", "ids.txt", "--book", "b.db").code == 0
    assert forgetkit(*RELABEL, *booked).code == 0
    ran = forgetkit("audit", "out.st", "--original", "m.st", *booked, "--accept", "a test", "--json")
    assert ran.json["warnings"][0] == {"code": "ids-untrained", "message": f"1 of 3 ids {LEFT_OUT}"}
    assert forgetkit("requests", "done", "--book", "b.db").lines[0].startswith("case-7")


def test_a_request_with_nothing_else_ends_well_and_stays_open(forgetkit: Run, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("t3\nt5\n")
    assert forgetkit(*TRAIN).code == 0
    assert forgetkit("requests", "add", "case-7", "--ids", "ids.txt", "--book", "b.db").code == 0
    ran = forgetkit(*RELABEL[:-1], "--request", "case-7", "--book", "b.db")
    assert (ran.code, ran.lines) == (0, ["m.st"])
    assert f"warning: 2 of 2 ids {LEFT_OUT}" in ran.err
    assert "request case-7 stays open: m.st was never trained on any of its ids" in ran.err


def test_a_training_leaves_them_out_of_exclude_and_refuses_them_in_only(forgetkit: Run, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("p0\nt3\n")
    assert f"1 of 2 ids {LEFT_OUT}" in forgetkit(*TRAIN, "--exclude", "ids.txt").err
    refused = forgetkit(*TRAIN, "-f", "--only", "ids.txt", "--json").json
    assert (refused["code"], refused["message"][:37]) == ("ids-unknown", "1 of the 2 ids of --only are in the t")
