"""SCRUB: away from the original on the forget set and back to it on the retain set, alternately.

Source: Kurmanji et al., "Towards Unbounded Machine Unlearning", NeurIPS 2023, section 3. In each of the first m epochs
maximise T²·KL(p_θ₀ ‖ p_θ) on the forget set; then, in all, minimise γ·CE + α·T²·KL(p_θ₀ ‖ p_θ) on the retain set.
Settings, small: Adam 5e-4, γ 1, α 0.5, T 2, m 3 of 10 epochs, batches 32 (forget) and 64 (retain); large: SGD 5e-4,
γ 0.99, α 0.001, T 4, m 2 of 3. Rewind (section 3.2): of all epochs, the one whose forget error is nearest to the error
on unseen data.
"""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.methods.losses import divergence
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Samples, predict
from forgetkit.training.updates import Update

SHIFT = 1 << 20
"""Added to the epochs of the forget set, so that both sets are shuffled independently."""


def scrub(
    model: nn.Module,
    forget: Samples,
    retain: Samples,
    *,
    epochs: int = 10,
    away_epochs: int = 3,
    batch_size: int = 64,
    ids_per_step: int = 32,
    ce_weight: float = 1.0,
    kl_weight: float = 0.5,
    temperature: float = 2.0,
    seed: int = 0,
) -> Iterator[Update]:
    """Alternate between maximising the divergence on the forget set and minimising it on the retain set.

    The teacher is the model before the first step; its outputs are computed once, so that it cannot train along. Batch
    norm and dropout are in train mode on the retain set, and in eval mode on the forget set: forgotten samples alone
    must not change running statistics.

    Args:
        model: the original.
        forget: images and labels of the forget set.
        retain: images and labels of the retain set.
        epochs: passes over the retain set.
        away_epochs: m, epochs that begin with a pass of ascent over the forget set.
        batch_size: retained samples in a step.
        ids_per_step: forgotten samples in a step.
        ce_weight: γ.
        kl_weight: α.
        temperature: T.
        seed: seed of the order.

    Source: Kurmanji et al. 2023, equations 3 and 4, Algorithm 1.
    """
    known = [predict(model, images) for images, _ in (forget, retain)]

    def away(rows: Tensor) -> Tensor:
        """Return −T²·KL(p_θ₀ ‖ p_θ) on the forget set."""
        return -divergence(known[0][rows], model.eval()(forget[0][rows]), temperature=temperature)

    def back(rows: Tensor) -> Tensor:
        """Return γ·CE + α·T²·KL(p_θ₀ ‖ p_θ) on the retain set."""
        logits = model.train()(retain[0][rows])
        near = divergence(known[1][rows], logits, temperature=temperature)
        return ce_weight * cross_entropy(logits, retain[1][rows]) + kl_weight * near

    for epoch in range(1, epochs + 1):
        if epoch <= away_epochs:
            for rows in shuffled(len(forget[1]), ids_per_step, seed=seed, epoch=epoch + SHIFT):
                yield Update(away, rows, epoch)
        for rows in shuffled(len(retain[1]), batch_size, seed=seed, epoch=epoch):
            yield Update(back, rows, epoch)
