"""Plans: what is wrong is said with file, line and cure; what is right expands to the runs one expects."""

from pathlib import Path

import pytest

from forgetkit.cli.mount import step_names
from forgetkit.cli.sweep.expand import Run as One
from forgetkit.cli.sweep.expand import expand
from forgetkit.cli.sweep.plan import read_plan
from forgetkit.cli.sweep.shard import Shard, parse_shard, share_of
from forgetkit.errors import ForgetkitError
from tests.conftest import Run

ROOT = Path(__file__).parents[2]
RUN = '[[run]]\nname = "{}"\ncommand = "{}"\n'
FIGURE = '[[figure]]\nfile = "f.svg"\nx = "x"\ny = "y"\n'
GRID = """
[variables]
share = [0.1, 0.2]
seed = [0, 1, 2]
way = [{name = "fast", options = "--epochs 1"}, {name = "slow", options = "--epochs {epochs}"}]
epochs = 9
[profiles.quick]
seed = [7]
"""


def runs(tmp_path: Path, text: str, profile: str | None = None) -> list[One]:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return expand(read_plan(path, profile))


@pytest.mark.parametrize(
    ("text", "place", "says", "hint"),
    [
        ("[[run", "plan.toml: ", "not TOML", "docs/sweep.md"),
        ("[variable]\n", "plan.toml: ", "no key 'variable'", "did you mean 'variables'?"),
        ("[variables]\nfolder = 1\n" + RUN.format("a", "train"), "plan.toml: ", "no name for a variable", ""),
        ("[variables]\nx = [[1]]\n" + RUN.format("a", "train"), "plan.toml: ", "variable 'x'", "for example"),
        ("[profiles.p]\ny = 1\n" + RUN.format("a", "train"), "plan.toml: ", "profile 'p' has no key 'y'", "known"),
        (RUN.format("a", "train") + "onyl = {}\n", "plan.toml:1: ", "no key 'onyl'", "did you mean 'only'?"),
        ("\n" + RUN.format("a", "tarin"), "plan.toml:2: ", "no command 'tarin'", "did you mean 'train'?"),
        (
            RUN.format("a", "train --like {b}"),
            "plan.toml:1: ",
            "{b} is neither a variable nor a run",
            "known: a, folder",
        ),
        (RUN.format("a", "train -o x"), "plan.toml:1: ", "the sweep sets -o itself", "leave it out"),
        (RUN.format("a", "train 'x"), "plan.toml:1: ", "no closing quotation", ""),
        (RUN.format("a", "train --like {b}") + RUN.format("b", "train --like {a}"), "plan.toml:1: ", "a → b → a", ""),
        ('[variables]\nx = "{x}"\n' + RUN.format("a", "train {x}"), "plan.toml:3: ", "contains itself", ""),
        (RUN.format("a", "audit m.st") + RUN.format("b", "audit {a}"), "plan.toml:4: ", "writes no file", ""),
        (GRID + RUN.format("a", "train {way.option}"), "plan.toml:9: ", "no key 'option'", "did you mean 'options'?"),
        (RUN.format("a", "train") + RUN.format("a", "train"), "plan.toml:4: ", "two runs are named 'a'", ""),
        ("title = 'x'\n", "plan.toml: ", "there is no run", "[[run]]"),
        ("variables = 1\n" + RUN.format("a", "train"), "plan.toml: ", "needs a table as 'variables'", ""),
        (RUN.format("a", "train") + "only = 1\n", "plan.toml:1: ", "run 'a' needs a table as 'only'", "for example"),
        (RUN.format("a", "train") + FIGURE + 'run = "b"\n', "plan.toml: ", "shows run 'b'", "known: a"),
        (
            RUN.format("a", "train") + FIGURE + 'run = "a"\nby = [1]\n',
            "plan.toml: ",
            "needs text as 'by'",
            "[[figure]]",
        ),
    ],
)
def test_plan_that_is_wrong_is_exit_2_with_place_and_cure(
    forgetkit: Run, tmp_path: Path, text: str, place: str, says: str, hint: str
) -> None:
    (tmp_path / "plan.toml").write_text(text)
    ran = forgetkit("sweep", "plan.toml", "--out", "out", "--json")
    assert (ran.code, ran.json["code"]) == (2, "plan-malformed")
    assert place in ran.json["message"]
    assert says in ran.json["message"]
    assert hint in ran.json["hint"]


def test_variables_that_no_run_uses_are_warned_of(forgetkit: Run, tmp_path: Path) -> None:
    """``epochs`` is used in a value of ``way``, ``seed`` by ``only``."""
    text = GRID.replace("[profiles", "wya = [1, 2]\n[profiles").replace("epochs = 9", "epochs = 9\nhalf = [0, 1]")
    text += RUN.format("a", "train {way.options} --seed {seed}") + 'only = {seed = "half"}\n'
    (tmp_path / "plan.toml").write_text(text)
    ran = forgetkit("sweep", "plan.toml", "--out", "out", "--dry-run")
    warned = [line for line in ran.err.splitlines() if line.startswith("warning")]
    assert [line.rpartition(" ")[2] for line in warned] == ["'share'", "'wya'"]


