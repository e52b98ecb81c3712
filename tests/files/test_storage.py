"""A file appears whole or not at all."""

import errno
import io
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from forgetkit.errors import ForgetkitError
from forgetkit.files import publish as storage
from forgetkit.files.header import read_record
from forgetkit.files.publish import check_target, publish, publish_text
from forgetkit.models import checkpoint
from forgetkit.models import tensor_file as tensors
from forgetkit.models.build import build_model
from tests.conftest import Run

CALLS = [(os, name) for name in ("mkdir", "stat", "open", "fsync", "close", "chmod", "umask", "replace", "unlink")]
CALLS.append((io, "open"))


class Failpoint:
    """Fails the ``at``-th I/O call from now on, once; counts them in ``calls``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, number: int) -> None:
        self.calls: list[str] = []
        for module, name in CALLS:
            monkeypatch.setattr(module, name, self._wrap(getattr(module, name), name, at, number))

    def _wrap(self, function: Callable[..., Any], name: str, at: int, number: int) -> Callable[..., Any]:
        def call(*positional: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the function takes
            self.calls.append(name)
            if len(self.calls) == at:
                raise OSError(number, os.strerror(number))
            return function(*positional, **named)

        return call


def refusal(call: Callable[[], object], code: str) -> str:
    with pytest.raises(ForgetkitError) as caught:
        call()
    assert caught.value.code == code
    return caught.value.message


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "out-of-space"), (errno.EIO, "output-unwritable")])
@pytest.mark.parametrize("old", [None, "old"])
def test_an_error_at_any_call_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str, old: str | None
) -> None:
    """R9 and R2: k = 1, 2, … until the publication makes fewer calls than k."""
    target = tmp_path / "a.txt"
    for at in range(1, 60):
        target.unlink(missing_ok=True)
        if old is not None:
            target.write_text(old)
        problem = None
        with monkeypatch.context() as patch:
            failpoint = Failpoint(patch, at, number)
            try:
                publish_text(target, "new")
            except ForgetkitError as refused:
                problem = refused
        left = {path.name: path.read_text() for path in tmp_path.iterdir()}
        if failpoint.calls[at - 1 : at] == ["unlink"]:  # the call that failed was to remove the lock
            left.pop(".a.txt.lock", None)
        assert left == {"a.txt": "new"} or (problem and left == ({"a.txt": old} if old else {}))
        assert problem is None or problem.code == code
        if len(failpoint.calls) < at:
            break
    assert 10 < at < 59
    assert problem is None


@pytest.mark.parametrize("at", [1, 2])
def test_a_failing_fsync_is_never_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """R10: the first is the file's, before the rename; the second the folder's, after it."""
    target, calls, sync = tmp_path / "a.txt", [], os.fsync
    target.write_text("old")

    def failing(handle: int) -> None:
        calls.append(handle)
        if len(calls) == at:
            raise OSError(errno.EIO, "no")
        sync(handle)

    monkeypatch.setattr(os, "fsync", failing)
    refusal(lambda: publish_text(target, "new"), "output-unwritable")
    assert len(calls) == at
    assert target.read_text() == ("old" if at == 1 else "new")


KILLED = """
import io, os, sys
from pathlib import Path
from forgetkit.files.publish import publish
left = int(sys.argv[1])
def wrap(function):
    def call(*positional, **named):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return function(*positional, **named)
    return call
for module, name in [(os, n) for n in "mkdir stat open fsync close chmod umask replace unlink write".split()]:
    setattr(module, name, wrap(getattr(module, name)))
def write(path):
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    for _ in range(3):
        os.write(handle, b"new" * 1000)
    os.close(handle)
