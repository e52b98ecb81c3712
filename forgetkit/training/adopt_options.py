"""What adoption can be told of weights from elsewhere, for scripts and for ``forgetkit adopt`` alike. Without torch."""

from dataclasses import dataclass
from typing import Annotated

from forgetkit.errors import ForgetkitError
from forgetkit.options import DETAILS, INPUT, Option, choice
from forgetkit.training.train_options import MODEL, ImageSize

CLASS_ORDERS = ("dataset", "text")
"""Orders of classes: that of the data set, or of their names as text (0, 1, 10, 11, 2 …), as ImageFolder sorts them."""


@dataclass(frozen=True)
class Origin:
    """The model of the weights, which tensors of the file are its own, and what its input and its classes were."""

    model: Annotated[str | None, Option(MODEL, metavar="NAME", unset="config.json's")] = None
    model_option: Annotated[
        list[str] | None, Option("An option of the model. Repeat for more.", metavar="KEY=VALUE", panel=DETAILS)
    ] = None
    image_size: ImageSize = None
    replace_head: Annotated[bool, Option("Replace the layers that depend on the number of classes.")] = False
    prefix: Annotated[
        str | None,
        Option("Take tensors whose names begin so, if there are several models: ema.", "TEXT", panel=DETAILS),
    ] = None
    drop: Annotated[
        list[str] | None,
        Option("Leave out tensors with such names: 'aux.*'. Repeat for more.", "PATTERN", panel=DETAILS),
    ] = None
    class_order: Annotated[
        str | None,
        Option(
            "Order of the logits: the data set's, or text (0, 1, 10, 2), as torchvision's ImageFolder.",
            metavar="dataset|text",
            unset="that of the names beside the weights, else dataset",
            panel=INPUT,
        ),
    ] = None
    mean: Annotated[
        str | None,
        Option("Mean subtracted from each channel (pixels: 0 to 1).", "FLOAT,…", unset="config.json's", panel=INPUT),
    ] = None
    std: Annotated[
        str | None, Option("Deviation that divided each channel.", "FLOAT,…", unset="config.json's", panel=INPUT)
    ] = None

    def check(self) -> None:
        """Refuse what cannot be meant: ForgetkitError ``usage``."""
        if self.class_order is not None:
            choice("class_order", self.class_order, CLASS_ORDERS)

    def normalisation(self, channels: int) -> tuple[list[float], list[float]] | None:
        """Return mean and standard deviation of each channel; None if they are not given.

        Raises:
            ForgetkitError: ``usage``.
        """
        if self.mean is None and self.std is None:
            return None
        if self.mean is None or self.std is None:
            raise ForgetkitError("usage", "--mean and --std go together", "for example: --mean 0.5 --std 0.5")
        return _numbers("--mean", self.mean, channels), _numbers("--std", self.std, channels)


def _numbers(option: str, text: str, channels: int) -> list[float]:
    """Return a number for each channel, from as many or from one; raises ForgetkitError ``usage``."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    hint = f"for example: {option} {','.join(['0.5'] * channels)}"
    if len(found) not in (1, channels):
        message = f"{option}: '{text}' is neither a number nor one for each of {channels} channels"
        raise ForgetkitError("usage", message, hint)
    low = 0.0 if option == "--mean" else 1e-6
    if not all(low <= value <= 1 for value in found):
        message = f"{option}: {text} is out of range for pixels from 0 to 1"
        raise ForgetkitError("usage", message, f"{hint}; divide values for pixels from 0 to 255 by 255")
    return found * (channels // len(found))
