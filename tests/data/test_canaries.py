"""Canaries: the draw, the commitment, and everything from training to forgetting, end to end on real digits."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from forgetkit.cli import app as cli
from forgetkit.data.canaries import Canaries, as_trained, draw_canaries, entry_of, open_canaries, relabelled
from forgetkit.data.dataset import Dataset, Split
from forgetkit.data.open import open_dataset
from forgetkit.data.sources import DATASETS, Reader, digits
from forgetkit.data.sources import Source as Read
from forgetkit.errors import ForgetkitError
from forgetkit.events import silent
from forgetkit.files.header import read_record
from forgetkit.files.id_list import draw
from forgetkit.files.record import Record
from forgetkit.models.checkpoint import load_model
from forgetkit.statistics.canary_guesses import epsilon, guesses
from forgetkit.statistics.scores import phi
from forgetkit.training.classifier import on_machine, predict
from forgetkit.training.device import Machine
from forgetkit.unlearning.inputs import Request, begin
from forgetkit.unlearning.step_options import StepOptions
from tests.conftest import Run

COUNT, SEED = 200, 3
EXACT = ("--threads", "1", "--precision", "float32")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset("digits", Path())


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder: can.st with mislabelled canaries, can.txt the included ones, ref.st retrained without them."""
    folder = tmp_path_factory.mktemp("planted")
    model, ids, reference = (str(folder / name) for name in ("can.st", "can.txt", "ref.st"))
    arguments = ("--canaries", str(COUNT), "--seed", str(SEED), "--epochs", "60", *EXACT, "-q", "-o", model)
    assert cli.run(["train", "--dataset", "digits", *arguments]) == 0
    assert cli.run(["forget-ids", model, "--canaries", "--seed", str(SEED), "-q", "-o", ids]) == 0
    assert cli.run(["train", "--like", model, "--exclude", ids, *EXACT, "-q", "-o", reference]) == 0
    return folder


@pytest.fixture
def can(planted: Path, tmp_path: Path) -> Path:
    """Return a copy of can.st of one's own in the working folder, with can.txt beside it."""
    for name in ("can.st", "can.txt"):
        (tmp_path / name).write_bytes((planted / name).read_bytes())
    return tmp_path / "can.st"


def write(path: Path, ids: Iterable[str]) -> None:
    path.write_text("".join(f"{id_}\n" for id_ in ids))


def drawn(dataset: Dataset, count: int = COUNT, kind: str = "mislabelled", seed: int = SEED) -> Canaries:
    return draw_canaries(dataset, np.arange(len(dataset.train)), count=count, kind=kind, seed=seed)


def opened(path: Path, dataset: Dataset) -> tuple[Record, Canaries]:
    record = read_record(path)
    canaries = open_canaries(record, dataset)
    assert canaries is not None
    return record, canaries


def guessed(path: Path, canaries: Canaries, dataset: Dataset) -> tuple[int, int]:
    """Return right guesses and guesses on the model at ``path``."""
    record = read_record(path)
    classifier = on_machine(load_model(path, record), record, Machine("cpu", "float32", 1))
    logits = predict(classifier, torch.from_numpy(dataset.train.images[canaries.rows]))
    return guesses(phi(logits, torch.from_numpy(canaries.labels)).numpy(), canaries.included)


# The draw


def test_a_smaller_draw_is_the_beginning_of_a_larger_one(dataset: Dataset) -> None:
    small, large = drawn(dataset, 50), drawn(dataset, 200)
    assert np.array_equal(small.rows, large.rows[:50])
    assert np.array_equal(small.included, large.included[:50])
    assert np.array_equal(small.labels, large.labels[:50])


def test_candidates_are_different_samples_of_those_allowed(dataset: Dataset) -> None:
    found = draw_canaries(dataset, np.arange(100, 400), count=150, kind="natural", seed=0)
    assert len(set(found.rows.tolist())) == len(found) == 150
    assert found.rows.min() >= 100
    assert found.rows.max() < 400
    assert sorted([*found.included_rows, *found.withheld_rows]) == sorted(found.rows)


def test_coins_are_fair_and_know_nothing_of_the_order(dataset: Dataset) -> None:
    included = np.array([drawn(dataset, 1200, seed=seed).included for seed in range(10)])
    assert abs(included.mean() - 0.5) < 4 * 0.5 / np.sqrt(included.size)
    half = included[:, :600].mean() - included[:, 600:].mean()
    assert abs(half) < 4 / np.sqrt(included.size)


