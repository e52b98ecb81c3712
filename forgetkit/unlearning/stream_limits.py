"""Limits of a stream of requests: how many ids, and how far from models that never saw them (docs/unlearning.md)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.options import REQUESTS, Option, choice, positive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forgetkit.files.record import Record
    from forgetkit.unlearning.inputs import Request

JUDGED_FROM = 300
"""Number of ids forgotten so far from which on the membership AUC can judge."""
RETRAIN = "retrain without them: --on-limit retrain"
MEMBERSHIP_BOUND = 0.10
"""Largest upper 95 % bound of |AUC − ½|."""


@dataclass(frozen=True)
class Limits:
    """The limits of a stream of requests."""

    sequence_limit: Annotated[
        int | None,
        Option(
            "Stop, or retrain, at the request with the Nth id since the last training from scratch.",
            metavar="N",
            min=1,
            panel=REQUESTS,
        ),
    ] = None
    max_divergence: Annotated[
        str | None,
        Option(
            "Largest divergence from the references on the ids; auto: as far as they lie apart.",
            metavar="auto|FLOAT",
            panel=REQUESTS,
        ),
    ] = None
    reference: Annotated[
        list[str] | None,
        Option(
            "Model trained without the ids, or a folder of them, for --max-divergence. Repeat for more.",
            metavar="FILE-or-FOLDER",
            panel=REQUESTS,
        ),
    ] = None
    on_limit: Annotated[
        str,
        Option("If a limit is exceeded or the step fails: write nothing, or retrain.", "stop|retrain", panel=REQUESTS),
    ] = "stop"

    def check(self) -> None:
        """Refuse values out of range, or that need each other; raises ForgetkitError ``usage``."""
        choice("--on-limit", self.on_limit, ("stop", "retrain"))
        if self.bound is not None:
            positive("--max-divergence", self.bound, usual=1)
        if self.reference and self.max_divergence is None:
            raise ForgetkitError("usage", "--reference needs --max-divergence", "for example --max-divergence auto")
        if self.bound is not None and not self.reference:
            raise ForgetkitError("usage", "--max-divergence FLOAT needs --reference", "or --max-divergence auto")

    @property
    def bound(self) -> float | None:
        """The bound, if it is given as a number."""
        if self.max_divergence in {None, "auto"}:
            return None
        try:
            return float(self.max_divergence or "")
        except ValueError:
            message = f"--max-divergence: '{self.max_divergence}' is neither 'auto' nor a number"
            raise ForgetkitError("usage", message, "for example --max-divergence 0.3") from None

    def options(self, digests: list[str]) -> dict[str, Any]:
        """Return what a step records of them, as far as it is known before the step; empty without limits."""
        if self.sequence_limit is None and self.max_divergence is None:
            return {}
        limits: dict[str, Any] = {} if self.sequence_limit is None else {"sequence_limit": self.sequence_limit}
        if self.max_divergence is not None:
            limits |= {"max_divergence": self.bound}
        return {**limits, "on_limit": self.on_limit, "references": digests}

    @property
    def searched(self) -> list[str]:
        """The options that the step finds by itself."""
        return ["max_divergence"] if self.max_divergence == "auto" else []

    def check_sequence(self, request: "Request") -> None:
        """Refuse the request that reaches the sequence limit, counted from the last training; raises NotReached.

        Source: Li & Ghosh 2023, section 3: "whenever the sequence length l is reached, the model is retrained".
        """
        before = sum(step.ids["count"] for step in request.record.steps if step.ids and step.parent is not None)
        if self.sequence_limit is not None and before + len(request.ids) >= self.sequence_limit:
            count = f"{before + len(request.ids)} ids forgotten since the last training from scratch"
            raise NotReached(f"{count}: --sequence-limit {self.sequence_limit} is reached", RETRAIN)

    def check_references(self, count: int) -> None:
        """Refuse references from which no bound follows; raises ForgetkitError ``usage``."""
        from forgetkit.statistics.divergence import AUTO_FROM

        if self.max_divergence == "auto" and 0 < count < AUTO_FROM:
            message = f"--max-divergence auto needs {AUTO_FROM} references, or none, not {count}"
            raise ForgetkitError("usage", message, "train more (train --like … --replicas), or give a number")


def check_accuracy(kept: float, now: float, margin: float) -> None:
    """Refuse a model that lost accuracy: one that fails on everybody forgets nobody in particular.

    Args:
        kept: accuracy on the tune half before the step, or after the last training if that was higher.
        now: after the step.
        margin: what may be lost.

    Raises:
        NotReached: if more was lost.
    """
    if now < kept - margin:
        message = f"accuracy on the tune half fell from {kept:.2%} to {now:.2%}, by more than {margin:g}"
        raise NotReached(message, RETRAIN)


def check_divergence(
    softmax: "NDArray[np.float64]", references: "list[NDArray[np.float64]]", bound: float | None
) -> dict[str, Any]:
    """Compare a model's divergence from references with a bound.

    Args:
        softmax: of the model on all ids forgotten so far, float64 of shape ``(n, classes)``.
        references: of each reference on the same samples.
        bound: of the statistic T; None for the one that honest retraining shows, which needs 5 references.

    Returns:
        what the record holds of it.

    Raises:
        NotReached: if the bound is exceeded.
    """
    from forgetkit.statistics.divergence import auto_bound, divergence, least_divergence, mean_of

    apart = divergence(softmax, mean_of(references)) if bound is not None else least_divergence(softmax, references)
    found: dict[str, Any] = {"divergence": apart.statistic}
    found |= {"cosine_divergence": apart.cosine_statistic, "norm_difference": apart.norm_statistic}
    if bound is None:
        auto = auto_bound(references)
        found["false_alarms"] = auto.false_alarms
        bound = auto.value
    found["divergence_bound"] = bound
    if found["divergence"] > bound:
        message = f"the ids lie {found['divergence']:.3f} from the references, beyond the bound {bound:.3f}"
        raise NotReached(message, RETRAIN)
    return found


def check_membership(forget: tuple[Any, Any], unseen: tuple[Any, Any]) -> dict[str, Any]:
    """Judge by the membership AUC, for lack of references: φ and labels of all ids so far, and of the tune half.

    Raises:
        NotReached: from 300 ids on, if the upper 95 % bound of |AUC − ½| is above 0.10.
    """
    from forgetkit.statistics.membership_auc import stratified_auc

    if len(forget[1]) < JUDGED_FROM:
        return {"membership_bound": None}
    low, high = stratified_auc(*forget, *unseen).estimate.narrow
    worst = max(0.5 - low, high - 0.5)
    if worst > MEMBERSHIP_BOUND:
        message = f"membership AUC of the {len(forget[1])} ids so far may be {worst:.3f} from ½, beyond 0.10"
        raise NotReached(message, RETRAIN)
    return {"membership_bound": worst}


def open_references(names: list[str], request: "Request") -> "list[tuple[Path, Record]]":
    """Return path and record of each reference, a folder standing for all in it.

    Raises:
        ForgetkitError: ``checkpoint-missing``, ``checkpoint-malformed``; ``checkpoint-mismatch`` for one of other data,
            or trained on an id that was forgotten.
    """
    from forgetkit.data.deleted_rows import check_same_data
    from forgetkit.files.header import checkpoint_files, open_checkpoint

    ids = request.dataset.train.ids_at(request.all_forgotten_rows)
    opened = [open_checkpoint(str(path)) for name in names for path in checkpoint_files(name)]
    for path, record in opened:
        check_same_data(path, record, request.record, "reference")
        if known := int(record.retains(ids).sum()):
            message = (
                f"{path}: it was trained on {known} of the {len(ids)} ids forgotten so far, so it cannot serve as one"
            )
            raise ForgetkitError("checkpoint-mismatch", message, "make one with: forgetkit train --like … --exclude …")
    return opened
