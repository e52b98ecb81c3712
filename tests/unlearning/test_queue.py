"""A queue of requests in one process: the files of one command a request, and what stays if one fails."""

from pathlib import Path
from shutil import copytree

import pytest

from forgetkit.data.open import open_dataset
from forgetkit.data.sources import DATASETS, Source, register_dataset
from forgetkit.files.header import read_record
from tests.conftest import Ran, Run

RATE = ("--rate", "0.01", "--allow-unforgotten")
LISTS = {"a": range(5), "b": range(5, 10), "c": range(10, 15)}


@pytest.fixture(autouse=True)
def requests(tmp_path: Path) -> Path:
    """Return the folder ``requests`` with three lists of five ids each, in ``tmp_path``."""
    folder = tmp_path / "requests"
    folder.mkdir()
    for name, rows in LISTS.items():
        write(folder / f"{name}.txt", rows)
    return folder


def write(path: Path, rows: range) -> None:
    path.write_text("".join(f"{row}\n" for row in rows))


def queue(forgetkit: Run, *words: str, step: tuple[str, ...] = ("relabel", *RATE)) -> Ran:
    return forgetkit(step[0], "model.st", "--requests", "requests", *step[1:], *words)


def made() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().glob("model.*.st")}


@pytest.mark.parametrize(
    "step",
    [("relabel", *RATE), ("relabel", "--optimizer", "adam", "--utility-margin", "0.9"), ("forget", "--budget", "100%")],
)
def test_a_queue_writes_the_files_of_one_command_a_request(forgetkit: Run, model: Path, step: tuple[str, ...]) -> None:
    ran = queue(forgetkit, step=step)
    assert ran.code == 0, ran.err
    together, path = made(), "model.st"
    assert ran.lines == [f"model.{step[0]}.st", f"model.{step[0]}-2.st", f"model.{step[0]}-3.st"]
    for name in together:
        Path(name).unlink()
    for name in LISTS:
        (path,) = forgetkit(step[0], path, "-i", f"requests/{name}.txt", *step[1:]).lines
    assert made() == together
    assert [one.ids["count"] for one in read_record(Path(path)).unlearning if one.ids] == [5] * len(LISTS) or (
        len(read_record(Path(path)).forgotten) == 15
    )


def test_the_data_are_read_once(forgetkit: Run) -> None:
    reads = []

    @register_dataset("counted")
    def counted(root: Path, *, download: bool) -> Source:
        reads.append(root)
        digits = open_dataset("digits", root)
        return Source(digits.classes, digits.train, digits.test)

    try:
        assert forgetkit("train", "--dataset", "counted", "--epochs", "1", "-q", "-o", "model.st").code == 0
        reads.clear()
        assert queue(forgetkit).code == 0
        assert len(reads) == 1
    finally:
        del DATASETS._entries["counted"]


def test_a_folder_is_answered_in_the_order_of_names_and_hidden_files_are_none(
    forgetkit: Run, model: Path, requests: Path
) -> None:
    write(requests / "a-first.txt.gz", range(20, 22))
    (requests / ".a.txt.swp").write_text("not an id\n")
    ran = queue(forgetkit, "--json")
    assert [one["request"] for one in ran.json["requests"]] == ["a-first", "a", "b", "c"]


def test_files_are_answered_in_the_order_given(forgetkit: Run, model: Path) -> None:
    named = [word for name in "cab" for word in ("--requests", f"requests/{name}.txt")]
    ran = forgetkit("relabel", "model.st", *named, *RATE, "-o", "out/{n}-{request}.st")
    assert ran.lines == ["out/1-c.st", "out/2-a.st", "out/3-b.st"]
    record = read_record(Path("out/3-b.st"))
    assert [step.parent for step in record.steps[1:]] == [
        read_record(Path(path)).digest for path in ("model.st", *ran.lines[:2])
    ]


def test_the_document_names_every_request_and_describes_the_last_checkpoint(forgetkit: Run, model: Path) -> None:
    ran = queue(forgetkit, "--json")
    last = read_record(Path(ran.json["outputs"][-1]))
    assert (ran.json["digest"], ran.json["record"], ran.json["up_to_date"]) == (last.digest, last.to_json(), False)
    assert [one["outputs"] for one in ran.json["requests"]] == [[path] for path in ran.json["outputs"]]
    assert [one["metrics"] for one in ran.json["requests"]] == [step.metrics for step in last.steps[1:]]


def test_a_second_run_answers_only_what_is_missing(forgetkit: Run, model: Path) -> None:
    assert queue(forgetkit).code == 0
    before, times = made(), {path: path.stat().st_mtime_ns for path in Path().glob("model.*.st")}
    again = queue(forgetkit, "--json")
    assert (again.code, again.json["up_to_date"]) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in Path().glob("model.*.st")} == times
    Path("model.relabel-2.st").unlink()
    rest = queue(forgetkit, "--json")
    assert [one["up_to_date"] for one in rest.json["requests"]] == [True, False, True]
    assert made() == before


