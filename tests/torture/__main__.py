"""Try every target, print a table: ``python -m tests.torture [--quick] [--only R1,R5] [--share 0.1] [--table]``."""

import argparse
import contextlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from tests.torture import results
from tests.torture.results import Block
from tests.torture.targets import FIRST, TARGETS
from tests.torture.trial import warm, world

ROOT = Path(__file__).parent.parent.parent
PAGE, RESULTS = ROOT / "docs" / "reliability.md", ROOT / "docs" / "torture.jsonl"
Work = tuple[str, Sequence[int]]


def main() -> int:
    """Do what was asked for; return 1 if anything failed."""
    given = asked()
    wanted = given.only.split(",") if given.only else list(TARGETS)
    if unknown := set(wanted) - set(TARGETS):
        print(f"error: no such target: {', '.join(sorted(unknown))}; known: {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    says = {name: target.says for name, target in TARGETS.items()}
    if given.table:
        PAGE.write_text(results.redrawn(PAGE.read_text(), results.table(results.read(given.results), says)))
        return 0
    if given.fresh:
        results.forget(given.results, set(wanted))
    there = [] if given.quick else [block for block in results.read(given.results) if block.target in wanted]
    done = {(block.target, block.numbers) for block in there}
    work = [one for one in chosen(wanted, given) if (one[0], (one[1][0], one[1][-1])) not in done]
    if done:
        print(f"{len(done)} blocks stand in {given.results}; --fresh does them again", file=sys.stderr)
    for block in tried(work, given.workers):
        there.append(block)
        if not given.quick:
            results.append(given.results, block)
        print(f"{block.target} {block.numbers}: {block.failed} failures, {block.seconds:.0f} s", file=sys.stderr)
        for failure in block.tally.failures:
            print(f"{block.target}: {failure}", file=sys.stderr, flush=True)
    print(results.table(there, says))
    return 1 if any(block.failed for block in there) else 0


def asked() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few trials of each, below a minute; none is recorded")
    parser.add_argument("--only", help=f"targets, with commas between: {', '.join(TARGETS)}")
    parser.add_argument("--share", type=float, default=1.0, help="share of the blocks of trials, at least one of each")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes (one a core)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="what was done, and is not done again")
    parser.add_argument("--fresh", action="store_true", help="do again what stands in the results")
    parser.add_argument("--table", action="store_true", help="only draw the table in docs/reliability.md")
    return parser.parse_args()


def chosen(wanted: list[str], given: argparse.Namespace) -> list[Work]:
    """Return the blocks to do; long ones first."""
    found: list[Work] = []
    for name in sorted(wanted, key=lambda name: name not in FIRST):
        blocks = TARGETS[name].blocks(TARGETS[name].quick if given.quick else TARGETS[name].full)
        found += [(name, numbers) for numbers in blocks[: max(1, round(len(blocks) * given.share))]]
    return found


def tried(work: list[Work], workers: int) -> Iterator[Block]:
    """Do the work in forked processes, of one thread each; what measures time last, and by itself."""
    os.environ["FORGETKIT_THREADS"] = "1"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        with contextlib.redirect_stdout(sys.stderr):
            begun = world(Path(name) / "world")
        fork = multiprocessing.get_context("fork")
        for alone in (False, True):
            part = [one for one in work if TARGETS[one[0]].alone is alone]
            with fork.Pool(1 if alone else workers, settle, (begun,)) as pool:
                yield from pool.imap_unordered(attempt, part)


def settle(begun: Path) -> None:
    """Give a worker a world and a cache of its own."""
    place = begun.with_name(str(os.getpid()))
    shutil.copytree(begun, place)
    os.environ["XDG_CACHE_HOME"] = f"{place}-cache"
    attempt.place = place  # type: ignore[attr-defined]


def attempt(one: Work) -> Block:
    """Do one block of trials in the worker's own world."""
    name, numbers = one
    target, begun = TARGETS[name], time.monotonic()
    warm(attempt.place)  # type: ignore[attr-defined]
    tally = target.work(attempt.place, numbers)  # type: ignore[attr-defined]
    share = len(numbers) / len(target.full)
    return results.block_of(name, (numbers[0], numbers[-1]), share, tally, time.monotonic() - begun)


if __name__ == "__main__":
    sys.exit(main())
