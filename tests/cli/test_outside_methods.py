"""Methods from outside: one decorated function in a plugin is a full command."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from forgetkit.cli import app
from forgetkit.cli.mount import needs_only_ids, step_names
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from forgetkit.methods import register
from forgetkit.methods.register import METHODS, register_method
from forgetkit.models.checkpoint import load_tensors
from tests.conftest import Run

SHRINK = '''
from torch.nn.functional import cross_entropy
from forgetkit import register_method


@register_method("shrink", paper="Doe, Shrinking for Forgetting, 2026")
def shrink(model, forget, retain, *, seed: int, steps: int = 4, weight: float = 0.01):
    """Raise the loss on the ids and keep the weights small.

    Args:
        steps: number of steps.
        weight: weight of the squared norm.
    """
    model.eval()
    for _ in range(steps):
        norm = sum(parameter.square().sum() for parameter in model.parameters())
        yield weight * norm - cross_entropy(model(forget[0]), forget[1])
'''


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """Remove again what a test registers."""
    yield
    METHODS._entries.clear()
    register._KNOWN.clear()
    from forgetkit import registry

    registry._LOADED.clear()
    app.command_line.cache_clear()


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """Return a plugin file with one method."""
    path = tmp_path / "shrink.py"
    path.write_text(SHRINK)
    return path


def test_its_options_are_flags_and_its_paper_is_in_the_help(forgetkit: Run, plugin: Path) -> None:
    shown = forgetkit("shrink", "--plugin", plugin, "--help-all").out
    assert "Doe, Shrinking for Forgetting, 2026" in shown
    assert "Weight of the squared norm." in shown
    assert all(flag in shown for flag in ("--steps", "--weight", "--stop", "--mask", "--book", "--dry-run", "--seed"))


def test_it_is_listed_where_the_environment_names_its_file(
    forgetkit: Run, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORGETKIT_PLUGINS", str(plugin))
    assert "shrink" in forgetkit("--help").out
    assert "shrink" in step_names()
    assert needs_only_ids("shrink")


def test_it_writes_a_checkpoint_whose_record_has_its_options(
    forgetkit: Run, model: Path, ids: Path, plugin: Path
) -> None:
    words = ("shrink", model, "-i", ids, "--plugin", plugin, "--stop", "published", "--steps", 3, "--rate", 0.1)
    found = forgetkit(*words, "--json", "-q").json
    step = found["record"]["steps"][-1]
    assert (step["command"], step["metrics"]["steps"]) == ("shrink", 3)
    assert {"steps": 3, "weight": 0.01, "rate": 0.1}.items() <= step["options"].items()
    assert found["metrics"]["forget_phi"] < found["metrics"]["forget_phi_before"]
    assert found["record"]["forgotten"]["count"] == 30
    assert forgetkit(*words).err.endswith("is up to date\n")


def test_it_stops_when_the_ids_look_like_unseen_samples(
    forgetkit: Run, model: Path, tmp_path: Path, plugin: Path
) -> None:
    (tmp_path / "many.txt").write_text("".join(f"{row}\n" for row in range(0, 1200, 6)))
    ran = forgetkit("shrink", model, "-i", "many.txt", "--plugin", plugin, "--rate", 0.001, "--steps", 50, "--json")
    content = json.loads(ran.out)
    assert content["ok"] or content["code"] == "not-reached"
    assert "  before: membership AUC" in ran.err


def test_an_interrupted_run_ends_in_the_same_bytes(
    forgetkit: Run, model: Path, ids: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from forgetkit.training import resume

    words = ("shrink", model, "-i", ids, "--plugin", plugin, "--stop", "published", "--steps", 6, "--optimizer", "adam")
    assert forgetkit(*words, "-o", "whole.st").code == 0
    monkeypatch.setattr(resume, "EVERY", 0.0)
    monkeypatch.setattr(resume, "SHARE", 1e9)
    monkeypatch.setattr(resume, "SPEED", 1e18)
    reached, calls = resume.Bookmark.reached, []

    def interrupt(self: resume.Bookmark, *given: object) -> None:
        reached(self, *given)  # type: ignore[arg-type]
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(resume.Bookmark, "reached", interrupt)
    assert forgetkit(*words, "-o", "parts.st").code == 130
    monkeypatch.setattr(resume.Bookmark, "reached", reached)
    again = forgetkit(*words, "-o", "parts.st")
    assert (again.code, "going on where an earlier run stopped" in again.err) == (0, True)
    whole, parts = (load_tensors(tmp_path / name, read_record(tmp_path / name)) for name in ("whole.st", "parts.st"))
    assert all((whole[name] == parts[name]).all() for name in whole)


def test_its_command_is_unknown_without_its_file(forgetkit: Run, model: Path, ids: Path) -> None:
    assert forgetkit("shrink", model, "-i", ids).code == 2


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"name": lambda: None}, "not a name"),
        ({"name": "No Name", "paper": "x"}, "not a name"),
        ({"name": "shrink"}, "names no paper"),
    ],
)
def test_another_form_is_refused_where_it_is_written(given: dict[str, object], wrong: str) -> None:
    with pytest.raises(ForgetkitError, match=wrong) as caught:
        register_method(**given)  # type: ignore[arg-type]
    assert "@register_method(" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("function", "wrong"),
    [
        ("lambda model, ids: None", "its first parameters are not model, forget, retain"),
        ("lambda model, forget, retain, *, steps=3: None", "'steps' is not a keyword option with a type"),
        ("lambda model, forget, retain, **rest: None", "'rest' is not a keyword option"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused(function: str, wrong: str) -> None:
    with pytest.raises(ForgetkitError, match=wrong):
        register_method("odd", paper="Doe 2026")(eval(function))


def test_what_is_not_a_loss_is_one_clear_line(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(SHRINK.replace("yield weight * norm", "yield 3.0 #"))
    ran = forgetkit("shrink", model, "-i", ids, "--plugin", "odd.py", "--stop", "published")
    assert ran.code == 2
    assert "shrink yielded float, not a scalar loss that depends on the model" in ran.err
    assert not (tmp_path / "model.shrink.st").exists()


def test_other_code_is_another_step(forgetkit: Run, model: Path, ids: Path, plugin: Path) -> None:
    words = ("shrink", model, "-i", ids, "--plugin", plugin, "--stop", "published")
    assert forgetkit(*words).code == 0
    plugin.write_text(SHRINK.replace("weight * norm", "2 * weight * norm"))
    from forgetkit import registry

    registry._LOADED.clear()
    METHODS._entries.clear()
    assert forgetkit(*words, "--json").json["code"] == "output-exists"


def test_the_name_of_a_built_in_method_is_refused() -> None:
    with pytest.raises(ForgetkitError, match="there is a built-in method named 'scrub'"):
        register_method("scrub", paper="Doe 2026")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("yield nowhere + ", "odd.py:17: NameError: name 'nowhere' is not defined"),
        ("return ", "shrink returned Tensor instead of yielding losses"),
    ],
)
def test_a_fault_in_its_code_names_the_line(
    forgetkit: Run, model: Path, ids: Path, tmp_path: Path, wrong: str, words: str
) -> None:
    (tmp_path / "odd.py").write_text(SHRINK.replace("yield ", wrong))
    ran = forgetkit("shrink", model, "-i", ids, "--plugin", "odd.py", "--stop", "published")
    assert (ran.code, words in ran.err) == (2, True), ran.err


def test_an_unknown_command_says_how_to_name_a_plugin(forgetkit: Run) -> None:
    assert "--plugin FILE" in forgetkit("zyzzyva").err
