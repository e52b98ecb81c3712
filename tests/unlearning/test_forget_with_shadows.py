"""``forget`` with shadow models as teachers, which then forget as well; and the request that it fulfils."""

from pathlib import Path
from shutil import copytree, move

import numpy as np
import pytest

from forgetkit.files.header import read_record
from forgetkit.training.shadows import open_shadows
from forgetkit.unlearning.refresh import PLACE
from tests.conftest import Run
from tests.shadowed import FORGET, REFRESH, bytes_of, codes, halt_after_one, ids, last, opened

BOOKED = (*FORGET, "--request", "r1", "--book", "b.db")


@pytest.fixture
def book(forgetkit: Run, shadowed: Path) -> None:
    """Put request r1 for ``ids.txt`` into ``b.db``."""
    assert forgetkit("requests", "add", "r1", "-i", "ids.txt", "--book", "b.db").code == 0


def state(forgetkit: Run) -> str:
    (entry,) = forgetkit("requests", "log", "--book", "b.db", "--json").json["requests"]
    return str(entry["state"])


def test_shadow_models_teach_and_the_record_says_so(before: Path, after: Path) -> None:
    step, record = last(after / "m.forget.st"), read_record(after / "m.forget.st")
    teachers = open_shadows(before / "m.shadows").digest
    assert (step.command, step.options["way"], step.options["shadows"]) == ("forget", "shadows", teachers)
    assert (step.options["steps"], step.metrics["steps"]) == (30, 30)  # 0.064 · 12 · 1,232 / 32
    assert "teacher_epochs" not in step.options
    assert record.forgotten.contains((after / "ids.txt").read_text().split()).sum() == 65


def test_they_cost_less_than_a_second_teacher(forgetkit: Run, forgotten: Path) -> None:
    assert forgetkit(*FORGET, "-q", "-o", "again.st").code == 0  # they have forgotten themselves
    move("m.shadows", "elsewhere")
    assert forgetkit(*FORGET, "--budget", "100%", "-q", "-o", "taught.st").code == 0
    first, again, taught = (last(path) for path in ("m.forget.st", "again.st", "taught.st"))
    assert [step.options["way"] for step in (first, again, taught)] == ["shadows", "shadows", "second teacher"]
    assert max(first.metrics["cost"], again.metrics["cost"]) < 0.2 < taught.metrics["cost"]


def test_afterwards_no_shadow_model_holds_the_ids_and_their_records_say_how(before: Path, after: Path) -> None:
    asked = (after / "ids.txt").read_text().split()
    found = open_shadows(after / "m.shadows")
    assert not found.stale(asked)
    for old, new in zip(open_shadows(before / "m.shadows").members, found.members, strict=True):
        step, held = new.record.steps[-1], int(old.holds(asked).sum())
        assert (step.command, step.options["way"], step.parent) == ("forget", "shadows", old.record.digest)
        assert (step.ids or {})["count"] == held == len(new.record.forgotten)
        assert new.record.steps[:-1] == old.record.steps
        assert np.array_equal(new.record.never_saw(asked), old.record.never_saw(asked))  # forgotten is not never seen


def test_a_shadow_model_is_not_taught_by_its_twin(before: Path, after: Path) -> None:
    old, new = ([one.record.digest for one in open_shadows(folder / "m.shadows").members] for folder in (before, after))
    teachers = [last(after / f"m.shadows/{number}.st").options["shadows"] for number in range(4)]
    assert teachers == [old[2:], old[2:], new[:2], new[:2]]


def test_the_steps_of_shadow_models_are_like_the_models_but_for_their_number(after: Path) -> None:
    options, own = last(after / "m.forget.st").options, {"steps", "shadows"}
    for one in open_shadows(after / "m.shadows").members:
        found = one.record.steps[-1].options
        assert not found.keys() - options.keys()
        shared = found.keys() - own
        assert {name: found[name] for name in shared} == {name: options[name] for name in shared}
        assert found["steps"] == 15  # of half as many samples


def test_the_original_is_left_and_nothing_else_lies_about(before: Path, after: Path) -> None:
    assert (after / "m.st").read_bytes() == (before / "m.st").read_bytes()
    assert sorted(bytes_of(after)) == sorted([*bytes_of(before), "m.forget.st"])
    assert not (after / "m.shadows" / PLACE).exists()


def test_the_same_again_is_up_to_date_and_changes_nothing(forgetkit: Run, forgotten: Path) -> None:
    before = bytes_of(".")
    ran = forgetkit(*FORGET, "--json")
    assert (ran.code, ran.json["up_to_date"]) == (0, True), ran.err
    assert bytes_of(".") == before


