"""Where the truth is known: the audit's verdicts on 4,000 images of CIFAR-10, and how often its checks err.

The same truths on noise and digits, in seconds: test_audit_command.py. In full: benchmarks/bench_auditor.py.
"""

import os
from dataclasses import replace
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
import torch

from forgetkit.cli import app as cli
from forgetkit.files.header import read_record
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record, Step
from forgetkit.models.build import build_model
from forgetkit.models.checkpoint import load_model, save_checkpoint
from tests.benchmarks.auditor_events import null_events, power_events
from tests.benchmarks.auditor_null import member, says, utility
from tests.benchmarks.rates import Event, Rate, measure, null_table, power_table
from tests.conftest import Run

REFERENCES = 20
ONE = ("-q", "--threads", 1)


def call(*arguments: object) -> int:
    return cli.run([str(argument) for argument in arguments])


def claiming(record: Record, ids: list[str]) -> Record:
    """Return a record that says of a model that it was made from this one by forgetting ``ids``."""
    step = Step("relabel", {}, 0, record.digest, None, {})
    return replace(record, forgotten=KeySet.of(ids, record.forgotten.salt), steps=[*record.steps, step])


def test_logits_of_ten_thousand_are_judged_in_numbers(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> None:
    record = read_record(model)
    loud = load_model(model, record)
    with torch.no_grad():
        loud.fc.weight *= 3000  # type: ignore[union-attr, operator]
        loud.fc.bias *= 3000  # type: ignore[union-attr, operator]
    save_checkpoint(tmp_path / "loud.st", loud, claiming(record, ids.read_text().split()))
    ran = forgetkit("audit", "loud.st", "--original", "model.st", "--json")
    assert ran.code in {1, 3}
    assert {"membership", "utility", "advantage", "per-id"} <= {check["id"] for check in ran.json["checks"]}
    assert "NaN" not in ran.out
    assert "Infinity" not in ran.out


def test_more_samples_see_more_of_the_same_leak() -> None:
    leak = [Event("membership", "", "", says(member((n, 1000), 0.65), "fail")) for n in (20, 80, 320)]
    loss = [Event("utility", "", "", says(utility(n, 0.07, 0.02), "fail")) for n in (100, 800, 5000)]
    for events in (leak, loss):
        rates = [measure(event, 100, 1).value for event in events]
        assert rates == sorted(rates)
        assert rates[0] + 0.3 < rates[-1]


def test_more_samples_pass_more_often_where_nothing_leaks() -> None:
    rates = [measure(Event("", "", "", says(member((n, 1000), 0.5), "pass")), 100, 1).value for n in (60, 200, 800)]
    assert rates == sorted(rates)
    assert (rates[0], rates[-1] > 0.8) == (0, True)


def test_a_rate_above_its_bound_is_shown() -> None:
    found = [Rate("c", "w", "s", hits, 2000) for hits in (129, 130)]
    lines = list(null_table(found))
    assert found[0].bound == pytest.approx(0.05 + 3 * 0.0048734)
    assert ["**above**" in line for line in lines[2:]] == [False, True]
    assert list(power_table(found))[-1] == "| c | w | s: 6%; s: 6% |"


def named(event: Event) -> str:
    return f"{event.check}: {event.what} ({event.setting})"


@pytest.mark.slow
@pytest.mark.parametrize("event", list(null_events()), ids=named)
def test_no_check_errs_more_often_than_it_says(event: Event) -> None:
    found = measure(event, 500, 1)
    assert found.value <= found.bound


@pytest.mark.slow
def test_every_power_grows() -> None:
    rates: dict[tuple[str, str], list[float]] = {}
    for event in power_events():
        rates.setdefault((event.check, event.what), []).append(measure(event, 100, 1).value)
    assert all(first < last and last > 0.7 for first, *_, last in rates.values()), rates


@pytest.mark.slow
def test_of_twenty_references_offered_as_the_model_three_fail_at_most(forgetkit: Run, tmp_path: Path) -> None:
    assert forgetkit("train", "--dataset", "digits", "-o", "m.st", *ONE).code == 0
    assert forgetkit("forget-ids", "m.st", "--count", 65, "--seed", 7, "-o", "ids.txt").code == 0
    replicas = ("--replicas", REFERENCES, "--threads", 0, "-q")
    assert forgetkit("train", "--like", "m.st", "--exclude", "ids.txt", *replicas, "-o", "refs/{n}.st").code == 0
    refs, ranks, codes = sorted(Path("refs").iterdir()), [], []
    for offered in refs:
        others = [word for path in refs if path != offered for word in ("--reference", path)]
        ran = forgetkit("audit", offered, "--original", "m.st", *others, "--json")
        codes.append(ran.code)
        ranks += [check["verdict"] for check in ran.json["checks"] if check["id"] == "rank"]
    assert len(ranks) == REFERENCES
    assert ranks.count("fail") <= 1  # of twenty, one alone can stand farthest apart
    assert codes.count(1) <= 3


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``m.st``, which memorised, ``ids.txt`` (600 of 3,000), and ``r.st``, made without them."""
    root = Path(os.environ.get("FORGETKIT_DATA", ""))
    if not (root / "cifar10-4000.npz").is_file():
        pytest.skip("needs cifar10-4000.npz: set FORGETKIT_DATA")
    folder = tmp_path_factory.mktemp("cifar")
    source = ("--dataset", f"arrays:{root / 'cifar10-4000.npz'}")
    assert call("train", *source, "--epochs", 20, "-o", folder / "m.st", *ONE) == 0
    assert call("forget-ids", folder / "m.st", "--count", 600, "--seed", 7, "-q", "-o", folder / "ids.txt") == 0
    assert call("train", "--like", folder / "m.st", "--exclude", folder / "ids.txt", "-o", folder / "r.st", *ONE) == 0
    return folder


def verdict(forgetkit: Run, model: Path, folder: Path) -> tuple[str, dict[str, Any]]:
    """Return an audit's verdict, and what it measured by the name of the check."""
    ran = forgetkit("audit", model, "--original", folder / "m.st", "--json")
    report = ran.json
    print(model.name, ran.code, report["verdict"], report["accuracy"])
    return report["verdict"], {check["id"]: check["statistic"] for check in report["checks"]}


@pytest.mark.slow
def test_cifar_forgotten_on_paper_only_is_not_forgotten(forgetkit: Run, cifar: Path, tmp_path: Path) -> None:
    record = read_record(cifar / "m.st")
    model, claim = load_model(cifar / "m.st", record), claiming(record, (cifar / "ids.txt").read_text().split())
    save_checkpoint(tmp_path / "paper.st", model, claim)
    assert verdict(forgetkit, tmp_path / "paper.st", cifar)[0] == "not-forgotten"
    with torch.no_grad():
        next(iter(model.parameters())).mul_(1 + 1e-6)  # another digest, the same model
    save_checkpoint(tmp_path / "dust.st", model, claim)
    found, measured = verdict(forgetkit, tmp_path / "dust.st", cifar)
    assert found == "not-forgotten"
    assert measured["membership"] > 0.7


@pytest.mark.slow
def test_cifar_random_weights_are_utility_lost(forgetkit: Run, cifar: Path, tmp_path: Path) -> None:
    record = read_record(cifar / "m.st")
    random = build_model("convnet", {}, shape=(3, 32, 32), classes=10, seed=1)
    save_checkpoint(tmp_path / "random.st", random, claiming(record, (cifar / "ids.txt").read_text().split()))
    assert verdict(forgetkit, tmp_path / "random.st", cifar)[0] == "utility-lost"


@pytest.mark.slow
def test_cifar_relabeled_by_adam_is_over_forgotten_or_of_no_use(forgetkit: Run, cifar: Path, tmp_path: Path) -> None:
    relabel = ("--optimizer", "adam", "--rate", 0.001, "-o", tmp_path / "adam.st", *ONE)
    assert call("relabel", cifar / "m.st", "--ids", cifar / "ids.txt", *relabel) == 0
    assert verdict(forgetkit, tmp_path / "adam.st", cifar)[0] in {"over-forgotten", "utility-lost"}


@pytest.mark.slow
def test_cifar_relabeled_by_a_weak_adadelta_is_not_forgotten(forgetkit: Run, cifar: Path, tmp_path: Path) -> None:
    relabel = ("--optimizer", "adadelta", "--rate", 0.001, "--allow-unforgotten", "-o", tmp_path / "weak.st", *ONE)
    assert call("relabel", cifar / "m.st", "--ids", cifar / "ids.txt", *relabel) == 0
    found, measured = verdict(forgetkit, tmp_path / "weak.st", cifar)
    assert found == "not-forgotten"
    assert measured["membership"] > 0.6


@pytest.mark.slow
def test_cifar_a_reference_is_not_convicted(forgetkit: Run, cifar: Path, tmp_path: Path) -> None:
    found, measured = verdict(forgetkit, Path(copy(cifar / "r.st", tmp_path)), cifar)
    assert found in {"forgotten", "inconclusive"}
    assert abs(measured["membership"] - 0.5) < 0.05


@pytest.mark.slow
def test_cifar_a_class_forgotten_by_retraining_is_not_utility_lost(forgetkit: Run, cifar: Path, tmp_path: Path) -> None:
    assert call("forget-ids", cifar / "m.st", "--class", "cat", "-q", "-o", tmp_path / "cats.txt") == 0
    train = ("--like", cifar / "m.st", "--exclude", tmp_path / "cats.txt", "-o", tmp_path / "cats.st")
    assert call("train", *train, *ONE) == 0
    found, measured = verdict(forgetkit, tmp_path / "cats.st", cifar)
    assert found != "utility-lost"
    assert measured["vanished"] == 0


@pytest.mark.slow
def test_a_class_is_relearned_sooner_by_the_original_and_not_by_a_retraining(forgetkit: Run, tmp_path: Path) -> None:
    assert forgetkit("train", "--dataset", "digits", "-o", "m.st", *ONE).code == 0
    assert forgetkit("forget-ids", "m.st", "--class", 3, "-o", "ids.txt").code == 0
    for folder, count, seed in (("refs", 19, 101), ("honest", 1, 201)):
        made = ("--seed", seed, "--replicas", count, "--threads", 0, "-q", "-o", f"{folder}/{{n}}.st")
        assert forgetkit("train", "--like", "m.st", "--exclude", "ids.txt", *made).code == 0
    found = {}
    for model in ("m.st", "honest/201.st"):
        given = ("--ids", "ids.txt", "--original", "m.st", "--reference", "refs", "--relearn", "--json")
        found[model] = {check["id"]: check for check in forgetkit("audit", model, *given).json["checks"]}
    known, honest = (found[model]["relearn-rank"] for model in found)
    assert (known["verdict"], known["p"], honest["verdict"], honest["gating"]) == ("fail", 0.05, "pass", True)
