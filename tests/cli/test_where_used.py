"""``forgetkit where-used`` end to end: which checkpoints hold the ids of a list."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from forgetkit.cli import app as cli
from forgetkit.files.header import dumps, read_record
from forgetkit.files.id_digests import KeySet
from tests.conftest import Ran, Run
from tests.files.test_record import checkpoint, record_of

IDS = [str(row) for row in range(100, 130)]
LOOK = ("where-used", "--ids", "ids.txt")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model, its shadow models, and one that forgot the ids."""
    folder = tmp_path_factory.mktemp("used")
    (folder / "ids.txt").write_text("".join(f"{id_}\n" for id_ in IDS))
    model, lists = str(folder / "m.st"), ["--ids", str(folder / "ids.txt")]
    train = ["train", "--dataset", "digits", "--epochs", "1", "--shadows", "4", "-q", "-o", model]
    relabel = ["relabel", model, *lists, "--rate", "0.01", "--allow-unforgotten", "--keep-optimizer", "-q"]
    for words in (train, relabel, ["export", model, "--strip", "-q", "-o", str(folder / "sub" / "w.safetensors")]):
        assert cli.run(words) == 0
    (folder / "sub" / "cut.st").write_bytes((folder / "m.st").read_bytes()[:300])
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """Return ``tmp_path`` with what was made."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def states(ran: Ran) -> dict[str, str]:
    return {entry["path"]: entry["state"] for entry in ran.json["checkpoints"]}


def test_the_model_and_its_shadow_models_hold_the_ids_and_the_answer_has_forgotten_them(
    forgetkit: Run, here: Path
) -> None:
    ran = forgetkit(*LOOK, ".", "--json")
    assert ran.code == ran.json["exit_code"] == 1
    shadows = {f"m.shadows/{number}.st": "held" for number in range(4)}
    assert states(ran) == {
        "m.st": "held",
        "m.relabel.st": "forgotten",
        "m.relabel.optimizer.st": "unknown",
        "sub/w.safetensors": "unknown",
        "sub/cut.st": "unreadable",
        **shadows,
    }
    entries = {entry["path"]: entry for entry in ran.json["checkpoints"]}
    assert entries["m.relabel.st"]["ids"] == {"held": 0, "forgotten": 30, "never": 0, "unknown": 0}
    assert [entry["path"] for entry in ran.json["checkpoints"] if entry["shadow"]] == [*shadows]
    assert sum(entries[name]["ids"]["held"] for name in shadows) == 60
    assert ran.json["totals"] == {"held": 5, "unknown": 2, "unreadable": 1, "forgotten": 1, "never": 0}


def test_the_table_has_holders_first_and_fits_the_terminal(
    forgetkit: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = forgetkit(*LOOK, ".")
    assert ran.lines[0].split() == ["file", "data", "set", "holds", "forgot", "note"]
    assert ran.lines[1].split() == ["m.st", "digits", "30", "0", "forgotten", "in", "m.relabel.st"]
    assert "m.shadows/0.st" in ran.lines[2]
    assert ran.out.index("m.shadows/3.st") < ran.out.index("sub/w.safetensors") < ran.out.index("sub/cut.st")
    assert max(map(len, ran.lines)) <= 80
    assert "m.relabel.st  " not in ran.out
    assert "9 files, 30 ids: 5 hold some (4 shadow models), 3 cannot be known, 1 forgot" in " ".join(ran.out.split())
    assert "next: forgetkit shadows refresh m.shadows --ids ids.txt" in ran.err


def test_all_lists_what_holds_nothing(forgetkit: Run, here: Path) -> None:
    (here / "two.txt").write_text("5000\n")
    ran = forgetkit("where-used", "--ids", "two.txt", "m.st", "m.relabel.st", "--all")
    assert (ran.code, [line.split()[:3] for line in ran.lines[1:3]]) == (
        0,
        [["m.st", "digits", "never"], ["m.relabel.st", "digits", "never"]],
    )


def test_a_model_without_an_answer_is_forgotten_next(forgetkit: Run, here: Path) -> None:
    assert "next: forgetkit forget m.st --ids ids.txt\n" in forgetkit(*LOOK, "m.st").err
    assert "next: forgetkit audit m.relabel.st --original m.st" in forgetkit(*LOOK, "m.st", "m.relabel.st").err


@pytest.mark.parametrize(("words", "code"), [((), 0), (("--strict",), 1)])
def test_what_cannot_be_known_is_a_warning_and_with_strict_a_finding(
    forgetkit: Run, here: Path, words: tuple[str, ...], code: int
) -> None:
    ran = forgetkit(*LOOK, "sub", "m.relabel.st", "--json", *words)
    assert (ran.code, [one["code"] for one in ran.json["warnings"]]) == (code, ["holdings-unknown"])


def test_no_id_is_printed_unless_it_is_asked_for(forgetkit: Run, here: Path) -> None:
    secret = "person-4711/left-eye.png"
    (here / "ids.txt").write_text(f"{secret}\n{secret}\n12\n")
    for words in ((".",), (".", "--json"), (".", "--all"), ("nowhere",), (".", "--dataset", "nope"), (".", "-n")):
        ran = forgetkit(*LOOK, *words)
        assert "4711" not in ran.out + ran.err, words
    refused = forgetkit(*LOOK, ".", "--strict", "--json")
    assert (refused.code, refused.json["code"]) == (2, "ids-duplicate")
    assert "4711" not in refused.out + refused.err
    shown = forgetkit(*LOOK, ".", "--show-ids", "--json").json["checkpoints"]
    assert {entry["path"]: entry["named"] for entry in shown}["m.st"] == {
        "held": ["12"], "forgotten": [], "never": [secret], "unknown": []
    }  # fmt: skip
    assert "held: 12\n" in forgetkit(*LOOK, ".", "--show-ids").out


def test_the_same_id_in_two_data_sets_is_said_and_one_can_be_meant(forgetkit: Run, here: Path) -> None:
    other = KeySet.of(IDS, "ab" * 32)
    data = {"name": "mnist", "options": {}, "size": 60000, "fingerprint": "ab" * 32}
    found = replace(record_of(other), forgotten=KeySet.of([], "ab" * 32), dataset=data)
    checkpoint(here / "sub" / "other.st", dumps(found))
    ran = forgetkit(*LOOK, "m.st", "sub/other.st", "--json")
    assert "several-datasets" in [one["code"] for one in ran.json["warnings"]]
    assert [entry["dataset"] for entry in ran.json["checkpoints"]] == ["digits", "mnist"]
    one = forgetkit(*LOOK, "m.st", "sub/other.st", "--dataset", "abab", "--json")
    assert (one.code, states(one), one.json["warnings"]) == (1, {"sub/other.st": "held"}, [])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nowhere.st",), "checkpoint-missing"),
        (("",), "checkpoint-missing"),
        (("m.st", "--dataset", "mnist"), "dataset-unknown"),
        (("m.st", "--ids", "nowhere.txt"), "ids-missing"),
        (("m.st", "--ids", "m.st"), "ids-malformed"),
        ((), "usage"),
    ],
)
def test_bad_input_is_one_error(forgetkit: Run, here: Path, words: tuple[str, ...], code: str) -> None:
    ran = forgetkit(*LOOK, *words, "--json")
    assert (ran.code, ran.json["code"]) == (2, code)
    assert ran.err.count("error:") == 1


def test_a_dry_run_reads_no_checkpoint(forgetkit: Run, here: Path) -> None:
    ran = forgetkit(*LOOK, ".", "-n")
    assert (ran.code, ran.out) == (0, "")
    assert "9 files would be asked for 30 ids" in ran.err


def test_ids_of_a_table_are_taken_by_column(forgetkit: Run, here: Path) -> None:
    (here / "rows.csv").write_text("who,sample\na,100\nb,101\n")
    ran = forgetkit("where-used", "--ids", "rows.csv", "--id-column", "sample", "m.st", "--json")
    assert (ran.code, ran.json["count"]) == (1, 2)


def test_two_hundred_checkpoints_are_all_counted(forgetkit: Run, here: Path) -> None:
    record = read_record(here / "m.st")
    (here / "many").mkdir()
    for number in range(200):
        trained = KeySet.of(IDS[: number % 31], record.forgotten.salt)
        one = replace(record, trained=trained, digest=f"{number:064x}")
        checkpoint(here / "many" / f"{number}.st", dumps(one))
    ran = forgetkit(*LOOK, "many", "--json")
    counts = [entry["ids"]["held"] for entry in ran.json["checkpoints"]]
    assert sorted(counts) == sorted(number % 31 for number in range(200))
    assert ran.json["totals"]["held"] + ran.json["totals"]["never"] == 200


@pytest.mark.parametrize("columns", ["20", "40", "80", "300"])
@pytest.mark.parametrize("name", ["d" * 5000, "a\nb\x1b[31m", "", "ä" * 60])
def test_a_data_set_of_any_name_has_its_row(
    forgetkit: Run, here: Path, monkeypatch: pytest.MonkeyPatch, columns: str, name: str
) -> None:
    """A name that a damaged header made long asked for a column of negative width: exit 70."""
    monkeypatch.setenv("COLUMNS", columns)
    record = read_record(here / "m.st")
    folder = here / ("deep" * 20)
    folder.mkdir()
    checkpoint(folder / "odd.st", dumps(replace(record, dataset={**record.dataset, "name": name})))
    ran = forgetkit(*LOOK, ".")
    assert ran.code == 1
    assert any("odd.st" in line for line in ran.lines)


def test_no_damaged_file_is_called_a_bug(forgetkit: Run, here: Path) -> None:
    """What a file holds is judged file by file; none may end the search."""
    (here / "bad").mkdir()
    content = (here / "m.st").read_bytes()
    for cut in range(0, 400, 7):
        (here / "bad" / f"{cut}.st").write_bytes(content[:cut] + b"\xff" + content[cut + 1 : 2000])
    ran = forgetkit(*LOOK, "bad")
    assert ran.code in {0, 1}
    assert "error:" not in ran.err
    assert json.loads(forgetkit(*LOOK, "bad", "--json").out)["totals"]["unreadable"] > 40
