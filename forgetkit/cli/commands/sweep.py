"""``forgetkit sweep``: a grid of runs from one plan."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forgetkit.cli.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.options import COMPUTE, OUTPUT, Argument, Option, Say

if TYPE_CHECKING:
    from forgetkit.cli.sweep.expand import Run
    from forgetkit.cli.sweep.schedule import Sweep


@dataclass(frozen=True)
class Grid:
    """Which runs of the plan to make, with which values."""

    profile: Annotated[str | None, Option("Use the values of this profile of the plan.", metavar="NAME")] = None
    quick: Annotated[bool, Option("Same as --profile quick.")] = False
    shard: Annotated[
        str | None, Option("Run only share I of N; all may use the same --out.", metavar="I/N", panel=COMPUTE)
    ] = None
    jobs: Annotated[int, Option("Runs at the same time.", metavar="N", min=1, max=1024, panel=COMPUTE)] = 1

    def check(self) -> None:
        """Refuse options that do not go together; raises ForgetkitError ``usage``."""
        if self.quick and self.profile not in {None, "quick"}:
            raise ForgetkitError("usage", f"--quick means --profile quick, not {self.profile}", "give one of them")


def sweep(
    plan: Annotated[str, Argument("The plan: a TOML file.", "PLAN")],
    *,
    out: Annotated[str, Option("Folder for all runs and tables.", "DIR", flags=("--out", "-o"), panel=OUTPUT)],
    grid: Grid,
    say: Say,
) -> None:
    """Run the commands of a plan, and tabulate their results.

    Each run is an ordinary command with its own files. If one fails, the others continue, and the exit code is 1.
    Repeat the sweep to run only what is missing.

    Examples:
        forgetkit sweep plan.toml --out sweep --dry-run
        forgetkit sweep plan.toml --out sweep --jobs 2 --shard 1/2
    """
    from forgetkit.cli.sweep.expand import expand
    from forgetkit.cli.sweep.figures import draw_figures
    from forgetkit.cli.sweep.plan import read_plan
    from forgetkit.cli.sweep.schedule import Sweep
    from forgetkit.cli.sweep.shard import parse_shard, share_of
    from forgetkit.cli.sweep.table import rows_of, write_table
    from forgetkit.processes import available_cores

    grid.check()
    console, root, shard = Console(say), Path(out), parse_shard(grid.shard)
    read = read_plan(Path(plan), "quick" if grid.quick else grid.profile)
    reported, needed = share_of(expand(read, console), shard)
    threads = max(1, available_cores() // grid.jobs)
    state = Sweep(needed, root, grid.jobs, threads, console)
    state.collect()
    _announce(state, reported, console, dry_run=say.dry_run)
    if say.dry_run:
        return
    _check_folder(root)
    state.run()
    rows = rows_of(reported, needed, state.outcomes, root)
    written = write_table(read, rows, root, shard.suffix)
    written += draw_figures(read, rows, root, shard.suffix)
    failed = _report(state, rows, written, console)
    if failed:
        raise typer.Exit(1)


def _announce(state: "Sweep", reported: "list[Run]", console: Console, *, dry_run: bool) -> None:
    """Say how many runs there are and how many are missing; in a dry run also each command."""
    from forgetkit.cli.sweep.table import line_of

    missing = [run for address, run in state.runs.items() if address not in state.outcomes]
    if dry_run:
        for run in missing:
            console.note(line_of(run, state.runs, state.root))
        for name, count in Counter(run.name for run in reported).items():
            console.note(f"sweep: {name}: {count} rows")
    console.note(
        f"sweep: {len(state.runs)} runs, {len(missing)} missing; {state.jobs} at a time, {state.threads} threads each"
    )
    if dry_run:
        console.note("dry run: nothing was run")


def _check_folder(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ForgetkitError("output-unwritable", f"{root}: {problem.strerror}", "name another --out") from problem


def _report(state: "Sweep", rows: list[dict[str, Any]], written: list[Path], console: Console) -> list[dict[str, Any]]:
    """Warn of failed runs, count the outcomes, print the paths of the tables; return the failed runs."""
    from forgetkit.cli.sweep.outcome import FAILED, LOG

    counts = {"runs": len(rows), "fresh": state.fresh}
    for row in rows:
        counts[row["outcome"]] = counts.get(row["outcome"], 0) + 1
    failed = []
    for address, outcome in state.outcomes.items():
        if outcome.state == FAILED:
            run = state.runs[address]
            log = run.folder(state.root) / LOG
            console.warn("run-failed", f"{run.title}: {outcome.error}; see {log}")
            failed.append({"run": run.name, "parameters": run.parameters, "error": outcome.error, "log": str(log)})
    for reason in dict.fromkeys(row["error"] for row in rows if row["outcome"] == "not run"):
        count = sum(row["error"] == reason for row in rows)
        console.warn("not-run", f"{count} runs were not run: {reason}")
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if name not in {"runs", "fresh"})
    console.note(f"sweep: {said}; {state.fresh} of them in this sweep")
    document = {"ok": not failed, "command": "sweep", "outputs": [str(path) for path in written]}
    console.result([str(path) for path in written], {**document, "metrics": counts, "failed": failed})
    return failed
