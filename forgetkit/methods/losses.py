"""The divergence of a student's softened output from a teacher's."""

from torch import Tensor
from torch.nn.functional import kl_div


def divergence(teacher: Tensor, student: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Return T²·KL(softmax(teacher/T) ‖ softmax(student/T)), the mean over the batch.

    Args:
        teacher: logits, float of shape ``(batch, classes)``; no gradient is wanted of them.
        student: logits, likewise.
        temperature: T > 0.

    Source: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.
    """
    soft = [(logits / temperature).log_softmax(1) for logits in (student, teacher)]
    return temperature**2 * kl_div(soft[0], soft[1], reduction="batchmean", log_target=True)