def test_a_dry_run_changes_nothing(forgetkit: Run, shadowed: Path) -> None:
    before = bytes_of(".")
    ran = forgetkit(*FORGET, "--dry-run")
    assert (ran.code, ran.out) == (0, ""), ran.err
    assert bytes_of(".") == before


def test_a_dry_run_leaves_shadow_models_alone_that_are_behind(forgetkit: Run, shadowed: Path, book: None) -> None:
    assert forgetkit(*FORGET, "--leave-shadows", "-q").code == 0
    before = bytes_of(".")
    forgetkit(*BOOKED, "--dry-run")
    assert bytes_of(".") == before
    assert state(forgetkit) == "accepted"


def test_shadow_models_that_are_left_are_warned_of(forgetkit: Run, shadowed: Path) -> None:
    before = bytes_of()
    ran = forgetkit(*FORGET, "--leave-shadows", "--json")
    assert (ran.code, codes(ran)[-1]) == (0, "shadows-stale")
    assert "4 of 4 shadow models still hold ids" in ran.json["warnings"][-1]["message"]
    assert "forgetkit shadows refresh m.shadows --ids" in ran.json["warnings"][-1]["message"]
    assert bytes_of() == before
    assert len(opened().stale(ids())) == 4


@pytest.mark.parametrize("words", [REFRESH, FORGET], ids=["shadows refresh", "forget"])
def test_what_was_left_is_made_up_for_to_the_same_bytes(
    forgetkit: Run, shadowed: Path, after: Path, words: tuple[str, ...]
) -> None:
    assert forgetkit(*FORGET, "--leave-shadows", "-q").code == 0
    assert forgetkit(*words, "-q").code == 0
    assert bytes_of() == bytes_of(after / "m.shadows")


def test_all_shadow_models_that_were_retrained_may_teach(forgetkit: Run, retrained: Path, tmp_path: Path) -> None:
    copytree(retrained, tmp_path, dirs_exist_ok=True)
    before = bytes_of()
    assert forgetkit(*FORGET, "-q").code == 0
    assert last("m.forget.st").options["way"] == "shadows"
    assert bytes_of() == before  # nothing is left to forget


def test_a_single_pair_has_no_others_to_learn_from_and_is_retrained(forgetkit: Run, shadowed: Path) -> None:
    assert forgetkit("train", "--like", "m.st", "--shadows", "2", "-q", "-o", "pair/{n}.st").code == 0
    ran = forgetkit(*FORGET, "--shadows", "pair", "--json")
    assert (ran.code, codes(ran)[-2:]) == (0, ["retraining", "retraining"]), ran.err
    assert last("m.forget.st").options["way"] == "shadows"
    assert not opened("pair").stale(ids())
    assert not any(one.record.unlearning for one in opened("pair").members)


def test_where_the_model_is_retrained_its_shadow_models_forget_nevertheless(forgetkit: Run, shadowed: Path) -> None:
    ran = forgetkit("forget", "m.st", "-i", "ids.txt", "--budget", "1%", "--json")
    assert (ran.code, codes(ran)) == (0, ["retraining"]), ran.err
    step = last("m.forget.st")
    assert [one["way"] for one in step.metrics["attempts"]] == ["shadows", "second teacher"]
    assert (step.command, opened().stale(ids())) == ("train", [])


def test_where_the_step_was_in_vain_shadow_models_are_not_called_forgetful(forgetkit: Run, shadowed: Path) -> None:
    assert forgetkit("forget-ids", "m.st", "--class", "3", "-o", "threes.txt", "-q").code == 0
    ran = forgetkit("forget", "m.st", "-i", "threes.txt", "-o", "f.st", "--json")
    assert (ran.code, "shadows-stale" in codes(ran), "--exactly" in ran.err) == (0, True, True), ran.err
    assert last("f.st").metrics["attempts"][0]["way"] == "shadows"
    assert not any(one.record.unlearning for one in opened().members)


def test_where_it_stops_its_shadow_models_are_as_they_were(forgetkit: Run, shadowed: Path) -> None:
    before = bytes_of(".")
    ran = forgetkit(*FORGET, "--budget", "1%", "--json")
    assert (ran.code, ran.json["code"]) == (1, "not-reached")
    assert bytes_of(".") == before


def test_a_second_request_finds_them_and_each_takes_a_second_step(forgetkit: Run, forgotten: Path) -> None:
    more = [id_ for id_ in map(str, range(100)) if id_ not in ids()][:20]
    Path("more.txt").write_text("\n".join(more))
    ran = forgetkit("forget", "m.forget.st", "-i", "more.txt", "--otherwise", "stop", "-q")
    assert (ran.code, ran.lines) == (0, ["m.forget-2.st"]), ran.err
    assert last("m.forget-2.st").options["way"] == "shadows"
    assert not opened().stale([*ids(), *more])
    assert [len(one.record.unlearning) for one in opened().members] == [2, 2, 2, 2]


