"""Draw the output of audits, in the tutorial's folder: python figures.py FOLDER. Called by figures.sh."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

AUDITS = ("model.st --ids ids.txt", "model.forget.st", "deleted.st")
SHOWN = re.compile(r"\S+\.st: |  because|check  |\S+ +\w+\* |accuracy:")
COLOURS = {
    r"NOT FORGOTTEN|OVER-FORGOTTEN|UTILITY LOST|fail\*": "bold red",
    r"(?<!NOT )(?<!OVER-)\bFORGOTTEN|pass\*": "bold green",
}
COLOURS |= {r"INCONCLUSIVE|inconclusive\*": "bold yellow", r"^\$ .*": "bold"}
COLUMNS = 112
PLOT = "Is it like the models that never saw these samples?"
STYLE = """<style>
svg { --paper: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --forget: #0072b2; background: #fff; }
</style>"""


def main(folder: Path) -> None:
    """Write ``audit.svg``, a terminal screen, and ``audit-references.svg``, a figure of the HTML report."""
    screen = []
    for model in AUDITS:
        command = f"forgetkit audit {model} --original model.st --reference refs"
        ran = subprocess.run([*shlex.split(command), "-q", "--html", "report.html"], capture_output=True, text=True)
        if ran.returncode not in {0, 1, 3}:
            raise SystemExit(ran.stderr)
        screen += [f"$ {command}", *filter(SHOWN.match, ran.stdout.splitlines()), ""]
    (folder / "audit.svg").write_text(draw(screen[:-1]), encoding="utf-8")
    (folder / "audit-references.svg").write_text(plot(Path("report.html").read_text("utf-8")), encoding="utf-8")


def draw(lines: list[str]) -> str:
    """Return a terminal screen as SVG; longer lines end in an ellipsis. No font is fetched."""
    console = Console(record=True, width=COLUMNS, file=open("/dev/null", "w"))  # noqa: SIM115
    for line in lines:
        text = Text(line)
        for pattern, style in COLOURS.items():
            text.highlight_regex(pattern, style)
        console.print(text, no_wrap=True, overflow="ellipsis")
    local = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="forgetkit", theme=DIMMED_MONOKAI, code_format=local, unique_id="audit")


def plot(page: str) -> str:
    """Return one figure of the report with the colours that it takes from the page."""
    figure = page[page.index(f"<h3>{PLOT}</h3>") :]
    drawing = figure[figure.index("<svg") : figure.index("</svg>") + 6]
    opening, rest = drawing.split(">", 1)
    sized = opening.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" width="680"')
    return f"{sized}>{STYLE}{rest}\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
