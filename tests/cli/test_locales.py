"""In any locale: paths and ids with umlauts, symbols in what is printed; ids in files are UTF-8."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PLAIN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LOCALES = {
    "C": {"LC_ALL": "C"} | PLAIN,
    "Latin-1": {"LC_ALL": "en_US.ISO-8859-1"} | PLAIN,
    "streams in Latin-1": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1"},
    "streams in ASCII": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"} | PLAIN,
    "no UTF-8 mode": {"PYTHONUTF8": "0"},
}
DATA = "arrays:Größen.npz"
LINES = [
    (0, f"train --dataset {DATA} --epochs 1 -o Änderung.st"),
    (0, "relabel Änderung.st --ids Löschen.txt --rate 0.01 --allow-unforgotten -o Ü.st"),
    (3, "audit Ü.st --original Änderung.st --all --html Ä.html --junit Ä.xml --summary Ä.md"),
    (0, "inspect Ü.st"),
    (2, "relabel Ünbekannt.st --ids Löschen.txt"),
]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Return a folder with a data set whose ids and classes have umlauts."""
    draw = np.random.default_rng(0)
    parts = {"images": draw.integers(0, 256, (60, 8, 8), dtype=np.uint8), "labels": np.arange(60) % 2}
    names = {"id": np.array([f"Bär-{n}" for n in range(60)]), "classes": np.array(["Kätzchen", "→"])}
    np.savez(tmp_path / "Größen.npz", **parts, **names)
    return tmp_path


def run(line: str, folder: Path, locale: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a locale."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONUTF8", "LC_"))}
    command = [sys.executable, "-m", "forgetkit", *line.split()]
    return subprocess.run(command, cwd=folder, env=environment | LOCALES[locale], capture_output=True, check=False)


def test_a_list_is_utf_8_where_streams_are_ascii(desk: Path) -> None:
    choose = f"forget-ids --dataset {DATA} --class Kätzchen --count 3"
    printed, written = run(choose, desk, "streams in ASCII"), run(f"{choose} -o Löschen.txt", desk, "C")
    assert (printed.returncode, written.returncode, written.stdout.decode()) == (0, 0, "Löschen.txt\n")
    text = (desk / "Löschen.txt").read_text("utf-8")
    assert text == printed.stdout.decode()
    assert all(id_.startswith("Bär-") for id_ in text.split())


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOCALES)
def test_every_command_ends_as_in_utf_8(desk: Path, locale: str) -> None:
    (desk / "Löschen.txt").write_text("Bär-1\nBär-2\n", "utf-8")
    for code, line in LINES:
        ran = run(line, desk, locale)
        assert ran.returncode == code, ran.stderr
        assert b"bug in forgetkit" not in ran.stderr
        assert ran.stdout.decode().count("?") == 0
    assert "Kätzchen" in (desk / "Ü.st").read_bytes()[:4000].decode("utf-8", "ignore")
    assert all("Ü.st" in (desk / f"Ä.{kind}").read_text("utf-8") for kind in ("html", "md"))
