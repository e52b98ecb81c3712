"""Shadow models: their halves, their files, whose they are, and the command that trains them."""

from dataclasses import replace
from pathlib import Path
from shutil import copy, copytree

import numpy as np
import pytest

from forgetkit.cli import app as cli
from forgetkit.errors import ForgetkitError
from forgetkit.events import Warned
from forgetkit.files.header import read_record
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record, Step
from forgetkit.training.shadows import Shadow, folder_beside, open_shadows, shadows_of, sides
from tests.conftest import Run
from tests.tiny import SALT, record

DIGITS = [str(row) for row in range(1297)]
"""The ids of the training split of digits."""
TRAIN = ("train", "--dataset", "digits", "--epochs", "1")
WRITERS = {id_: f"w{int(id_) // 13}" for id_ in DIGITS[:1000]}
"""Who wrote which digit: 13 each; of the last 297 it is not known."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``m.st`` and ``other.st``, each with 4 shadow models."""
    folder = tmp_path_factory.mktemp("shadows")
    for name, seed in (("m", "0"), ("other", "7")):
        assert cli.run([*TRAIN, "--shadows", "4", "--seed", seed, "-q", "-o", str(folder / f"{name}.st")]) == 0
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """Return ``tmp_path`` with what was made."""
    copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def forgot(before: Record, command: str = "relabel") -> Record:
    """Return the record of a model that forgot one id."""
    step = Step(command, {}, 0, before.digest, {"count": 1, "digest": ""}, {})
    return replace(
        before, digest="f" * 64, steps=[*before.steps, step], forgotten=KeySet.of(["3"], before.forgotten.salt)
    )


def numbers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_samples_of_a_group_are_on_one_side_whatever_their_order_and_number() -> None:
    groups = [f"person {row % 50}" for row in range(400)]
    found = sides(groups, 8, SALT)
    assert found.shape == (8, 400)
    assert np.array_equal(found, sides(groups[:50], 8, SALT)[:, np.arange(400) % 50])
    assert np.array_equal(found[:, ::-1], sides(groups[::-1], 8, SALT))


def test_a_new_sample_has_its_side_and_moves_no_other() -> None:
    before, after = sides(DIGITS, 4, SALT), sides([*DIGITS, "new"], 4, SALT)
    assert np.array_equal(after[:, :-1], before)
    assert np.array_equal(after[:, -1:], sides(["new"], 4, SALT))


def test_more_pairs_leave_the_first_as_they_were() -> None:
    assert np.array_equal(sides(DIGITS, 64, SALT)[:3], sides(DIGITS, 3, SALT))


def test_pairs_are_halved_independently_of_each_other_and_of_another_key() -> None:
    groups = [f"id {row}" for row in range(4000)]
    found = np.concatenate([sides(groups, 32, SALT), sides(groups, 32, "11" * 32)])
    error = 0.5 / np.sqrt(len(groups))
    assert abs(found.mean(1) - 0.5).max() < 5 * error
    alike = np.corrcoef(found)[np.triu_indices(64, 1)]
    assert abs(alike).max() < 5 * 2 * error


def test_twins_complement_each_other_and_the_second_has_the_side_of_the_hash(made: Path) -> None:
    members = open_shadows(made / "m.shadows").members
    expected = sides(DIGITS, 2, members[0].record.forgotten.salt)
    for pair, side in enumerate(expected):
        first, second = members[2 * pair : 2 * pair + 2]
        assert np.array_equal(first.holds(DIGITS), ~side)
        assert np.array_equal(second.holds(DIGITS), side)


def test_a_shadow_model_says_what_it_is(made: Path) -> None:
    found = open_shadows(made / "m.shadows")
    original = read_record(made / "m.st")
    assert (len(found), found.of, found.group) == (4, original.digest, None)
    assert [one.number for one in found.members] == [0, 1, 2, 3]
    assert len({one.record.steps[-1].seed for one in found.members} | {original.steps[-1].seed}) == 5
    assert {name: len({str(one.record.recipe[name]) for one in found.members}) for name in original.recipe} == (
        dict.fromkeys(original.recipe, 1)
    )


