"""The result of an audit as a document for programs, and what all reports take from it."""

from typing import Any

from forgetkit.auditing.check import Check, Verdict
from forgetkit.auditing.verdict import Judgement, exit_code

WORDS: dict[Verdict, str] = {
    "forgotten": "FORGOTTEN: the measurements are those of a model that never saw these samples",
    "not-forgotten": "NOT FORGOTTEN",
    "over-forgotten": "OVER-FORGOTTEN: the samples stick out as unfamiliar, which gives them away as well",
    "utility-lost": "UTILITY LOST: the model has lost accuracy on unseen samples",
    "inconclusive": "INCONCLUSIVE: these checks can neither clear nor convict the model",
}
"""The verdicts of the criterion ``retrain``, and those that are the same under every criterion."""
CHANCE_WORDS: dict[Verdict, str] = {
    "forgotten": "FORGOTTEN by the criterion chance: accuracy on these samples is at chance, the goal of Kim & Woo "
    "2022; this does not show what a model that never saw them would do",
    "not-forgotten": "NOT FORGOTTEN by the criterion chance: accuracy is above chance, as that of a model that never "
    "saw the samples may be as well",
    "over-forgotten": "OVER-FORGOTTEN by the criterion chance: accuracy is below chance",
}
"""The verdicts that the check ``chance`` decided."""
AT_MOST_WORDS = {verdict: words.replace(" at chance", " at or below chance") for verdict, words in CHANCE_WORDS.items()}
"""Likewise, where the policy allows an accuracy below chance."""
LIMITS = [
    "Statistical checks on one model: evidence within the stated margins, no certificate; no other attack was tried.",
    "The membership check assumes that the forgotten samples are a random draw of their class. For one person's "
    "samples, or the hardest ones, it is not valid.",
    "Anyone who has the checkpoint and a list of ids can test them against the record: pseudonyms, not secrets.",
]
SCORES_LIMIT = "Only scores were judged, not the model: whether they are those of the model in use was not checked."
ANSWERS_ONLY = (
    "Only answers were compared. A model that still holds the samples behind a lowered logit can pass; --relearn "
    "beside 19 references catches it."
)
"""Where no check judged how soon the samples are learned again."""
WORD = (
    "That the references were trained apart and never saw the samples is {source}. What of it shows in their "
    "answers was checked; copies of one model with much noise would not be noticed."
)
SOURCES = {True: "what their records say", False: "the word of whoever made them"}
"""Where it is known from, by whether there are records."""
LAST_LAYER = (
    "A model whose last layer alone was trained again, on features that saw the samples, is caught in most cases by "
    "--relearn beside 19 references, and seldom otherwise: such a layer must learn them anew, as an honest model must."
)
RECOGNISED = (
    "A model that recognises the samples, or their class, and lets one that never saw them answer need not be caught"
)
CHANCE_LIMIT = (
    "The criterion is chance: accuracy on the samples, compared with a guess. What a model that never saw the samples "
    "would do was not asked, and such a model classifies many of them correctly."
)


def by_chance(report: dict[str, Any]) -> bool:
    """Say whether the check ``chance`` decided the verdict of a report, rather than checks that mean something else."""
    if report["policy"]["criterion"] != "chance":
        return False
    failed = any(check["id"] == "chance" and check["verdict"] == "fail" for check in report["checks"])
    return failed or report["verdict"] == "forgotten"


def verdict_words(report: dict[str, Any]) -> str:
    """Return the verdict of a report in one line, in the words of the criterion that was applied."""
    verdict: Verdict = report["verdict"]
    known = AT_MOST_WORDS if report["policy"]["chance"] == "at-most" else CHANCE_WORDS
    return known.get(verdict, WORDS[verdict]) if by_chance(report) else WORDS[verdict]


def title(report: dict[str, Any]) -> str:
    """Return the verdict in capitals, with its criterion if that is chance."""
    return verdict_words(report).partition(":")[0]


def check_name(check: dict[str, Any]) -> str:
    """Return the name of a check as reports show it, with its group if that is not the ids in question."""
    name = str(check["id"])
    return name if check["group"] == "ids" else f"{check['group']}/{name}"


def row(check: dict[str, Any]) -> tuple[str, ...]:
    """Return name, verdict, value, interval, value to compare with, n and note of a check, as reports show them."""
    value, span = check["statistic"], check["interval"]
    return (
        check_name(check),
        check["verdict"] + ("*" if check["gating"] else ""),
        "" if value is None else f"{value:.3f}",
        "" if span is None else f"[{span[0]:.3f}, {span[1]:.3f}]",
        _target(check),
        "" if check["n"] is None else str(check["n"]),
        check["note"],
    )


def _target(check: dict[str, Any]) -> str:
    """Return the value where nothing leaks; chance is that only under its criterion."""
    null, margin = check["null"], check["margin"]
    if null is None:
        return ""
    if check["id"].startswith("chance") and not check["gating"]:
        return f"chance {null:.3g}"
    return f"{null:.3g}" + ("" if margin is None else f" ± {margin:g}")


def document(
    judgement: Judgement,
    checks: list[Check],
    *,
    accuracy: dict[str, float | None],
    ids: dict[str, Any],
    inputs: dict[str, Any],
    policy: dict[str, Any],
    self_check: dict[str, Any] | None = None,
    weights: bool = True,
    recorded: bool = True,
) -> dict[str, Any]:
    """Return the report. It has no time and no path, so that the same inputs give the same bytes."""
    chance = [CHANCE_LIMIT] if policy["criterion"] == "chance" else []
    return {
        "ok": True,
        "verdict": judgement.verdict,
        "exit_code": exit_code(judgement.verdict, policy["inconclusive"]),
        "forgetting": judgement.forgetting,
        "usefulness": judgement.usefulness,
        "reasons": judgement.reasons,
        "checks": [check.to_json() for check in checks],
        "accuracy": accuracy,
        "ids": ids,
        "inputs": inputs,
        "policy": policy,
        "limits": [
            *([] if weights else [SCORES_LIMIT]),
            *([WORD.format(source=SOURCES[recorded])] if inputs["references"] else []),
            *(*chance, *LIMITS, *_uncaught(checks), _untested(checks)),
        ],
        "self_check": self_check,
    }


def _uncaught(checks: list[Check]) -> list[str]:
    """Say which models that pretend to have forgotten would pass these checks."""
    run = {check.id for check in checks if check.verdict != "not-run"}
    judged = any(check.id == "relearn-rank" and check.gating for check in checks)
    tried = "only copies that hardly differ were tried" if "lookup" in run else "no copies were tried"
    return [*([] if judged else [ANSWERS_ONLY]), LAST_LAYER, f"{RECOGNISED}: {tried}."]


def _untested(checks: list[Check]) -> str:
    """Say what was not tested."""
    run = {check.id.partition("-")[0] for check in checks if check.verdict != "not-run"}
    optional = {"canaries": "canaries", "relearn": "relearning the samples", "rank": "models trained without them"}
    left = [words for name, words in optional.items() if name not in run]
    return f"Not tested: {', '.join([*left, 'attacks that train their own models'])}, other copies of data or model."
