"""The figures of a sweep: the right points, the same bytes, and errors that name what is wrong."""

from pathlib import Path
from typing import Any

import pytest

from forgetkit.cli.sweep.figures import draw, lines_of
from forgetkit.errors import ForgetkitError
from tests.conftest import Run

FIGURE = {"file": "f.svg", "run": "ids", "x": "share", "y": "count", "by": "seed"}
PLAN = """
[variables]
share = [0.1, 0.2]
seed = [0, 1]
[[run]]
name = "ids"
command = "forget-ids --dataset digits --fraction {share} --seed {seed}"
[[figure]]
file = "count.svg"
run = "ids"
x = "share"
y = "count"
"""


def row(share: float, count: object, seed: int, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - a row's own keys
    parameters = {"share": share, "seed": seed}
    return {"run": "ids", "outcome": "done", "parameters": parameters, "metrics": {"count": count}, **changes}


def test_points_are_sorted_and_the_same_x_is_averaged() -> None:
    rows = [row(0.2, 4, 0), row(0.1, 1, 0), row(0.1, 3, 0), row(0.1, 9, 1)]
    assert lines_of(FIGURE, rows, "plan.toml") == {"0": [(0.1, 2.0), (0.2, 4.0)], "1": [(0.1, 9.0)]}


def test_rows_of_other_runs_or_without_result_are_left_out() -> None:
    rows = [row(0.1, 1, 0, run="other"), row(0.1, 1, 0, outcome="failed"), row(0.1, None, 0)]
    assert lines_of(FIGURE, rows, "plan.toml") == {}


def test_where_keeps_the_rows_with_its_values() -> None:
    rows = [row(0.1, 1, 0), row(0.1, 5, 1)]
    assert lines_of({**FIGURE, "where": {"seed": 1}}, rows, "plan.toml") == {"1": [(0.1, 5.0)]}


def test_name_that_no_row_has_is_an_error_with_the_nearest() -> None:
    with pytest.raises(ForgetkitError, match="run 'ids' has no 'conut'") as raised:
        lines_of({**FIGURE, "y": "conut"}, [row(0.1, 1, 0)], "plan.toml")
    assert "count" in (raised.value.hint or "")


def test_where_with_a_name_that_no_row_has_is_an_error() -> None:
    for rows in ([row(0.1, 1, 0)], [row(0.1, 1, 0), row(0.1, 5, 1, outcome="failed")]):
        with pytest.raises(ForgetkitError, match="run 'ids' has no 'sede'"):
            lines_of({**FIGURE, "where": {"sede": 1}}, rows, "plan.toml")
    assert lines_of({**FIGURE, "where": {"sede": 1}}, [], "plan.toml") == {}


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_same_lines_give_the_same_bytes(kind: str) -> None:
    lines = {"a": [(0.1, 1.0), (0.2, 2.0)], "b": [(0.1, 2.0)]}
    assert draw(lines, FIGURE, kind) == draw(lines, FIGURE, kind)


def test_figure_of_a_plan_is_drawn_beside_its_table(forgetkit: Run, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    ran = forgetkit("sweep", "plan.toml", "--out", "out")
    assert (ran.code, ran.lines[-1]) == (0, "out/count.svg")
    assert (tmp_path / "out" / "count.svg").read_bytes().startswith(b"<?xml")


def test_figure_outside_the_folder_is_refused(forgetkit: Run, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.replace("count.svg", "../count.svg"))
    ran = forgetkit("sweep", "plan.toml", "--out", "out")
    assert (ran.code, ran.err.splitlines()[0]) == (2, "error: plan.toml: '../count.svg' is no name for a figure")
