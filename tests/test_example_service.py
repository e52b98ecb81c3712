"""The loop of examples/service: what it closes, what it leaves to a person, and how it says so."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from forgetkit.files.header import read_record
from forgetkit.request_book.book import Booking, add, entries
from forgetkit.request_book.deadline import Details
from forgetkit.request_book.details import describe
from forgetkit.request_book.entries import Entry
from tests.attestation.evidence import write_key

SERVICE = Path(__file__).parent.parent / "examples" / "service"
SETTINGS = """
book = "requests.db"
original = "model.st"
forget = ["relabel", "--rate", "0.01", "--allow-unforgotten"]
"""
ACCEPTING = SETTINGS + 'audit = ["--accept", "tried"]\n'


@dataclass(frozen=True)
class Place:
    """A folder with a model and a book, and the commands on the path."""

    folder: Path
    commands: Path

    @property
    def book(self) -> Path:
        """The book of requests."""
        return self.folder / "requests.db"

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command here."""
        path = os.pathsep.join([str(self.commands), str(Path(sys.executable).parent), os.environ["PATH"]])
        given = os.environ | {"PATH": path} | environment
        return subprocess.run(command, cwd=self.folder, env=given, capture_output=True, text=True, check=False)

    def serve(self, settings: str = ACCEPTING) -> subprocess.CompletedProcess[str]:
        """Run the loop once."""
        (self.folder / "service.toml").write_text(settings)
        return self.run(sys.executable, str(SERVICE / "service.py"), "service.toml")

    def ask(self, name: str, *ids: int) -> Path:
        """Enter a request; return its list, where the loop looks for it."""
        path = self.folder / "lists" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{one}\n" for one in ids))
        assert add(self.book, name, [str(one) for one in ids])
        return path

    def answer(self, name: str, digest: str) -> None:
        """Enter a model with a digest of one's own as the answer to a request, and put a file there."""
        path = self.folder / "models" / f"{name}.st"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(self.folder / "model.st", path)
        Booking(self.book, name).answer(path, replace(read_record(path), digest=digest))

    @property
    def entries(self) -> dict[str, Entry]:
        """The requests."""
        return {entry.request: entry for entry in entries(self.book)}

    @property
    def states(self) -> list[str]:
        """The state of each request."""
        return [entry.state for entry in self.entries.values()]


