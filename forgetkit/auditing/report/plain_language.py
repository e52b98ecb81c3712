"""An audit for readers who know no statistics: what a verdict means and does not mean, what a check measures."""

from typing import Any

from forgetkit.auditing.check import Verdict
from forgetkit.auditing.checks.integrity import FROM_SCRATCH
from forgetkit.auditing.policy import ABOUT
from forgetkit.auditing.report.document import by_chance

HEADLINES: dict[Verdict, str] = {
    "forgotten": "Forgotten, as far as was tested",
    "not-forgotten": "Not forgotten",
    "over-forgotten": "Over-forgotten: a failure as well",
    "utility-lost": "The model has become worse",
    "inconclusive": "Inconclusive: this is not a pass",
}
ASKED = {
    "retrain": "does the model treat them as a model that never saw them would?",
    "chance": "does the model classify them no better than a guess? (Criterion chance. This does not ask whether it is "
    "like a model that never saw them.)",
}
MEANS: dict[Verdict, str] = {
    "forgotten": "Every deciding check passed: on these samples together, the measurements are those of a model that "
    "never saw them, within the margins. And the test was able to fail: the original, which knows them, does not pass.",
    "not-forgotten": "A deciding check failed: the model still shows that it was trained on these samples, or on some "
    "that were forgotten before, or the file is not what it should be. The reasons say which.",
    "over-forgotten": "The model is less certain of these samples, or less accurate on them, than a model that never "
    "saw them. That is a trace as well: it may give away which samples were removed.",
    "utility-lost": "On samples that it was never trained on, the model makes more errors than the original, by more "
    "than the rules allow.",
    "inconclusive": "The evidence is too weak either way. The reasons say why, and what would decide.",
}
NEXT: dict[Verdict, str] = {
    "forgotten": "Put this model in the place of the original, and see to the original, its copies and the data.",
    "not-forgotten": "Do not release this model. Forget the samples in another way, or retrain without them: forgetkit "
    "forget, with --retrain.",
    "over-forgotten": "Do not release this model. Forget the samples from the original again, by fewer or smaller "
    "steps, or retrain without them: forgetkit forget, with --retrain.",
    "utility-lost": "Do not release this model if its accuracy matters. Forget the samples from the original again, by "
    "fewer or smaller steps, or retrain without them: forgetkit forget, with --retrain.",
    "inconclusive": "Gather more evidence, or retrain without the samples: forgetkit forget, with --retrain.",
}
"""What to do after a verdict."""
CHANCE_HEADLINES: dict[Verdict, str] = {
    "forgotten": "Forgotten by the criterion chance, as far as was tested",
    "not-forgotten": "Not forgotten by the criterion chance",
    "over-forgotten": "Over-forgotten by the criterion chance: a failure as well",
}
CHANCE_MEANS: dict[Verdict, str] = {
    "forgotten": "On these samples together, the model is no more accurate than a guess, which was the goal. The "
    "original, which knows the samples, is more accurate.",
    "not-forgotten": "On these samples, or on some that were forgotten before, the model is more accurate than a "
    "guess; the goal was to be no better. If another deciding check failed as well, the reasons say which.",
    "over-forgotten": "On these samples, or on some that were forgotten before, the model is less accurate than a "
    "guess; the goal was the accuracy of a guess. That is a trace as well: it may give away which samples were "
    "removed.",
}
DOES_NOT_MEAN: dict[Verdict, str] = {
    "forgotten": "It is no certificate, no proof that the data are gone, and no statement on any legal duty. Other "
    "attacks, or more samples, may still find something. It concerns the samples together, not each one by "
    "itself, and only this file: the original and other copies of the data are unchanged.",
    "not-forgotten": "It does not mean that the data can be read out of the model, nor that each of the samples is "
    "remembered.",
    "over-forgotten": "It is not forgetting with a safety margin: a model that never saw the samples would rarely show "
    "this.",
    "utility-lost": "It says neither that the samples were forgotten nor that they were not: see the checks on "
    "forgetting below, which may have failed as well.",
    "inconclusive": "It means neither forgotten nor remembered, nor nearly so. The checks marked as passed below did "
    "pass, but could not settle the question.",
}
CHANCE_DOES_NOT_MEAN: dict[Verdict, str] = {
    "forgotten": "It does not mean that the model is like one that never saw them, which would classify many of them "
    f"correctly. {DOES_NOT_MEAN['forgotten']}",
    "not-forgotten": "It does not mean that the model remembers them: one that never saw them would classify many of "
    "them correctly, and fail as well.",
    "over-forgotten": "It is not forgetting with a safety margin.",
}
LET_PASS = "The rules of this audit let a program continue after this verdict as after a pass. It is not a pass."
LEFT_OUT = "By the rules of this audit, the following decided nothing: "
WITHOUT = (
    "No check on forgetting settled anything: the checks that passed below concern only the file or its usefulness."
)
LOST = "On samples that it never saw, it makes more errors than the original."
RESULTS = {"pass": "passed", "fail": "failed", "inconclusive": "undecided", "info": "informs", "not-run": "not run"}
GLOSSARY = {
    "forgotten samples": "The samples in question: the model was trained on them, and should have forgotten them.",
    "never trained, unseen": "Samples of the same kind that no model here was trained on, for comparison.",
    "original": "The model before forgetting, which knows the samples. A check that misses that proves nothing.",
    "references": "Models retrained by the original's recipe without the samples, which they never saw.",
    "remembered": "The model is more certain of a sample than it would be if it had never seen it.",
    "over-forgotten": "The model is less certain than that. Both can give a sample away.",
}
SUBJECTS = {"integrity": "the file", "utility": "usefulness", "utility-worst-class": "usefulness"}
"""What a check is about, if not forgetting."""
QUESTIONS = {
    "integrity": "Are its numbers, its record of these samples and its history in order, and no copies of them kept?",
    "utility": "Did the model become less accurate on samples it was never trained on? 0: as accurate as the original; "
    "-0.01: one more error in 100. The shorter interval decides both ways.",
    "utility-worst-class": "The same for the class that lost most.",
    "vanished": "How accurate is the model on a class that was removed entirely? A retrained one never predicts it.",
    "exchangeable": "Are the samples a random draw of their classes? Membership assumes it.",
    "membership": "How well does the model's certainty tell a forgotten sample from one of its class that was never "
    "trained on? 0.5: like a coin; towards 1: remembered; towards 0: over-forgotten.",
    "lookup": "Does the model know the very images by heart? On how many does its answer jump if the image hardly "
    "changes? 0: on none.",
    "chance": "How accurate is the model on the forgotten samples?",
    "chance-hflip": "The same with the samples mirrored.",
    "chance-vflip": "The same with the samples upside down.",
    "chance-crop": "The same with the samples magnified.",
    "advantage": "How much better than guessing is the best threshold? 0: no better. Small groups show more by chance.",
    "low-fpr": "How many are found as remembered if only 1 in 100 others is wrongly accused? 0.01: as by chance.",
    "low-fpr-over": "How many are found as over-forgotten if only 1 in 100 others is wrongly accused?",
    "per-id": "Does a single sample stand out? If none does, that does not mean that none is remembered.",
    "per-id-calibrated": "The same, compared with the references.",
    "references": "Were the references trained apart, and never on the samples? How often is the original farther "
    "ahead of them on one of the samples than on one that all were trained on? 0.5: they may have seen them.",
    "closer": "How far is the model from the references? 0: at their mean; 1: as far as the original. Passes only if "
    "the whole bar is right; fails only if it also lies beyond 1.05.",
    "rank": "Does the model stand apart from the references? Above 0: as if remembered; below: as if over-forgotten. "
    "p is how often one more reference would stand as far apart, not the probability that the model forgot.",
    "divergence": "How differently from the references does it answer, in the direction of its answers (cosine "
    "divergence) and in how concentrated they are (norm)? References differ from each other as well.",
    "canaries": "How often does a guesser tell planted samples that were trained on from those that a coin left out? "
    "0.5: like a coin.",
    "canaries-epsilon": "What the guesses prove at least. 0 proves nothing, which does not mean that nothing leaks.",
    "twins": "Of two shadow models, one had seen the sample and forgot it by the same step: how often can it be told "
    "which one? 0.5: like a coin. Above: something is remembered; below: over-forgotten.",
    "twins-retained": "The same for retained samples, which are remembered: what the value is if nothing is forgotten.",
    "calibrated": "How often is the model surer of a forgotten sample than of an unseen one, each compared with models "
    "that never saw it? 0.5: no difference.",
    "hardness-memorised": "The third of the samples of which the original had memorised most: how much surer of them "
    "is the model than the references? Unseen samples in the same order show the right value.",
    "hardness-vulnerable": "The same for the middle third.",
    "hardness-safe": "The same for the third of which it had memorised least. Here little or nothing had to change.",
    "attacks": "Does any attack, corrected for their number, tell the model from models that never saw the samples?",
    "attack-loss": "How often is a forgotten sample's loss lower than an unseen one's (Yeom et al. 2018)? 0.5: a coin.",
    "attack-phi": "The same by the certainty of the true class, within each class (Carlini et al. 2022).",
    "attack-label": "The same by the answer alone, right or wrong (the gap attack; Choquette-Choo et al. 2021).",
    "attack-rmia": "The same by the certainty, compared with models that never saw it (Zarifzadeh et al. 2024).",
    "attack-lira": "The same in standard deviations from models that never saw it (offline LiRA, Carlini et al. 2022).",
    "attack-bavaria": "The same, with a Bayesian estimate of each sample's deviation (Brännvall 2026).",
    "attack-ulira": "Is the model as certain of a sample as shadow models that saw it and forgot it, or as those that "
    "never did? 0.5: as for a reference (Hayes et al. 2024).",
    "attack-ruli": "The same, with kernel densities (Naderloui et al. 2025).",
    "attack-rea": "After a little training on the retained samples: how often is the model surer of a forgotten sample "
    "than of an unseen one (reminiscence attack, Xiao et al. 2025)?",
    "relearn": "Are the samples relearned sooner than samples never trained on? Above 0: sooner.",
    "relearn-rank": "Are they relearned sooner than by the references? Above 0: sooner than by most. p: how often one "
    "more reference would be as quick.",
    "relearn-shadows": "Are they relearned sooner than by shadow models that never saw them? Above 0: sooner.",
}
NO_GOAL = " Guessing is not the goal here."
CONTROL = "The same for the original, which was trained on these samples: what the value is if they are known."
EARLIER = "On samples forgotten before. "
_GUESSED = ("canaries", "canaries-original", "canaries-epsilon", "twins", "twins-retained")
UNITS = {
    "rank": "references",
    "references": "references",
    "relearn-rank": "references",
    **dict.fromkeys(_GUESSED, "guesses"),
}
"""What n of a check counts, if not samples."""