publish(Path("a.txt"), write)
"""


def test_a_kill_at_any_call_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """R2: a process that ends at its k-th call, k = 1, 2, … until it runs through."""
    target, seen = tmp_path / "a.txt", set()
    for at in range(1, 60):
        target.write_text("old")
        code = subprocess.run([sys.executable, "-c", KILLED, str(at)], cwd=tmp_path, timeout=30).returncode
        seen.add(target.read_text())
        if code == 0:
            break
        assert code == 9
    assert (code, target.read_text()) == (0, "new" * 3000)
    assert seen == {"old", "new" * 3000}


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path / "a.txt", write)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_verify_is_not_published(tmp_path: Path) -> None:
    def verify(path: Path) -> None:
        raise OSError(errno.EIO, f"{path.stat().st_size} bytes")

    refusal(lambda: publish(tmp_path / "a.txt", lambda path: path.touch(), verify=verify), "output-unwritable")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
@pytest.mark.parametrize("kind", ["text", "checkpoint"])
def test_a_new_file_has_the_mode_of_the_umask(
    tmp_path: Path, digits_model: Path, mask: int, mode: int, kind: str
) -> None:
    before = os.umask(mask)
    try:
        save(tmp_path / "a.st", digits_model) if kind == "checkpoint" else publish_text(tmp_path / "a.st", "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.st").stat().st_mode) == mode


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "a.txt").chmod(0o604)
    publish_text(tmp_path / "a.txt", "new")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o604


def test_the_folder_of_an_output_is_made(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "c.txt"
    check_target(target, force=False)
    publish_text(target, "é\n")
    assert target.read_bytes() == b"\xc3\xa9\n"


def test_checking_a_target_makes_nothing(tmp_path: Path) -> None:
    check_target(tmp_path / "a" / "b.txt", force=False)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_needs_force(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert "exists already" in refusal(lambda: check_target(tmp_path / "a.txt", force=False), "output-exists")
    check_target(tmp_path / "a.txt", force=True)


@pytest.mark.parametrize("force", [True, False])
def test_the_input_is_never_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool) -> None:
    (tmp_path / "a.st").touch()
    (tmp_path / "link.st").symlink_to("a.st")
    monkeypatch.chdir(tmp_path)
    for name in ("a.st", "./a.st", "link.st", f"../{tmp_path.name}/a.st"):
        call = lambda name=name: check_target(Path(name), force=force, inputs=(tmp_path / "a.st",))  # noqa: E731
        assert "would replace the input" in refusal(call, "output-unwritable")


@pytest.mark.parametrize("name", ["folder", "file/a.txt", "x" * 300, "loop", "loop/a.txt", "pipe"])
def test_a_target_that_cannot_be_a_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    refusal(lambda: check_target(tmp_path / name, force=True, inputs=(tmp_path / "a.st",)), "output-unwritable")


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    """As root, a rename would put a file in place of the null device of the whole machine."""
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(lambda: publish_text(tmp_path / "pipe", "a"), "output-unwritable")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert "not a regular file" in refusal(lambda: check_target(Path("/dev/null"), force=True), "output-unwritable")


@contextmanager
def nobody() -> Iterator[Path]:
    """Give a folder that this process, from now on not root, may read but not write."""
    folder, user = Path(tempfile.mkdtemp()), os.geteuid()
    folder.chmod(0o555)
    if user == 0:
        os.setresuid(65534, 65534, 0)
    try:
        yield folder
    finally:
        if user == 0:
            os.setresuid(0, 0, 0)
        folder.rmdir()


@pytest.mark.parametrize("name", ["a.txt", "b/a.txt"])
def test_a_folder_that_takes_no_file_is_refused_before_and_while_writing(name: str) -> None:
    with nobody() as folder:
        refusal(lambda: check_target(folder / name, force=False), "output-unwritable")
        refusal(lambda: publish_text(folder / name, "a"), "output-unwritable")


def save(path: Path, source: Path) -> None:
    record = read_record(source)
    model = build_model("convnet", {}, shape=tuple(record.input["shape"]), classes=len(record.classes), seed=3)
    checkpoint.save_checkpoint(path, model, record)


def test_an_error_at_any_call_leaves_the_old_checkpoint_or_the_new_one(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = model.read_bytes()
    save(tmp_path / "new.st", model)
    new = (tmp_path / "new.st").read_bytes()
    record = read_record(tmp_path / "new.st")
    network = checkpoint.load_model(tmp_path / "new.st", record)
    for at in range(1, 60):
        model.write_bytes(old)
        problem = None
        with monkeypatch.context() as patch:
            failpoint = Failpoint(patch, at, errno.ENOSPC)
            try:
                checkpoint.save_checkpoint(model, network, record)
            except ForgetkitError as refused:
                problem = refused
        assert model.read_bytes() == new or (problem and model.read_bytes() == old)
        left = {path.name for path in tmp_path.iterdir()} - {"model.st", "new.st"}
        assert not left or (failpoint.calls[at - 1 : at] == ["unlink"] and left == {".model.st.lock"})
        assert problem is None or problem.code in {"out-of-space", "output-unwritable"}
        if len(failpoint.calls) < at:
            break
    assert problem is None


LIMITED = """
import resource, signal, sys
from pathlib import Path
from forgetkit.cli import app as cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import torch
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(cli.run(["train", "--dataset", "digits", "--epochs", "1", "--threads", "1", "-qf", "-o", "a.st"]))
"""


def test_a_real_write_error_is_exit_2_and_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.st").write_text("old")
    command = [sys.executable, "-c", LIMITED]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: a.st: ")
    assert [path.name for path in tmp_path.iterdir()] == ["a.st"]
    assert (tmp_path / "a.st").read_text() == "old"


def killed_within_a_write(work: Callable[[], object]) -> int:
    """Return the signal that ends ``work`` in a forked process that may write 20,000 bytes to a file."""
    if (child := os.fork()) == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        with suppress(BaseException):
            work()
        os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def test_what_a_process_that_is_killed_within_a_write_leaves_is_removed_by_the_next(
    model: Path, tmp_path: Path
) -> None:
    assert killed_within_a_write(lambda: save(tmp_path / "a.st", model)) == signal.SIGXFSZ
    assert {path.suffix for path in tmp_path.iterdir()} == {".st", ".lock", ".tmp"}
    save(tmp_path / "a.st", model)
    assert {path.name for path in tmp_path.iterdir()} == {"model.st", "a.st"}


def test_the_umask_is_left_as_it_was(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        storage.publish_text(tmp_path / "a.txt", "a")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_a_file_of_tensors_is_read_back_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = tensors.write_tensors

    def write_others(path: Path, given: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
        write(path, {name: tensor + 1 for name, tensor in given.items()}, metadata)

    monkeypatch.setattr(tensors, "write_tensors", write_others)
    with pytest.raises(ForgetkitError) as caught:
        tensors.publish_tensors(tmp_path / "mask.st", {"w": torch.zeros(3)}, {"format": "pt"})
    assert (caught.value.code, list(tmp_path.iterdir())) == ("output-unwritable", [])


@pytest.mark.parametrize(("number", "refused"), [(errno.EIO, True), (errno.EACCES, False), (errno.EINVAL, False)])
def test_what_is_up_to_date_is_so_once_its_folder_is_synced(
    forgetkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, refused: bool
) -> None:
    train = ("train", "--dataset", "digits", "--epochs", "1", "-q", "-o", "m.st", "--json")
    assert forgetkit(*train).code == 0

    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    ran = forgetkit(*train)
    assert (ran.code, ran.json.get("code")) == ((2, "output-unwritable") if refused else (0, None))