@pytest.fixture(scope="module")
def trained(forked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small data set and a model."""
    folder, draw = tmp_path_factory.mktemp("service"), np.random.default_rng(1)
    images, labels = draw.integers(0, 256, (300, 4, 4), dtype=np.uint8), draw.integers(0, 2, 300)
    np.savez(folder / "small.npz", images=images, labels=labels, split=np.array(["train"] * 240 + ["test"] * 60))
    train = ["forgetkit", "train", "--dataset", "arrays:small.npz", "--epochs", "1", "-q", "-o", "model.st"]
    assert Place(folder, forked).run(*train).returncode == 0
    return folder


@pytest.fixture
def place(trained: Path, forked: Path, tmp_path: Path) -> Place:
    """Return a folder of one's own."""
    return Place(Path(shutil.copytree(trained, tmp_path / "srv")), forked)


def test_a_missing_list_is_one_line_and_the_others_go_on(place: Place) -> None:
    wanted = place.ask("case-0", 1, 11).rename(place.folder / "elsewhere.txt")
    place.ask("case-1", 2, 12)
    place.ask("case-2", 299)
    ran = place.serve()
    assert ran.returncode == 1
    assert [line for line in ran.stderr.splitlines() if line.startswith("case-")] == [
        "case-0: there is no list lists/case-0.txt: put the ids there that it was added with",
        "case-2: the model was never trained on its ids: see forgetkit requests close",
    ]
    assert ran.stdout.splitlines() == [
        "case-1: done, inconclusive",
        "open end: lists still has the ids of requests that are done: case-1",
    ]
    assert place.states == ["accepted", "done", "accepted"]
    Booking(place.book, "case-2").close_without_audit("held-out photographs only")
    wanted.rename(place.folder / "lists" / "case-0.txt")
    ran = place.serve()
    assert ran.returncode == 0, ran.stderr
    record = read_record(place.folder / "models" / "case-0.st")
    assert (len(record.steps), len(record.forgotten)) == (3, 4)
    audit, html = (place.folder / "evidence" / "case-0" / name for name in ("audit.json", "audit.html"))
    assert json.loads(audit.read_text())["inputs"]["checkpoint"] == record.digest
    assert html.read_text().rstrip().endswith("</html>")


def test_what_no_audit_closes_is_left_to_a_person_and_not_done_again(place: Place) -> None:
    place.ask("case-0", 1)
    for _ in range(2):
        ran = place.serve(SETTINGS)
        assert ran.returncode == 1
        assert "case-0: inconclusive: give more evidence, answer it again, or accept it" in ran.stderr
    entry = place.entries["case-0"]
    assert (len(entry.answers), len(entry.audits), entry.state) == (1, 1, "answered")
    Booking(place.book, "case-0").close_without_audit("withdrawn")
    ran = place.serve(SETTINGS + 'key = "model.st"\n')  # a statement on a request closed by hand is made by hand
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_nearest_deadline_comes_first(place: Place) -> None:
    for number, due in enumerate([None, "2999-12-31", "2026-01-31"]):
        place.ask(f"case-{number}", number).unlink()
        describe(Booking(place.book, f"case-{number}"), Details(due=due))
    said = [line.partition(": ")[0] for line in place.serve().stderr.splitlines()]
    assert said == ["case-2 (overdue since 2026-01-31)", "case-1 (due 2999-12-31)", "case-0"]


def test_what_a_killed_run_left_undone_is_done(place: Place) -> None:
    place.ask("case-0", 1)
    (place.folder / "models").mkdir()
    shutil.copy(place.folder / "model.st", place.folder / "models" / "case-0.st")  # by a run that began elsewhere
    assert place.serve().returncode == 0
    assert len(read_record(place.folder / "models" / "case-0.st").forgotten) == 1
    audit = place.folder / "evidence" / "case-0" / "audit.json"
    content = audit.read_bytes()
    audit.unlink()  # killed after the book's entry
    write_key(place.folder, "key")
    ran = place.serve(ACCEPTING + 'key = "key.pem"\nreports = "reports"\nsearch = ["."]\n')
    assert ran.returncode == 0
    assert audit.read_bytes() == content
    page = (place.folder / "reports" / "case-0.html").read_text()
    places = [one.place for one in place.entries["case-0"].waiting]
    assert {"model.st", "lists/case-0.txt"} <= set(places)
    assert all(one in page for one in places)
    assert f"case-0: open ends: {len(places)}; see forgetkit requests open-ends case-0" in ran.stdout
    signed = ["models/case-0.st", "--attestation", "evidence/case-0/statement.intoto.jsonl", "--key", "key.pub"]
    found = json.loads(place.run("forgetkit", "verify", *signed, "--json").stdout)
    assert (found["ok"], found["verdict"]) == (True, "inconclusive")


def test_a_key_that_cannot_be_used_leaves_the_request_done_and_the_statement_to_a_person(place: Place) -> None:
    place.ask("case-0", 1)
    write_key(place.folder, "key", passphrase="secret")
    ran = place.serve(ACCEPTING + 'key = "key.pem"\n')
    assert ran.returncode == 1
    assert "case-0: forgetkit attest: key.pem" in ran.stderr
    assert place.states == ["done"]
    assert place.run(sys.executable, str(SERVICE / "service.py"), FORGETKIT_PASSPHRASE="secret").returncode == 0
    assert (place.folder / "evidence" / "case-0" / "statement.intoto.jsonl").exists()
    assert len(place.entries["case-0"].audits) == 1


@pytest.mark.slow
def test_models_to_judge_by_are_trained_without_the_ids(place: Place) -> None:
    place.ask("case-0", 1)
    assert place.serve(ACCEPTING + "references = 2\n").returncode == 0
    report = json.loads((place.folder / "evidence" / "case-0" / "audit.json").read_text())
    assert len(report["inputs"]["references"]) == 2
    assert len(read_record(place.folder / "models" / "case-0.references" / "102.st").forgotten) == 1


def test_a_list_of_other_ids_is_one_line(place: Place) -> None:
    place.ask("case-0", 1).write_text("2\n")
    ran = place.serve()
    assert ran.returncode == 1
    said = "case-0: forgetkit relabel: requests.db: request 'case-0' was accepted with other ids"
    assert ran.stderr.splitlines()[-1] == said


def test_a_name_that_no_file_can_have_leads_nowhere(place: Place) -> None:
    names = ["../case", "a/b", ".hidden", "--ids", ".."]
    for name in names:
        add(place.book, name, ["1"])
    ran = place.serve()
    assert ran.returncode == 1
    says = "a name that no file can have: answer it by hand"
    assert ran.stderr.splitlines() == [f"{name}: {says}" for name in names]
    assert not (place.folder / "models").exists()


def test_answers_that_go_different_ways_stop_the_loop(place: Place) -> None:
    for number in range(3):
        place.ask(f"case-{number}", number)
    place.answer("case-0", "0" * 64)
    place.answer("case-1", "1" * 64)
    Booking(place.book, "case-0").close_without_audit("tried")
    Booking(place.book, "case-1").close_without_audit("tried")
    ran = place.serve()
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: requests.db: case-0.st and case-1.st have not forgotten each other's requests")


def test_another_file_in_the_place_of_the_last_model_stops_the_loop(place: Place) -> None:
    place.ask("case-0", 1)
    place.answer("case-0", "0" * 64)
    Booking(place.book, "case-0").close_without_audit("tried")
    place.ask("case-1", 2)
    ran = place.serve()
    assert ran.returncode == 2
    assert ran.stderr == "error: models/case-0.st is not the last model of requests.db, sha256:0000000000000000\n"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("book =", "service.toml: Invalid value"),
        ('original = "model.st"', "missing 1 required positional argument: 'book'"),
        (SETTINGS + 'shadow = "x"', "unexpected keyword argument 'shadow'"),
        (SETTINGS + 'references = "19"', "references = '19' is not a whole number"),
        (SETTINGS + "audit = [1]", "audit = [1] is not a list of texts"),
        (SETTINGS.replace("requests.db", "none.db"), "there is no file none.db"),
        (SETTINGS + 'key = "none.pem"', "there is no file none.pem"),
        (SETTINGS.replace("requests.db", "model.st"), "model.st: not a request book"),
    ],
)
def test_a_bad_set_up_is_one_line(place: Place, settings: str, says: str) -> None:
    place.ask("case-0", 1)
    ran = place.serve(settings)
    assert (ran.returncode, ran.stdout) == (2, "")
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert says in last


