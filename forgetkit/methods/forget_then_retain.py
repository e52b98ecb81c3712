"""Random labels in turn: in each epoch a pass over the forget set towards its targets, then one over the retain set.

Source: Fan et al., "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency", ICLR 2024, the code for
CIFAR-10 and SVHN. Settings: one label of all classes, drawn anew in each step; SGD 0.013, momentum 0.9, weight decay
5e-4, 10 epochs, batches of 256; a mask of the most salient half of the weights.
"""

from collections.abc import Callable, Iterator

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from forgetkit.training.batches import one_pass
from forgetkit.training.classifier import Samples
from forgetkit.training.loop import fit


def forget_then_retain(
    model: nn.Module,
    images: Tensor,
    targets: Callable[[int], Tensor],
    retain: Samples,
    *,
    optimizer: Optimizer,
    epochs: int = 10,
    forget_batch: int = 256,
    retain_batch: int = 256,
    seed: int = 0,
    done: int = 0,
) -> Iterator[Tensor]:
    """Descend CE(forgotten, target) in a pass, then CE(retained, y) in a pass, in turn; yield the loss of each step.

    Normalisation and dropout are in eval mode: forgotten samples must not move running statistics.

    Args:
        model: maps images to logits; changed in place.
        images: the forget set, of shape ``(samples, …)``.
        targets: the soft targets of the forget set in an epoch (counted from 1), float ``(samples, classes)``.
        retain: images and labels of the retain set.
        optimizer: over the model's parameters.
        epochs: passes over both.
        forget_batch: forgotten samples in a step.
        retain_batch: retained samples in a step.
        seed: of the order.
        done: steps that were taken before, and are passed over.

    Source: Fan et al. 2024, without the mask.
    """

    def batches(left: int) -> Iterator[tuple[Tensor, Tensor]]:
        for epoch in range(1, epochs + 1):
            gone = one_pass(len(images), forget_batch, seed=seed, purpose="turn forget", number=epoch)
            kept = one_pass(len(retain[1]), retain_batch, seed=seed, purpose="turn retain", number=epoch)
            if left < len(gone) + len(kept):
                soft = targets(epoch)
                taken = [((images, soft), rows) for rows in gone] + [(retain, rows) for rows in kept]
                yield from ((samples[0][rows], samples[1][rows]) for samples, rows in taken[left:])
            left = max(0, left - len(gone) - len(kept))

    model.eval()
    yield from fit(optimizer, batches(done), lambda batch: cross_entropy(model(batch[0]), batch[1]))
