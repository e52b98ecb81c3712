"""Parallel runs: each starts as soon as its inputs exist; if one fails, the others continue."""

from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from forgetkit.cli.console import Console
from forgetkit.cli.sweep.expand import Run, arguments
from forgetkit.cli.sweep.outcome import DONE, FAILED, FAILURE, NOT_RUN, SKIPPED, Outcome, read_outcome, write_outcome
from forgetkit.cli.sweep.process import start

TRIES = 2
"""How often a run is started that a signal killed, for example for lack of memory."""
PATIENCE = 5.0
"""Seconds that a run has to stop before it is killed."""


@dataclass
class Sweep:
    """The state of a sweep.

    Attributes:
        runs: all runs by address, each after those it depends on.
        root: folder of the sweep.
        jobs: number of processes at the same time.
        threads: CPU threads of each process.
        console: prints the progress.
        outcomes: outcome of each run that has one, by address.
        active: processes of the current runs, by address.
        killed: how often each run was killed.
        fresh: how many runs ended in this sweep.
    """

    runs: dict[str, Run]
    root: Path
    jobs: int
    threads: int
    console: Console
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    active: dict[str, BaseProcess] = field(default_factory=dict)
    killed: dict[str, int] = field(default_factory=dict)
    fresh: int = 0

    def collect(self) -> None:
        """Read the outcomes of earlier sweeps."""
        for address, run in self.runs.items():
            if outcome := read_outcome(run.folder(self.root)):
                self.outcomes[address] = outcome

    def run(self) -> None:
        """Run everything that has no outcome yet."""
        try:
            while len(self.outcomes) < len(self.runs):
                self._begin()
                if self.active:
                    wait([process.sentinel for process in self.active.values()])
                    self._end()
        finally:
            self._stop()

    def _begin(self) -> None:
        """Start the first runs whose inputs exist; skip those whose inputs never will."""
        for address, run in self.runs.items():
            if address in self.outcomes or address in self.active:
                continue
            before = [self.outcomes.get(one) for one in run.inputs.values()]
            missing = next((one for one in before if one and one.state != DONE), None)
            if missing:
                state = NOT_RUN if missing.state == NOT_RUN else SKIPPED
                self.outcomes[address] = Outcome(state, error=_why(run, self.outcomes))
            elif all(before) and len(self.active) < self.jobs:
                words = arguments(run, self.runs, self.root)
                self.active[address] = start(words, run.folder(self.root), self.threads)

    def _end(self) -> None:
        """Read the outcomes of the runs that have ended."""
        for address, process in list(self.active.items()):
            if process.exitcode is None:
                continue
            process.join()
            del self.active[address]
            folder = self.runs[address].folder(self.root)
            outcome = read_outcome(folder) or read_outcome(folder, FAILURE)
            if process.exitcode != 0:
                self.killed[address] = self.killed.get(address, 0) + 1
                outcome = Outcome(FAILED, process.exitcode, error=_end_of(process.exitcode))
                if self.killed[address] < TRIES:
                    self.console.note(f"sweep: {self.runs[address].title}: {outcome.error}; trying again")
                    continue
                write_outcome(folder, outcome)
            self.outcomes[address] = outcome or Outcome(FAILED, process.exitcode, error="the run left no result")
            self.fresh += 1
            self._tell(address)

    def _tell(self, address: str) -> None:
        outcome = self.outcomes[address]
        end = f"{outcome.seconds:.1f} s" if outcome.state == DONE else f"{outcome.state}: {outcome.error}"
        self.console.note(f"sweep: {len(self.outcomes)} of {len(self.runs)}: {self.runs[address].title}: {end}")

    def _stop(self) -> None:
        """Stop the current runs; a run leaves complete files or none."""
        for process in self.active.values():
            process.terminate()
        for process in self.active.values():
            process.join(PATIENCE)
            process.kill()
            process.join()


def _why(run: Run, outcomes: dict[str, Outcome]) -> str:
    """Return why a run was skipped: the input that has no file."""
    name, address = next(
        (name, one) for name, one in run.inputs.items() if one in outcomes and outcomes[one].state != DONE
    )
    found = outcomes[address]
    return found.error or "" if found.state in {NOT_RUN, SKIPPED} else f"{name} {address}: {found.state}"


def _end_of(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}, without a result"
