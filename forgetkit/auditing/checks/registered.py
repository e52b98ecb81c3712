"""The checks of plugins and installed packages: called with what they name, and their results checked."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from math import isfinite

from pydantic import TypeAdapter, ValidationError
from torch import nn

from forgetkit.auditing.check import CHECKS, Check
from forgetkit.auditing.policy import Policy
from forgetkit.errors import ForgetkitError
from forgetkit.registry import defined_at, foreign
from forgetkit.training.classifier import Samples


def run_registered(
    model: nn.Module | None,
    original: nn.Module | None,
    samples: Callable[[], tuple[Samples, Samples, Samples]],
    *,
    classes: int,
    policy: Policy,
) -> list[Check]:
    """Run every registered check, on models in eval mode.

    Args:
        model: the model under audit; None where its numbers are not finite: then no check is run.
        original: the original, if it was given.
        samples: returns images and labels of the forget set, the retain set and the check half of the unseen split;
            not called if there is no check to run.
        classes: number of classes.
        policy: names the checks that may decide, and the level.

    Raises:
        ForgetkitError: ``plugin-malformed`` for a check that raises, or that returns anything but a check.
    """
    names = list(CHECKS)
    if not names or model is None:
        return [_counted(Check(name, "not-run", "NaN or infinity"), name, policy) for name in names]
    passed: dict[str, object] = dict(zip(("forget", "retain", "unseen"), samples(), strict=True))
    passed |= {"model": model, "original": original, "classes": classes, "level": policy.level, "seed": 0}
    modes = [(module, module.training) for module in (model, original) if module is not None]
    for module, _ in modes:
        module.eval()
    found = [_counted(_run(name, passed), name, policy) for name in names]
    for module, training in modes:
        module.train(training)
    return found


def _counted(check: Check, name: str, policy: Policy) -> Check:
    """Return a check as it counts: it informs unless the policy names it, and no pass of it proves forgetting."""
    gating = name in (policy.gating or ()) and check.verdict != "info"
    verdict = check.verdict if gating or check.verdict == "not-run" else "info"
    return replace(check, id=name, group="ids", gating=gating, verdict=verdict, proves=False, weak=False)


def _run(name: str, passed: dict[str, object]) -> Check:
    """Call one check with what its signature names."""
    function = CHECKS[name]
    named, place = inspect.signature(function).parameters, defined_at(function)
    with foreign(place.rpartition(":")[0] or place, f"correct the check '{name}'; --debug shows the traceback"):
        result = function(**{key: value for key, value in passed.items() if key in named})
    if result is None:
        return Check(name, "not-run", "does not apply to this model")
    if not isinstance(result, Check):
        raise _malformed(name, f"returned {type(result).__name__}, not a Check or None")
    try:
        check = TypeAdapter(Check).validate_python(vars(result))
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_context=False)[0]
        fault = f"{'.'.join(map(str, first['loc']))}: {first['msg'][0].lower()}{first['msg'][1:]}"
        raise _malformed(name, f"returned a Check with an impossible {fault}") from problem
    return _finite(check)


def _finite(check: Check) -> Check:
    """Return a check without numbers that no JSON document can hold."""
    numbers = {key: getattr(check, key) for key in ("statistic", "interval", "null", "margin", "p")}
    lost = [key for key, value in numbers.items() if value is not None and not _is_finite(value)]
    if not lost:
        return check
    changes: dict[str, None] = dict.fromkeys(lost)
    return replace(check, **changes, note=f"{check.note}; not finite: {', '.join(lost)}")  # type: ignore[arg-type]


def _is_finite(value: float | tuple[float, float]) -> bool:
    return all(map(isfinite, value if isinstance(value, tuple) else (value,)))


def _malformed(name: str, why: str) -> ForgetkitError:
    message = f"{defined_at(CHECKS[name])}: the check '{name}' {why}"
    return ForgetkitError("plugin-malformed", message, "return Check(name, verdict, note), or None if it was not run")
