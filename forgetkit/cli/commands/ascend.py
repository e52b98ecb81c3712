"""``forgetkit ascend``: gradient ascent on the ids, held by the retain set."""

from dataclasses import dataclass
from typing import Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.errors import ForgetkitError
from forgetkit.options import Checkpoint, Option, refuse_given
from forgetkit.unlearning.method_options import EpochSettings, IdsPerStep
from forgetkit.unlearning.step_options import MethodOptions


@dataclass(frozen=True)
class Ascend(EpochSettings):
    """How to ascend."""

    alpha: Annotated[float, Option("Weight of the cross-entropy on retained samples.", metavar="FLOAT", min=0)] = 0.95
    ids_per_step: IdsPerStep = 64

    @property
    def uses_retained(self) -> bool:
        """Whether it is not ascent alone."""
        return self.alpha > 0

    def check(self) -> None:
        """Refuse a value out of range, or without effect; raises ForgetkitError ``usage``."""
        super().check()
        if not 0 <= self.alpha <= 1:
            raise ForgetkitError("usage", f"{self.alpha} is not in [0, 1)", "the authors' is 0.95", option="alpha")
        if self.alpha == 1:
            hint = "that is fine-tuning: forgetkit finetune"
            raise ForgetkitError("usage", "1 leaves the ids no weight", hint, option="alpha")
        if not self.alpha:
            refuse_given(self, ("batch_size",), "not with --alpha 0", "no retained sample is read then")


def ascend(checkpoint: Checkpoint, *, settings: Ascend, options: MethodOptions) -> None:
    """Raise the loss on the ids (NegGrad+, Kurmanji et al. 2023).

    Retained samples hold the model: a step descends alpha times the loss on retained samples minus 1 - alpha times that
    on ids; --alpha 0 is ascent alone. It stops when the ids look like unseen samples; --stop published takes all
    epochs. Without a stop it diverges.

    Examples:
        forgetkit ascend model.st --ids ids.txt
        forgetkit ascend model.st -i ids.txt --stop published --epochs 2
    """
    from forgetkit.methods.ascend import ascend as method
    from forgetkit.unlearning.run_method import run_method

    console = Console(options.output)
    report(console, run_method("ascend", method, checkpoint, settings, options, tell=console), options.booked)
