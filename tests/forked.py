"""A command ``forgetkit`` for shell scripts that starts at once: a process of its own, forked where torch is imported.

It has the caller's arguments, folder, environment, streams and group, and gives its exit code back. It knows nothing of
signals, and of how Python itself starts and ends: tests of those run ``python -m forgetkit``.
"""

import importlib
import json
import os
import socket
import sys
from pathlib import Path

CLIENT = """#!{python} -SE
import json, os, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), os.getpgrp(), os.getsid(0)]).encode()
socket.send_fds(link, [len(asked).to_bytes(8, "big")], [0, 1, 2])
link.sendall(asked)
os._exit(int(link.recv(16) or b"70"))
"""


def write_client(path: Path, address: str) -> None:
    """Write the command that asks the server at ``address``."""
    path.write_text(CLIENT.format(python=sys.executable, address=address))
    path.chmod(0o755)


def serve(address: str) -> None:
    """Answer for ever: fork a process for each call."""
    import torch

    for name in (
        "scipy.stats",
        "matplotlib.figure",
        "forgetkit.auditing.evidence",
        "forgetkit.auditing.report.document",
        "forgetkit.auditing.report.html",
        "forgetkit.unlearning.early_stopping",
        "forgetkit.training.replicas",
    ):
        importlib.import_module(name)  # what most commands import

    torch.set_num_threads(1)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(16)
        print("ready", flush=True)
        while True:
            link, _ = listening.accept()
            if os.fork() == 0:
                try:
                    _answer(link)
                finally:  # also where the caller was killed meanwhile
                    os._exit(70)
            link.close()
            _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _answer(link: socket.socket) -> None:
    """Run what was asked in a process, and send its exit code, as a shell would see it."""
    size, handles, _, _ = socket.recv_fds(link, 8, 3)
    asked = b""
    while len(asked) < int.from_bytes(size, "big"):
        asked += link.recv(1 << 20)
    arguments, folder, environment, group, session = json.loads(asked)
    worker = os.fork()
    if worker == 0:
        link.close()
        _join(group, session)
        _become(handles)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["forgetkit", *arguments]
        _work()
    for handle in handles:
        os.close(handle)
    code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    link.sendall(str(code if code >= 0 else 128 - code).encode())
    os._exit(0)


def _join(group: int, session: int) -> None:
    """Belong to the caller's group of processes, so that what kills the group kills this process, too."""
    if session == os.getsid(0):
        try:
            os.setpgid(0, group)
        except OSError:  # it was killed meanwhile
            os._exit(70)


def _become(handles: list[int]) -> None:
    """Take the caller's streams for one's own."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        os.dup2(handles[number], number)
        os.close(handles[number])
        setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _work() -> None:
    """Do as the installed command does."""
    from forgetkit.cli import app as cli

    code = 70
    try:
        cli.main()
    except SystemExit as left:
        code = int(left.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
