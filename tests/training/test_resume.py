"""A run that was killed goes on where it stood, and ends with the bytes of one that was not."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from forgetkit.cli import app as cli
from forgetkit.errors import ForgetkitError
from forgetkit.events import Event, Warned
from forgetkit.files.lock import lock_path, state_folder
from forgetkit.training import resume
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.packing import pack, unpack
from forgetkit.training.resume import Bookmark, Place, bookmarked
from tests.conftest import Run

COMMANDS = {
    "train": "train --dataset digits --epochs 3 -o out.st",
    "train best": "train --dataset digits --epochs 4 --keep best --schedule cosine --augment flip-crop -o out.st",
    "train sgd": "train --dataset digits --epochs 2 --optimizer sgd --momentum 0.9 --log log.jsonl -o out.st",
    "train on": "train --from model.st --epochs 2 --keep-optimizer -o out.st",
    "train masked": "train --from model.st --mask mask.st --epochs 2 --optimizer sgd --momentum 0.9 -o out.st",
    "replicas": "train --dataset digits --epochs 2 --replicas 2 -o out-{n}.st",
    "neutralize": "neutralize model.st -i ids.txt --stop zero -o out.st",
    "neutralize unseen": "neutralize model.st -i many.txt -o out.st --utility-margin 0.9",
    "neutralize few": "neutralize model.st -i ids.txt -o out.st --utility-margin 0.9",
    "distill": "distill model.st --teacher model.st -i ids.txt --epochs 3 -o out.st",
    "distill both": "distill model.st --teacher model.st --forget-teacher proxy.st -i many.txt -o out.st"
    " --allow-unforgotten --steps 12",
    "relabel fixed": "relabel model.st -i many.txt --rate 0.1 --replay 2 --allow-unforgotten -o out.st",
    "relabel auto": "relabel model.st -i ids.txt --utility-margin 0.9 -o out.st",
    "relabel joint": "relabel model.st -i many.txt --mix joint --utility-margin 0.9 -o out.st",
    "random labels unseen": "random-labels model.st -i many.txt --targets contrast --utility-margin 0.9 --epochs 3"
    " -o out.st",
    "random labels published": "random-labels model.st -i many.txt --mix joint --rate 0.1 --stop published --epochs 2"
    " -o out.st",
}


class Killed(BaseException):
    """The end of a process, as far as a test in the same process can tell."""


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let states be kept at every step."""
    monkeypatch.setattr(resume, "EVERY", -1.0)
    monkeypatch.setattr(resume, "SHARE", 1e9)


