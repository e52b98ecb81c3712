"""``forgetkit doctor``: what it looks at, and that it sees a fault."""

from pathlib import Path

from tests.conftest import Run


def test_a_sound_machine_is_exit_0_and_nothing_is_left(forgetkit: Run, tmp_path: Path) -> None:
    ran = forgetkit("doctor", "--json")
    names = [finding["name"] for finding in ran.json["findings"]]
    assert (ran.code, ran.json["ok"]) == (0, True), ran
    assert {"torch", "device", "data root", "free space", "permission", "publication", "locks"} <= set(names)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_makes_no_folder(forgetkit: Run, tmp_path: Path) -> None:
    before = tmp_path.stat().st_mtime_ns
    ran = forgetkit("doctor", "--dry-run")
    assert (ran.code, ran.out) == (0, "")
    assert "ok     permission" in ran.err
    assert "note   publication    not tried: --dry-run writes nothing" in ran.err
    assert tmp_path.stat().st_mtime_ns == before


def test_a_fault_is_exit_2(forgetkit: Run) -> None:
    ran = forgetkit("doctor", "nowhere")
    assert ran.code == 2
    assert "FAULT  folder         nowhere is not a folder" in ran.lines


def test_a_device_that_is_not_there_is_a_fault(forgetkit: Run) -> None:
    assert forgetkit("doctor", "--device", "nothing").code == 2
