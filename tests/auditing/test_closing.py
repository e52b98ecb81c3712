"""A request in a book is closed by the audit of the model that answered it, not by the step that did."""

from hashlib import sha256
from pathlib import Path

import pytest

from forgetkit.files.header import read_record
from forgetkit.request_book.book import Entry, entries
from tests.auditing.test_audit_command import noise as noise
from tests.conftest import Ran, Run
from tests.data.test_dataset_changed import drop
from tests.pictures import pets

BOOK = ("--book", "b.db")
CLOSE = ("--request", "r1", *BOOK)
FAILS = ("--criterion", "chance", *CLOSE)


@pytest.fixture
def answered(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> Path:
    """Return a folder in which ``out.st`` has answered request r1 of ``b.db``."""
    assert forgetkit("requests", "add", "r1", "-i", "ids.txt", *BOOK).code == 0
    relabel(forgetkit, "model.st", "out.st", *CLOSE)
    return tmp_path


def relabel(forgetkit: Run, model: str, out: str, *words: str, ids: str = "ids.txt") -> None:
    step = ("relabel", model, "-i", ids, "--rate", "0.01", "--allow-unforgotten", "-q", "-o", out)
    ran = forgetkit(*step, *words)
    assert ran.code == 0, ran.err


def audit(forgetkit: Run, *words: str, model: str = "out.st") -> Ran:
    return forgetkit("audit", model, "--original", "model.st", *words)


def booked(book: str = "b.db") -> Entry:
    return entries(Path(book))[0]


def test_a_passing_verdict_closes_the_request_and_a_second_audit_changes_nothing(
    forgetkit: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one = ("--threads", "1", "-q")
    train = ("train", "--dataset", "noise", "--model", "wide", "--epochs", "30", "--rate", "0.003", "-o", "model.st")
    assert forgetkit(*train, *one).code == 0
    assert forgetkit("forget-ids", "model.st", "--count", 600, "-q", "-o", "ids.txt").code == 0
    assert forgetkit("requests", "add", "r1", "-i", "ids.txt", *BOOK).code == 0
    retrain = ("forget", "model.st", "-i", "ids.txt", "--budget", "1%", *CLOSE, "-o", "out.st")
    assert forgetkit(*retrain, *one).code == 0
    Path("policy.toml").write_text("utility_margin = 0.1\n")
    for says in ("request r1 is done: forgotten", "request r1 was done before"):
        ran = audit(forgetkit, "--policy", "policy.toml", *CLOSE)
        assert (ran.code, says in ran.err) == (0, True), ran.out
    digest, policy = read_record(Path("out.st")).digest[:16], sha256(Path("policy.toml").read_bytes()).hexdigest()[:16]
    line = f"r1  sha256:{digest}  forgotten (retrain, policy sha256:{policy})"
    assert forgetkit("requests", "done", *BOOK).lines == [line]
    (entry,) = forgetkit("requests", "log", *BOOK, "--json").json["requests"]
    assert (entry["audit"]["criterion"], entry["audit"]["policy"][:16]) == ("retrain", policy)
    assert len(booked().audits) == 1


def test_another_verdict_leaves_it_pending_until_a_reason_closes_it(forgetkit: Run, answered: Path) -> None:
    ran = audit(forgetkit, *FAILS, "--json")
    assert (ran.code, ran.json["verdict"], booked().state) == (1, "not-forgotten", "answered")
    assert "warning: request r1 stays pending, as the verdict is not-forgotten" in ran.err
    assert "out.st" in booked().standing
    assert booked().standing.endswith(", audit: not-forgotten (chance)")
    ran = audit(forgetkit, *FAILS, "--accept", "the person agreed")
    assert (ran.code, "request r1 is done: not-forgotten" in ran.err) == (1, True)
    (line,) = forgetkit("requests", "done", *BOOK).lines
    assert line.endswith("not-forgotten (chance), accepted: the person agreed")
    assert forgetkit("requests", "log", *BOOK, "--json").json["requests"][0]["audit"]["reason"] == "the person agreed"


def test_exit_zero_closes_nothing(forgetkit: Run, answered: Path) -> None:
    assert audit(forgetkit, *CLOSE, "--exit-zero").code == 0
    assert (booked().state, booked().audits[0].verdict) == ("answered", "inconclusive")


def test_a_policy_that_lets_an_inconclusive_verdict_pass_closes_it_and_the_book_says_so(
    forgetkit: Run, answered: Path
) -> None:
    Path("policy.toml").write_text('inconclusive = "pass"\n')
    ran = audit(forgetkit, *CLOSE, "--policy", "policy.toml", "--json")
    assert (ran.code, booked().state) == (0, "done")
    digest = ran.json["policy"]["sha256"][:16]
    assert str(booked().done) == f"inconclusive (retrain, policy sha256:{digest}), accepted: the policy lets it pass"


def test_only_the_model_that_answered_closes_a_request(forgetkit: Run, answered: Path) -> None:
    relabel(forgetkit, "model.st", "other.st", "--seed", "3", "--order", "shuffle")
    ran = audit(forgetkit, *CLOSE, "--json", model="other.st")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-mismatch")
    assert "was answered by out.st" in ran.json["message"]
    assert not booked().audits


@pytest.mark.parametrize("limit", [(), ("--sequence-limit", "31", "--on-limit", "retrain")], ids=["step", "retraining"])
def test_a_later_model_of_the_stream_closes_an_earlier_request(
    forgetkit: Run, answered: Path, limit: tuple[str, ...]
) -> None:
    Path("more.txt").write_text("1\n2\n3\n")
    assert forgetkit("requests", "add", "r2", "-i", "more.txt", *BOOK).code == 0
    relabel(forgetkit, "out.st", "last.st", "--request", "r2", *BOOK, *limit, ids="more.txt")
    ran = audit(forgetkit, *CLOSE, "--accept", "as agreed", "--json", model="last.st")
    assert ran.json["inputs"]["ids"]["count"] == 30
    assert [entry.state for entry in entries(Path("b.db"))] == ["done", "answered"]
    done = booked().done
    assert done is not None
    assert (done.answer, done.digest) == tuple(read_record(Path(name)).digest for name in ("out.st", "last.st"))


def test_a_request_that_failed_its_audit_is_answered_again_and_closed(forgetkit: Run, answered: Path) -> None:
    assert audit(forgetkit, *FAILS).code == 1
    relabel(forgetkit, "model.st", "again.st", "--order", "shuffle", *CLOSE)
    assert booked().standing.startswith("answered by again.st")
    assert audit(forgetkit, *CLOSE, "--json").json["code"] == "checkpoint-mismatch"
    audit(forgetkit, *CLOSE, "--accept", "as agreed", model="again.st")
    assert booked().state == "done"


def test_a_request_that_no_step_answered_is_not_audited(forgetkit: Run, answered: Path) -> None:
    assert forgetkit("requests", "add", "r1", "-i", "ids.txt", "--book", "c.db").code == 0
    ran = audit(forgetkit, "--request", "r1", "--book", "c.db", "--json")
    assert (ran.code, ran.json["code"]) == (2, "request-unanswered")
    relabel(forgetkit, "model.st", "out.st", "--request", "r1", "--book", "c.db")  # up to date: entered
    assert booked("c.db").state == "answered"


def test_the_ids_are_those_of_the_request_in_any_order(forgetkit: Run, answered: Path) -> None:
    Path("turned.txt").write_text("\n".join(reversed(Path("ids.txt").read_text().split())) + "\n")
    assert audit(forgetkit, *CLOSE, "-i", "turned.txt", "--dry-run").code == 0
    Path("fewer.txt").write_text("10\n20\n")
    ran = audit(forgetkit, *CLOSE, "-i", "fewer.txt", "--json")
    assert (ran.code, ran.json["code"]) == (2, "request-differs")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--request", "r1"), "--request and --book go together"),
        (BOOK, "--request and --book go together"),
        (("--accept", "why"), "--accept: it closes a request, and none is given"),
        ((*CLOSE, "--accept", ""), "--accept: a reason"),
        ((*CLOSE, "--accept", "one\ntwo"), "--accept: a reason"),
        (("--request", "r9", *BOOK), "there is no request 'r9'"),
        (("--request", "r1", "--book", "none.db"), "no request book"),
        ((*CLOSE, "--html", "b.db"), "b.db"),
    ],
)
def test_what_cannot_close_a_request_is_refused_and_the_book_stays(
    forgetkit: Run, answered: Path, words: tuple[str, ...], says: str
) -> None:
    before = Path("b.db").read_bytes()
    ran = audit(forgetkit, *words)
    assert (ran.code, ran.out, "hint: " in ran.err or "b.db" in ran.err) == (2, "", True)
    assert says in ran.err
    assert Path("b.db").read_bytes() == before