def test_coins_of_two_seeds_are_independent(dataset: Dataset) -> None:
    one, other = (
        dict(zip(found.rows.tolist(), found.included.tolist(), strict=True))
        for found in (drawn(dataset, 1297, seed=seed) for seed in (0, 1))
    )
    assert 0.42 < np.mean([one[row] == other[row] for row in one]) < 0.58


def test_a_wrong_label_is_each_other_class_equally_often(dataset: Dataset) -> None:
    shifts = np.concatenate(
        [
            (found.labels - dataset.train.labels[found.rows]) % 10
            for found in (drawn(dataset, 1297, seed=s) for s in range(5))
        ]
    )
    counts = np.bincount(shifts, minlength=10)
    assert counts[0] == 0
    assert ((counts[1:] - len(shifts) / 9) ** 2 / (len(shifts) / 9)).sum() < 26  # chi-square, 8 degrees: p = 0.001


def test_natural_canaries_keep_their_labels(dataset: Dataset) -> None:
    found = drawn(dataset, kind="natural")
    assert np.array_equal(found.labels, dataset.train.labels[found.rows])


def test_candidates_are_not_the_draw_of_forget_ids_by_the_same_seed(dataset: Dataset) -> None:
    theirs = set(draw(dataset.train.ids, COUNT, SEED))
    assert len(theirs & set(dataset.train.ids_at(drawn(dataset).rows))) < COUNT / 2


@pytest.mark.parametrize("count", [7, 1298])
def test_a_count_that_is_not_to_be_had_is_refused(dataset: Dataset, count: int) -> None:
    with pytest.raises(ForgetkitError, match=f"{count} is not between 8 and the 1297 samples"):
        drawn(dataset, count)


def test_one_class_cannot_be_mislabelled(dataset: Dataset) -> None:
    single = replace(dataset, classes=("all",), train=replace(dataset.train, labels=np.zeros(1297, dtype=np.int64)))
    with pytest.raises(ForgetkitError, match="only one class"):
        drawn(single)
    assert not drawn(single, kind="natural").labels.any()


# The commitment


def entry(dataset: Dataset, seed: int = SEED, kind: str = "mislabelled") -> dict[str, Any]:
    found = drawn(dataset, kind=kind, seed=seed)
    return entry_of(found, dataset, kind=kind, seed=seed, salt=dataset.fingerprint)


def holding(entry: Any, dataset: Dataset, planted: Path) -> Record:  # noqa: ANN401 - any JSON value
    """Return a record whose recipe holds ``entry``."""
    record = read_record(planted / "can.st")
    return replace(record, recipe={**record.recipe, "canaries": entry})


def test_the_commitment_is_the_hash_of_seed_kind_and_every_candidate(dataset: Dataset) -> None:
    found = drawn(dataset)
    listed = ",".join(
        f'["{dataset.train.ids[row]}",{json.dumps(bool(coin))},{label}]'
        for row, coin, label in zip(found.rows, found.included, found.labels, strict=True)
    )
    text = f'[{SEED},"mislabelled",[{listed}]]'
    assert entry(dataset)["commitment"] == hashlib.sha256(text.encode()).hexdigest()


def test_commitments_differ_by_seed_and_kind(dataset: Dataset) -> None:
    commitments = {entry(dataset, seed, kind)["commitment"] for seed in range(5) for kind in ("natural", "mislabelled")}
    assert len(commitments) == 10


def test_the_seed_opens_what_was_drawn_from_true_or_assigned_labels(dataset: Dataset, planted: Path) -> None:
    record, found = holding(entry(dataset), dataset, planted), drawn(dataset)
    for data in (dataset, relabelled(dataset, found)):
        for seed in (None, SEED):
            again = open_canaries(record, data, seed)
            assert again is not None
            for name in ("rows", "included", "labels"):
                assert np.array_equal(getattr(again, name), getattr(found, name))