def test_it_says_which_never_saw_an_id_and_which_still_hold_some(made: Path) -> None:
    found = open_shadows(made / "m.shadows")
    never = found.never_saw(DIGITS)
    assert never.shape == (4, 1297)
    assert set(never.sum(0)) == {2}
    assert found.never_saw(["not an id of it"]).all()
    assert [one.number for one in found.stale(["5"])] == np.flatnonzero(~found.never_saw(["5"])[:, 0]).tolist()


def test_all_samples_of_a_writer_are_in_one_half_and_one_without_a_writer_is_by_itself(
    forgetkit: Run, here: Path
) -> None:
    Path("w.csv").write_text("id,writer\n" + "".join(f"{id_},{name}\n" for id_, name in WRITERS.items()))
    grouped = ("--shadow-group", "writer", "--attributes", "w.csv")
    ran = forgetkit("train", "--like", "m.st", "--shadows", "2", *grouped, "-o", "w.shadows/{n}.st")
    assert ran.code == 0, ran.err
    found = open_shadows(Path("w.shadows"))
    first, second = found.members
    assert found.group == "writer"
    assert np.array_equal(first.holds(DIGITS), ~second.holds(DIGITS))
    held = dict(zip(DIGITS, second.holds(DIGITS), strict=True))
    assert len({(name, held[id_]) for id_, name in WRITERS.items()}) == len(set(WRITERS.values()))
    assert {held[id_] for id_ in DIGITS[1000:]} == {True, False}


def test_a_missing_one_is_named(here: Path) -> None:
    (here / "m.shadows/1.st").unlink()
    with pytest.raises(ForgetkitError, match=r"m\.shadows/1\.st") as raised:
        open_shadows(here / "m.shadows")
    assert raised.value.code == "checkpoint-missing"


def test_a_broken_one_is_named(here: Path) -> None:
    (here / "m.shadows/2.st").write_bytes(b"not a checkpoint")
    with pytest.raises(ForgetkitError, match=r"m\.shadows/2\.st") as raised:
        open_shadows(here / "m.shadows")
    assert raised.value.code == "checkpoint-malformed"


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("m.shadows/2.st", "0.st", r"m\.shadows/0\.st: it is shadow model 2"),
        ("m.shadows/0.st", "3.st", r"m\.shadows/3\.st: it is shadow model 0"),
        ("m.st", "0.st", r"m\.shadows/0\.st: this is no shadow model"),
        ("m.st", "2.st", r"m\.shadows/2\.st: this is no shadow model"),
        ("other.shadows/1.st", "1.st", r"m\.shadows/1\.st: it belongs to another model than .*m\.shadows/0\.st"),
    ],
)
def test_one_that_does_not_belong_there_is_named(here: Path, source: str, target: str, message: str) -> None:
    copy(here / source, here / "m.shadows" / target)
    with pytest.raises(ForgetkitError, match=message) as raised:
        open_shadows(here / "m.shadows")
    assert raised.value.code == "checkpoint-mismatch"


def test_one_of_a_larger_set_is_named(forgetkit: Run, here: Path) -> None:
    assert forgetkit("train", "--like", "m.st", "--shadows", "2", "-q", "-o", "two/{n}.st").code == 0
    copy("two/1.st", "m.shadows/1.st")
    with pytest.raises(ForgetkitError, match=r"m\.shadows/1\.st: it belongs to another set"):
        open_shadows(Path("m.shadows"))


def test_a_half_that_does_not_complete_its_twins_is_named(forgetkit: Run, here: Path) -> None:
    Path("some.txt").write_text("\n".join(DIGITS[:900]))
    words = ("--like", "m.st", "--only", "some.txt", "--shadows", "4", "-q", "-o", "some/{n}.st")
    assert forgetkit("train", *words).code == 0
    for pair in (("0.st", "1.st"), ("3.st",)):
        folder = Path("with-" + pair[0])
        copytree("m.shadows", folder)
        for name in pair:
            copy(f"some/{name}", folder / name)
        with pytest.raises(ForgetkitError, match=r"3\.st: its half does not complete that of .*2\.st"):
            open_shadows(folder)


