"""The settings of ``forget``; without torch."""

from dataclasses import dataclass
from typing import Annotated

from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, OUTPUT, Option, UtilityMargin, check_positive, choice


@dataclass(frozen=True)
class Forget:
    """How much to try before a retraining."""

    budget: Annotated[str, Option("Most that all attempts may cost, in retrainings: 0.5 or 50%.", metavar="SHARE")] = (
        "50%"
    )
    utility_margin: UtilityMargin = 0.02
    otherwise: Annotated[
        str, Option("If every attempt fails: train without the ids, or stop.", metavar="retrain|stop")
    ] = "retrain"
    retrain: Annotated[bool, Option("Retrain at once, without the ids and by the original's recipe.")] = False
    shadows: Annotated[
        str | None, Option("Shadow models of the original.", metavar="FOLDER", unset="those beside it", panel=INPUT)
    ] = None
    leave_shadows: Annotated[
        bool, Option("Leave the shadow models as they are; shadows refresh makes them forget.", panel=OUTPUT)
    ] = False

    def check(self) -> None:
        """Refuse a value out of range; raises ForgetkitError ``usage``."""
        check_positive(self, "utility_margin")
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
