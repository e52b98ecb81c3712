"""An audit for readers who know no statistics: what a verdict means and does not mean, what a check asks."""

from typing import Any

from forgetkit.auditing.check import Verdict

HEADLINES: dict[Verdict, str] = {
    "forgotten": "Forgotten, as far as was tested",
    "not-forgotten": "Not forgotten",
    "over-forgotten": "Over-forgotten: a failure as well",
    "utility-lost": "The model became worse",
    "inconclusive": "Inconclusive: this is not a pass",
}
ASKED = {
    "retrain": "does the model treat them as a model would that never saw them?",
    "chance": "is the model right about them as seldom as a guess? (Criterion chance. That is not to ask whether it is "
    "like a model that never saw them.)",
}
MEANS: dict[Verdict, str] = {
    "forgotten": "Every check that decides passed. On these samples together, what was measured is what a model shows "
    "that never saw them, within the margins. And it could have told: the original, which knows them, does not pass.",
    "not-forgotten": "A check that decides failed: the model still shows that it was trained on these samples, or on "
    "some that were forgotten before, or the file is not what it should be. The reasons say which.",
    "over-forgotten": "The model is less sure of these samples, or less often right about them, than it should be had "
    "it never seen them. That is a trace, too: it may give away which samples were removed.",
    "utility-lost": "On samples that it was never trained on, the model errs more than the original does, by more than "
    "was allowed.",
    "inconclusive": "The evidence is too weak either way. The reasons say why, and what would decide.",
}
CHANCE_MEANS = (
    "On these samples together, the model is right about as often as a guess: the goal that was set. The original, "
    "which knows the samples, is not."
)
DOES_NOT_MEAN: dict[Verdict, str] = {
    "forgotten": "It is no certificate, no proof that the data are gone, and no statement on any legal duty. Other "
    "attacks, or more samples, may still find something. It is about the samples together, not about any one of them "
    "or one person's, and about this file alone: the original and other copies of the data still hold what they held.",
    "not-forgotten": "It does not say that the data can be read out of the model, nor that each of the samples is "
    "remembered.",
    "over-forgotten": "It is not forgetting with something to spare: a model that never saw the samples would rarely "
    "show this.",
    "utility-lost": "It says neither that the samples were forgotten nor that they were not: see the checks about "
    "forgetting below, which may have failed as well.",
    "inconclusive": "It does not mean forgotten, nor remembered, nor nearly there. What is marked as passed below did "
    "pass, but could not settle the question.",
}
CHANCE_DOES_NOT_MEAN = "It does not mean that the model is like one that never saw them, which would often be right. "
LET_PASS = "The rules of this audit let a program go on after this verdict as after a pass. That makes it none."
LEFT_OUT = "By the rules of this audit, the following decided nothing: "
WITHOUT = "No check about forgetting settled anything: what passed below is about the file or its usefulness alone."
RESULTS = {"pass": "passed", "fail": "failed", "inconclusive": "cannot tell", "info": "informs", "not-run": "not run"}
GLOSSARY = {
    "forgotten samples": "The samples in question: the model was trained on them, and is meant to have forgotten them.",
    "never trained, unseen": "Samples of the same kind that no model here was trained on, to compare with.",
    "original": "The model as it was before, which knows the samples. A check that cannot see it there proves nothing.",
    "references": "Models trained again by the original's recipe without the samples: they never saw them.",
    "remembered": "The model is surer of a sample than it would be had it never seen it.",
    "over-forgotten": "It is less sure than that. Both can give a sample away.",
}
SUBJECTS = {"integrity": "the file", "utility": "usefulness", "utility-worst-class": "usefulness"}
"""What a check is about, if not forgetting."""
QUESTIONS = {
    "integrity": "Are its numbers, its record of these samples and its history in order, and no copies of them kept?",
    "utility": "Did the model get worse on samples never trained on? 0: as the original; -0.01: one in 100 worse. "
    "Judged by the shorter bar both ways.",
    "utility-worst-class": "The same for the class that lost most.",
    "vanished": "How often is the model right about a class that was removed whole? Retrained, it never is.",
    "membership": "How well can a forgotten sample be told from a never trained one of its class, by how sure the "
    "model is? 0.5: as by a coin; towards 1: remembered; towards 0: over-forgotten.",
    "chance": "How often is the model right about the forgotten samples?",
    "chance-hflip": "The same with the samples mirrored.",
    "chance-vflip": "The same with the samples upside down.",
    "chance-crop": "The same with the samples magnified.",
    "advantage": "By how much does the best threshold beat guessing? 0: not at all. Small groups show more by luck.",
    "low-fpr": "How many are found as remembered by who wrongly accuses only 1 in 100? 0.01: as many as by luck.",
    "low-fpr-over": "How many are found as over-forgotten by who wrongly accuses only 1 in 100?",
    "per-id": "Does a single sample stand out? That none does, does not mean that none is remembered.",
    "per-id-calibrated": "The same beside the references.",
    "closer": "How far is the model from the references? 0: at their middle; 1: as far as the original. Passes only if "
    "the whole bar is right; fails only if it lies beyond 1.05 as well.",
    "rank": "Does the model stand apart from the references? Above 0: as if remembered; below: as if over-forgotten. "
    "p says how often one more reference would stand as far apart, not how likely it is that the model forgot.",
    "divergence": "How differently from the references does it answer? References differ from each other, too.",
    "canaries": "How often does a guesser tell planted samples that were trained on from those that a coin left out? "
    "0.5: as by a coin.",
    "canaries-epsilon": "How much the guesser shows at least: 0 shows nothing, which is not to say that nothing leaks.",
    "relearn": "Are the samples learned again sooner than never trained ones? Above 0: sooner.",
}
NO_GOAL = " Guessing is not the goal here."
CONTROL = "The same of the original, which was trained on these samples: what it looks like when they are known."
EARLIER = "Of samples forgotten before. "
UNITS = {"rank": "references", "canaries": "guesses", "canaries-original": "guesses", "canaries-epsilon": "guesses"}
"""What n of a check counts, if not samples."""