def test_the_folder_beside_a_descendant_is_found(here: Path) -> None:
    original = read_record(here / "m.st")
    for number in (original, forgot(original), forgot(forgot(original))):
        found = shadows_of(here / "anything.st", number)
        assert found is not None
        assert found.folder == here / "m.shadows" == folder_beside(here / "m.st")


def test_the_folder_beside_a_retraining_is_found(forgetkit: Run, here: Path, ids: Path) -> None:
    assert forgetkit("train", "--like", "m.st", "--exclude", "ids.txt", "-q", "-o", "retrained.st").code == 0
    found = shadows_of(here / "retrained.st", read_record(here / "retrained.st"))
    assert found is not None
    assert found.folder == here / "m.shadows"


def test_the_folder_beside_a_retraining_of_a_retraining_is_found(forgetkit: Run, here: Path) -> None:
    for number, path in enumerate(("m.st", "once.st")):  # as forget does twice, if it must
        Path("ids.txt").write_text(f"{number}\n")
        assert forgetkit("train", "--like", path, "--exclude", "ids.txt", "-q", "-o", "twice.st").code == 0
        Path("twice.st").rename("once.st")
    assert shadows_of(Path("once.st"), read_record(Path("once.st"))) is not None


def test_where_none_fits_there_are_none(here: Path) -> None:
    known = read_record(here / "m.st")
    stranger = replace(known, recipe={**known.recipe, "rate": 0.5})
    assert shadows_of(here / "m.st", stranger) is None
    assert shadows_of(here / "m.shadows/0.st", read_record(here / "m.st")) is None  # not beside it


def test_a_folder_that_is_named_must_be_of_the_same_recipe_whatever_the_seed_and_machine(here: Path) -> None:
    known, folder = read_record(here / "m.st"), str(here / "other.shadows")
    for recipe in (known.recipe, {**known.recipe, "threads": 99}):
        found = shadows_of(here / "m.st", replace(known, recipe=recipe), folder)
        assert found is not None
        assert found.of == read_record(here / "other.st").digest
    with pytest.raises(ForgetkitError, match="were trained by another recipe") as raised:
        shadows_of(here / "m.st", replace(known, recipe={**known.recipe, "epochs": 99}), folder)
    assert raised.value.code == "checkpoint-mismatch"


def test_a_folder_beside_it_that_cannot_be_used_is_told_and_skipped(here: Path) -> None:
    (here / "a.shadows").mkdir()
    copy(here / "m.st", here / "a.shadows" / "0.st")
    told: list[object] = []
    found = shadows_of(here / "m.st", read_record(here / "m.st"), None, told.append)
    assert found is not None
    assert [event.code for event in told if isinstance(event, Warned)] == ["shadows-unusable"]


def test_a_model_never_saw_what_it_was_not_trained_on() -> None:
    trained = replace(record(), trained=KeySet.of(["1", "2", "3"], SALT))
    assert trained.never_saw(["1", "3", "9"]).tolist() == [False, False, True]
    assert record().never_saw(["1", "9"]).tolist() == [False, False]  # trained on everything


def test_a_training_without_an_id_never_saw_it_but_a_step_that_forgot_it_began_from_weights_that_did() -> None:
    retrained = replace(record(), trained=KeySet.of(["1", "3"], SALT), forgotten=KeySet.of(["3"], SALT))
    assert retrained.never_saw(["1", "3", "9"]).tolist() == [False, True, True]
    assert forgot(replace(retrained, forgotten=KeySet.of([], SALT))).never_saw(["1", "3", "9"]).tolist() == [
        False,
        False,
        True,
    ]


def test_holding_ends_with_forgetting(made: Path) -> None:
    before = replace(record(), trained=KeySet.of(["1", "3"], SALT))
    assert Shadow(made, before, {}).holds(["1", "3", "9"]).tolist() == [True, True, False]
    assert Shadow(made, forgot(before), {}).holds(["1", "3", "9"]).tolist() == [True, False, False]


def test_a_model_and_its_shadow_models_are_written_and_then_up_to_date(forgetkit: Run) -> None:
    first, again = (forgetkit(*TRAIN, "--shadows", "4", "-o", "m.st", "--json") for _ in range(2))
    paths = ["m.st", *(f"m.shadows/{number}.st" for number in range(4))]
    assert (first.code, first.json["outputs"], first.json["up_to_date"]) == (0, paths, False), first.err
    assert (again.code, again.json["outputs"], again.json["up_to_date"]) == (0, paths, True), again.err
    assert numbers(Path("m.shadows")) == ["0.st", "1.st", "2.st", "3.st"]