def test_a_queue_refreshes_them_for_each_request(forgetkit: Run, shadowed: Path) -> None:
    Path("queue").mkdir()
    for name, rows in {"a": range(5), "b": range(5, 10)}.items():
        Path(f"queue/{name}.txt").write_text("\n".join(map(str, rows)))
    ran = forgetkit("forget", "m.st", "--requests", "queue", "--otherwise", "stop", "-q")
    assert (ran.code, ran.lines) == (0, ["m.forget.st", "m.forget-2.st"]), ran.err
    assert not opened().stale([str(row) for row in range(10)])


def test_shadow_models_of_another_model_are_refused(forgetkit: Run, shadowed: Path) -> None:
    start = ("--dataset", "digits", "--epochs", "1", "--seed", "5", "--shadows", "2", "-q")
    assert forgetkit("train", *start, "-o", "other.st").code == 0
    ran = forgetkit(*FORGET, "--shadows", "other.shadows", "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-mismatch")
    assert not Path("m.forget.st").exists()


def test_they_are_found_in_a_folder_that_is_named(forgetkit: Run, shadowed: Path) -> None:
    move("m.shadows", "elsewhere")
    assert forgetkit(*FORGET, "--shadows", "elsewhere", "-q").code == 0
    assert last("m.forget.st").options["way"] == "shadows"
    assert not opened("elsewhere").stale(ids())


def test_a_folder_beside_it_that_is_none_of_its_own_is_in_nobodys_way(forgetkit: Run, shadowed: Path) -> None:
    Path("a.shadows").mkdir()
    Path("a.shadows/0.st").write_bytes(Path("m.st").read_bytes())
    assert forgetkit(*FORGET, "-q").code == 0


def test_a_request_is_answered_when_the_shadow_models_have_forgotten_too(
    forgetkit: Run, shadowed: Path, after: Path, book: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        halt_after_one(patch)
        assert forgetkit(*BOOKED).code == 2
    assert Path("m.forget.st").exists()
    assert [one.number for one in opened().stale(ids())] == [1, 2, 3]
    assert state(forgetkit) == "accepted"
    ran = forgetkit(*BOOKED, "--json")
    assert (ran.code, ran.json["up_to_date"]) == (0, True), ran.err
    assert state(forgetkit) == "answered"
    assert bytes_of() == bytes_of(after / "m.shadows")  # as if nothing had happened


def test_a_request_is_answered_where_shadow_models_are_left_on_purpose(
    forgetkit: Run, shadowed: Path, book: None
) -> None:
    assert forgetkit(*BOOKED, "--leave-shadows").code == 0
    (entry,) = forgetkit("requests", "log", "--book", "b.db", "--json").json["requests"]
    assert (entry["command"], entry["digest"]) == ("forget", read_record(Path("m.forget.st")).digest)


def test_a_request_that_is_answered_is_not_repeated(forgetkit: Run, shadowed: Path, book: None) -> None:
    assert forgetkit(*BOOKED, "-q").code == 0
    before = bytes_of()
    ran = forgetkit(*BOOKED, "-o", "again.st", "--json")
    assert (ran.code, ran.json["code"], Path("again.st").exists()) == (2, "request-answered", False)
    assert bytes_of() == before


def test_the_command_of_a_request_that_is_answered_is_up_to_date(forgetkit: Run, shadowed: Path, book: None) -> None:
    first, again = (forgetkit(*BOOKED, "--json") for _ in range(2))
    assert (first.code, again.code, again.json.get("up_to_date")) == (0, 0, True)


def test_a_request_of_which_the_model_has_nothing_left_is_answered_only_with_its_shadow_models(
    forgetkit: Run, shadowed: Path, book: None
) -> None:
    assert forgetkit(*FORGET, "--leave-shadows", "-q").code == 0
    forgetkit("forget", "m.forget.st", "-i", "ids.txt", "--request", "r1", "--book", "b.db", "-q")
    assert state(forgetkit) == "accepted" or not opened().stale(ids())


def test_the_book_names_the_command_that_made_the_checkpoint(forgetkit: Run, shadowed: Path, book: None) -> None:
    words = ("--request", "r1", "--book", "b.db", "--budget", "1%")
    assert forgetkit("forget", "m.st", "-i", "ids.txt", *words, "-q").code == 0
    (entry,) = forgetkit("requests", "log", "--book", "b.db", "--json").json["requests"]
    assert entry["command"] == last("m.forget.st").command