def headline(report: dict[str, Any]) -> str:
    """Return the verdict of a report as a headline."""
    verdict: Verdict = report["verdict"]
    return CHANCE_HEADLINES.get(verdict, HEADLINES[verdict]) if by_chance(report) else HEADLINES[verdict]


def answer(report: dict[str, Any]) -> list[str]:
    """Return what an audit found in one to three sentences, on forgetting and, if it was lost, on usefulness."""
    found = [LOST] if report["usefulness"] == "lost" else []
    if by_chance(report) and report["forgetting"] in CHANCE_MEANS:
        return [*found, CHANCE_MEANS[report["forgetting"]]]
    verdict, count = report["forgetting"], report["inputs"]["ids"]["count"]
    ids = f"these {count:,} ids" if count != 1 else "this id"
    if verdict == "forgotten":
        passed = {check["id"] for check in report["checks"] if check["gating"] and check["verdict"] == "pass"}
        return [*found, *_passed(passed & set(ABOUT["retrain"]), ids, len(report["inputs"]["references"]))]
    if verdict == "inconclusive":
        return [*found, "These checks can neither clear nor convict the model."]
    failed = [check for check in report["checks"] if check["verdict"] == "fail" and check["id"] not in SUBJECTS]
    if not failed:
        return [*found, "The file, or its record, is not what it should be."]
    groups = {check["group"] for check in failed}
    if "ids" not in groups:
        ids = "the ids that were forgotten before" if "earlier" in groups else "the samples that were planted"
    if verdict == "over-forgotten":
        return [*found, f"It is less certain of {ids} than a model that never saw them. That gives them away as well."]
    known = [f"On {ids} it does not answer like a model that never saw them."]
    if "ids" in groups and report["accuracy"]["forget"] == 0:
        known.append("It answers none of them correctly, and yet they left a trace.")
    return [*found, *known]


