"""One writer at a time."""

import errno
import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forgetkit.errors import ForgetkitError
from forgetkit.files.lock import lock_path, was_left
from forgetkit.files.publish import check_target, claimed, publish_text

HOLD = """
import sys
from pathlib import Path
from forgetkit.files.publish import claimed
with claimed([Path(sys.argv[1])], force=False, asked="this"):
    print(".", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> "subprocess.Popen[str]":
    """Return a process that holds a.st until its stdin is closed."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HOLD, str(tmp_path / "a.st")]
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_the_second_writer_is_told_the_first_ones_process(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError, match=f"process {holder.pid} is writing it") as caught:
        publish_text(tmp_path / "a.st", "a")
    assert caught.value.code == "output-busy"
    holder.communicate()
    assert list(tmp_path.iterdir()) == []
    publish_text(tmp_path / "a.st", "a")


def test_a_lock_ends_with_its_holder_and_says_what_was_left(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert was_left(tmp_path / "a.st", "this")
    assert not was_left(tmp_path / "a.st", "that")
    with claimed([tmp_path / "a.st"], force=False):
        publish_text(tmp_path / "a.st", "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.st"]


def test_who_was_slower_does_not_replace(tmp_path: Path) -> None:
    publish_text(tmp_path / "a.st", "a")
    with pytest.raises(ForgetkitError, match="exists already"), claimed([tmp_path / "a.st"], force=False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a.st"]


def test_a_planted_link_in_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    lock_path(tmp_path / "a.st").symlink_to(tmp_path / "precious")
    with pytest.raises(ForgetkitError):
        publish_text(tmp_path / "a.st", "a")
    assert (tmp_path / "precious").read_text() == "x"


def test_folders_made_for_an_output_go_where_nothing_came_of_it(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError), claimed([tmp_path / "b" / "c" / "a.st"], force=False):
        raise ForgetkitError("diverged", "no")
    assert list(tmp_path.iterdir()) == []


def test_a_name_too_long_for_its_temporary_file_is_refused_before(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError, match="too long"):
        check_target(tmp_path / ("x" * 250), force=False)


def test_a_lock_that_cannot_be_taken_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(fcntl, "flock", failing)
    with pytest.raises(ForgetkitError, match="no"):
        publish_text(tmp_path / "a.st", "a")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_goes(tmp_path: Path) -> None:
    (tmp_path / ".a.st.123.tmp").touch()
    (tmp_path / ".a.stone.123.tmp").touch()
    publish_text(tmp_path / "a.st", "a")
    assert {path.name for path in tmp_path.iterdir()} == {"a.st", ".a.stone.123.tmp"}
