"""SCRUB: away from the original on the forget set and back to it on the retain set, in turn.

Source: Kurmanji et al., "Towards Unbounded Machine Unlearning", NeurIPS 2023, section 3. In each of the first m epochs
maximise T²·KL(p_θ₀ ‖ p_θ) on the forget set; then, in all, minimise γ·CE + α·T²·KL(p_θ₀ ‖ p_θ) on the retain set.
Settings, small: Adam 5e-4, γ 1, α 0.5, T 2, m 3 of 10 epochs, batches 32 (forget) and 64 (retain); large: SGD 5e-4,
γ 0.99, α 0.001, T 4, m 2 of 3. Rewind (section 3.2): of all epochs, the one whose forget error is nearest to the error
on unseen data.
"""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from forgetkit.methods.losses import divergence
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Samples, predict
from forgetkit.training.loop import fit

SHIFT = 1 << 20
"""Between the epochs' numbers of both sets, so that their orders have nothing in common."""


def scrub(
    model: nn.Module,
    forget: Samples,
    retain: Samples,
    *,
    optimizer: Optimizer,
    epochs: int = 10,
    away_epochs: int = 3,
    batch_size: int = 64,
    forget_batch: int = 32,
    ce_weight: float = 1.0,
    kl_weight: float = 0.5,
    temperature: float = 2.0,
    seed: int = 0,
    done: int = 0,
) -> Iterator[int]:
    """Take the steps of SCRUB; yield after each the number of its epoch, from 1.

    The teacher is what the model says before the first step, computed once: it cannot train along. Normalisation and
    dropout are in eval mode.

    Args:
        model: the original; changed in place.
        forget: images and labels of the forget set.
        retain: images and labels of the retain set.
        optimizer: over the model's parameters.
        epochs: passes over the retain set.
        away_epochs: m, epochs that begin with a pass of ascent over the forget set.
        batch_size: retained samples in a step.
        forget_batch: forgotten samples in a step.
        ce_weight: γ.
        kl_weight: α.
        temperature: T.
        seed: of the order.
        done: steps that were taken before, and are passed over; the model is the original still.

    Source: Kurmanji et al. 2023, equations 3 and 4, Algorithm 1.
    """
    model.eval()
    known = [predict(model, images) for images, _ in (forget, retain)]

    def away(rows: Tensor) -> Tensor:
        return -divergence(known[0][rows], model(forget[0][rows]), temperature=temperature)

    def back(rows: Tensor) -> Tensor:
        logits = model(retain[0][rows])
        near = divergence(known[1][rows], logits, temperature=temperature)
        return ce_weight * cross_entropy(logits, retain[1][rows]) + kl_weight * near

    def steps(left: int) -> Iterator[int]:
        for epoch in range(1, epochs + 1):
            of_forget = shuffled(len(forget[1]), forget_batch, seed=seed, epoch=epoch + SHIFT)
            of_retain = shuffled(len(retain[1]), batch_size, seed=seed, epoch=epoch)
            for loss, batches in ((away, of_forget if epoch <= away_epochs else []), (back, of_retain)):
                over = min(left, len(batches))
                left -= over
                for _ in fit(optimizer, batches[over:], loss):
                    yield epoch

    return steps(done)
