"""The command forget-ids, end to end."""

import builtins
import csv
import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forgetkit.data.select import forget_ids
from forgetkit.errors import ForgetkitError
from forgetkit.events import Event, Note
from forgetkit.files.id_list import digest_of, draw, read_ids
from forgetkit.options import Source
from tests.conftest import Ran, Run

DIGITS = ("--dataset", "digits")


@pytest.fixture
def piped(forgetkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Return a function that runs ``forget-ids`` with its first argument, text or bytes, as stdin."""

    def run(content: str | bytes, *arguments: object) -> Ran:
        write(tmp_path / ".stdin", content)
        with (tmp_path / ".stdin").open() as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", stream)
            return forgetkit("forget-ids", *arguments)

    return run


@pytest.fixture
def choose(piped: Callable[..., Ran], tmp_path: Path) -> Callable[..., Ran]:
    """Return a function that runs ``forget-ids --dataset digits``, on lists a.txt (0-9) and b.txt (5-14)."""
    for name, rows in (("a.txt", range(10)), ("b.txt", range(5, 15))):
        (tmp_path / name).write_text("".join(f"{row}\n" for row in rows))

    def run(*arguments: object, stdin: str | bytes = "") -> Ran:
        return piped(stdin, *DIGITS, *arguments)

    return run


Choose = Callable[..., Ran]


def numbers(ran: Ran) -> list[int]:
    assert ran.code == 0, ran.err
    return sorted(map(int, ran.lines))


def labels() -> list[int]:
    from forgetkit.data.open import open_dataset

    found: list[int] = open_dataset("digits", Path()).train.labels.tolist()
    return found


def test_a_class_chooses_its_training_samples(choose: Choose) -> None:
    assert numbers(choose("--class", 3)) == [row for row, label in enumerate(labels()) if label == 3]


def test_a_class_again_means_any_of_them(choose: Choose) -> None:
    assert numbers(choose("--class", 3, "--class", 8)) == [row for row, label in enumerate(labels()) if label in {3, 8}]


def test_a_list_again_means_any_of_them(choose: Choose) -> None:
    assert numbers(choose("--ids", "a.txt", "-i", "b.txt")) == [*range(15)]


def test_choosers_of_two_kinds_mean_all_of_them(choose: Choose) -> None:
    third = labels()[3]
    assert numbers(choose("-i", "a.txt", "--class", third)) == [row for row in range(10) if labels()[row] == third]


def test_intersect_keeps_and_minus_takes_out(choose: Choose) -> None:
    assert numbers(choose("-i", "a.txt", "--intersect", "b.txt")) == [5, 6, 7, 8, 9]
    assert numbers(choose("-i", "a.txt", "--minus", "b.txt")) == [0, 1, 2, 3, 4]


def test_minus_comes_after_intersect(choose: Choose) -> None:
    assert choose("-i", "a.txt", "--intersect", "b.txt", "--minus", "b.txt").code == 2


def test_the_draw_comes_last(choose: Choose) -> None:
    ran = choose("-i", "a.txt", "--minus", "b.txt", "--count", 2, "--seed", 4)
    assert ran.lines == sorted(draw([str(row) for row in range(5)], 2, 4))


def test_draws_are_nested_and_stable(choose: Choose) -> None:
    small, large = numbers(choose("--count", 20)), numbers(choose("--count", 90))
    assert set(small) < set(large)
    assert numbers(choose("--count", 20)) == small


def test_a_fraction_is_of_what_was_chosen(choose: Choose) -> None:
    assert len(numbers(choose("--fraction", 0.05))) == 65
    assert len(numbers(choose("-i", "a.txt", "--fraction", 0.5))) == 5


def test_the_output_is_sorted_by_utf_8_bytes_each_once_one_a_line(choose: Choose) -> None:
    ran = choose("--ids", "-", stdin="9\n10\n9\n100\n1\n")
    assert ran.out == "1\n10\n100\n9\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["--check"], ["--minus", "a.txt"], ["--intersect", "a.txt"], ["--count", "1", "--fraction", "0.5"]],
)
def test_a_request_that_chooses_nothing_is_a_usage_error(choose: Choose, arguments: list[str]) -> None:
    ran = choose(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert "hint: " in ran.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--class", "x"], "usage"),
        (["--where", "writer=1"], "usage"),
        (["--where", "writer"], "usage"),
        (["--count", "0"], "usage"),
        (["--count", "1298"], "usage"),
        (["--fraction", "0"], "usage"),
        (["--fraction", "nan"], "usage"),
        (["--ids", ""], "ids-missing"),
        (["--ids", "no-such-list.txt"], "ids-missing"),
        (["--ids", "a.txt", "--minus", "a.txt"], "ids-empty"),
        (["--ids", "a.txt", "--minus", "a.txt", "--fraction", "0.5"], "ids-empty"),
        (["--ids", "a.txt", "--data", "x"], "usage"),
    ],
)
def test_bad_input_is_exit_2_with_its_cause_in_json(choose: Choose, arguments: list[str], code: str) -> None:
    ran = choose(*arguments, "--json")
    assert (ran.code, ran.json["ok"], ran.json["code"]) == (2, False, code)
    assert ran.json["message"] in ran.err


def test_a_data_set_or_a_checkpoint_is_needed(forgetkit: Run) -> None:
    ran = forgetkit("forget-ids", "--class", "3")
    assert (ran.code, ran.out) == (2, "")
    assert "--dataset digits" in ran.err


def test_an_empty_checkpoint_says_that_the_command_before_wrote_none(forgetkit: Run) -> None:
    ran = forgetkit("forget-ids", "", "--class", "3", "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-missing")
    assert ran.json["message"] == "no checkpoint given: the command before wrote none"


def test_check_prints_nothing_and_finds_a_good_list_good(choose: Choose) -> None:
    ran = choose("--ids", "a.txt", "--check")
    assert (ran.code, ran.out) == (0, "")


def test_check_writes_nothing(choose: Choose, tmp_path: Path) -> None:
    before = sorted(tmp_path.glob("[!.]*"))
    ran = choose("--ids", "a.txt", "--check")
    assert (ran.code, ran.out, sorted(tmp_path.glob("[!.]*"))) == (0, "", before)


def test_check_finds_a_bad_list_bad(choose: Choose, tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("1\n1297\n")
    ran = choose("--ids", "c.txt", "--check")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-2:] == [
        "error: c.txt:2: '1297' is not an id of digits",
        "hint: ids run from 0 to 1296",
    ]


def test_all_bad_lines_are_counted_and_five_shown(choose: Choose, tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("".join(f"x{row}\n" for row in range(12)))
    assert "(12 unknown ids in all, lines 1, 2, 3, 4, 5 and 7 more)" in choose("--ids", "c.txt").err


def write(path: Path, content: bytes | str) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize(
    ("name", "content", "arguments"),
    [
        ("c.txt", "7\n8\n", []),
        ("c.txt", "\ufeff7\r\n8\r\n", []),
        ("c.txt", "# two\n\n  7 \n8", []),
        ("c.txt", gzip.compress(b"7\n8\n", mtime=0), []),
        ("c.gz", gzip.compress(b"7\n8\n", mtime=0), []),
        ("c.jsonl", '{"id": 7}\n{"id": "8"}\n', []),
        ("c.csv", "id,label\n7,0\n8,0\n", []),
        ("c.csv", "label,sample\n0,7\n0,8\n", ["--id-column", "sample"]),
        ("c.csv.gz", gzip.compress(b"id\n7\n8\n", mtime=0), []),
    ],
)
def test_every_format_says_the_same(
    choose: Choose, tmp_path: Path, name: str, content: bytes | str, arguments: list[str]
) -> None:
    write(tmp_path / name, content)
    assert numbers(choose("--ids", name, *arguments)) == [7, 8]


def test_parquet_is_read_with_its_column(choose: Choose, tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"sample": [7, 8]}), tmp_path / "c.parquet")
    assert numbers(choose("--ids", "c.parquet", "--id-column", "sample")) == [7, 8]


def test_parquet_without_pyarrow_says_what_to_install(
    choose: Choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def blocked(name: str, *rest: Any) -> Any:  # noqa: ANN401 - as the original
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", blocked)
    (tmp_path / "c.parquet").write_bytes(b"PAR1")
    ran = choose("--ids", "c.parquet", "--json")
    assert (ran.code, ran.json["code"]) == (2, "missing-extra")
    assert ran.json["hint"] == "pip install pyarrow"


def test_stdin_is_a_list(choose: Choose) -> None:
    assert numbers(choose("--ids", "-", stdin="# two\n7\n8\n")) == [7, 8]


def test_stdin_may_be_packed(choose: Choose) -> None:
    assert numbers(choose("--ids", "-", stdin=gzip.compress(b"7\n8\n", mtime=0))) == [7, 8]


def test_a_cut_stdin_is_refused(choose: Choose) -> None:
    ran = choose("--ids", "-", "--json", stdin="12\n123")
    assert (ran.code, ran.json["code"]) == (2, "ids-malformed")
    assert "cut pipe" in ran.json["hint"]


def test_an_empty_stdin_is_refused(choose: Choose) -> None:
    assert choose("--ids", "-", "--json", stdin="").json["code"] == "ids-empty"


def test_one_call_feeds_another(choose: Choose) -> None:
    first = choose("--class", 3)
    assert choose("--ids", "-", "--count", 5, stdin=first.out).lines == choose("--class", 3, "--count", 5).lines


def test_duplicates_are_a_warning_and_with_strict_an_error(choose: Choose) -> None:
    ran = choose("--ids", "-", "--json", stdin="7\n7\n")
    assert (ran.code, ran.json["ids"]) == (0, ["7"])
    assert [warning["code"] for warning in ran.json["warnings"]] == ["ids-duplicate"]
    assert choose("--ids", "-", "--strict", "--json", stdin="7\n7\n").json["code"] == "ids-duplicate"


def test_json_holds_ids_count_and_digest(choose: Choose) -> None:
    found = choose("--ids", "a.txt", "--json").json
    ids = [str(row) for row in range(10)]
    assert (found["ok"], found["command"], found["outputs"]) == (True, "forget-ids", [])
    assert (found["ids"], found["metrics"], found["digest"]) == (ids, {"count": 10}, digest_of(ids))


def test_out_writes_the_list_and_prints_its_path(choose: Choose, tmp_path: Path) -> None:
    ran = choose("--ids", "b.txt", "-o", "new/c.txt")
    assert (ran.code, ran.lines) == (0, ["new/c.txt"])
    assert (tmp_path / "new" / "c.txt").read_bytes() == b"10\n11\n12\n13\n14\n5\n6\n7\n8\n9\n"


def test_out_in_json_names_the_output_and_not_the_ids(choose: Choose) -> None:
    found = choose("--ids", "b.txt", "-o", "c.txt", "--json").json
    assert (found["outputs"], "ids" in found, found["up_to_date"]) == (["c.txt"], False, False)


def test_the_same_list_again_is_up_to_date(choose: Choose, tmp_path: Path) -> None:
    choose("--ids", "b.txt", "-o", "c.txt")
    before = (tmp_path / "c.txt").stat()
    found = choose("--ids", "b.txt", "-o", "c.txt", "--json")
    assert (found.code, found.json["up_to_date"]) == (0, True)
    assert (tmp_path / "c.txt").stat().st_ino == before.st_ino


def test_another_list_needs_force(choose: Choose, tmp_path: Path) -> None:
    choose("--ids", "b.txt", "-o", "c.txt")
    ran = choose("--ids", "a.txt", "-o", "c.txt", "--json")
    assert (ran.code, ran.json["code"]) == (2, "output-exists")
    assert choose("--ids", "a.txt", "-o", "c.txt", "--force").code == 0
    assert len((tmp_path / "c.txt").read_text().split()) == 10


def test_a_dry_run_leaves_stdout_empty_and_writes_nothing(choose: Choose, tmp_path: Path) -> None:
    ran = choose("--ids", "a.txt", "-n", "-o", "c.txt")
    assert (ran.code, ran.out) == (0, "")
    assert not (tmp_path / "c.txt").exists()


def test_quiet_says_nothing_but_the_ids(choose: Choose) -> None:
    ran = choose("--ids", "a.txt", "-q")
    assert (len(ran.lines), ran.err) == (10, "")


def test_a_table_of_attributes_chooses(choose: Choose, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,writer,pen\n1,w1,red\n2,w2,red\n3,w1,blue\n99999,w1,red\n")
    assert numbers(choose("--where", "writer=w1", "--attributes", "c.csv")) == [1, 3]
    assert numbers(choose("--where", "writer=w1", "--where", "writer=w2", "--attributes", "c.csv")) == [1, 2, 3]
    assert numbers(choose("--where", "writer=w1", "--where", "pen=red", "--attributes", "c.csv")) == [1]


def test_a_writer_of_mnist_is_all_their_digits(forgetkit: Run, mnist_root: Path) -> None:
    table = mnist_root / "MNIST" / "writers.csv"
    where = ("--where", "writer=w2154", "--attributes", table, "--data-root", mnist_root)
    ran = forgetkit("forget-ids", "--dataset", "mnist", *where)
    with table.open() as stream:
        theirs = [row["id"] for row in csv.DictReader(stream) if row["writer"] == "w2154"]
    assert ran.lines == sorted(theirs)
    assert 19 <= len(theirs) <= 131


def test_a_checkpoint_leads_to_its_data_set(forgetkit: Run, model: Path) -> None:
    one, other = (
        forgetkit("forget-ids", *where, "--class", "3", "-q").out for where in (["model.st"], ["--dataset", "digits"])
    )
    assert one == other


def test_a_notebook_chooses_as_the_command_does(forgetkit: Run, choose: Choose, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,writer\n1,w1\n2,w2\n3,w1\n")
    assert forget_ids("digits", classes=3) == choose("--class", 3).lines
    assert (
        forget_ids("digits", classes=["3", 8], count=5, seed=4)
        == choose("--class", 3, "--class", 8, "--count", 5, "--seed", 4).lines
    )
    assert forget_ids("digits", where={"writer": "w1"}, attributes=tmp_path / "c.csv") == ["1", "3"]
    assert forget_ids("digits", where={"writer": ["w1", "w2"]}, attributes=tmp_path / "c.csv") == ["1", "2", "3"]
    assert forget_ids("digits", ids="a.txt", intersect=Path("b.txt"), minus=["6", "8"]) == ["5", "7", "9"]
    assert forget_ids("digits", ids=[read_ids("a.txt"), "700"]) == sorted([*map(str, range(10)), "700"])


def test_a_notebook_chooses_from_a_checkpoint(model: Path) -> None:
    told: list[Event] = []
    found = forget_ids(model, fraction=0.01, tell=told.append)
    assert (len(found), found) == (13, forget_ids(str(model), count=13))
    assert told == [Note("forget-ids: 13 ids of digits")]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "usage"),
        ({"ids": []}, "ids-empty"),
        ({"ids": ["x"]}, "ids-unknown"),
        ({"ids": ["1\n2"]}, "ids-malformed"),
        ({"ids": ["1"], "intersect": []}, "ids-empty"),
        ({"ids": ["1"], "minus": ["1"]}, "ids-empty"),
        ({"classes": "x"}, "usage"),
        ({"classes": 3, "where": {"writer": "w1"}}, "usage"),
        ({"count": 1, "with_duplicates": "x"}, "usage"),
        ({"count": 1, "data": Source(dataset_changed=True)}, "usage"),
    ],
)
def test_a_notebook_is_refused_what_the_command_is(given: dict[str, Any], code: str) -> None:
    with pytest.raises(ForgetkitError) as caught:
        forget_ids("digits", **given)
    assert caught.value.code == code


@pytest.fixture
def forgot(model: Path, ids: Path, forgetkit: Run) -> str:
    """Return a checkpoint that never saw the thirty ids."""
    ran = forgetkit("train", "--dataset", "digits", "--epochs", "1", "--exclude", "ids.txt", "-q", "-o", "less.st")
    assert ran.code == 0, ran.err
    return "less.st"


def test_forgotten_ids_are_not_offered(forgetkit: Run, forgot: str, ids: Path) -> None:
    offered = forgetkit("forget-ids", forgot, "--fraction", "1.0")
    assert len(offered.lines) == 1297 - 30
    assert not {*offered.lines} & {*ids.read_text().split()}


def test_a_forgotten_id_in_a_list_is_left_out_with_a_warning(piped: Choose, forgot: str) -> None:
    ran = piped("10\n11\n", forgot, "--ids", "-", "--json")
    assert (ran.code, ran.json["ids"]) == (0, ["11"])
    assert [warning["code"] for warning in ran.json["warnings"]] == ["ids-forgotten"]


def test_a_list_of_forgotten_ids_leaves_nothing_to_do(forgetkit: Run, forgot: str) -> None:
    ran = forgetkit("forget-ids", forgot, "--ids", "ids.txt")
    assert (ran.code, ran.out) == (0, "")
    assert "nothing left to do" in ran.err


def test_ids_that_were_never_trained_on_are_left_out(forgetkit: Run, piped: Choose, ids: Path) -> None:
    forgetkit("train", "--dataset", "digits", "--epochs", "1", "--only", "ids.txt", "-q", "-o", "few.st")
    ran = piped("10\n11\n", "few.st", "--ids", "-", "--json")
    assert ran.json["ids"] == ["10"]
    assert [warning["code"] for warning in ran.json["warnings"]] == ["ids-untrained"]


def test_a_damaged_checkpoint_is_exit_2(forgetkit: Run, model: Path) -> None:
    model.write_bytes(model.read_bytes()[:100])
    ran = forgetkit("forget-ids", "model.st", "--class", "3", "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-malformed")
    assert json.loads(ran.out)["hint"]
