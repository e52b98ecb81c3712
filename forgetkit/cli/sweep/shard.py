"""A share of a sweep: some of its final runs, with everything they depend on."""

import re
from dataclasses import dataclass

from forgetkit.cli.sweep.expand import Run
from forgetkit.errors import ForgetkitError


@dataclass(frozen=True)
class Shard:
    """The ``number``-th of ``count`` shares, from 1."""

    number: int = 1
    count: int = 1

    @property
    def suffix(self) -> str:
        """The part of its file names that tells shares apart."""
        return f".{self.number}-of-{self.count}" if self.count > 1 else ""


def parse_shard(text: str | None) -> Shard:
    """Return the share that ``i/n`` names; raises ForgetkitError ``usage``."""
    if text is None:
        return Shard()
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ForgetkitError("usage", f"--shard: '{text}' is not i/n with i from 1 to n", "for example: --shard 1/4")
    return Shard(int(found[1]), int(found[2]))


def share_of(runs: list[Run], shard: Shard) -> tuple[list[Run], dict[str, Run]]:
    """Return the runs that a shard reports, and by address those that it needs, each after its inputs.

    Leaves, on which no other run depends, are dealt out in turn. Any other run is reported by the shard of the first
    leaf that needs it, and made by whichever shard needs it first.
    """
    known = {run.address: run for run in runs}
    inputs = {address for run in runs for address in run.inputs.values()}
    owner: dict[str, int] = {}
    needed: set[str] = set()
    leaves = [address for address in known if address not in inputs]
    for place, leaf in enumerate(leaves):
        one = place % shard.count + 1
        waiting = [leaf]
        while waiting:
            address = waiting.pop()
            owner.setdefault(address, one)
            if one == shard.number:
                needed.add(address)
            waiting += known[address].inputs.values()
    reported = [run for run in runs if owner[run.address] == shard.number]
    return reported, {address: run for address, run in known.items() if address in needed}
