"""``forgetkit data``: packs made ahead of time, listed, removed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Run
from tests.pictures import pets


@pytest.fixture(autouse=True)
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of packs in a cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "forgetkit" / "packs"


def test_pack_decodes_and_prints_its_path(forgetkit: Run, tmp_path: Path, packs: Path) -> None:
    pets(tmp_path)
    ran = forgetkit("data", "pack", "--dataset", "table:pets.csv")
    (path,) = packs.glob("*.npy")
    assert (ran.code, ran.lines) == (0, [str(path)])
    assert np.load(path).shape == (10, 1, 3, 4)


def test_a_second_pack_is_up_to_date(forgetkit: Run, tmp_path: Path) -> None:
    pets(tmp_path)
    first = forgetkit("data", "pack", "--dataset", "table:pets.csv", "--json").json
    second = forgetkit("data", "pack", "--dataset", "table:pets.csv", "--json").json
    assert (first["up_to_date"], second["up_to_date"]) == (False, True)
    assert first["digest"] == second["digest"]
    assert first["metrics"] == second["metrics"]
    assert second["metrics"]["samples"] == 10


def rot(path: Path) -> None:
    """Change a byte of a file, and leave its times as they were."""
    state = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_a_damaged_pack_is_told_of_and_made_again(forgetkit: Run, tmp_path: Path, packs: Path) -> None:
    pets(tmp_path)
    forgetkit("data", "pack", "--dataset", "table:pets.csv")
    (path,) = packs.glob("*.npy")
    before = path.read_bytes()
    rot(path)
    assert [entry["checksum"] for entry in forgetkit("data", "info", "--json").json["packs"]] == ["damaged"]
    assert forgetkit("data", "pack", "--dataset", "table:pets.csv", "--json").json["up_to_date"] is False
    assert path.read_bytes() == before


def test_info_says_what_each_pack_is(forgetkit: Run, tmp_path: Path) -> None:
    pets(tmp_path / "a")
    pets(tmp_path / "b", rows=20)
    for name in ("a", "b"):
        forgetkit("data", "pack", "--dataset", f"table:{name}/pets.csv")
    found = forgetkit("data", "info", "--json").json["packs"]
    assert [(entry["name"], entry["place"], entry["samples"], entry["shape"]) for entry in found] == [
        ("table:pets.csv", str(tmp_path / name), rows, [1, 3, 4])
        for name, rows in sorted({"a": 10, "b": 20}.items(), key=lambda pair: found[0]["place"][-1] != pair[0])
    ]
    assert {(entry["checksum"], entry["source"]) for entry in found} == {("intact", "unchanged")}
    assert all(len(entry["fingerprint"]) == 64 for entry in found)
    assert len(forgetkit("data", "info").lines) == 3


@pytest.mark.parametrize(
    ("change", "source"),
    [(lambda table: table.unlink(), "gone"), (lambda table: (table.parent / "img" / "3.png").unlink(), "changed")],
)
def test_info_and_clean_see_data_that_are_no_longer_there(
    forgetkit: Run, tmp_path: Path, packs: Path, change: object, source: str
) -> None:
    change(pets(tmp_path / "a"))  # type: ignore[operator] # before: there is no pack yet
    table = pets(tmp_path / "a")
    pets(tmp_path / "b")
    for name in ("a", "b"):
        assert forgetkit("data", "pack", "--dataset", f"table:{name}/pets.csv").code == 0
    change(table)  # type: ignore[operator]
    assert {e["source"] for e in forgetkit("data", "info", "--json").json["packs"]} == {source, "unchanged"}
    assert len(forgetkit("data", "clean", "--stale").lines) == 1
    assert [e["place"] for e in forgetkit("data", "info", "--json").json["packs"]] == [str(tmp_path / "b")]
    assert len(list(packs.iterdir())) == 2


def test_clean_removes_all_and_a_dry_run_nothing(forgetkit: Run, tmp_path: Path, packs: Path) -> None:
    pets(tmp_path)
    forgetkit("data", "pack", "--dataset", "table:pets.csv")
    before = sorted(packs.iterdir())
    dry = forgetkit("data", "clean", "--dry-run")
    assert (dry.code, dry.out) == (0, "")
    assert "would remove table:pets.csv" in dry.err
    assert sorted(packs.iterdir()) == before
    assert forgetkit("data", "clean", "--json").json["metrics"]["removed"] == 1
    assert list(packs.iterdir()) == []
    assert forgetkit("data", "info").out == ""


def test_a_dry_run_decodes_nothing(forgetkit: Run, tmp_path: Path, packs: Path) -> None:
    pets(tmp_path)
    ran = forgetkit("data", "pack", "--dataset", "table:pets.csv", "-n")
    assert (ran.code, ran.out, packs.exists()) == (0, "", False)
    assert "10 images, to be decoded" in ran.err


def test_what_needs_no_pack_is_a_success_that_says_so(forgetkit: Run) -> None:
    ran = forgetkit("data", "pack", "--dataset", "digits")
    assert (ran.code, ran.out) == (0, "")
    assert "nothing to decode" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "usage"),
        (("--dataset", "nope"), "dataset-unknown"),
        (("--dataset", "table:none.csv"), "dataset-missing"),
        (("--dataset", "table:pets.csv", "--dataset-changed"), "usage"),
        (("--dataset", "table:pets.csv", "--unseen", "0.2"), "usage"),
    ],
)
def test_a_pack_of_nothing_is_one_line(forgetkit: Run, tmp_path: Path, arguments: tuple[str, ...], code: str) -> None:
    pets(tmp_path)
    ran = forgetkit("data", "pack", *arguments, "--json")
    assert (ran.code, ran.json["code"]) == (2, code)
    assert ran.json["hint"]


def test_a_cache_that_takes_no_pack_is_an_error_of_data_pack(forgetkit: Run, tmp_path: Path) -> None:
    pets(tmp_path)
    (tmp_path / "cache").touch()
    ran = forgetkit("data", "pack", "--dataset", "table:pets.csv", "--json")
    assert (ran.code, ran.json["code"]) == (2, "output-unwritable")
    assert "XDG_CACHE_HOME" in ran.json["hint"]


ROWS = 5120


@pytest.fixture
def killed(tmp_path: Path, packs: Path) -> Iterable[Path]:
    """Return what the killed writer of a pack left of it."""
    pets(tmp_path, ROWS, size=(32, 32))
    command = [sys.executable, "-m", "forgetkit", "data", "pack", "--dataset", f"table:{tmp_path}/pets.csv"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not [file for file in packs.glob(".*.npy.*.tmp") if file.stat().st_size]:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was done before it was killed"
    (part,) = packs.glob(".*.npy.*.tmp")
    return part


def whole(forgetkit: Run, packs: Path) -> bytes:
    """Return the pack that is made from nothing."""
    forgetkit("data", "clean")
    forgetkit("data", "pack", "--dataset", "table:pets.csv")
    (path,) = packs.glob("*.npy")
    return path.read_bytes()


def test_a_killed_pack_is_made_again_from_the_beginning(forgetkit: Run, packs: Path, killed: Path) -> None:
    assert not list(packs.glob("*.npy"))
    found = forgetkit("data", "info", "--json").json["packs"]
    assert [(entry["name"], entry["checksum"]) for entry in found] == [("table:pets.csv", "unfinished")]
    ran = forgetkit("data", "pack", "--dataset", "table:pets.csv")
    assert ran.code == 0
    (path,) = packs.glob("*.npy")
    assert sorted(file.suffix for file in packs.iterdir()) == [".json", ".npy"]
    assert path.read_bytes() == whole(forgetkit, packs)


def test_what_a_killed_pack_left_is_gone_when_the_data_have_changed(
    forgetkit: Run, tmp_path: Path, packs: Path, killed: Path
) -> None:
    pets(tmp_path)
    assert forgetkit("data", "pack", "--dataset", "table:pets.csv").code == 0
    assert sorted(file.suffix for file in packs.iterdir()) == [".json", ".npy"]


def test_clean_removes_what_a_killed_pack_left(forgetkit: Run, packs: Path, killed: Path) -> None:
    assert forgetkit("data", "clean", "--json").json["metrics"]["removed"] == 1
    assert list(packs.iterdir()) == []


def test_two_packers_at_once_make_one_pack(forgetkit: Run, tmp_path: Path, packs: Path) -> None:
    pets(tmp_path, 1024)
    command = [sys.executable, "-m", "forgetkit", "data", "pack", "--dataset", f"table:{tmp_path}/pets.csv", "-q"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert len({process.communicate()[0] for process in both}) == 1
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(file.suffix for file in packs.iterdir()) == [".json", ".npy"]
    (path,) = packs.glob("*.npy")
    assert path.read_bytes() == whole(forgetkit, packs)
