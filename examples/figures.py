"""Draw what forgetkit printed, as it printed it: the README's terminal and a figure of the tutorial's report.

python figures.py screen FILE.svg COMMAND [COMMAND ...]    what the commands print on a terminal of 80 columns
python figures.py again FILE.svg                           the same from what was kept
python figures.py plot FILE.svg REPORT.html                one figure of an HTML report

What the commands printed is kept in data/FILE.json beside the figure, with the commit and the machine.
"""

import json
import os
import platform
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

COLUMNS = 80
PLOT = "Is it like the models that never saw these samples?"
STYLE = """<style>
svg { --paper: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --forget: #0072b2; background: #fff; }
</style>"""


def main(kind: str, target: Path, *given: str) -> None:
    """Write one figure."""
    kept = target.parent / "data" / f"{target.stem}.json"
    if kind == "screen":
        kept.parent.mkdir(exist_ok=True)
        found = {**made_by(), "printed": {command: on_a_terminal(command) for command in given}}
        kept.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if kind in {"screen", "again"}:
        drawn = screen(json.loads(kept.read_text(encoding="utf-8"))["printed"])
    else:
        drawn = plot(Path(given[0]).read_text("utf-8"))
    target.write_text(drawn, encoding="utf-8")


def made_by() -> dict[str, str]:
    """Return the commit and the machine that a figure comes from."""
    here = Path(__file__).parent
    ran = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {"commit": ran.stdout.strip(), "machine": f"{len(names)} × {names[0] if names else platform.machine()}"}


def screen(printed: dict[str, str]) -> str:
    """Return what commands printed on a terminal, as SVG; nothing of it is changed. No font is fetched."""
    console = Console(record=True, width=COLUMNS, file=open("/dev/null", "w"))  # noqa: SIM115
    for number, (command, text) in enumerate(printed.items()):
        console.print(Text(f"{'' if number == 0 else chr(10)}$ {command}", style="bold"))
        console.print(Text.from_ansi(text))
    local = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="forgetkit", theme=DIMMED_MONOKAI, code_format=local, unique_id="audit")


def on_a_terminal(command: str) -> str:
    """Return what a command prints on stdout where that is a terminal; it may exit as an audit does."""
    reading, writing = pty.openpty()
    environment = os.environ | {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    ran = subprocess.Popen(command, shell=True, stdout=writing, stderr=subprocess.PIPE, env=environment)
    os.close(writing)
    printed = bytearray()
    try:
        while part := os.read(reading, 65536):
            printed += part
    except OSError:  # the other side of a pseudo-terminal is closed
        pass
    _, errors = ran.communicate()
    if ran.returncode not in {0, 1, 3}:
        raise SystemExit(errors.decode())
    return printed.decode().replace("\r\n", "\n").rstrip("\n")


def plot(page: str) -> str:
    """Return one figure of the report with the colours that it takes from the page."""
    figure = page[page.index(f"<h3>{PLOT}</h3>") :]
    drawing = figure[figure.index("<svg") : figure.index("</svg>") + 6]
    opening, rest = drawing.split(">", 1)
    sized = opening.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" width="680"')
    return f"{sized}>{STYLE}{rest}\n"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
