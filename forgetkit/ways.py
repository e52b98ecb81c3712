"""The ways that ``forget`` tries, in this order, before it retrains. Without torch.

Where much is memorised only a second teacher, which never saw the ids, both forgets them and keeps the model
(docs/methods.md, Compared). One of one epoch is cheaper, but stops short of a retrained model; these two cost little
more (docs/unlearning.md, How cheap may the second teacher be). They were chosen on another original and other draws
than those that judge them.
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


WAYS = (
    Way("second teacher, 3 epochs by the recipe", Training(epochs=3, keep="last")),
    Way(
        "second teacher, 3 epochs of small batches",
        Training(epochs=3, optimizer="adam", batch_size=32, rate=0.002, schedule="cosine", keep="last"),
    ),
)
STUDENT = Training(optimizer="adam", rate=0.001, momentum=0.0, weight_decay=0.0, keep="last")
"""How the model itself is then trained, whatever its own recipe is."""