def test_another_seed_or_changed_data_does_not_open(dataset: Dataset, planted: Path) -> None:
    record, labels = holding(entry(dataset), dataset, planted), dataset.train.labels.copy()
    labels[drawn(dataset).withheld_rows[0]] = 11
    changed = replace(dataset, train=replace(dataset.train, labels=labels))
    for data, seed in ((dataset, SEED + 1), (changed, None)):
        with pytest.raises(ForgetkitError, match="does not reproduce") as caught:
            open_canaries(record, data, seed)
        assert caught.value.code == "canaries-mismatch"


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "3"},
        {"seed": -1},
        {"kind": "odd"},
        {"count": 5},
        {"keys": "?"},
        {"commitment": None},
        {"digest": "0" * 64},
        {"keys": "", "count": 0, "digest": hashlib.sha256(b"").hexdigest()},
    ],
)
def test_a_malformed_entry_is_exit_2_not_a_bug(dataset: Dataset, planted: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ForgetkitError) as caught:
        open_canaries(holding({**entry(dataset), **change}, dataset, planted), dataset)
    assert caught.value.code == "checkpoint-malformed"


@pytest.mark.parametrize("value", [None, 3, [], {}])
def test_an_entry_of_another_shape_is_malformed(dataset: Dataset, planted: Path, value: object) -> None:
    with pytest.raises(ForgetkitError, match="cannot be read"):
        open_canaries(holding(value, dataset, planted), dataset)


def test_relabelling_changes_the_labels_of_included_canaries_alone(dataset: Dataset) -> None:
    found = drawn(dataset)
    after = relabelled(dataset, found)
    assert np.array_equal(np.flatnonzero(after.train.labels != dataset.train.labels), np.sort(found.included_rows))
    assert np.array_equal(after.train.labels[found.rows][found.included], found.labels[found.included])
    assert after.train.images is dataset.train.images
    assert (after.fingerprint, after.test) == (dataset.fingerprint, dataset.test)


def test_data_of_a_model_without_canaries_is_not_touched(dataset: Dataset, digits_model: Path) -> None:
    record = read_record(digits_model)
    assert as_trained(dataset, record) is dataset
    assert open_canaries(record, dataset) is None


# Training


def test_the_record_commits_and_does_not_count_withheld_ones_as_trained(planted: Path, dataset: Dataset) -> None:
    record, found = opened(planted / "can.st", dataset)
    assert record.recipe["canaries"] == entry(dataset)
    assert set(record.recipe["canaries"]) == {"count", "digest", "keys", "kind", "seed", "commitment"}
    assert record.steps[0].options["canaries"] == record.recipe["canaries"]["commitment"]
    untrained = np.flatnonzero(~record.was_trained(dataset.train.ids))
    assert untrained.tolist() == np.sort(found.withheld_rows).tolist()
    assert record.retained == 1297 - len(found.withheld_rows)


def test_a_model_without_canaries_says_nothing_of_them(digits_model: Path) -> None:
    assert "canaries" not in json.dumps(read_record(digits_model).to_json())


def test_the_same_training_again_is_up_to_date_and_other_canaries_are_not(forgetkit: Run, can: Path) -> None:
    arguments = ("train", "--dataset", "digits", "--epochs", 60, *EXACT, "--seed", SEED, "-o", "can.st", "--json")
    assert forgetkit(*arguments, "--canaries", COUNT).json["up_to_date"]
    for other in ([], ["--canaries", COUNT + 1], ["--canaries", COUNT, "--canary-kind", "natural"]):
        assert forgetkit(*arguments, *other).json["code"] == "output-exists"


def test_training_says_beforehand_what_that_many_can_show(forgetkit: Run) -> None:
    ran = forgetkit("train", "--dataset", "digits", "--canaries", 200, "-n", "-o", "x.st")
    assert (ran.code, ran.out) == (0, "")
    assert "200 canaries, mislabelled: " in ran.err
    assert f"100 guesses, which can show ε up to {epsilon(100, 100):.2f}" in ran.err
    assert "580 canaries, 2,184 to pass in 9 of 10 audits" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--dataset", "digits", "--canaries", "7"),
        ("--dataset", "digits", "--canaries", "1298"),
        ("--dataset", "digits", "--canary-kind", "natural"),
        ("--dataset", "digits", "--canaries", "20", "--canary-kind", "odd"),
        ("--dataset", "digits", "--canaries", "20", "--replicas", "2"),
        ("--from", "can.st", "--canaries", "20"),
        ("--like", "can.st", "--canaries", "20"),
    ],
)
def test_options_that_do_not_go_with_canaries_are_refused(
    forgetkit: Run, can: Path, arguments: tuple[str, ...]
) -> None:
    ran = forgetkit("train", *arguments, "-o", "{n}.st", "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")


