"""What came of the trials: a file of lines, one for each block of trials that was done, and the table drawn from it."""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.torture.trial import Tally

SHOWN = 5
"""Failures that a line tells of; all are counted."""
MARKS = ("<!-- The table: sh tests/torture.sh --table -->", "<!-- The end of the table -->")


@dataclass(frozen=True)
class Block:
    """Trials of one target that one process did.

    Attributes:
        target: its name.
        numbers: the first trial's number and the last's.
        share: of the target's trials in full, from 0 to 1.
        failed: how many failed; ``tally`` tells of the first few.
        seconds: that it took, on one of the workers.
        date: when it ended, UTC.
    """

    target: str
    numbers: tuple[int, int]
    share: float
    tally: Tally
    failed: int
    seconds: float
    date: str

    def line(self) -> str:
        """Return it as JSON."""
        return json.dumps(vars(self) | {"tally": vars(self.tally)}, sort_keys=True)


def block_of(target: str, numbers: tuple[int, int], share: float, tally: Tally, seconds: float) -> Block:
    """Return what came of some trials that have just ended."""
    failed, date = len(tally.failures), datetime.now(UTC).date().isoformat()
    del tally.failures[SHOWN:]
    return Block(target, numbers, share, tally, failed, round(seconds, 2), date)


def read(path: Path) -> list[Block]:
    """Return the blocks in a file; none where there is no file."""
    if not path.exists():
        return []
    blocks = []
    for line in path.read_text().splitlines():
        content = json.loads(line)
        tally = Tally(**content.pop("tally"))
        tally.seen = Counter(tally.seen)
        blocks.append(Block(**content | {"numbers": tuple(content["numbers"]), "tally": tally}))
    return blocks


def append(path: Path, block: Block) -> None:
    """Add a block."""
    with path.open("a") as stream:
        stream.write(block.line() + "\n")


def forget(path: Path, targets: set[str]) -> None:
    """Take the blocks of some targets out of a file."""
    kept = [block.line() + "\n" for block in read(path) if block.target not in targets]
    if path.exists():
        path.write_text("".join(kept))


def row(target: str, says: str, blocks: list[Block]) -> str:
    """Return a target's row: trials (and their share of the full ones), failures, seconds, date, what was seen."""
    trials, failed = sum(block.tally.trials for block in blocks), sum(block.failed for block in blocks)
    share = sum(block.share for block in blocks)
    part = "" if share > 0.999 else f" ({100 * share:.1f} %)"
    seconds = sum(block.seconds for block in blocks)
    dates = sorted({block.date for block in blocks})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"| {target} | {trials:,}{part} | {failed} | {seconds:,.0f} | {when} | {says}{_seen(blocks)} |"


def _seen(blocks: list[Block]) -> str:
    total: Counter[str] = Counter()
    most: dict[str, float] = {}
    for block in blocks:
        total.update(block.tally.seen)
        for what, figure in block.tally.most.items():
            most[what] = max(figure, most.get(what, figure))
    parts = [f"{count:,} {what}" for what, count in sorted(total.items()) if count]
    parts += [f"at most {figure:.4g} {what}" for what, figure in sorted(most.items())]
    parts += dict.fromkeys(note for block in blocks for note in block.tally.notes)
    return f" ({'; '.join(parts)})" if parts else ""


HEAD = "| target | trials | failures | seconds | date | |\n|---|---|---|---|---|---|"


def table(blocks: list[Block], says: dict[str, str]) -> str:
    """Return the table of all targets that were tried, in the order of ``says``."""
    rows = []
    for target, text in says.items():
        if done := [block for block in blocks if block.target == target]:
            rows.append(row(target, text, done))
    return "\n".join([HEAD, *rows])


def redrawn(page: str, drawn: str) -> str:
    """Return a page with the table between its marks drawn anew."""
    before, _, rest = page.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return f"{before}{MARKS[0]}\n\n{drawn}\n\n{MARKS[1]}{after}"