def test_what_was_answered_before_a_failure_stays(forgetkit: Run, model: Path) -> None:
    ran = queue(forgetkit, "--sequence-limit", "15")
    assert (ran.code, ran.lines) == (1, ["model.relabel.st", "model.relabel-2.st"])
    assert "error: request 3 of 3 (c): 15 ids forgotten" in ran.err
    assert sorted(made()) == sorted(ran.lines)
    ran = queue(forgetkit, "--sequence-limit", "15", "--json")
    assert (ran.code, ran.json["code"]) == (1, "not-reached")


def test_ids_of_an_earlier_request_are_left_out(forgetkit: Run, model: Path, requests: Path) -> None:
    write(requests / "b.txt", range(5))
    write(requests / "c.txt", range(4, 8))
    ran = queue(forgetkit)
    assert (ran.code, ran.lines) == (0, ["model.relabel.st", "model.relabel.st", "model.relabel-2.st"])
    assert "nothing left to do" in ran.err
    assert len(read_record(Path("model.relabel-2.st")).forgotten) == 8


def test_each_list_is_a_request_in_the_book(forgetkit: Run, model: Path) -> None:
    for name in ("a", "b"):
        assert forgetkit("requests", "add", name, "-i", f"requests/{name}.txt", "--book", "b.db").code == 0
    ran = queue(forgetkit, "--book", "b.db", "--json")
    assert (ran.code, ran.json["code"]) == (2, "request-unknown")
    assert forgetkit("requests", "add", "c", "-i", "requests/c.txt", "--book", "b.db").code == 0
    assert not made()
    ran = queue(forgetkit, "--book", "b.db", "--json")
    entries = forgetkit("requests", "pending", "--book", "b.db", "--json").json["requests"]
    assert [(entry["request"], entry["digest"]) for entry in entries] == [
        (one["request"], one["digest"]) for one in ran.json["requests"]
    ]
    again = queue(forgetkit, "--book", "b.db", "--json")
    assert (again.code, again.json["up_to_date"]) == (0, True)


def test_a_dry_run_checks_every_request_and_writes_nothing(forgetkit: Run, model: Path, requests: Path) -> None:
    ran = queue(forgetkit, "--dry-run")
    assert (ran.code, ran.out, made()) == (0, "", {})
    assert "dry run: all 3 requests were checked" in ran.err
    (requests / "c.txt").write_text("x\n")
    assert queue(forgetkit, "--dry-run").code == 2


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--requests", "gone.txt"), "ids-missing", "gone.txt"),
        (("--requests", "empty"), "ids-missing", "no ID list in this folder"),
        (("--requests", "bad.txt"), "ids-unknown", "bad.txt:2: 'x' is not an id"),
        (("--requests", "-"), "usage", "--requests: '-' names no file"),
        (("--requests", ""), "usage", "names no file"),
        (("--ids", "requests/a.txt"), "usage", "--requests: not with --ids"),
        (("--out", "one.st"), "usage", "--out: one.st is one file for 3 requests"),
        (("--out", "{request}.st", "--requests", "more/a.txt"), "usage", "two lists are named a"),
        (("--out", "requests/{request}.txt"), "output-unwritable", "would replace the input"),
        (("--out", "old/{request}.st"), "output-exists", "old/b.st exists already"),
        (("--request", "r", "--book", "b.db"), "usage", "--request: not with --requests"),
        (("--book", "b.db"), "book-missing", "no request book"),
        (("--rate", "fast"), "usage", "'fast' is neither"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    forgetkit: Run, model: Path, requests: Path, words: tuple[str, ...], code: str, says: str
) -> None:
    Path("empty").mkdir()
    copytree(requests, "more")
    Path("old").mkdir()
    Path("old/b.st").write_bytes(model.read_bytes())
    Path("bad.txt").write_text("1\nx\n")
    before = sorted(Path().rglob("*"))
    ran = queue(forgetkit, *words, "--json")
    assert (ran.code, ran.json["code"], ran.lines[1:]) == (2, code, [])
    assert says in ran.json["message"]
    assert ran.json["hint"]
    assert sorted(Path().rglob("*")) == before


def test_neither_ids_nor_requests_is_bad_usage(forgetkit: Run, model: Path) -> None:
    for name in ("relabel", "forget"):
        ran = forgetkit(name, "model.st", "--json")
        assert (ran.code, ran.json["code"]) == (2, "usage")
        assert "missing option '--ids'" in ran.json["message"]