def origin(report: dict[str, Any]) -> str:
    """Return that the model was trained from scratch without the ids, if its record says so; else nothing."""
    notes = [check["note"] for check in report["checks"] if check["id"] == "integrity"]
    return f"It was {FROM_SCRATCH}." if FROM_SCRATCH in notes else ""


def _passed(named: set[str], ids: str, models: int) -> list[str]:
    """Return what the checks that passed show, strongest first, and that they could have failed."""
    if named & {"rank", "closer"}:
        said = f"On {ids} it answers like {models} models that never saw them.", "The original does not"
    elif "twins" in named:
        first = f"Of two models that took the same step, nobody can tell which had seen which of {ids}."
        said = first, "Of the samples that they keep, one can"
    elif "membership" in named:
        said = f"It is as certain of {ids} as of samples that it never saw.", "The original is more certain of them"
    elif "relearn-rank" in named:
        said = f"It learns {ids} again no sooner than {models} models that never saw them.", "The original does"
    else:
        said = "Of the planted samples, nobody can tell which ones it was trained on.", "From the original, one can"
    return [said[0], f"{said[1]}: this test could have failed."]


def meaning(report: dict[str, Any]) -> tuple[str, str]:
    """Return what the verdict of a report means, and what it does not mean."""
    verdict: Verdict = report["verdict"]
    if by_chance(report) and verdict in CHANCE_MEANS:
        return CHANCE_MEANS[verdict], CHANCE_DOES_NOT_MEAN[verdict]
    return MEANS[verdict], DOES_NOT_MEAN[verdict]


