"""Fine-tuning on the retain set alone, so that the rest fades; with a penalty, towards sparse weights.

Source: Jia et al., "Model Sparsity Can Simplify Machine Unlearning", NeurIPS 2023, sections 2 and 4:
CE on the retain set + α_e·‖θ‖₁, where α_e = α·(1 − e/(E − E₀)) in epoch e = 0, 1 …, and 0 in the last E₀ epochs.
Settings: SGD 0.01, momentum 0.9, weight decay 5e-4, 10 epochs, batch 256; α from 1e-5 to 1e-3.
"""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Samples
from forgetkit.training.updates import Update


def penalty_at(epoch: int, epochs: int, *, l1: float, free: int = 0) -> float:
    """Return α_e, the weight of ‖θ‖₁ in ``epoch`` (counted from 0) of ``epochs``, of which the last ``free`` have none.

    Source: Jia et al. 2023, section 4; the schedule that falls to 0.
    """
    return l1 * (1 - epoch / (epochs - free)) if epoch < epochs - free else 0.0


def finetune(
    model: nn.Module,
    forget: Samples,
    retain: Samples,
    *,
    epochs: int = 10,
    batch_size: int = 256,
    l1: float = 0.0,
    free_epochs: int = 0,
    seed: int = 0,
) -> Iterator[Update]:
    """Descend CE(retained, y) + α_e·‖θ‖₁.

    Batch norm and dropout are in train mode.

    Args:
        model: maps images to logits.
        forget: not read.
        retain: images and labels of the retain set.
        epochs: passes over the retain set.
        batch_size: samples in a step.
        l1: α, at least 0.
        free_epochs: E₀, epochs at the end without the penalty.
        seed: seed of the order.

    Source: Jia et al. 2023.
    """
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def plain(rows: Tensor) -> Tensor:
        """Return CE(retained, y)."""
        return cross_entropy(model.train()(retain[0][rows]), retain[1][rows])

    for epoch in range(epochs):
        penalty = penalty_at(epoch, epochs, l1=l1, free=free_epochs)

        def sparse(rows: Tensor, of: float = penalty) -> Tensor:
            """Return CE(retained, y) + α_e·‖θ‖₁."""
            return plain(rows) + of * sum(weight.abs().sum() for weight in weights)

        for rows in shuffled(len(retain[1]), batch_size, seed=seed, epoch=epoch + 1):
            yield Update(sparse if penalty else plain, rows, epoch + 1)
