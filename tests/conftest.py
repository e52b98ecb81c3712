"""Shared by the tests: an isolated cache, the command line in process, and a small trained model."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from forgetkit import registry as plugins
from forgetkit.cli import app as cli
from forgetkit.data.sources import DATASETS
from forgetkit.models.build import MODELS
from tests.forked import write_client

settings.register_profile("forgetkit", deadline=None, max_examples=50)
settings.load_profile("forgetkit")


DOCS = Path(__file__).parent.parent / "docs"
AUDIT = Resource.from_contents(json.loads((DOCS / "audit.schema.json").read_text()))
RESULT = Draft202012Validator(
    json.loads((DOCS / "result.schema.json").read_text()),
    registry=Registry().with_resource("audit.schema.json", AUDIT),
)


@dataclass(frozen=True)
class Ran:
    """What one command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Lines of stdout."""
        return self.out.splitlines()

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON document on stdout; it is as docs/result.schema.json says."""
        content: dict[str, Any] = json.loads(self.out)
        RESULT.validate(content)
        return content


Run = Callable[..., Ran]


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the tests out of the user's cache and data folder, on one thread each, in the arithmetic of every CPU."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))
    os.environ["COLUMNS"] = "100"
    os.environ["FORGETKIT_THREADS"] = "1"
    os.environ["FORGETKIT_PRECISION"] = "float32"  # where there is bfloat16, too: the same tests everywhere
    torch.set_num_threads(1)


@pytest.fixture
def forgetkit(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Return a function that runs a command in ``tmp_path`` as the command line would."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, stdin: str | None = None) -> Ran:
        if stdin is not None:
            monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(stdin.encode())))
        capfd.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint trained on digits for 3 epochs."""
    path = tmp_path_factory.mktemp("model") / "model.st"
    assert cli.run(["train", "--dataset", "digits", "--epochs", "3", "--threads", "1", "-q", "-o", str(path)]) == 0
    return path


@pytest.fixture
def model(digits_model: Path, tmp_path: Path) -> Path:
    """Return ``model.st``, a copy of the digits checkpoint of one's own, in ``tmp_path``."""
    path = tmp_path / "model.st"
    path.write_bytes(digits_model.read_bytes())
    return path


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    """Return ``ids.txt``, thirty ids of digits, in ``tmp_path``."""
    path = tmp_path / "ids.txt"
    path.write_text("".join(f"{row}\n" for row in range(0, 300, 10)))
    return path


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """Return the folder with real MNIST; skip where there is none."""
    root = Path(os.environ.get("FORGETKIT_DATA", ""))
    if not (root / "MNIST" / "raw").is_dir():
        pytest.skip("needs MNIST: set FORGETKIT_DATA")
    return root


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with a command ``forgetkit`` that starts at once; see ``tests/forked.py``."""
    folder = tmp_path_factory.mktemp("forked")
    address = str(Path(tempfile.mkdtemp()) / "s")  # the name of a socket must be short
    write_client(folder / "forgetkit", address)
    command = [sys.executable, "-m", "tests.forked", address]
    with subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        yield folder
        server.kill()
    shutil.rmtree(Path(address).parent)


@pytest.fixture
def registries() -> Iterator[None]:
    """Take out again what a test registers."""
    before = [(registry, dict(registry._entries)) for registry in (MODELS, DATASETS)]
    path, known = list(sys.path), dict(plugins._LOADED)
    yield
    for registry, entries in before:
        registry._entries.clear()
        registry._entries.update(entries)  # type: ignore[arg-type]
    sys.path[:] = path
    plugins._LOADED.clear()
    plugins._LOADED.update(known)