def meaning(report: dict[str, Any]) -> tuple[str, str]:
    """Return what the verdict of a report means, and what it does not mean."""
    verdict: Verdict = report["verdict"]
    if verdict == "forgotten" and report["policy"]["criterion"] == "chance":
        return CHANCE_MEANS, CHANCE_DOES_NOT_MEAN + DOES_NOT_MEAN[verdict]
    return MEANS[verdict], DOES_NOT_MEAN[verdict]


def cautions(report: dict[str, Any]) -> list[str]:
    """Return what a reader must know of the rules before the verdict is believed."""
    found = [LET_PASS] if report["verdict"] == "inconclusive" and report["exit_code"] == 0 else []
    decided = {check["id"] for check in report["checks"] if check["gating"]}
    if left_out := [name for name in ("integrity", "utility") if name not in decided]:
        found.append(f"{LEFT_OUT}{' and '.join(left_out)}.")
    if not any(about(check) == "forgetting" and check["verdict"] in {"pass", "fail"} for check in report["checks"]):
        found.append(WITHOUT)
    return found


def question(check: dict[str, Any]) -> str:
    """Return what a check asks, in plain words; nothing where there are none for it."""
    name = check["id"]
    asked = CONTROL if name.endswith("-original") else QUESTIONS.get(name, "")
    if name == "chance" and not check["gating"]:
        asked += NO_GOAL
    return (EARLIER if check["group"] == "earlier" else "") + asked


def about(check: dict[str, Any]) -> str:
    """Return what a check is about: forgetting, usefulness, or the file."""
    return SUBJECTS.get(check["id"], "forgetting")


def sample_count(check: dict[str, Any]) -> str:
    """Return what a check rests on; nothing where it does not say."""
    if check["n"] is None:
        return ""
    unit = UNITS.get(check["id"], "samples") if check["statistic"] is not None else "samples"
    return f"{check['n']} {unit}"