def test_a_dry_run_leaves_the_book_alone(forgetkit: Run, answered: Path) -> None:
    before = Path("b.db").read_bytes()
    assert audit(forgetkit, *CLOSE, "--accept", "as agreed", "--dry-run").code == 0
    assert Path("b.db").read_bytes() == before


def test_ids_that_were_deleted_before_the_audit_need_a_reason(forgetkit: Run, tmp_path: Path) -> None:
    album = pets(tmp_path, 40, size=(5, 4))
    train = ("train", "--dataset", "table:pets.csv", "--epochs", 1, "--threads", 1, "-q", "-o", "model.st")
    assert forgetkit(*train).code == 0
    assert forgetkit("forget-ids", "model.st", "--where", "user=u0", "-q", "-o", "ids.txt").code == 0
    Path("ids.txt").write_text(Path("ids.txt").read_text() + "p1\n")
    assert forgetkit("requests", "add", "r1", "-i", "ids.txt", *BOOK).code == 0
    relabel(forgetkit, "model.st", "out.st", *CLOSE)
    drop(album, "u0")
    gone = ("audit", "out.st", *CLOSE, "--dataset-changed")
    ran = forgetkit(*gone, "--json")
    assert (ran.code, ran.json["code"], booked().audits) == (2, "ids-gone", ())
    assert forgetkit(*gone, "--accept", "deleted").code == 3
    assert booked().state == "done"
