"""The ways that ``forget`` tries, in this order, before it retrains. Without torch.

Chosen by the comparison in docs/methods.md: where much is memorised only a second teacher, which never saw the ids,
both forgets them and keeps the model. A cheap one does for membership and accuracy; a dearer one ends nearer to a
retraining.
"""

from dataclasses import dataclass

from forgetkit.options import Training


@dataclass(frozen=True)
class Way:
    """One way to forget: distillation from the model itself on the retain set, and from a second teacher on the ids.

    Attributes:
        name: as the record and the messages have it.
        teacher: the training of the second teacher.
    """

    name: str
    teacher: Training


def _teacher(epochs: int) -> Training:
    """Return a short training: its model is weak, but can say how hard each sample is."""
    return Training(epochs=epochs, optimizer="adam", batch_size=32, rate=0.002, schedule="cosine", keep="last")


WAYS = (
    Way("second teacher of 1 epoch", _teacher(1)),
    Way("second teacher of 3 epochs", _teacher(3)),
)
STUDENT = Training(optimizer="adam", rate=0.001, momentum=0.0, weight_decay=0.0, keep="last")
"""How the model itself is then trained, whatever its own recipe is."""