def cautions(report: dict[str, Any]) -> list[str]:
    """Return what a reader must know of the rules before believing the verdict."""
    found = [LET_PASS] if report["verdict"] == "inconclusive" and report["exit_code"] == 0 else []
    decided = {check["id"] for check in report["checks"] if check["gating"]}
    if left_out := [name for name in ("integrity", "utility") if name not in decided]:
        found.append(f"{LEFT_OUT}{' and '.join(left_out)}.")
    if not any(about(check) == "forgetting" and check["verdict"] in {"pass", "fail"} for check in report["checks"]):
        found.append(WITHOUT)
    return found


def question(check: dict[str, Any]) -> str:
    """Return what a check measures, in plain words; nothing for a check from outside."""
    name = check["id"]
    asked = CONTROL if name.endswith("-original") else QUESTIONS.get(name, "")
    if name == "chance" and not check["gating"]:
        asked += NO_GOAL
    return (EARLIER if check["group"] == "earlier" else "") + asked


def about(check: dict[str, Any]) -> str:
    """Return what a check is about: forgetting, usefulness, or the file."""
    return SUBJECTS.get(check["id"], "forgetting")


def sample_count(check: dict[str, Any]) -> str:
    """Return the number of samples of a check with its unit; nothing if the check has none."""
    if check["n"] is None:
        return ""
    unit = UNITS.get(check["id"], "samples") if check["statistic"] is not None else "samples"
    return f"{check['n']} {unit}"