def test_the_model_is_the_one_without_shadow_models(forgetkit: Run, here: Path) -> None:
    assert forgetkit(*TRAIN, "-q", "-o", "plain.st").code == 0
    assert Path("plain.st").read_bytes() == (here / "m.st").read_bytes()


def test_only_what_is_missing_is_trained(forgetkit: Run, here: Path) -> None:
    before = {path: path.read_bytes() for path in Path("m.shadows").iterdir()}
    Path("m.shadows/2.st").unlink()
    ran = forgetkit(*TRAIN, "--shadows", "4", "--seed", "0", "-o", "m.st", "--json")
    assert [one["up_to_date"] for one in ran.json["replicas"]] == [True, True, True, False, True]
    assert {path: path.read_bytes() for path in Path("m.shadows").iterdir()} == before


def test_the_same_are_trained_for_a_model_that_is_there_already(forgetkit: Run, tmp_path: Path) -> None:
    assert forgetkit(*TRAIN, "--shadows", "4", "-q", "-o", "m.st").code == 0
    ran = forgetkit("train", "--like", "m.st", "--shadows", "4", "-o", "other/{n}.st")
    assert (ran.code, ran.lines) == (0, [f"other/{number}.st" for number in range(4)]), ran.err
    for name in numbers(Path("other")):
        assert Path("other", name).read_bytes() == Path("m.shadows", name).read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--shadows", "3"), "3 is not an even number"),
        (("--shadows", "130"), "it must be 128 or less"),
        (("--shadows", "0"), "it must be 2 or more"),
        (("--shadows", "4", "-o", "m/{n}.st"), "--shadows alone needs --like"),
        (("--shadows", "4", "--replicas", "2", "--like", "m.st", "-o", "m/{n}.st"), "--replicas"),
        (("--shadows", "4", "--replicas", "2"), "--replicas"),
        (("--shadow-group", "writer"), "--shadow-group needs --shadows"),
        (("--shadows", "4", "--attributes", "w.csv"), "--attributes needs --shadow-group"),
        (("--shadows", "4", "--like", "m.st", "--log", "l/{n}.jsonl", "-o", "m/{n}.st"), "--log"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    forgetkit: Run, here: Path, words: tuple[str, ...], message: str
) -> None:
    start = () if "--like" in words else ("--dataset", "digits", "--epochs", "1", "-o", "new.st")
    ran = forgetkit("train", *start, *words, "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage"), ran.err
    assert message in ran.json["message"]
    assert not Path("m").exists()
    assert not Path("new.st").exists()


@pytest.mark.parametrize("like", [True, False])
def test_a_column_that_does_not_exist_is_refused_before_any_training(forgetkit: Run, here: Path, like: bool) -> None:
    start = ("train", "--like", "m.st", "-o", "new/{n}.st") if like else (*TRAIN, "-o", "new.st")
    ran = forgetkit(*start, "--shadows", "4", "--shadow-group", "writer", "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")
    assert ran.json["message"] == "--shadow-group: there is no column 'writer'"
    assert not list(Path().glob("new*"))


def test_a_half_without_samples_is_refused_before_any_training(forgetkit: Run, here: Path) -> None:
    Path("one.txt").write_text("5\n")
    ran = forgetkit("train", "--like", "m.st", "--only", "one.txt", "--shadows", "4", "-o", "none/{n}.st", "--json")
    assert (ran.code, ran.json["code"]) == (2, "ids-empty")
    assert not Path("none").exists()


@pytest.mark.parametrize("like", [False, True])
def test_a_dry_run_writes_nothing(forgetkit: Run, made: Path, tmp_path: Path, like: bool) -> None:
    words = ("train", "--like", made / "m.st", "-o", "new/{n}.st") if like else (*TRAIN, "-o", "new.st")
    ran = forgetkit(*words, "--shadows", "4", "--dry-run")
    assert (ran.code, ran.out) == (0, ""), ran.err
    assert not list(tmp_path.iterdir())
