"""The result of a check, and the registry of checks from outside. Rules: docs/audit.md."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal

from forgetkit.errors import did_you_mean
from forgetkit.registry import Registry, malformed_plugin, parameters_of
from forgetkit.statistics.intervals import Estimate

ONLY_CANARIES = "the samples in question are canaries, which other checks judge"
"""Why a check is not run."""
BY_ITSELF = " (by itself: "
"""What separates, in the note of a check that only informs, why it does so from what it found."""
CheckVerdict = Literal["pass", "fail", "inconclusive", "info", "not-run"]
Usefulness = Literal["kept", "lost", "open"]
Verdict = Literal["forgotten", "not-forgotten", "over-forgotten", "utility-lost", "inconclusive"]


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        id: name of the check.
        verdict: the outcome; ``info`` for one that only informs.
        note: what it means, in words.
        group: the samples: ``ids`` in question, those forgotten ``earlier``, or ``canaries``.
        gating: whether it decides the verdict.
        n: number of samples.
        statistic: the measured value.
        interval: its confidence interval, of 95 % at the default level.
        null: the value where nothing leaks.
        margin: the largest distance from ``null`` that still counts as nothing.
        p: p-value, of a check that is a test.
        proves: whether a pass shows that something was forgotten.
        weak: whether no model could have passed at this number of samples.
    """

    id: str
    verdict: CheckVerdict
    note: str
    group: str = "ids"
    gating: bool = False
    n: int | None = None
    statistic: float | None = None
    interval: tuple[float, float] | None = None
    null: float | None = None
    margin: float | None = None
    p: float | None = None
    proves: bool = False
    weak: bool = False

    @property
    def over(self) -> bool:
        """Whether the statistic lies below the value where nothing leaks."""
        return self.statistic is not None and self.null is not None and self.statistic < self.null

    def to_json(self) -> dict[str, Any]:
        """Return the check as the report has it."""
        names = ("id", "group", "gating", "n", "statistic", "null", "margin", "p", "verdict", "note")
        return {
            **{name: getattr(self, name) for name in names},
            "interval": list(self.interval) if self.interval else None,
        }


def check_of(
    id_: str,
    estimate: Estimate,
    verdict: CheckVerdict,
    note: str,
    *,
    null: float | None = None,
    margin: float | None = None,
) -> Check:
    """Return the check of an estimate; an interval without an upper bound is left out, with a note."""
    interval: tuple[float, float] | None = estimate.wide
    if not all(map(isfinite, estimate.wide)):
        interval, note = None, f"{note}; at least {estimate.wide[0]:.3f}, no upper bound"
    return Check(
        id_, verdict, note, n=estimate.n, statistic=estimate.value, interval=interval, null=null, margin=margin
    )


def with_control(check: Check, control: Check | None) -> Check:
    """Return a check as it counts, given the same check on the original.

    A failure counts in any case. Anything else only informs, unless the original fails as a model that remembers:
    otherwise the check would not have caught such a model.
    """
    if control is None or check.verdict == "fail" or (control.verdict == "fail" and not control.over):
        return check
    return replace(check, verdict="info", gating=False, note=f"{_weakness(control)}{BY_ITSELF}{check.note})")


def _weakness(control: Check) -> str:
    """Say why a pass would prove nothing, given the check on the original, which did not fail."""
    value, span, null = control.statistic, control.interval, control.null
    if value is None:
        return f"not measured: {control.note}"
    if control.id == "chance":
        return f"the original ({value:.2%}) is not reliably more accurate than a guess: a pass would prove little"
    if span is None or null is None or span[0] <= null <= span[1]:
        return "nothing measurable was memorised: the original does not differ from the right value either"
    side = "remembers them" if value > null else "is less certain of them"
    return f"the original {side} ({value:.3f}), but not reliably beyond the margin: a pass would prove little"


CheckFunction = Callable[..., Check | None]
"""A check of a plugin or an installed package: see :data:`register_check`."""
PASSED = ("model", "original", "forget", "retain", "unseen", "classes", "level", "seed")
"""What a registered check may ask for, by the names of its parameters."""
ATTACKS = ("loss", "phi", "label", "rmia", "lira", "bavaria", "ulira", "ruli", "rea")
"""The attacks of the field that an audit can make; the check of each is ``attack-`` and its name."""
ATTACK_IDS = tuple(f"attack-{name}" for name in ATTACKS)
BUILT_IN = (
    *("integrity", "exchangeable", "vanished", "membership", "chance", "chance-hflip", "chance-vflip", "chance-crop"),
    *("utility", "utility-worst-class", "advantage", "low-fpr", "low-fpr-over", "per-id", "per-id-calibrated"),
    *("references", "rank", "closer", "divergence", "canaries", "canaries-epsilon", "twins", "twins-retained"),
    *("calibrated", "relearn", "relearn-rank", "relearn-shadows", "lookup"),
    *("hardness-memorised", "hardness-vulnerable", "hardness-safe", "attacks", *ATTACK_IDS),
)
"""Ids of forgetkit's own checks; those that end in ``-original`` are the controls."""


CHECK_ID = re.compile("[A-Za-z][A-Za-z0-9_-]*")


def check_function(name: str, function: CheckFunction) -> None:
    """Refuse a function that could not be called as a check, or a name that a report could not show.

    Raises:
        ForgetkitError: ``plugin-malformed``; names the parameter.
    """
    if name in BUILT_IN or name.endswith("-original"):
        hint = "give it another name"
        raise malformed_plugin("function", name, "a check of that name is built in", hint)
    if not CHECK_ID.fullmatch(name):
        hint = 'for example @register_check("logit-gap")'
        raise malformed_plugin("function", name, "a name has letters, digits, '-' and '_' only", hint)
    for key, parameter in parameters_of("function", name, function, typed=False).items():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            hint = "remove the '/' from its signature"
            raise malformed_plugin("function", name, f"'{key}' cannot be passed by name", hint)
        if key not in PASSED and parameter.default is parameter.empty:
            why = f"it has a parameter '{key}', for which there is no value"
            raise malformed_plugin("function", name, why, did_you_mean(key, PASSED))


CHECKS: Registry[CheckFunction] = Registry("check", check_function)
register_check = CHECKS.register
"""Add the function below to every audit: ``@register_check``, ``@register_check()`` or ``@register_check("name")``.

It is called with those of these keywords that its signature names: ``model`` (a module that maps the images to logits
of shape ``(samples, classes)``) and ``original`` (likewise, or None); ``forget``, ``retain`` and ``unseen``, each a
pair of images, uint8 of shape ``(samples, channels, height, width)``, and labels, int64 of shape ``(samples,)``
(``unseen`` is the check half); ``classes`` (int), ``level`` (the error rate, float) and ``seed`` (int). It returns a
:class:`Check`, or None where it was not run.

The report shows it under the registered name. It is information, unless the policy names it in ``gating``: then it can
fail a model or leave the verdict open, but no pass of it proves forgetting, for nothing shows that it would fail a
model that remembers. A statistic above ``null`` means remembered, below it over-forgotten.
"""
