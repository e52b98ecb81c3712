"""What records say of ids: held, forgotten, never seen, or nothing."""

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetkit.errors import ForgetkitError
from forgetkit.files.checkpoint_tree import Tree
from forgetkit.files.header import dumps
from forgetkit.files.holdings import STATES, Holding, holding_of, of_dataset, with_optimizers
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record, Step
from forgetkit.files.relations import Relations
from forgetkit.files.wanted_ids import Wanted
from tests.files.test_record import SALT, checkpoint, record_of
from tests.torture.checkpoints import CHANGES

IDS = ["5", "6", "7", "x/1.png"]
NAMES = st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4), max_size=12)
ADOPTED = Step("adopt", {}, 0, None, None, {})
TRAINED = Step("train", {}, 0, None, None, {})


def record(trained: list[str] | None = None, forgotten: list[str] | None = None, **changes: Any) -> Record:  # noqa: ANN401
    """Return the record of a model that was trained on some ids, or on the whole split of digits."""
    keys = None if trained is None else KeySet.of(trained, SALT)
    return replace(record_of(keys), forgotten=KeySet.of(forgotten or [], SALT), **changes)


def data(name: str, size: int = 6) -> dict[str, Any]:
    return {"name": name, "options": {}, "size": size, "fingerprint": SALT}


def held(path: Path, found: Record, *, show: bool = True) -> Holding:
    return holding_of(checkpoint(path, dumps(found)), Wanted(IDS, show))


def named(found: Holding) -> list[list[str]]:
    """Return the ids that a file holds, has forgotten, never saw, and of which nothing is known."""
    assert found.ids.named is not None
    return [found.ids.named[part] for part in ("held", "forgotten", "never", "unknown")]


def test_a_list_of_trained_ids_says_everything(tmp_path: Path) -> None:
    found = held(tmp_path / "a.st", record(["5", "7", "8"], ["7"]))
    assert (found.state, named(found)) == ("held", [["5"], ["7"], ["6", "x/1.png"], []])


def test_rows_of_a_built_in_set_are_held_up_to_its_size(tmp_path: Path) -> None:
    """A model of the whole split has no list; that 6 is no row of a set of six is certain all the same."""
    found = held(tmp_path / "a.st", record(None, ["5"], dataset=data("digits", 7)))
    assert named(found) == [["6"], ["5"], ["7", "x/1.png"], []]


def test_rows_of_other_data_are_held_and_other_ids_unknown(tmp_path: Path) -> None:
    found = held(tmp_path / "a.st", record(None, ["5"], dataset=data("arrays:a.npz")))
    assert named(found) == [["6", "7"], ["5"], [], ["x/1.png"]]


@pytest.mark.parametrize("more", [[], [replace(TRAINED, parent="d" * 64)]])
def test_what_adopted_weights_saw_is_unknown_except_what_they_forgot(tmp_path: Path, more: list[Step]) -> None:
    found = held(tmp_path / "a.st", record(None, ["5"], steps=[ADOPTED, *more]))
    assert (found.state, named(found)) == ("unknown", [[], ["5"], [], ["6", "7", "x/1.png"]])
    assert found.why == "adopted: what it was trained on is not recorded"


def test_a_new_head_was_trained_on_what_the_record_lists(tmp_path: Path) -> None:
    adopted = replace(ADOPTED, options={"replace_head": ["fc.weight"]})
    assert held(tmp_path / "a.st", record([], steps=[adopted])).state == "never"


@given(NAMES, NAMES, NAMES)
def test_the_parts_add_up_to_all_ids(
    tmp_path_factory: pytest.TempPathFactory, trained: set[str], forgotten: set[str], ids: set[str]
) -> None:
    path = checkpoint(tmp_path_factory.mktemp("a") / "a.st", dumps(record(sorted(trained), sorted(forgotten))))
    found = holding_of(path, Wanted(sorted(ids), show=True))
    assert sum(found.ids.counts.values()) == len(ids)
    assert [set(part) for part in named(found)] == [
        ids & (trained - forgotten), ids & forgotten, ids - trained - forgotten, set()
    ]  # fmt: skip