def test_candidates_are_drawn_from_what_a_training_would_use(forgetkit: Run, tmp_path: Path, dataset: Dataset) -> None:
    write(tmp_path / "only.txt", map(str, range(300)))
    write(tmp_path / "gone.txt", map(str, range(60)))
    lists = ("--only", "only.txt", "--exclude", "gone.txt")
    ran = forgetkit("train", "--dataset", "digits", *lists, "--epochs", 1, "--canaries", 240, "-o", "x.st")
    assert ran.code == 0, ran.err
    record, found = opened(tmp_path / "x.st", dataset)
    assert sorted(found.rows) == list(range(60, 300))
    assert np.flatnonzero(record.retains(dataset.train.ids)).tolist() == sorted(found.included_rows)
    trained = np.flatnonzero(record.was_trained(dataset.train.ids))  # what is excluded counts as forgotten, as ever
    assert trained.tolist() == sorted([*range(60), *found.included_rows])


def test_a_model_may_get_canaries_by_the_recipe_of_one_without(forgetkit: Run, model: Path, dataset: Dataset) -> None:
    ran = forgetkit("train", "--like", "model.st", "--canaries", 40, "-q", "-o", "x.st")
    assert ran.code == 0, ran.err
    record, found = opened(Path("x.st"), dataset)
    assert (len(found), record.recipe["canaries"]["seed"], record.steps[0].seed) == (40, 1, 1)


# From training to forgetting


def test_the_original_knows_its_canaries_and_a_model_retrained_without_them_does_not(
    planted: Path, dataset: Dataset
) -> None:
    _, found = opened(planted / "can.st", dataset)
    right, made = guessed(planted / "can.st", found, dataset)
    print(f"original: {right} of {made}, ε ≥ {epsilon(right, made):.2f}")
    assert right >= 85
    again, made = guessed(planted / "ref.st", found, dataset)
    print(f"retrained: {again} of {made}")
    assert 32 <= again <= 68  # Binomial(100, ½): outside once in 5,000


def test_a_reference_carries_the_canaries_on(planted: Path, dataset: Dataset) -> None:
    original, reference = (opened(planted / name, dataset) for name in ("can.st", "ref.st"))
    assert reference[0].recipe == original[0].recipe
    withheld, included = original[1].withheld_rows, original[1].included_rows
    assert not reference[0].was_trained(dataset.train.ids_at(withheld)).any()
    assert reference[0].forgotten.contains(dataset.train.ids_at(included)).all()


def test_an_audit_of_canaries_alone_says_what_it_does_not_run(forgetkit: Run, planted: Path, can: Path) -> None:
    given = ("--original", can, "--reference", planted / "ref.st", "--relearn", "--exit-zero", *EXACT, "--json")
    assert forgetkit("relabel", can, "-i", "can.txt", "--rate", "0.01", "--allow-unforgotten", "-o", "out.st").code == 0
    ran = forgetkit("audit", "out.st", *given)
    left_out = {check["id"]: check["note"] for check in ran.json["checks"] if check["verdict"] == "not-run"}
    assert left_out.keys() >= {"relearn", "rank", "closer"}
    assert "canaries" in left_out["relearn"]


def test_the_list_is_that_of_the_included_canaries(forgetkit: Run, can: Path, dataset: Dataset) -> None:
    _, found = opened(can, dataset)
    ran = forgetkit("forget-ids", "can.st", "--canaries", "--seed", SEED)
    assert ran.lines == sorted(dataset.train.ids_at(found.included_rows))
    assert f"{found.included.sum()} of them canaries" in ran.err


def test_canaries_are_added_to_a_draw_from_the_other_samples(forgetkit: Run, can: Path, dataset: Dataset) -> None:
    _, found = opened(can, dataset)
    ran = forgetkit("forget-ids", "can.st", "--count", 30, "--canaries", "--seed", SEED)
    canaries = set(dataset.train.ids_at(found.included_rows))
    assert ran.lines == sorted(ran.lines)
    assert canaries < set(ran.lines)
    assert len(set(ran.lines) - canaries) == 30
    assert not set(ran.lines) & set(dataset.train.ids_at(found.withheld_rows))


