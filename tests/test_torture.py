"""A few trials of each target; all of them: sh tests/torture.sh."""

import os
import random
import re
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from forgetkit.errors import ForgetkitError
from forgetkit.files.id_list import read_ids
from tests.torture import results
from tests.torture.checkpoints import digest_of, parts
from tests.torture.lists import malformed
from tests.torture.targets import TARGETS
from tests.torture.trial import Tally

ROOT = Path(__file__).parent.parent


def test_a_few_trials_of_each_target_fail_nowhere() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.torture", "--quick"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = [row.split(" | ") for row in re.findall(r"^\| (.+) \|$", ran.stdout, re.MULTILINE)]
    tried = [name for name, target in TARGETS.items() if target.quick]
    assert [(row[0], row[2]) for row in rows[1:]] == [(name, "0") for name in tried]


def test_the_table_of_the_docs_is_what_was_measured() -> None:
    page = ROOT / "docs" / "reliability.md"
    says = {name: target.says for name, target in TARGETS.items()}
    drawn = results.table(results.read(ROOT / "docs" / "torture.jsonl"), says)
    assert results.redrawn(page.read_text(), drawn) == page.read_text(), "run: sh tests/torture.sh --table"


def test_blocks_come_back_from_a_file_and_add_up(tmp_path: Path) -> None:
    path = tmp_path / "torture.jsonl"
    for first, took in ((0, 0.25), (5, 0.5)):
        tally = Tally(5, [f"trial {first}"] * 7, Counter(old=2, new=first), {"MB": took}, ["as it is"])
        results.append(path, results.block_of("R1", (first, first + 4), 0.25, tally, took))
    found = results.read(path)
    date = found[0].date
    assert results.row("R1", "It holds", found) == (
        f"| R1 | 10 (50.0 %) | 14 | 1 | {date} | It holds (5 new; 4 old; at most 0.5 MB; as it is) |"
    )
    results.forget(path, {"R1"})
    assert results.read(path) == []


def test_a_target_has_the_number_of_trials_that_is_promised() -> None:
    promised = {"R1": 1000, "R5": 200, "R6": 10_000, "R6 command": 300, "R7": 10_000, "R8": 2000, "R11": 200}
    promised |= {"R12": 50, "R18": 200, "requests": 1000, "service": 500}
    assert {name: len(TARGETS[name].full) for name in promised} == promised
    blocks = TARGETS["R1"].blocks(TARGETS["R1"].full)
    assert [number for block in blocks for number in block] == list(range(1000))


def lines_named(path: Path) -> set[int]:
    """Return the lines that reading finds ids in, or the one that it refuses."""
    with suppress(ForgetkitError):
        return set(read_ids(str(path)).lines.values())
    with pytest.raises(ForgetkitError) as caught:
        read_ids(str(path))
    return {int(line) for line in re.findall(rf"^{re.escape(str(path))}:(\d+): ", caught.value.message)}


def test_the_line_that_a_message_must_name_is_where_the_harm_was_done(tmp_path: Path) -> None:
    lists = [harm for seed in range(300) if (harm := malformed(random.Random(seed))).line is not None]
    for harm in lists:
        (tmp_path / harm.name).write_bytes(harm.content)
        assert harm.line in lines_named(tmp_path / harm.name), harm
    assert len(lists) > 90


def test_the_digest_of_the_trials_is_the_one_in_the_record() -> None:
    frozen = list((ROOT / "tests" / "frozen").glob("*.st"))
    digests = [digest_of(*parts(path.read_bytes())) for path in frozen]
    assert [path.stem for path in frozen] == [f"v1-{digest[:8]}" for digest in digests]
    assert frozen


@pytest.mark.parametrize("name", TARGETS)
def test_each_target_says_in_one_line_what_must_hold(name: str) -> None:
    assert 20 < len(TARGETS[name].says) < 130
    assert "\n" not in TARGETS[name].says