class Kills:
    """Ends a run when it comes to its ``at``-th place where a state may be kept, and lets it keep one there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.places = 0, 0
        keep = Bookmark._keep_if_due

        def keep_if_due(mark: Bookmark, loop: str, place: Callable[[], Place], *, now: bool = False) -> None:
            self.places += 1
            keep(mark, loop, place, now=now or self.places == self.at)
            if self.places == self.at:
                raise Killed

        monkeypatch.setattr(Bookmark, "_keep_if_due", keep_if_due)

    def next(self, at: int) -> None:
        """End the next run at that place; 0 for no place."""
        self.at, self.places = at, 0


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> Kills:
    return Kills(monkeypatch)


@pytest.fixture(scope="session")
def proxy(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proxy")
    (folder / "many.txt").write_text("".join(f"{row}\n" for row in range(0, 1200, 10)))
    given = ["--like", str(digits_model), "--exclude", str(folder / "many.txt"), "--epochs", "2"]
    assert cli.run(["train", *given, "-q", "-o", str(folder / "proxy.st")]) == 0
    mask = ["mask", str(digits_model), "-i", str(folder / "many.txt"), "-q", "-o", str(folder / "mask.st")]
    assert cli.run(mask) == 0
    return folder


@pytest.fixture
def here(proxy: Path, model: Path, ids: Path, tmp_path: Path) -> Path:
    """Return ``tmp_path`` with model.st, proxy.st, ids.txt (30) and many.txt (120)."""
    for name in ("proxy.st", "many.txt", "mask.st"):
        shutil.copy(proxy / name, tmp_path / name)
    return tmp_path


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("out*.st")}


QUICK = ("train best", "neutralize unseen", "relabel fixed", "distill")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in COMMANDS if name != "replicas"],
)
def test_a_killed_run_goes_on_to_the_same_bytes(forgetkit: Run, here: Path, kills: Kills, name: str) -> None:
    words = [*COMMANDS[name].split(), "-q"]
    first = forgetkit(*words)
    assert (first.code, kills.places > 3) in {(0, True), (1, True)}, (first, kills.places)
    expected, all_places = outputs(here), kills.places
    for place in (all_places // 2, all_places - 1):
        clear(here)
        kills.next(place)
        with pytest.raises(Killed):
            forgetkit(*words)
        assert state_folder(here / "out.st").is_dir()
        kills.next(0)
        again = forgetkit(*words)
        assert (again.code, kills.places < all_places or "auto" in name) == (first.code, True), again
        assert again.err.endswith(first.err)
        assert "going on where an earlier run stopped" in again.err
        assert outputs(here) == expected
        assert not list(here.glob(".*"))


@pytest.mark.parametrize(
    "words",
    [
        "forget short.st -i ids.txt --budget 0",
        "relabel short.st -i many.txt --rate 1e-9 --sequence-limit 200 --on-limit retrain",
    ],
)
def test_a_retraining_in_a_steps_place_goes_on(forgetkit: Run, here: Path, kills: Kills, words: str) -> None:
    short = ["train", "--like", "model.st", "--seed", "3", "--epochs", "2", "-q", "-o", "short.st"]
    assert forgetkit(*short).code == 0
    kills.next(0)
    command = [*words.split(), "-q", "-o", "out.st"]
    first, all_places = forgetkit(*command), kills.places
    assert (first.code, "retraining" in first.err) == (0, True), first
    expected = outputs(here)
    clear(here)
    kills.next(all_places - 1)
    with pytest.raises(Killed):
        forgetkit(*command)
    kills.next(0)
    again = forgetkit(*command)
    assert (again.code, "going on where an earlier run stopped" in again.err) == (0, True), again
    assert kills.places < all_places
    assert outputs(here) == expected
    assert not list(here.glob(".*"))


def clear(folder: Path) -> None:
    for path in [*folder.glob("out*"), folder / "log.jsonl"]:
        path.unlink(missing_ok=True)


def test_a_log_goes_along(forgetkit: Run, here: Path, kills: Kills) -> None:
    words = ["train", "--dataset", "digits", "--epochs", "3", "--log", "log.jsonl", "-q", "-o", "out.st"]
    kills.next(25)
    with pytest.raises(Killed):
        forgetkit(*words)
    kills.next(0)
    assert forgetkit(*words).code == 0
    assert [line.split(",")[0] for line in (here / "log.jsonl").read_text().splitlines()] == [
        f'{{"epoch": {epoch}' for epoch in (1, 2, 3)
    ]


@pytest.mark.parametrize("change", ["--seed 1", "--epochs 4", "--fresh"])
def test_a_state_of_another_run_does_not_count_and_goes(forgetkit: Run, here: Path, kills: Kills, change: str) -> None:
    words = ["train", "--dataset", "digits", "--epochs", "2", "-q", "-o", "out.st"]
    kills.next(3)
    with pytest.raises(Killed):
        forgetkit(*words)
    kills.next(0)
    ran = forgetkit(*words, *change.split())
    assert (ran.code, "going on" in ran.err) == (0, False)
    assert not list(here.glob(".*"))


def test_a_damaged_state_does_not_count(tmp_path: Path, often: None) -> None:
    mark = Bookmark(tmp_path / "state", "asked")
    for number in (1, 2):
        mark.reached("loop", lambda n=number: Place({"n": n}, {"a": torch.ones(3) * n}))  # type: ignore[misc]
    newest = tmp_path / "state" / "1.st"
    newest.write_bytes(newest.read_bytes()[:-1] + b"\x01")
    again = Bookmark(tmp_path / "state", "asked")
    assert again.recall()
    place = again.open("loop")
    assert place is not None
    assert (place.at, place.tensors["a"].tolist()) == ({"n": 1}, [1.0] * 3)


def test_at_most_two_states_are_kept(tmp_path: Path, often: None) -> None:
    mark = Bookmark(tmp_path / "state", "asked")
    for _ in range(5):
        mark.reached("loop", lambda: Place({}, {"a": torch.ones(3)}))
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["0.st", "1.st"]


def test_parts_that_ended_are_not_run_again(tmp_path: Path, often: None) -> None:
    ran: list[str] = []

    def part(name: str) -> Callable[[], str]:
        def run() -> str:
            ran.append(name)
            return name

        return run

    mark = Bookmark(tmp_path / "state", "asked")
    assert [mark.once(part("a")), mark.once(part("b"))] == ["a", "b"]
    mark.reached("loop", lambda: Place({"at": 7}))
    again = Bookmark(tmp_path / "state", "asked")
    assert again.recall()
    assert again.open("loop") is None
    assert [again.once(part("a")), again.once(part("b"))] == ["a", "b"]
    place = again.open("loop")
    assert (ran, place and place.at) == (["a", "b"], {"at": 7})


def test_a_short_run_keeps_no_state(forgetkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(resume, "publish_tensors", never)
    assert forgetkit("train", "--dataset", "digits", "--epochs", "1", "-q", "-o", "out.st").code == 0


def test_states_take_a_fiftieth_of_the_time_at_the_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(resume.time, "monotonic", lambda: now[0])

    def slowly(*_: object) -> None:
        now[0] += 4.0

    monkeypatch.setattr(resume, "publish_tensors", slowly)
    mark = Bookmark(tmp_path / "state", "asked")
    for _ in range(10_000):
        now[0] += 1.0
        mark.reached("loop", lambda: Place({}, {"a": torch.ones(3)}))
    assert 0 < 4.0 * mark.kept <= 0.021 * now[0]


def test_a_state_that_cannot_be_written_is_a_warning(tmp_path: Path, often: None) -> None:
    (tmp_path / "state").touch()
    told: list[Event] = []
    mark = Bookmark(tmp_path / "state", "asked", told.append)
    for _ in range(2):
        mark.reached("loop", lambda: Place({}, {"a": torch.ones(3)}))
    (warned,) = told
    assert isinstance(warned, Warned)
    assert warned.text.startswith("no state is kept")


@pytest.mark.parametrize("name", ["adam", "adamw", "adadelta", "sgd"])
def test_an_optimizer_comes_back_with_its_rate(name: str) -> None:
    torch.manual_seed(0)
    models = [torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)]
    optimizers = [make_optimizer(model, name, rate=0.1, momentum=0.5 if name == "sgd" else 0.0) for model in models]

    def step(place: int) -> None:
        optimizers[place].zero_grad()
        models[place](torch.ones(1, 3)).square().sum().backward()
        optimizers[place].step()

    step(0)
    optimizers[0].param_groups[0]["lr"] = 0.05
    unpack(pack(models[0], optimizers[0]), models[1], optimizers[1])
    step(0)
    step(1)
    assert optimizers[1].param_groups[0]["lr"] == 0.05
    assert torch.equal(models[0].weight, models[1].weight)


@pytest.mark.slow
def test_replicas_go_on_each_by_itself(forgetkit: Run, here: Path, kills: Kills) -> None:
    assert forgetkit(*COMMANDS["replicas"].split(), "-q").code == 0
    expected = outputs(here)
    clear(here)
    kills.next(5)
    with pytest.raises(Killed):
        forgetkit(*["train", "--dataset", "digits", "--epochs", "2", "--threads", "1", "-q", "-o", "out-0.st"])
    kills.next(0)
    assert list(here.glob(".out-0.st.state/*/*.st"))
    assert forgetkit(*COMMANDS["replicas"].split(), "-q").code == 0
    assert outputs(here) == expected
    assert not list(here.glob(".*"))


def test_an_audit_asks_each_reference_once(forgetkit: Run, here: Path, kills: Kills) -> None:
    like = "train --like model.st --exclude many.txt --replicas 3 -q -o refs/{n}.st"
    assert forgetkit(*like.split()).code == 0
    assert (
        forgetkit(
            *["relabel", "model.st", "-i", "many.txt", "--rate", "0.1", "--allow-unforgotten", "-q", "-o", "out.st"]
        ).code
        == 0
    )
    words = ["audit", "out.st", "--original", "model.st", "--reference", "refs", "--json", "-q"]
    expected = forgetkit(*words)
    kills.next(2)
    with pytest.raises(Killed):
        forgetkit(*words)
    kills.next(0)
    again = forgetkit(*words)
    assert "going on" in again.err
    assert again.json == expected.json
    assert not list(here.glob(".*"))


def test_nothing_is_left_of_a_run_that_did_not_reach_its_goal(forgetkit: Run, here: Path, often: None) -> None:
    words = "neutralize model.st -i ids.txt --stop zero --rate 1e-9 --max-epochs 2 -q -o out.st"
    assert forgetkit(*words.split()).code == 1
    assert not list(here.glob(".*"))


def test_states_are_kept_where_only_the_writing_failed(tmp_path: Path, often: None) -> None:
    for code in ("out-of-space", "diverged"):
        with suppress(ForgetkitError), bookmarked(tmp_path / code, "asked", False) as mark:
            mark.reached("loop", lambda: Place({}, {"a": torch.ones(3)}))
            raise ForgetkitError(code, "no")
    assert [path.name for path in tmp_path.iterdir()] == ["out-of-space"]


def test_what_is_left_of_a_run_that_was_killed_when_its_output_was_there_goes_with_up_to_date(
    forgetkit: Run, tmp_path: Path
) -> None:
    words = ["train", "--dataset", "digits", "--epochs", "1", "--log", "log.jsonl", "-q", "-o", "out.st"]
    assert forgetkit(*words).code == 0
    state_folder(tmp_path / "out.st").mkdir()
    (state_folder(tmp_path / "out.st") / "0.st").touch()
    for name in ("out.st", "log.jsonl"):
        lock_path(tmp_path / name).touch()
    assert forgetkit(*words).out == "out.st\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "out.st"]
