"""The shell blocks of a page, as one script: python -m tests.pages docs/tutorial.md | sh -e.

Blocks marked ``sh`` run in order, in one shell, so a folder made and entered stays entered. A block is left out only
where the line before it says why: ``<!-- not run: it installs -->``. Blocks marked
``text`` are what the commands print, in any width; ``…`` stands for a word that differs from machine to machine, and so
do numbers with a decimal point, and large ones: another CPU adds in another order.
"""

import re
import sys
from pathlib import Path

FENCE = re.compile(r"(?P<above>[^\n]*)\n```sh\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^```text\n(?P<lines>.*?)^```$", re.MULTILINE | re.DOTALL)
EXCUSE = re.compile(r"<!-- not run: (?P<reason>\S.*) -->$")


def script(text: str, name: str) -> str:
    """Return the blocks of a page that are to run; each says on stderr where it stands, for the eyes of who seeks."""
    parts = []
    for block in FENCE.finditer(text):
        if not EXCUSE.match(block["above"]):
            line = text.count("\n", 0, block.start("code")) + 1
            parts.append(f"echo '# {name}:{line}' >&2\n{block['code']}")
    return "".join(parts)


def excuses(text: str) -> list[str]:
    """Return why blocks are not run."""
    found = (EXCUSE.match(block["above"]) for block in FENCE.finditer(text))
    return [excuse["reason"] for excuse in found if excuse]


def unprinted(text: str, printed: str) -> list[str]:
    """Return the blocks of a page that show what was not ``printed``."""
    said = " ".join(printed.split())
    blocks = [" ".join(block["lines"].split()) for block in SHOWN.finditer(text)]
    return [block for block in blocks if not re.search(_pattern(block), said)]


def _pattern(block: str) -> str:
    """Return a pattern that a block fits, whatever its digests are and its measured figures."""
    return re.sub(r"\d*\\\.\d+|\d{3,}", r"[\\d.,]+", re.escape(block)).replace("…", r"\S+")


if __name__ == "__main__":
    print(script(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[1]), end="")
