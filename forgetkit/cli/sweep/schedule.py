"""Runs side by side: each as soon as what it needs is there, a failed one named, the others going on."""

from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from forgetkit.cli.console import Console
from forgetkit.cli.sweep.expand import Run, arguments
from forgetkit.cli.sweep.outcome import DONE, FAILED, FAILURE, NOT_RUN, SKIPPED, Outcome, keep, kept
from forgetkit.cli.sweep.process import start

TRIES = 2
"""How often a run is begun that a signal ended: out of memory, say."""
PATIENCE = 5.0
"""Seconds that a run has to end before it is killed."""


@dataclass
class Sweep:
    """The state of a sweep.

    Attributes:
        runs: all runs by address, each after those it depends on.
        root: the folder.
        jobs: processes side by side.
        threads: CPU threads of each.
        console: what is said.
        outcomes: what has come of each run so far, by address.
        active: the runs that are going on, by address.
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
        """Take over what came of runs earlier."""
        for address, run in self.runs.items():
            if outcome := kept(run.folder(self.root)):
                self.outcomes[address] = outcome

    def carry_out(self) -> None:
        """Make every run that is missing."""
        try:
            while len(self.outcomes) < len(self.runs):
                self._begin()
                if self.active:
                    wait([process.sentinel for process in self.active.values()])
                    self._end()
        finally:
            self._stop()

    def _begin(self) -> None:
        """Start the first runs whose inputs are there; leave out those whose inputs will never be."""
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
        """Take over what came of the runs that have ended."""
        for address, process in list(self.active.items()):
            if process.exitcode is None:
                continue
            process.join()
            del self.active[address]
            folder = self.runs[address].folder(self.root)
            outcome = kept(folder) or kept(folder, FAILURE)
            if process.exitcode != 0:
                self.killed[address] = self.killed.get(address, 0) + 1
                outcome = Outcome(FAILED, process.exitcode, error=_end_of(process.exitcode))
                if self.killed[address] < TRIES:
                    self.console.note(f"sweep: {self.runs[address].title}: {outcome.error}; once more")
                    continue
                keep(folder, outcome)
            self.outcomes[address] = outcome or Outcome(FAILED, process.exitcode, error="it left no result")
            self.fresh += 1
            self._tell(address)

    def _tell(self, address: str) -> None:
        outcome = self.outcomes[address]
        end = f"{outcome.seconds:.1f} s" if outcome.state == DONE else f"{outcome.state}: {outcome.error}"
        self.console.note(f"sweep: {len(self.outcomes)} of {len(self.runs)}: {self.runs[address].title}: {end}")

    def _stop(self) -> None:
        """End what still goes on; a run leaves its files whole or not at all."""
        for process in self.active.values():
            process.terminate()
        for process in self.active.values():
            process.join(PATIENCE)
            process.kill()
            process.join()


def _why(run: Run, outcomes: dict[str, Outcome]) -> str:
    """Return which input is missing."""
    name, address = next(
        (name, one) for name, one in run.inputs.items() if one in outcomes and outcomes[one].state != DONE
    )
    found = outcomes[address]
    return found.error or "" if found.state in {NOT_RUN, SKIPPED} else f"{name} {address}: {found.state}"


def _end_of(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}, without a result"