def test_plan_that_is_not_there_is_exit_2(forgetkit: Run) -> None:
    ran = forgetkit("sweep", "none.toml", "--out", "out", "--json")
    assert (ran.code, ran.json["code"]) == (2, "plan-missing")


def test_unknown_profile_and_shard_are_exit_2(forgetkit: Run, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(GRID + RUN.format("a", "train"))
    ran = forgetkit("sweep", "plan.toml", "--out", "out", "--profile", "quikc", "--json")
    assert (ran.code, ran.json["hint"]) == (2, "did you mean 'quick'?")
    for text in ("0/2", "3/2", "1", "a/b"):
        assert forgetkit("sweep", "plan.toml", "--out", "out", "--shard", text).code == 2


def test_run_goes_over_the_lists_that_it_names_and_those_of_its_inputs(tmp_path: Path) -> None:
    text = GRID + RUN.format("a", "train --seed {seed} {way.options}") + RUN.format("b", "forget-ids {a} -f {share}")
    with pytest.raises(ForgetkitError, match="the sweep sets -f itself"):
        runs(tmp_path, text)
    found = runs(tmp_path, text.replace("-f", "--fraction"))
    assert [run.name for run in found] == ["a"] * 6 + ["b"] * 12
    assert found[6].parameters == {"seed": 0, "way": "fast", "share": 0.1}
    assert found[1].words == ("train", "--seed", "0", "--epochs", "9")


def test_two_inputs_share_the_values_of_their_variables(tmp_path: Path) -> None:
    text = GRID + RUN.format("a", "train --seed {seed}") + RUN.format("b", "forget-ids {a} --fraction {share}")
    found = runs(tmp_path, text + RUN.format("c", "relabel {a} --ids {b}"))
    assert sum(run.name == "c" for run in found) == 6
    by_address = {run.address: run for run in found}
    last = found[-1]
    assert by_address[last.inputs["b"]].inputs["a"] == last.inputs["a"]


def test_only_and_profile_leave_values_out(tmp_path: Path) -> None:
    text = GRID + RUN.format("a", "train --seed {seed}") + "only = {seed = [0, 7]}\n"
    assert [run.parameters for run in runs(tmp_path, text)] == [{"seed": 0}]
    assert [run.parameters for run in runs(tmp_path, text, "quick")] == [{"seed": 7}]


def test_same_command_has_one_address_and_another_input_has_another(tmp_path: Path) -> None:
    text = GRID + RUN.format("a", "train --seed {seed}") + RUN.format("b", "train --seed 1")
    found = runs(tmp_path, text)
    assert found[3].address == found[1].address
    changed = runs(tmp_path, text.replace("train --seed {seed}", "train --seed {seed} --epochs 3"))
    assert not {run.address for run in found[:3]} & {run.address for run in changed[:3]}
    after = RUN.format("c", "audit {a}")
    pairs = zip(
        runs(tmp_path, text + after)[4:], runs(tmp_path, text.replace("{seed}", "1{seed}") + after)[4:], strict=True
    )
    assert all(one.address != other.address for one, other in pairs)


def test_shards_hold_all_that_their_leaves_need(tmp_path: Path) -> None:
    text = GRID + RUN.format("a", "train --seed {seed}") + RUN.format("b", "forget-ids {a} --fraction {share}")
    found = runs(tmp_path, text)
    reported: list[One] = []
    for number in range(1, 5):
        own, needed = share_of(found, Shard(number, 4))
        assert {run.address for run in own} <= needed.keys()
        assert all(address in needed for run in needed.values() for address in run.inputs.values())
        reported += own
    assert sorted(run.address for run in reported) == sorted(run.address for run in found)
    assert parse_shard("2/4") == Shard(2, 4)


@pytest.mark.parametrize(
    "profile", [pytest.param(None, marks=pytest.mark.slow), "laptop", "night", "quick", "stand-in"]
)
def test_plans_of_the_papers_expand(profile: str | None) -> None:
    for path in sorted((ROOT / "examples" / "reproduce").glob("*.toml")):
        if profile not in {"stand-in", "night"} or path.stem == "kim_woo":
            runs = expand(read_plan(path, profile))
            assert len({run.address for run in runs}) > 20


def test_step_goes_over_every_command_that_unlearns_from_a_checkpoint_and_ids(tmp_path: Path) -> None:
    found = runs(tmp_path, RUN.format("a", "train") + RUN.format("b", "{step} {a} --ids i.txt"))
    steps = {run.words[0]: run.parameters for run in found if run.name == "b"}
    assert {"neutralize", "relabel", "scrub"} <= steps.keys()
    assert not {"distill", "mask", "audit", "train"} & steps.keys()
    assert steps["scrub"] == {"step": "scrub"}


def test_the_comparison_has_every_step() -> None:
    found = expand(read_plan(ROOT / "examples/compare/methods.toml", "quick"))
    assert {run.words[0] for run in found} >= set(step_names())