def test_ids_are_hashed_once_for_each_data_set(tmp_path: Path) -> None:
    wanted = Wanted(IDS)
    for number in range(40):
        salt = f"{number % 20:064x}"
        keys = KeySet.of(["5"], salt)
        found = replace(record(), trained=keys, forgotten=KeySet.of([], salt))
        assert holding_of(checkpoint(tmp_path / "a.st", dumps(found)), wanted).ids.held == 1
        assert len(wanted._keys) <= 16


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}, []])
def test_weights_of_another_tool_are_unknown(tmp_path: Path, metadata: object) -> None:
    header = json.dumps({} if metadata is None else {"__metadata__": metadata}).encode()
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    found = holding_of(tmp_path / "a.safetensors", Wanted(IDS))
    assert (found.state, found.why, found.ids.unknown) == ("unknown", "no forgetkit record", 4)


def other(path: Path, key: str, text: str) -> Path:
    """Write a file that is no checkpoint: an optimizer state, or the state of a run."""
    header = json.dumps({"__metadata__": {key: text}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


def test_an_optimizer_state_holds_what_its_checkpoint_holds_unless_steps_removed_ids(tmp_path: Path) -> None:
    step = Step("relabel", {}, 0, "d" * 64, {"count": 1, "digest": ""}, {})
    left_out = record(["9"], ["5"], digest="a" * 64)
    removed = record(["5"], ["5"], digest="b" * 64, steps=[TRAINED, step])
    holder = record(["5"], digest="c" * 64)
    found = [held(tmp_path / f"{one.digest[0]}.st", one) for one in (left_out, removed, holder)]
    for letter in "abcd":
        text = json.dumps({"checkpoint": letter * 64, "optimizer": "Adam"})
        state = other(tmp_path / f"{letter}.optimizer.st", "forgetkit-optimizer", text)
        found.append(holding_of(state, Wanted(IDS)))
    states = with_optimizers(found)[3:]
    assert [one.state for one in states] == ["forgotten", "unknown", "held", "unknown"]
    notes = [Relations(found, lambda path: path.name).note(one) for one in states]
    assert notes[2:] == ["optimizer state of c.st", "optimizer state of sha256:dddddddd, not here"]
    assert notes[1] == "optimizer state of b.st; made while it forgot: it may show the ids"


@pytest.mark.parametrize("text", ["", "[]", "[" * 9000, '{"checkpoint":[]}', "{}"])
def test_an_optimizer_state_that_names_no_checkpoint_is_unknown(tmp_path: Path, text: str) -> None:
    found = holding_of(other(tmp_path / "a.st", "forgetkit-optimizer", text), Wanted(IDS))
    assert (found.state, found.state_of) == ("unknown", None)


def test_the_state_of_an_interrupted_run_is_unknown(tmp_path: Path) -> None:
    found = holding_of(other(tmp_path / "0.st", "forgetkit-state", "{}"), Wanted(IDS))
    assert found.why == "left by an interrupted run: repeat that, or delete it"


def test_notes_name_shadow_models_teachers_copies_and_answers(tmp_path: Path) -> None:
    shadow = replace(TRAINED, options={"shadow": {"of": "a" * 64, "number": 0, "count": 2, "group": None}})
    taught = Step("distill", {"teacher": "e" * 64}, 0, "a" * 64, {"count": 1, "digest": ""}, {})
    made = {
        "model": record(IDS, digest="a" * 64),
        "shadow": record(IDS, digest="c" * 64, steps=[shadow]),
        "teacher": record(IDS, digest="e" * 64),
        "twin": record(IDS, digest="a" * 64),
        "after": record(IDS, IDS, digest="9" * 64, steps=[shadow, replace(taught, options={})]),
        "zero": record(IDS, IDS, digest="f" * 64, steps=[TRAINED, taught]),
    }
    found = [held(tmp_path / name, one) for name, one in made.items()]
    related = Relations(found, lambda path: path.name)
    assert [related.note(one) for one in found] == [
        "forgotten in zero", "shadow model of model", "teacher of zero", "copy of model; forgotten in zero",
        "shadow model of model", ""
    ]  # fmt: skip


def test_a_data_set_is_meant_by_name_path_or_fingerprint(tmp_path: Path) -> None:
    found = [
        held(tmp_path / "a.st", record(IDS, dataset=data("arrays:a.npz"))),
        held(tmp_path / "b.st", record(IDS, dataset={**data("mnist"), "fingerprint": "ab" * 32})),
        holding_of(tmp_path / "none.st", Wanted(IDS)),
    ]
    for name, first in [("arrays:a.npz", 0), ("arrays:/x/a.npz", 0), ("mnist", 1), ("ABAB", 1), ("abababab", 1)]:
        assert of_dataset(found, name) == [found[first], found[2]]
    assert of_dataset(found, SALT[:6]) == found
    with pytest.raises(ForgetkitError, match="none of these") as caught:
        of_dataset(found, "mnits")
    assert (caught.value.code, caught.value.hint) == ("dataset-unknown", "did you mean 'mnist'?")


def test_nobody_names_a_data_set_where_no_file_has_one(tmp_path: Path) -> None:
    found = [holding_of(tmp_path / "none.st", Wanted(IDS))]
    assert of_dataset(found, "mnist") == found


def test_a_damaged_header_is_an_entry_and_never_an_exception(tmp_path: Path, model: Path) -> None:
    whole, wanted = model.read_bytes(), Wanted(IDS)
    seen = set()
    for number in range(400):
        draw = random.Random(number)
        path = tmp_path / "bad.st"
        path.write_bytes(CHANGES[number % len(CHANGES)](whole, draw))
        found = with_optimizers([holding_of(path, wanted)])
        Relations(found, str).note(found[0])
        assert sum(found[0].ids.counts.values()) == len(IDS)
        seen.add(found[0].state)
    assert "unreadable" in seen
    assert seen <= set(STATES)


WRONG = [None, [], {}, [{}], {"of": []}, {"of": {}}, 2**80, "x"]


@pytest.mark.parametrize("value", WRONG, ids=json.dumps)
def test_options_of_any_kind_in_a_record_are_taken(tmp_path: Path, value: object) -> None:
    options = dict.fromkeys(("teacher", "forget_teacher", "shadow", "like", "replace_head"), value)
    found = held(tmp_path / "a.st", record(IDS, steps=[replace(TRAINED, options=options)]))
    assert found.state == "held"
    assert Relations([found], str).note(found) in {"", "shadow model of sha256:x, not here"}


def test_a_tree_has_each_file_once_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/1.st", "a/b/2.safetensors", "a/b/ids.txt"):
        (tmp_path / name).touch()
    (tmp_path / "a" / "b" / "up").symlink_to("..")
    (tmp_path / "a" / "0.st").symlink_to("1.st")
    (tmp_path / "a" / "gone.st").symlink_to("nowhere.st")
    found = Tree([str(tmp_path / "a"), str(tmp_path / "a" / "b"), str(tmp_path / "a" / "1.st")])
    assert [str(path.relative_to(tmp_path)) for path in found.files] == ["a/1.st", "a/b/2.safetensors", "a/gone.st"]


def test_a_link_that_leads_out_of_the_tree_is_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "1.st").touch()
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "near" / "again.st").symlink_to(tmp_path / "far" / "1.st")
    assert [path.name for path in Tree([str(tmp_path / "near")]).files] == ["1.st"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert Tree([str(tmp_path)]).unread == [(tmp_path / "closed", "Permission denied")]


@pytest.mark.parametrize("place", ["", "nowhere", "empty"])
def test_a_place_without_checkpoints_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ForgetkitError) as caught:
        Tree([place])
    assert caught.value.code == "checkpoint-missing"
