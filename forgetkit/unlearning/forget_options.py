"""The settings of ``forget``; without torch."""

from dataclasses import dataclass
from typing import Annotated

from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, OUTPUT, Option, UtilityMargin, choice, positive


@dataclass(frozen=True)
class Forget:
    """How much to try before a retraining."""

    budget: Annotated[
        str, Option("Largest total cost of all attempts, as a share of a retraining: 0.5 or 50%.", metavar="F")
    ] = "50%"
    utility_margin: UtilityMargin = 0.02
    otherwise: Annotated[str, Option("What to do if every attempt fails.", metavar="retrain|stop")] = "retrain"
    retrain: Annotated[
        bool, Option("Retrain at once, without the ids and by the original's recipe.", flags=("--retrain",))
    ] = False
    shadows: Annotated[
        str | None,
        Option("Shadow models; by default those beside the original.", metavar="FOLDER", panel=INPUT),
    ] = None
    leave_shadows: Annotated[
        bool,
        Option("Do not make the shadow models forget the ids: shadows refresh does so later.", panel=OUTPUT),
    ] = False

    def check(self) -> None:
        """Refuse a value out of range; raises ForgetkitError ``usage``."""
        positive("utility_margin", self.utility_margin)
        choice("otherwise", self.otherwise, ("retrain", "stop"))
        if self.retrain and self.otherwise == "stop":
            hint = "leave one of them out"
            raise ForgetkitError("usage", "--otherwise stop contradicts --retrain", hint, option="otherwise")
        _ = self.share

    @property
    def share(self) -> float:
        """The budget as a share of a retraining.

        Raises:
            ForgetkitError: ``usage``.
        """
        text, percent = self.budget.strip().removesuffix("%"), self.budget.strip().endswith("%")
        try:
            share = float(text) / (100 if percent else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            message = f"'{self.budget}' is not a share of a retraining"
            raise ForgetkitError("usage", message, "from 0 to 1, or 0% to 100%", option="budget")
        return share
