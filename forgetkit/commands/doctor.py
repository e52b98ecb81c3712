"""``forgetkit doctor``: is this machine fit for it?"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from forgetkit.options import COMPUTE, INPUT, Say


def doctor(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Where outputs are to be written.")] = ".",
    *,
    data_root: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the data sets.", envvar="FORGETKIT_DATA", rich_help_panel=INPUT),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.", envvar="FORGETKIT_DEVICE", rich_help_panel=COMPUTE
        ),
    ] = "auto",
    say: Say,
) -> None:
    """Look at this machine: versions, device, data root, space, and whether files can be published safely.

    It exits with 0 if nothing is wrong, with 2 if something is. It writes, and removes, a folder in FOLDER.

    Examples:
        forgetkit doctor
        forgetkit doctor . --json
    """
    from forgetkit.checkup import check_up
    from forgetkit.data.open import default_root

    found = check_up(Path(folder), Path(data_root) if data_root else default_root(), device)
    marks = {True: "ok", False: "FAULT", None: "note"}
    ok = all(finding.ok is not False for finding in found)
    lines = [f"{marks[finding.ok]:5}  {finding.name:13}  {finding.found}" for finding in found]
    say.console().result(lines, {"ok": ok, "command": "doctor", "findings": [asdict(finding) for finding in found]})
    if not ok:
        raise typer.Exit(2)
