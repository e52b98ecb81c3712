"""The reminiscence attack: does a little training on the retain set bring back what seemed forgotten?"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.auditing.predictions import Predictions, predictions_of
from forgetkit.training.classifier import Samples, learner_of, predict
from forgetkit.training.cuda_graphs import take_step
from forgetkit.training.device import seed_for
from forgetkit.training.optimizers import make_optimizer

STEPS, BATCH = 100, 64
RATE, MOMENTUM = 0.01, 0.9


def reminded(
    classifier: nn.Module, forget: Samples, unseen: Samples, retain: Samples, *, seed: int = 0
) -> tuple[Predictions, Predictions]:
    """Return what a model says of forgotten and of unseen samples once a copy was trained a little on retained ones.

    Args:
        classifier: the model; it is not changed.
        forget: its forgotten samples.
        unseen: samples that it never saw, of the check half.
        retain: its retained samples, at least one.
        seed: of the draw.

    Returns:
        Predictions on ``forget`` and on ``unseen``.
    """
    learner = remind(classifier, retain, seed=seed)
    with torch.no_grad():
        said = [predictions_of(predict(learner, samples[0]), samples[1]) for samples in (forget, unseen)]
    return said[0], said[1]


def remind(classifier: nn.Module, retain: Samples, *, seed: int = 0) -> nn.Module:
    """Train a copy of a model on retained samples alone.

    The copy sees neither forgotten nor unseen samples: if they are exchangeable for the model, they are for the copy.
    It takes 100 steps of SGD (rate 0.01, momentum 0.9) of 64 samples, in training mode, as a training would go on: with
    the statistics of batch norm kept as they are, a ResNet diverges at this rate. Weights that were frozen learn, too.

    Args:
        classifier: the model; it is not changed.
        retain: its retained samples, at least one.
        seed: of the draw, and of dropout.

    Source: Xiao et al., "Reminiscence Attack on Residuals: Exploiting Approximate Machine Unlearning for Privacy", ICCV
    2025, whose idea this is: fine-tune the unlearned model, then infer. Steps, rate and the score (φ) are ours.
    """
    learner = learner_of(classifier).train()
    optimizer = make_optimizer(learner, "sgd", rate=RATE, momentum=MOMENTUM)
    images, labels = retain

    def loss(rows: Tensor) -> Tensor:
        """Return the loss of these retained samples."""
        return cross_entropy(learner(images[rows]), labels[rows])

    draw = torch.Generator().manual_seed(seed_for(seed, "rea"))
    with torch.random.fork_rng([labels.device] if labels.device.type == "cuda" else []):
        torch.manual_seed(seed_for(seed, "rea"))
        for _ in range(STEPS):
            take_step(optimizer, loss, torch.randint(len(labels), (BATCH,), generator=draw).to(labels.device))
    return learner.eval()