def test_without_forgetkit_nothing_is_done(place: Place) -> None:
    place.ask("case-0", 1)
    (place.folder / "service.toml").write_text(SETTINGS)
    ran = place.run(sys.executable, str(SERVICE / "service.py"), PATH=str(place.folder))
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: forgetkit does not start: ")


def test_two_never_run_at_once(place: Place) -> None:
    place.ask("case-0", 1)
    with (place.folder / ".service.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = place.serve()
    assert (ran.returncode, ran.stderr) == (75, "another run is at work: nothing was done\n")
    assert place.states == ["accepted"]


def test_the_command_of_a_killed_loop_holds_the_lock_until_it_ends(place: Place, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    stand_in = tmp_path / "commands" / "forgetkit"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!/bin/sh\ncat {tmp_path}/gate\n")
    stand_in.chmod(0o755)
    place.ask("case-0", 1)
    (place.folder / "service.toml").write_text(SETTINGS)
    path = os.pathsep.join([str(stand_in.parent), os.environ["PATH"]])
    command = [sys.executable, str(SERVICE / "service.py"), "service.toml"]
    loop = subprocess.Popen(command, cwd=place.folder, env=os.environ | {"PATH": path}, stderr=subprocess.DEVNULL)
    with (tmp_path / "gate").open("w"):  # opened once the command reads it
        loop.send_signal(signal.SIGKILL)
        loop.wait()
        assert place.serve().returncode == 75
    with (place.folder / ".service.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for the end of the command


def uncommented(text: str) -> str:
    """Return the sample of the settings with every setting in force."""
    return "\n".join(line.removeprefix("# ") if " = " in line else line for line in text.splitlines())


def test_the_sample_of_the_settings_has_each_setting_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SERVICE))
    import settings

    sample = (SERVICE / "service.toml").read_text()
    as_it_is, complete = tomllib.loads(sample), tomllib.loads(uncommented(sample))
    assert set(complete) == set(settings.Settings.__dataclass_fields__)
    default = settings.Settings(book="", original="")
    for name in set(complete) - set(as_it_is) - {"key", "reports", "search"}:
        assert complete[name] == getattr(default, name)


def test_the_unit_runs_files_that_are_there() -> None:
    unit = (SERVICE / "forgetkit.service").read_text()
    (start,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    assert all((SERVICE / name).is_file() for name in start.split()[1:])
    assert (SERVICE / "forgetkit.timer").is_file()