def test_a_wrong_seed_is_refused(forgetkit: Run, can: Path) -> None:
    for seed in ([], ["--seed", 4]):
        ran = forgetkit("forget-ids", "can.st", "--canaries", *seed, "--json")
        assert (ran.code, ran.json["code"]) == (2, "canaries-mismatch")


@pytest.mark.parametrize("where", [["model.st"], ["--dataset", "digits"]])
def test_canaries_of_a_model_without_any_are_refused(forgetkit: Run, model: Path, where: list[str]) -> None:
    ran = forgetkit("forget-ids", *where, "--canaries", "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")
    assert "has none" in ran.json["message"]


def test_narrowing_down_needs_something_to_narrow_down(forgetkit: Run, can: Path) -> None:
    ran = forgetkit("forget-ids", "can.st", "--canaries", "--seed", SEED, "--minus", "can.txt", "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")


STEPS = {
    "relabel": ("relabel", "can.st", "--ids", "few.txt", "--rate", "0.05", "--allow-unforgotten"),
    "neutralize": ("neutralize", "can.st", "--ids", "few.txt", "--stop", "chance"),
    "distill": ("distill", "can.st", "--teacher", "can.st", "--ids", "few.txt", "--epochs", "1"),
    "train": ("train", "--from", "can.st", "--epochs", "1", "--exclude", "few.txt"),
}


@pytest.mark.parametrize("step", STEPS)
def test_every_step_works_and_keeps_the_commitment(forgetkit: Run, can: Path, tmp_path: Path, step: str) -> None:
    ids = (tmp_path / "can.txt").read_text().split()
    write(tmp_path / "few.txt", ids[:30])
    ran = forgetkit(*STEPS[step], *EXACT, "-o", "out.st")
    assert (ran.code, ran.lines) == (0, ["out.st"]), ran.err
    before, after = (read_record(Path(name)) for name in ("can.st", "out.st"))
    assert after.recipe["canaries"] == before.recipe["canaries"]
    assert after.forgotten.contains(ids[:30]).all()
    assert forgetkit("forget-ids", "out.st", "--canaries", "--seed", SEED).lines == ids[30:]


def test_where_all_canaries_are_forgotten_none_are_left_to_list(forgetkit: Run, planted: Path) -> None:
    ran = forgetkit("forget-ids", planted / "ref.st", "--canaries", "--seed", SEED, "--json")
    assert (ran.code, ran.json["code"]) == (2, "ids-empty")


def test_the_record_of_a_model_with_canaries_is_printed(forgetkit: Run, can: Path) -> None:
    assert forgetkit("inspect", "can.st").code == 0
    assert forgetkit("inspect", "can.st", "--json").json["record"]["recipe"]["canaries"]["count"] == COUNT


def test_a_withheld_canary_stays_withheld(forgetkit: Run, can: Path, tmp_path: Path, dataset: Dataset) -> None:
    _, found = opened(can, dataset)
    ids = dataset.train.ids_at(found.withheld_rows)
    write(tmp_path / "withheld.txt", ids)
    write(tmp_path / "mixed.txt", [*ids, dataset.train.ids[found.included_rows[0]]])
    for start in ("--from", "--like"):
        refused = forgetkit("train", start, "can.st", "--only", "withheld.txt", "-o", "x.st", "--json")
        assert (refused.code, refused.json["code"]) == (2, "ids-empty")
        ran = forgetkit("train", start, "can.st", "--only", "mixed.txt", "--epochs", 1, "-f", "-o", "x.st", "--json")
        assert [warning["code"] for warning in ran.json["warnings"]] == ["canaries-withheld"]
        assert not read_record(Path("x.st")).was_trained(ids).any()


# What steps see


def asked(checkpoint: str, lists: list[str], folder: Path) -> Request:
    paths = [str(folder / name) for name in lists]
    found = begin("relabel", checkpoint, StepOptions(ids=paths), tell=silent)
    assert isinstance(found, Request)
    return found


def test_a_step_sees_assigned_labels_and_measures_other_samples(can: Path, tmp_path: Path, dataset: Dataset) -> None:
    _, found = opened(can, dataset)
    others = sorted(set(range(300)) - set(found.rows.tolist()))[:20]
    ids = [*dataset.train.ids_at(found.included_rows[:30]), *(dataset.train.ids[row] for row in others)]
    write(tmp_path / "ids.txt", ids)
    request = asked(str(can), ["ids.txt"], tmp_path)
    assert request.measured_rows.tolist() == others
    assert request.forget_rows.tolist() == [*found.included_rows[:30], *others]
    kept = np.isin(found.rows, request.retain_rows)
    assert np.array_equal(kept, found.included & ~np.isin(found.rows, request.forget_rows))
    assert np.array_equal(request.dataset.train.labels[found.rows[kept]], found.labels[kept])


