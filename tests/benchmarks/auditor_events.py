"""What the benchmark of the auditor counts: what must be rare, and what should become frequent."""

from collections.abc import Iterator

from tests.benchmarks.auditor_null import (
    canary,
    canary_leak,
    gain,
    guess,
    leak,
    member,
    misses,
    near,
    ranked,
    says,
    single,
    single_calibrated,
    sooner,
    utility,
)
from tests.benchmarks.rates import Event

SMALL, LARGE = (65, 248), (600, 4000)
"""Forgotten and unseen samples: as digits gives them, and enough to decide."""


def null_events() -> Iterator[Event]:
    """Yield what must be rare."""
    yield from _membership_events()
    yield from _utility_events()
    for n in (65, 600):
        yield Event("chance", "the 95 % interval misses 10 %", f"{n} ids", misses(guess(n, 0.1), 0.1))
        yield Event("chance", "fails at 15 %, the margin", f"{n} ids", says(guess(n, 0.15), "fail"))
        yield Event("chance", "passes at 15 %, the margin", f"{n} ids", says(guess(n, 0.15), "pass"))
    for sizes in (SMALL, LARGE):
        yield Event("advantage", "surely above 0 though nothing leaks", words(sizes), gain(sizes))
    for sizes in ((600, 1000), LARGE):
        yield Event("low-fpr", "ε surely above 0 though nothing leaks", words(sizes), leak(sizes))
    for sizes in (SMALL, LARGE):
        yield Event("per-id", "any id stands out though nothing leaks", words(sizes), single(sizes))
    for sizes in (SMALL, LARGE):
        where, found = f"5 references, {words(sizes)}", single_calibrated(5, sizes)
        yield Event("per-id-calibrated", "any id stands out though nothing leaks", where, found)
    for count in (100, 1000):
        yield Event("canaries", "ε surely above 0 though nothing leaks", f"{count} canaries", canary_leak(count))
    at_margin = canary(1700, 0.55)
    yield Event("canaries", "fails at accuracy 0.55, the margin", "1700 canaries", says(at_margin, "fail"))
    yield Event("canaries", "passes at accuracy 0.55, the margin", "1700 canaries", says(at_margin, "pass"))
    yield Event("rank", "fails a reference", "19 references, 65 ids", says(ranked(19, 65), "fail"))
    yield Event("closer", "fails a reference", "5 references, 65 ids", says(near(5, 65), "fail"))
    yield Event("closer", "passes one as far as the original", "5 references, 65 ids", says(near(5, 65, 1.0), "pass"))
    yield Event("relearn", "p ≤ 5 % though nothing leaks", "10 pairs, t with 3 degrees of freedom", sooner())


def _membership_events() -> Iterator[Event]:
    for sizes in (SMALL, LARGE):
        half, margin, at = member(sizes, 0.5), member(sizes, 0.55), words(sizes)
        yield Event("membership", "the 95 % interval misses AUC ½", at, misses(half, 0.5))
        yield Event("membership", "fails at AUC ½", at, says(half, "fail"))
        yield Event("membership", "fails at AUC 0.55, the margin", at, says(margin, "fail"))
        yield Event("membership", "passes at AUC 0.55, the margin", at, says(margin, "pass"))


def _utility_events() -> Iterator[Event]:
    for n in (248, 1000, 5000):
        same = utility(n, 0.02, 0.02)
        yield Event("utility", "the 95 % interval misses 0", f"{n} unseen; 2 % lost, 2 % won", misses(same, 0))
        for lost, won in ((2, 0), (5, 3)):
            at_margin, at = utility(n, lost / 100, won / 100), f"{n} unseen; {lost} % lost, {won} % won"
            yield Event("utility", "passes at a loss of 2 %, the margin", at, says(at_margin, "pass"))
            yield Event("utility", "fails at a loss of 2 %, the margin", at, says(at_margin, "fail"))


def power_events() -> Iterator[Event]:
    """Yield what should become frequent as samples become many."""
    few, many = (20, 65, 200, 600), (100, 248, 1000, 5000)
    for n in few:
        yield Event("membership", "fails at AUC 0.65; 4000 unseen", f"{n} ids", says(member((n, 4000), 0.65), "fail"))
    for n in (100, 200, 400, 800):
        yield Event("membership", "passes at AUC ½; 4000 unseen", f"{n} ids", says(member((n, 4000), 0.5), "pass"))
    for n in many:
        yield Event("utility", "fails; 7 % lost, 2 % won", f"{n} unseen", says(utility(n, 0.07, 0.02), "fail"))
    for n in many:
        yield Event("utility", "passes; 2 % lost, 2 % won", f"{n} unseen", says(utility(n, 0.02, 0.02), "pass"))
    for n in (65, 200, 400, 800):
        yield Event("chance", "passes at 10 %", f"{n} ids", says(guess(n, 0.1), "pass"))
    for n in few:
        yield Event("advantage", "surely above 0 at AUC 0.75; 4000 unseen", f"{n} ids", gain((n, 4000), 0.75))
    for n in few:
        yield Event("low-fpr", "ε surely above 0, 10 % remembered; 4000 unseen", f"{n} ids", leak((n, 4000), 0.1))
    for n in few:
        yield Event("per-id", "any id stands out, 10 % remembered; 4000 unseen", f"{n} ids", single((n, 4000), 0.1))
    for count in (100, 200, 400, 800):
        yield Event("canaries", "fails at accuracy 0.7", f"{count} canaries", says(canary(count, 0.7), "fail"))
    for count in (400, 800, 1200, 1700):
        yield Event("canaries", "passes where nothing leaks", f"{count} canaries", says(canary(count), "pass"))
    for n in (10, 30, 100, 300):
        remembers = says(ranked(19, n, 0.4), "fail")
        yield Event("rank", "fails, 40 % of the surplus left; 19 references", f"{n} ids", remembers)
    for n in (10, 30, 100, 300):
        yield Event("closer", "passes a reference; 5 references", f"{n} ids", says(near(5, n), "pass"))
    for effect in (0.5, 1.0, 2.0):
        yield Event("relearn", "p ≤ 5 %; 10 pairs, t with 3 df", f"shifted by {effect:g}", sooner(effect))


def words(sizes: tuple[int, int]) -> str:
    """Return sizes as a table says them."""
    return f"{sizes[0]} ids, {sizes[1]} unseen"
