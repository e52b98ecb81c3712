"""examples/verify: an attestation is checked where there is no forgetkit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from forgetkit.attestation.attest import attest
from tests.attestation.conftest import evidence as evidence
from tests.attestation.conftest import folder as folder
from tests.attestation.evidence import KINDS, write_key

SCRIPT = Path(__file__).parent.parent / "examples" / "verify" / "verify.py"
WITHOUT = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("forgetkit", "torch", "safetensors", "numpy"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def check(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a process that can import neither forgetkit nor torch."""
    command = [sys.executable, "-c", WITHOUT, str(SCRIPT), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def made(folder: Path, report: str = "passed.json", *, key: str = "key.pem") -> None:
    found = attest(str(folder / "forgot.st"), folder / report, folder / key, ask=lambda: None)
    (folder / "a.jsonl").write_text(found.line())


@pytest.mark.parametrize("kind", KINDS)
def test_it_holds_without_forgetkit(kind: str, folder: Path) -> None:
    write_key(folder, "signer", kind=kind)
    made(folder, key="signer.pem")
    ran = check(folder, "forgot.st", "a.jsonl", "signer.pub")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "subject, file: holds",
        "subject, tensors: holds",
        "lineage: holds",
        "audit of this model: holds",
        "verdict: forgotten, of 65 samples",
    ]


def test_another_verdict_is_exit_code_1(folder: Path) -> None:
    made(folder, "open.json")
    assert check(folder, "forgot.st", "a.jsonl", "key.pub").returncode == 1


@pytest.mark.parametrize(
    "words",
    [
        ("model.st", "a.jsonl", "key.pub"),
        ("forgot.st", "a.jsonl", "other.pub"),
        ("forgot.st", "changed.jsonl", "key.pub"),
        ("forgot.st", "twice.jsonl", "key.pub"),
        ("forgot.st", "a.jsonl", "key.pub", "rules.toml"),
        ("forgot.st", "none.jsonl", "key.pub"),
    ],
)
def test_what_does_not_hold_is_exit_code_2(words: tuple[str, ...], folder: Path) -> None:
    made(folder)
    line = (folder / "a.jsonl").read_text()
    envelope = json.loads(line)
    payload = envelope["payload"]
    (folder / "changed.jsonl").write_text(line.replace(payload, payload[:-8] + "AAAA" + payload[-4:]))
    (folder / "twice.jsonl").write_text(line + line)
    (folder / "rules.toml").write_text("membership_margin = 0.01\n")
    assert check(folder, *words).returncode == 2