def test_without_canaries_a_step_measures_every_id(model: Path, ids: Path, tmp_path: Path) -> None:
    request = asked(str(model), ["ids.txt"], tmp_path)
    assert np.array_equal(request.measured_rows, request.forget_rows)


SIZE = 300


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[str]]:
    """Return a function that runs commands, in which DATA is a data set, on each of three; it returns the digests.

    The sets have 300 digits: ``plain``; ``spoiled``, whose withheld canaries have other pixels; ``assigned``, whose
    included canaries have their assigned labels. only.txt lists all but the withheld ones.
    """
    monkeypatch.chdir(tmp_path)
    source = digits(Path(), download=False)
    first = Split(source.train.ids[:SIZE], source.train.images[:SIZE], source.train.labels[:SIZE])
    data = Dataset("digits", source.classes, first, source.test, "")
    found = drawn(data, 120)
    images = first.images.copy()
    images[found.withheld_rows] = np.random.default_rng(0).integers(100, 256, images[found.withheld_rows].shape)
    splits = {"plain": first, "spoiled": replace(first, images=images), "assigned": relabelled(data, found).train}

    def reader(split: Split) -> Reader:
        def read(root: Path, *, download: bool) -> Read:
            return Read(source.classes, split, source.test)

        return read

    for name, split in splits.items():
        monkeypatch.setitem(DATASETS._entries, name, reader(split))
    kept = sorted(set(range(SIZE)) - set(found.withheld_rows.tolist()))
    write(tmp_path / "only.txt", map(str, kept))
    few = [*found.included_rows[:10].tolist(), *sorted(set(kept) - set(found.rows.tolist()))[:10]]
    write(tmp_path / "few.txt", map(str, few))

    def digest_of(name: str, commands: tuple[str, ...]) -> str:
        for command in commands:
            target = Path(command.split()[-1])
            target.unlink(missing_ok=True)
            assert cli.run([*command.replace("DATA", name).split(), *EXACT, "-q"]) == 0
        return read_record(target).digest

    return lambda *runs: [digest_of(name, commands) for name, commands in runs]


TRAIN = f"train --dataset DATA --epochs 2 --batch-size 32 --seed {SEED}"
PLANTED = f"{TRAIN} --canaries 120 -o base.st"
LATER = {
    "train": (),
    "distill": ("distill base.st --teacher base.st --ids few.txt --epochs 2 -o out.st",),
    "relabel": ("relabel base.st --ids few.txt --rate 0.01 --replay 3 -o out.st",),
    "neutralize": ("neutralize base.st --ids few.txt --stop chance -o out.st",),
    "from": ("train --from base.st --epochs 1 --exclude few.txt -o out.st",),
    "like": ("train --like base.st --exclude few.txt -o out.st",),
}


@pytest.mark.parametrize("later", LATER)
def test_no_step_reads_the_pixels_of_withheld_canaries(twins: Callable[..., list[str]], later: str) -> None:
    one, other = twins(("plain", (PLANTED, *LATER[later])), ("spoiled", (PLANTED, *LATER[later])))
    assert one == other


@pytest.mark.parametrize("later", LATER)
def test_canaries_that_are_not_forgotten_are_used_with_their_assigned_labels(
    twins: Callable[..., list[str]], later: str
) -> None:
    plain = f"{TRAIN} --only only.txt -o base.st"
    one, other = twins(("plain", (PLANTED, *LATER[later])), ("assigned", (plain, *LATER[later])))
    assert one == other


def test_replicas_carry_the_canaries_on_in_their_own_processes(forgetkit: Run, can: Path) -> None:
    like = ("train", "--like", "can.st", "--epochs", 1, "--precision", "float32")
    assert forgetkit(*like, "--replicas", 2, "--seed", 8, "-o", "many/{n}.st").code == 0
    for seed in (8, 9):
        assert forgetkit(*like, "--seed", seed, "--threads", 1, "-o", f"one/{seed}.st").code == 0
        assert Path(f"one/{seed}.st").read_bytes() == Path(f"many/{seed}.st").read_bytes()
