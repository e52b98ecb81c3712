"""What an audit judges, from a module and tensors of the caller's own: no checkpoint, no data set, no record."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from forgetkit.auditing.arguments import check_samples
from forgetkit.auditing.check import Check
from forgetkit.auditing.checks.attack_checks import Attacked
from forgetkit.auditing.checks.attacks import Answers
from forgetkit.auditing.checks.lookup import MOST_IDS, MOST_UNSEEN, drawn, lookup_check
from forgetkit.auditing.checks.rea import reminded
from forgetkit.auditing.checks.registered import run_registered
from forgetkit.auditing.checks.relearn import relearn_check
from forgetkit.auditing.checks.relearn_like import lessons_of, losses_of, rank_of_relearning
from forgetkit.auditing.evidence import Evidence
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import VIEWS, ModelPredictions, Predictions, predictions_of, view_of
from forgetkit.errors import ForgetkitError
from forgetkit.files.id_list import digest_of
from forgetkit.models.finite import not_finite
from forgetkit.models.tensor_file import DTYPES, tensor_digest
from forgetkit.statistics.relearning import Losses
from forgetkit.training.classifier import Samples, learner_of, predict, rows_of

SETS = ("forget", "retain", "unseen")
NO_RECORD = "no checkpoint was given: record and lineage were not checked"


def evidence_in_memory(
    model: nn.Module,
    original: nn.Module | None,
    references: Sequence[nn.Module],
    samples: dict[str, Samples],
    *,
    policy: Policy,
    relearn: bool = False,
    attacks: tuple[str, ...] = (),
) -> Evidence:
    """Evaluate the modules and run the checks on the modules themselves; their mode and weights stay as they are.

    Args:
        model: the model under audit; maps images to logits of shape ``(samples, classes)``.
        original: likewise, the positive control.
        references: likewise, models trained without the samples.
        samples: images and labels by the names ``forget``, ``retain`` and ``unseen``: images of any shape and dtype
            that the modules accept, labels int64 of shape ``(samples,)``. Ids are row numbers of ``forget``.
        policy: what decides, and by how much.
        relearn: also train copies on forgotten and on unseen samples.
        attacks: the attacks to make, names of :data:`forgetkit.auditing.check.ATTACKS`.

    Raises:
        ForgetkitError: ``usage`` for samples that do not fit together; ``model-mismatch`` for a module that does not
            return finite logits of these classes; ``plugin-malformed`` for a registered check that fails.
    """
    for name, (images, labels) in samples.items():
        check_samples(name, images, labels)
    broken = not_finite(_state(model))
    after = None if broken else _predict(model, "the model", samples)
    if after is not None and not after.finite:
        after, broken = None, "the output"
    before = None if original is None else _control(original, "the original", samples)
    found = [_control(one, f"reference {number}", samples) for number, one in enumerate(references, 1)] if after else []
    others = [] if after is None else [_lookup(model, samples)]
    if after is not None and relearn:
        others += _relearning(model, original, references, samples, level=policy.level)
    classes = after.classes if after else 0
    checked = None if after is None else model
    others += run_registered(checked, original, lambda: _placed(model, samples), classes=classes, policy=policy)
    ids = [str(row) for row in range(len(samples["forget"][1]))]
    inputs = _inputs(model, original, references, samples, ids)
    again = _remind(model, original, references, samples) if after and "rea" in attacks else None
    checks = _integrity(model, original, broken), others
    return Evidence(ids, inputs, after, before, found, *checks, attacks=attacks, reminded=again)


def _remind(
    model: nn.Module, original: nn.Module | None, references: Sequence[nn.Module], samples: dict[str, Samples]
) -> Attacked | None:
    """Return what each module says after a little training on the retain set; None if there is nothing to train."""
    if not _can_learn((model, original, *references), samples):
        return None

    def after(one: nn.Module) -> Answers:
        """Return what one module then says."""
        forget, retain, unseen = _placed(one, samples)
        return reminded(one, forget, unseen, retain)

    return Attacked(after(model), None if original is None else after(original), [after(one) for one in references])


def _lookup(model: nn.Module, samples: dict[str, Samples]) -> Check:
    """Return the check whether these very images are looked up, on some of them."""
    forget, _, unseen = _placed(model, samples)
    parts = [(forget, MOST_IDS), (unseen, MOST_UNSEEN)]
    return lookup_check(model, *(rows_of(part, drawn(len(part[1]), most)) for part, most in parts))


def _relearning(
    model: nn.Module,
    original: nn.Module | None,
    references: Sequence[nn.Module],
    samples: dict[str, Samples],
    *,
    level: float,
) -> list[Check]:
    """Teach the samples to each module, on copies, and compare: with unseen samples, and with references if given."""

    def _losses(module: nn.Module) -> Losses:
        forget, retain, _ = _placed(module, samples)
        return losses_of(module, lessons_of(forget, retain))

    if not _can_learn((model, original, *references), samples):
        return [Check("relearn", "not-run", "there are no weights that could learn")]
    forget, retain, unseen = _placed(model, samples)
    found = [relearn_check(model, forget, unseen, retain)]
    if not references:
        return found
    before = None if original is None else _losses(original)
    return [*found, rank_of_relearning(_losses(model), before, [_losses(one) for one in references], level=level)]


def _can_learn(modules: Sequence[nn.Module | None], samples: dict[str, Samples]) -> bool:
    """Say whether gradients reach weights of every module: quantised ones have none, some compute without any."""
    return all(one is None or _learns(one, samples) for one in modules)


def _learns(module: nn.Module, samples: dict[str, Samples]) -> bool:
    (images, _), *_ = _placed(module, samples)
    learner = learner_of(module)
    return any(one.requires_grad for one in learner.parameters()) and learner(images[:1]).requires_grad


def _predict(model: nn.Module, name: str, samples: dict[str, Samples]) -> ModelPredictions:
    """Evaluate a module on all samples, and on the views of forgotten images."""
    forget, retain, unseen = _placed(model, samples)
    found = _predictions(model, name, *forget)
    views = VIEWS if forget[0].ndim == 4 else ()
    return ModelPredictions(
        forget=found,
        unseen=_predictions(model, name, *unseen),
        retain=_predictions(model, name, *retain),
        earlier=found.take(np.zeros(len(found), dtype=bool)),
        views={view: _predictions(model, name, _view(forget[0], view), forget[1]) for view in views},
        canaries=np.empty(0),
    )


def _view(images: Tensor, view: str) -> Tensor:
    """Return a view in the dtype that the module accepts."""
    seen = view_of(images, view)
    return seen.to(images.dtype) if images.is_floating_point() else seen.round().to(images.dtype)


def _control(model: nn.Module, name: str, samples: dict[str, Samples]) -> ModelPredictions:
    found = _predict(model, name, samples)
    if not found.finite:
        raise ForgetkitError("model-mismatch", f"{name}: its outputs are not finite")
    return found


def _predictions(model: nn.Module, name: str, images: Tensor, labels: Tensor) -> Predictions:
    """Return what a module predicts for some images."""
    logits = predict(model, images)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] < 2:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        hint = "wrap it in a module that returns logits of shape (samples, classes)"
        raise ForgetkitError("model-mismatch", f"{name} returns {found}, not logits", hint)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        message = f"{name} has {logits.shape[1]} classes, but there are labels from {low} to {high}"
        raise ForgetkitError("model-mismatch", message, "number the classes from 0")
    return predictions_of(logits.float(), labels)


def _placed(model: nn.Module, samples: dict[str, Samples]) -> tuple[Samples, Samples, Samples]:
    """Return the forget set, the retain set and the unseen samples on the device of a module."""
    device = next((one.device for one in model.parameters()), torch.device("cpu"))
    forget, retain, unseen = (samples[name] for name in SETS)
    return _to(device, forget), _to(device, retain), _to(device, unseen)


def _to(device: torch.device, samples: Samples) -> Samples:
    return samples[0].to(device), samples[1].to(device, torch.int64)


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a module, complex ones as pairs of reals, of the types that have a digest."""
    tensors = {name: one for name, one in model.state_dict().items() if isinstance(one, Tensor)}
    real = {name: torch.view_as_real(one) if one.is_complex() else one for name, one in tensors.items()}
    return {name: one for name, one in real.items() if one.dtype in DTYPES}


