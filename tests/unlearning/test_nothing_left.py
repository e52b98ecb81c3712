"""What is said where everything that a model was trained on is forgotten, or would be."""

from pathlib import Path

import pytest

from forgetkit.cli import app as cli
from tests.conftest import Run


@pytest.fixture(scope="module")
def emptied(tmp_path_factory: pytest.TempPathFactory, digits_model: Path) -> Path:
    """Return a model that has forgotten everything, beside ``all.txt``, the list of it all."""
    folder = tmp_path_factory.mktemp("emptied")
    (folder / "all.txt").write_text("".join(f"{row}\n" for row in range(1297)))
    asked = ["--ids", str(folder / "all.txt"), "--stop", "chance", "-q", "-o", str(folder / "n.st")]
    assert cli.run(["neutralize", str(digits_model), *asked]) == 0
    return folder / "n.st"


@pytest.mark.parametrize(
    "command",
    [
        ("distill", "n.st", "--teacher", "model.st"),
        ("train", "--like", "n.st", "-o", "t.st"),
        ("train", "--from", "n.st", "-o", "t.st"),
    ],
)
def test_a_model_of_which_everything_is_forgotten_is_to_be_deleted(
    forgetkit: Run, model: Path, emptied: Path, command: tuple[str, ...]
) -> None:
    Path("n.st").write_bytes(emptied.read_bytes())
    refused = forgetkit(*command, "--json")
    assert (refused.code, refused.json["code"]) == (2, "ids-empty")
    assert "everything that n.st was trained on has been forgotten" in refused.json["message"]
    assert refused.json["hint"].startswith("delete the model")


@pytest.mark.parametrize(
    "command", [("distill", "model.st", "--teacher", "model.st", "-i"), ("train", "--like", "model.st", "--exclude")]
)
def test_a_request_that_would_leave_nothing_can_name_fewer_ids(
    forgetkit: Run, model: Path, emptied: Path, command: tuple[str, ...]
) -> None:
    refused = forgetkit(*command, emptied.with_name("all.txt"), "-o", "t.st", "--json")
    assert (refused.code, refused.json["code"]) == (2, "ids-empty")
    assert refused.json["message"].startswith("with these ids, everything that model.st was trained on is forgotten")
    assert refused.json["hint"] == "forget fewer ids, or delete the model"


def test_neutralize_proposes_no_second_stage_without_samples_for_it(forgetkit: Run, model: Path, emptied: Path) -> None:
    ran = forgetkit("neutralize", model, "-i", emptied.with_name("all.txt"), "--stop", "chance", "-o", "again.st")
    assert ran.err.splitlines()[-1] == f"next: forgetkit audit again.st --original {model}"
    assert "distill" not in ran.err


def test_the_audit_asks_for_no_reference_that_cannot_be_trained(
    forgetkit: Run, emptied: Path, digits_model: Path
) -> None:
    found = forgetkit("audit", emptied, "--original", digits_model, "--json")
    assert found.code == 3
    assert found.json["reasons"][-1].endswith("nothing else was trained on: delete the model")
    assert not any("--reference" in reason for reason in found.json["reasons"])
