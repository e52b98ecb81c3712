"""Plugins: files and packages that register models and data sets, and the ways in which that goes wrong."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from forgetkit.auditing.subject import same_recipe
from forgetkit.data.open import open_dataset
from forgetkit.data.sources import digits, register_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from forgetkit.models.build import MODELS, build_model, find_factory, register_model, resolve_options
from forgetkit.models.checkpoint import load_model
from forgetkit.registry import load_plugins
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("registries")
TINY = '''
from torch import nn
from forgetkit.models import register_model

@register_model("flat")
def flat(*, in_channels: int, image_size: tuple[int, int], classes: int, deep: bool = False) -> nn.Module:
    """Build one linear layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], classes))
'''
DATA = """
from forgetkit.data.sources import digits, register_dataset

register_dataset("our-digits")(lambda root, *, download: digits(root, download=download))
"""
TRAIN = ("train", "--dataset", "digits", "--epochs", "1", "-q", "-o", "m.st")


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    """Write a plugin."""
    (folder / name).write_text(text)
    return folder / name


def refusal(path: Path) -> ForgetkitError:
    """Return the error of a plugin that cannot be loaded; its message is one line and it has a hint."""
    with pytest.raises(ForgetkitError) as caught:
        load_plugins([path])
    assert (caught.value.status, "\n" in caught.value.message, bool(caught.value.hint)) == (2, False, True)
    return caught.value


def test_an_own_model_is_trained_with_plugin(forgetkit: Run, tmp_path: Path) -> None:
    written(tmp_path, TINY)
    ran = forgetkit(*TRAIN, "--model", "flat", "--model-option", "deep=true", "--plugin", "mine.py")
    assert (ran.code, ran.out) == (0, "m.st\n")
    assert read_record(tmp_path / "m.st").model == {"name": "flat", "options": {"deep": True}, "plugin": "mine.py"}


def test_plugins_of_the_environment_are_loaded(forgetkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, TINY)
    written(tmp_path, DATA, "data.py")
    monkeypatch.setenv("FORGETKIT_PLUGINS", os.pathsep.join(["mine.py", "data.py", "mine.py"]))
    ran = forgetkit("train", "--dataset", "our-digits", "--model", "flat", "--epochs", "1", "-q", "-o", "m.st")
    assert (ran.code, ran.err) == (0, "")
    assert read_record(tmp_path / "m.st").dataset["name"] == "our-digits"


def test_an_own_data_set_is_offered_to_forget_ids(forgetkit: Run, tmp_path: Path) -> None:
    written(tmp_path, DATA)
    ran = forgetkit("forget-ids", "--dataset", "our-digits", "--count", "3", "--plugin", "mine.py", "-q")
    assert (ran.code, len(ran.lines)) == (0, 3)


def test_replicas_load_the_plugin_too(forgetkit: Run, tmp_path: Path) -> None:
    written(tmp_path, TINY)
    options = ("--dataset", "digits", "--model", "flat", "--epochs", "1", "--plugin", "mine.py", "-q")
    ran = forgetkit("train", *options, "--replicas", "2", "--threads", "2", "-o", "{n}.st")
    assert (ran.code, ran.lines) == (0, ["0.st", "1.st"]), ran.err
    assert forgetkit("train", *options, "--seed", "1", "--threads", "1", "-o", "one.st").code == 0
    assert (tmp_path / "one.st").read_bytes() == (tmp_path / "1.st").read_bytes()


def test_a_replica_whose_process_is_killed_is_no_bug(forgetkit: Run, tmp_path: Path) -> None:
    ends = "    import multiprocessing, os\n    if multiprocessing.parent_process():\n        os._exit(9)\n"
    written(tmp_path, TINY.replace("    return", f"{ends}    return"))
    options = ("--dataset", "digits", "--model", "flat", "--epochs", "1", "--plugin", "mine.py", "--json")
    ran = forgetkit("train", *options, "--replicas", "2", "--threads", "2", "-o", "{n}.st")
    assert (ran.code, ran.json["code"]) == (2, "out-of-memory"), ran.err
    assert not list(tmp_path.glob("*.st"))


def test_what_a_plugin_prints_is_no_result(forgetkit: Run, tmp_path: Path) -> None:
    written(tmp_path, "print('hello')\n" + TINY)
    ran = forgetkit(*TRAIN, "--model", "flat", "--plugin", "mine.py", "--json")
    assert ran.code == 0
    assert ran.json["outputs"] == ["m.st"]
    assert "hello" in ran.err


def test_a_plugin_finds_what_stands_beside_it(tmp_path: Path) -> None:
    written(tmp_path, "WIDTH = 3\n", "beside_the_plugin.py")
    load_plugins([written(tmp_path, "from beside_the_plugin import WIDTH\nassert WIDTH == 3\n" + TINY)])


def test_a_plugin_leaves_no_file_beside_it(tmp_path: Path) -> None:
    load_plugins([written(tmp_path, TINY)])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_the_same_plugin_twice_is_loaded_once(tmp_path: Path) -> None:
    path = written(tmp_path, f"import os\nos.environ['LOADED'] = os.environ.get('LOADED', '') + 'x'\n{TINY}")
    try:
        load_plugins([path, tmp_path / "." / "mine.py"])
        load_plugins([path])
        assert os.environ["LOADED"] == "x"
    finally:
        del os.environ["LOADED"]


def test_two_places_for_one_name_are_both_named(tmp_path: Path) -> None:
    load_plugins([written(tmp_path, TINY)])
    problem = refusal(written(tmp_path, TINY, "other.py"))
    assert problem.code == "plugin-malformed"
    assert f"two models are named 'flat': {tmp_path / 'mine.py'}:5 and {tmp_path / 'other.py'}:5" == problem.message


def test_a_built_in_name_cannot_be_taken(tmp_path: Path) -> None:
    problem = refusal(written(tmp_path, TINY.replace('"flat"', '"convnet"')))
    assert problem.message.startswith("two models are named 'convnet': ")
    assert MODELS["convnet"].__module__ == "forgetkit.models.build"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("x = 1\nimport no_such_module_at_all\n", 2, "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("\n\ndef (:\n", 3, "SyntaxError: invalid syntax"),
        ("def f():\n    return 1 / 0\n\nf()\n", 2, "ZeroDivisionError: division by zero"),
        ("raise SystemExit(0)\n", 1, "SystemExit: 0"),
        ("raise ValueError('first\\nsecond')\n", 1, "ValueError: first second"),
    ],
)
def test_a_plugin_that_fails_names_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = written(tmp_path, text)
    assert refusal(path).message == f"{path}:{line}: {words}"


def test_a_plugin_that_is_not_there_or_no_source_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.py").message == f"{tmp_path / 'none.py'}: No such file or directory"
    assert refusal(tmp_path).code == "plugin-missing"
    (tmp_path / "data.py").write_bytes(b"\0\1\2")
    assert refusal(tmp_path / "data.py").code == "plugin-malformed"


def test_a_failing_plugin_is_two_lines_and_nothing_is_written(forgetkit: Run, tmp_path: Path) -> None:
    written(tmp_path, "boom\n")
    ran = forgetkit(*TRAIN, "--plugin", "mine.py")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        f"error: {tmp_path / 'mine.py'}:1: NameError: name 'boom' is not defined",
        "hint: correct the plugin; --debug shows the traceback",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        ("in_channels, image_size", "it does not take 'classes'"),
        ("*, in_channels, image_size, classes, width", "its option 'width' has no type"),
        ("*, in_channels, image_size, classes, width: list[int] = ()", "its option 'width' is of list[int]"),
        ("*, in_channels, image_size, classes, width: int = None", "the default of 'width', None, does not fit"),
        ("*, in_channels, image_size, classes, **more", "'**more' is not an option with a name"),
        ("*parts, in_channels, image_size, classes", "'*parts' is not an option with a name"),
        ("*, in_channels, image_size, classes, width: 'Nowhere' = 1", "its signature cannot be read"),
    ],
)
def test_a_factory_that_cannot_be_checked_is_refused(tmp_path: Path, signature: str, words: str) -> None:
    text = f"from forgetkit.models import register_model\n@register_model('odd')\ndef odd({signature}): ...\n"
    problem = refusal(written(tmp_path, text))
    assert problem.message.startswith("the factory of 'odd' cannot be used: ")
    assert words in problem.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return None", "its factory returned NoneType, not a torch.nn.Module"),
        ("return nn.Flatten()", "it has no parameters to train"),
        ("return nn.Linear(3, 4).no_such()", "AttributeError: 'Linear' object has no attribute 'no_such' ({}:7)"),
        ("return {}['x']", "KeyError: 'x' ({}:7)"),
        ("return nn.Linear(3, 4)", "mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_a_model_that_cannot_be_built_is_one_line(forgetkit: Run, tmp_path: Path, body: str, words: str) -> None:
    path = written(
        tmp_path, TINY[: TINY.index("    return")].replace('    """Build one linear layer."""\n', "") + "    " + body
    )
    ran = forgetkit(*TRAIN, "--model", "flat", "--plugin", "mine.py")
    assert (ran.code, len(ran.err.splitlines())) == (2, 2)
    assert ran.err.startswith("error: flat cannot take 1×8×8 images: ")
    assert words.format(path) in ran.err
    assert [found.name for found in tmp_path.iterdir()] == ["mine.py"]


def test_an_option_without_a_default_must_be_given(forgetkit: Run, tmp_path: Path) -> None:
    written(tmp_path, TINY.replace("deep: bool = False", "deep: int | None"))
    ran = forgetkit(*TRAIN, "--model", "flat", "--plugin", "mine.py")
    assert ran.err == "error: flat needs a value for 'deep'\nhint: --model-option deep=...: int or null\n"
    ran = forgetkit(*TRAIN, "--model", "flat", "--plugin", "mine.py", "--model-option", "deep=null")
    assert ran.code == 0


def test_a_checkpoint_names_the_plugin_file_that_is_missing(forgetkit: Run, tmp_path: Path) -> None:
    written(tmp_path, TINY)
    assert forgetkit(*TRAIN, "--model", "flat", "--plugin", "mine.py").code == 0
    del MODELS._entries["flat"]
    with pytest.raises(ForgetkitError) as caught:
        load_model(tmp_path / "m.st", read_record(tmp_path / "m.st"))
    assert caught.value.code == "model-unknown"
    assert caught.value.message == (
        "there is no model named 'flat': the plugin file mine.py, which registers it, is not loaded"
    )
    assert caught.value.hint == "name it: --plugin mine.py, or FORGETKIT_PLUGINS"


def test_a_training_like_a_checkpoint_names_the_missing_plugin_too(forgetkit: Run, tmp_path: Path) -> None:
    written(tmp_path, TINY)
    assert forgetkit(*TRAIN, "--model", "flat", "--plugin", "mine.py").code == 0
    del MODELS._entries["flat"]
    ran = forgetkit("train", "--like", "m.st", "-o", "again.st", "--json")
    assert (ran.code, ran.json["code"], "mine.py" in ran.json["message"]) == (2, "model-unknown", True)


def test_a_renamed_plugin_is_still_the_same_recipe(forgetkit: Run, tmp_path: Path) -> None:
    written(tmp_path, TINY)
    assert forgetkit(*TRAIN, "--model", "flat", "--plugin", "mine.py").code == 0
    record = read_record(tmp_path / "m.st")
    assert same_recipe(record, replace(record, model={**record.model, "plugin": "ours.py"}))


def test_the_record_of_a_built_in_model_names_no_plugin(forgetkit: Run, tmp_path: Path) -> None:
    written(tmp_path, TINY)
    assert forgetkit(*TRAIN, "--plugin", "mine.py").code == 0
    assert read_record(tmp_path / "m.st").model == {"name": "convnet", "options": {}}


def test_a_plugin_that_registers_nothing_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "def tiny(*, classes):\n    pass\n")
    problem = refusal(path)
    assert (problem.code, problem.message) == ("plugin-malformed", f"{path}: the plugin registers nothing")
    assert "@register_model, @register_dataset, @register_method, @register_check" in str(problem.hint)


def test_a_plugin_that_registers_in_any_registry_is_loaded(tmp_path: Path) -> None:
    path = written(tmp_path, "from forgetkit.registry import Registry\nRegistry('check').register(print)\n")
    load_plugins([path])


def test_what_a_decorator_refuses_is_refused_at_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "from forgetkit.models import register_model\n\nregister_model(3)\n")
    assert refusal(path).message == f"@register_model: 3 is neither a name nor a function ({path}:3)"


@pytest.mark.parametrize(
    "signature", ["*, classes", "*, classes, in_channels", "*, classes, image_size, width: int = 4", "classes"]
)
def test_a_factory_is_passed_what_its_signature_names(signature: str) -> None:
    names: dict[str, object] = {}
    exec(f"def seen({signature}):\n    given.update(locals())\n    return nn.LazyLinear(classes)", {
        "given": names, "nn": nn
    }, names)  # fmt: skip
    register_model("seen")(names.pop("seen"))  # type: ignore[call-overload]
    build_model("seen", resolve_options("seen", {}), shape=(3, 5, 7), classes=4, seed=0)
    expected = {"classes": 4, "in_channels": 3, "image_size": (5, 7), "width": 4}
    assert names == {key: expected[key] for key in names}
    assert all(key in signature for key in names)
    assert len(names) == signature.count(",") + (not signature.startswith("*"))


def test_a_class_is_a_factory_too() -> None:
    class Net(nn.Linear):
        def __init__(self, *, classes: int) -> None:
            super().__init__(7, classes)

    assert register_model(Net) is Net
    assert build_model("Net", {}, shape=(1, 7, 7), classes=3, seed=0).state_dict()["bias"].shape == (3,)


@pytest.mark.parametrize(
    "signature", ["root", "root, /", "*, root", "path, *, download", "*, download, root", "root, *, fold=0"]
)
def test_a_reader_is_passed_what_its_signature_names(signature: str) -> None:
    names: dict[str, object] = {}
    exec(f"def ours({signature}):\n    given.update(locals())\n    return source", {
        "given": names, "source": digits(Path(), download=False)
    }, names)  # fmt: skip
    register_dataset(names.pop("ours"))  # type: ignore[call-overload]
    assert len(open_dataset("ours", Path("there")).train) == 1297
    assert {names.get("root", names.get("path"))} == {Path("there")}
    assert names.get("download", False) is False


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        ("root, fold", "it has a parameter 'fold', for which there is no value"),
        ("root, **more", "'**more' is not an option with a name"),
        ("*parts", "'*parts' is not an option with a name"),
    ],
)
def test_a_reader_that_could_not_be_called_is_refused(tmp_path: Path, signature: str, words: str) -> None:
    text = f"from forgetkit.data.sources import register_dataset\n@register_dataset\ndef odd({signature}): ...\n"
    path = written(tmp_path, text)
    assert refusal(path).message == f"the reader of 'odd' cannot be used: {words} ({path}:2)"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return None", "it returned NoneType, not a Source"),
        ("return {}['x']", "KeyError: 'x' ({}:4)"),
    ],
)
def test_a_reader_that_fails_is_one_line(forgetkit: Run, tmp_path: Path, body: str, words: str) -> None:
    text = f"from forgetkit.data.sources import register_dataset\n@register_dataset\ndef odd(root):\n    {body}\n"
    path = written(tmp_path, text)
    ran = forgetkit("forget-ids", "--dataset", "odd", "--count", "1", "--plugin", "mine.py")
    assert (ran.code, ran.err.splitlines()[0]) == (
        2, f"error: the reader of 'odd' cannot be used: {words.replace('{}:', f'{path}:')}"
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["evil", "evil:build", "evil.build", "timm:hf-hub:a/b", "timm:local-dir:.", "torchvision:evil"]
)
def test_a_record_that_names_a_module_imports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    written(tmp_path, "raise SystemError('imported')\n", "evil.py")
    with pytest.raises(ForgetkitError) as caught:
        find_factory(name)
    assert caught.value.code in {"model-unknown", "missing-extra"}
    assert "evil" not in sys.modules


def test_an_installed_package_adds_models_by_entry_point(tmp_path: Path) -> None:
    """A real package on the path, in a process of its own; what is not asked for is not imported."""
    written(tmp_path, TINY.replace('@register_model("flat")\n', ""), "our_models.py")
    written(tmp_path, "raise RuntimeError('broken')\n", "our_broken.py")
    info = tmp_path / "our_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[forgetkit.models]\nflat = our_models:flat\nbroken = our_broken:flat\n")
    script = (
        "import json, sys\n"
        "from forgetkit.errors import ForgetkitError\n"
        "from forgetkit.models import MODELS, build_model\n"
        "model = build_model('flat', {}, shape=(1, 2, 2), classes=3, seed=0)\n"
        "found = [tuple(model[1].weight.shape), 'our_broken' in sys.modules, sorted(MODELS)]\n"
        "try:\n    MODELS['broken']\n"
        "except ForgetkitError as problem:\n    found += [problem.code, problem.message]\n"
        "print(json.dumps(found))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert json.loads(ran.stdout) == [
        [3, 4],
        False,
        ["broken", "convnet", "flat", "resnet50"],
        "plugin-malformed",
        "entry point 'broken' of our-models: RuntimeError: broken",
    ]
