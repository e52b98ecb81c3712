"""From a function to a subcommand, from several to a group."""

import pytest
import typer
from typer.testing import CliRunner

from forgetkit.cli.help import show_help
from forgetkit.cli.mount import group_of
from forgetkit.options import Say

HEARD: list[str] = []


def zoo(context: typer.Context) -> None:
    """Keep animals."""
    show_help(context)


def let_out(name: str, *, say: Say) -> None:
    """Let one out."""
    HEARD.append(f"{name} {say.quiet}")


@pytest.fixture
def app() -> typer.Typer:
    HEARD.clear()
    top = typer.Typer()
    top.add_typer(group_of(zoo, (let_out,)), name="zoo")
    top.callback()(lambda: None)
    return top


def test_a_command_of_a_group_is_called_by_both_names_and_has_groups_of_options(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, ["zoo", "let-out", "fox", "--quiet"]).exit_code == 0
    assert HEARD == ["fox True"]


def test_a_group_without_a_command_prints_its_help(app: typer.Typer) -> None:
    ran = CliRunner().invoke(app, ["zoo"])
    assert ran.exit_code == 0
    assert "Keep animals." in ran.output
    assert "let-out" in ran.output
