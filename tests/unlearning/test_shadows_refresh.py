"""``shadows refresh`` makes shadow models forget, by steps or by retraining; ``shadows show`` says what they hold."""

from pathlib import Path

import numpy as np
import pytest

from forgetkit.files.header import read_record
from forgetkit.training.shadows import open_shadows
from forgetkit.unlearning.refresh import PLACE
from tests.conftest import Run
from tests.shadowed import REFRESH, bytes_of, halt_after_one, ids, opened, told


def test_a_refresh_says_what_it_replaced(forgetkit: Run, shadowed: Path) -> None:
    ran, again = (forgetkit(*REFRESH, "--json") for _ in range(2))
    paths = [str(one.path) for one in opened().members]
    assert (ran.code, told(ran)["outputs"], told(ran)["shadows"]) == (0, paths, 4)
    assert (again.code, told(again)["outputs"]) == (0, [])
    assert "4 of 4 hold some of the 65 ids" in ran.err
    assert "0 of 4 refreshed" in again.err


def test_only_those_that_hold_an_id_are_replaced(forgetkit: Run, shadowed: Path) -> None:
    Path("one.txt").write_text("5\n")
    holders = [one.path.name for one in opened().stale(["5"])]
    before = bytes_of()
    assert forgetkit("shadows", "refresh", "m.shadows", "-i", "one.txt", "-q").code == 0
    after = bytes_of()
    assert [name for name in after if after[name] != before[name]] == holders
    assert len(holders) == 2


def test_an_exact_refresh_retrains(before: Path, retrained: Path) -> None:
    asked, found = (before / "ids.txt").read_text().split(), open_shadows(retrained / "m.shadows")
    for old, new in zip(open_shadows(before / "m.shadows").members, found.members, strict=True):
        assert not new.record.unlearning
        assert (new.record.recipe, new.record.trained, new.entry) == (old.record.recipe, old.record.trained, old.entry)
        assert new.record.steps[-1].seed == old.record.steps[-1].seed
        assert np.array_equal(new.record.forgotten.contains(asked), old.holds(asked))
    assert found.never_saw(asked).all()
    assert not (retrained / "m.shadows" / PLACE).exists()


@pytest.mark.parametrize("exactly", [False, True])
def test_an_interrupted_refresh_is_completed_by_the_same_command(
    forgetkit: Run, shadowed: Path, monkeypatch: pytest.MonkeyPatch, exactly: bool
) -> None:
    words = (*REFRESH, *(("--exactly",) if exactly else ()))
    with monkeypatch.context() as patch:
        halt_after_one(patch)
        assert forgetkit(*words).code == 2
    assert [one.number for one in opened().stale(ids())] == [1, 2, 3]
    ran = forgetkit(*words, "--json")
    assert (ran.code, len(told(ran)["outputs"])) == (0, 3), ran.err
    assert not opened().stale(ids())
    assert sorted(bytes_of()) == ["0.st", "1.st", "2.st", "3.st"]


@pytest.mark.parametrize("then", [(), ("--exactly",)], ids=["steps", "retraining"])
@pytest.mark.parametrize("first", [(), ("--exactly",)], ids=["steps", "retraining"])
def test_an_interrupted_refresh_is_completed_by_another_command(
    forgetkit: Run, shadowed: Path, monkeypatch: pytest.MonkeyPatch, first: tuple[str, ...], then: tuple[str, ...]
) -> None:
    with monkeypatch.context() as patch:
        halt_after_one(patch)
        assert forgetkit(*REFRESH, *first).code == 2
    Path("more.txt").write_text("\n".join([*reversed(ids()), "1", "2"]))
    ran = forgetkit("shadows", "refresh", "m.shadows", "-i", "more.txt", *then)
    assert (ran.code, opened().stale([*ids(), "1", "2"])) == (0, []), ran.err


def test_a_dry_run_only_counts(forgetkit: Run, shadowed: Path) -> None:
    before = bytes_of(".")
    ran = forgetkit(*REFRESH, "--dry-run")
    assert (ran.code, ran.out) == (0, "")
    assert "4 of 4 shadow models would be replaced" in ran.err
    assert bytes_of(".") == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("m.shadows",), "usage", "missing option '--ids'"),
        (("m.shadows", "-i", "none.txt"), "ids-missing", "none.txt"),
        (("m.shadows", "-i", "wrong.txt"), "ids-unknown", "wrong.txt:1"),
        (("nowhere", "-i", "ids.txt"), "checkpoint-missing", "nowhere/0.st"),
    ],
)
def test_a_refresh_of_nothing_known_is_refused(
    forgetkit: Run, shadowed: Path, words: tuple[str, ...], code: str, message: str
) -> None:
    Path("wrong.txt").write_text("x2\n")
    ran = forgetkit("shadows", "refresh", *words, "--json")
    assert (ran.code, ran.json["code"]) == (2, code), ran.err
    assert message in ran.json["message"]


def test_show_lists_them(forgetkit: Run, shadowed: Path) -> None:
    found = told(forgetkit("shadows", "show", "m.shadows", "--json"))
    original = read_record(Path("m.st")).digest
    assert (found["command"], found["of"], found["group"], found["ids"]) == ("shadows show", original, None, None)
    assert [entry["path"] for entry in found["shadows"]] == [str(one.path) for one in opened().members]
    assert [entry["digest"] for entry in found["shadows"]] == [one.record.digest for one in opened().members]
    sizes = [entry["trained"] for entry in found["shadows"]]
    assert (sizes[0] + sizes[1], sizes[2] + sizes[3]) == (1297, 1297)
    assert {(entry["forgotten"], entry["steps"], entry["held"]) for entry in found["shadows"]} == {(0, 0, 0)}


def test_show_says_how_many_hold_the_ids_and_how_many_never_saw_them(forgetkit: Run, shadowed: Path) -> None:
    found = told(forgetkit("shadows", "show", "m.shadows", "-i", "ids.txt", "--json"))
    assert found["ids"] == {"count": 65, "never_saw": {"least": 2, "most": 2}}
    assert [entry["held"] for entry in found["shadows"]] == [int(one.holds(ids()).sum()) for one in opened().members]


@pytest.mark.parametrize(("made", "never_saw"), [("after", 2), ("retrained", 4)])
def test_show_tells_those_that_forgot_from_those_that_were_retrained(
    forgetkit: Run, request: pytest.FixtureRequest, made: str, never_saw: int
) -> None:
    folder: Path = request.getfixturevalue(made)
    ran = forgetkit("shadows", "show", folder / "m.shadows", "-i", folder / "ids.txt")
    counts = [len(one.record.forgotten) for one in open_shadows(folder / "m.shadows").members]
    assert [line.split(", ")[1:] for line in ran.lines[1:5]] == [
        [f"{count} forgotten", "holds 0 of 65 ids"] for count in counts
    ]
    assert ran.lines[5].strip() == f"each id has {never_saw} to {never_saw} shadow models that never saw it"


@pytest.mark.parametrize("words", [("show", "m.shadows"), REFRESH[1:]], ids=["show", "refresh"])
def test_their_documents_are_as_the_schema_says(forgetkit: Run, shadowed: Path, words: tuple[str, ...]) -> None:
    assert forgetkit("shadows", *words, "--json").json["ok"]