def _digestible(model: nn.Module) -> bool:
    """Say whether a digest covers all that a module keeps; quantised weights are packed into what has none."""
    return bool(kept := model.state_dict()) and len(_state(model)) == len(kept)


def _integrity(model: nn.Module, original: nn.Module | None, broken: str | None) -> Check:
    """Check what can be checked without a record: that the weights are finite, and not the original's."""
    if broken:
        return Check("integrity", "fail", f"'{broken}' contains NaN or infinity", gating=True)
    comparable = original is not None and _digestible(model) and _digestible(original)
    if original is not None and comparable and tensor_digest(_state(model)) == tensor_digest(_state(original)):
        return Check("integrity", "fail", "the weights are the original's, bit for bit", gating=True)
    return Check("integrity", "not-run", NO_RECORD, gating=True)


def _inputs(
    model: nn.Module,
    original: nn.Module | None,
    references: Sequence[nn.Module],
    samples: dict[str, Samples],
    ids: list[str],
) -> dict[str, Any]:
    """Return the digests of what was given."""
    tensors = {f"{name}.images": images for name, (images, _) in samples.items()}
    tensors |= {f"{name}.labels": labels for name, (_, labels) in samples.items()}
    return {
        "checkpoint": tensor_digest(_state(model)),
        "original": None if original is None else tensor_digest(_state(original)),
        "references": [tensor_digest(_state(one)) for one in references],
        "dataset": tensor_digest(tensors),
        "ids": {"count": len(ids), "digest": digest_of(ids)},
    }
