"""From the plan's templates to single runs: values filled in, and each run addressed by its content."""

import hashlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from forgetkit.cli.mount import step_names
from forgetkit.cli.sweep.plan import STEP, Plan, Template, Value, label
from forgetkit.errors import ForgetkitError, did_you_mean
from forgetkit.events import Tell, Warned, silent
from forgetkit.files.canonical_json import compact_json
from forgetkit.training.outputs import software

OUTPUTS = {
    **dict.fromkeys(["train", *step_names()], "model.st"),
    "mask": "mask.st",
    "forget-ids": "ids.txt",
    "audit": None,
}
"""The commands that a run may be, and the file that each writes into the run's folder."""
TAKEN = {"--out", "-o", "--json", "--dry-run", "-n", "--force", "-f", "--quiet", "-q"}
"""Options that the sweep sets itself, or that would leave no result."""
HOLE = re.compile(r"\{([a-z][a-z0-9_-]*)(?:\.([a-z][a-z0-9_-]*))?\}")
DEEPEST = 100
"""Holes that a command may have, those in the values of variables included."""

Binding = dict[str, Value]


@dataclass(frozen=True)
class Run:
    """One run: a command whose inputs are files, or the outputs of other runs.

    Attributes:
        name: name of its template.
        binding: the value of each list variable that it depends on.
        words: the command, with ``{run}`` in place of another run's output and ``{folder}`` in place of its folder.
        inputs: the addresses of those other runs, by name.
        address: hex digest of the command, the addresses of its inputs, the files that it names, and the software.
    """

    name: str
    binding: Binding
    words: tuple[str, ...]
    inputs: dict[str, str]
    address: str

    @property
    def parameters(self) -> dict[str, str | int | float | bool]:
        """The value of each variable, as tables show it."""
        return {name: label(value) for name, value in self.binding.items()}

    @property
    def title(self) -> str:
        """Name and parameters, for messages."""
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.parameters.items())])

    def folder(self, root: Path) -> Path:
        """Return the folder that it writes into."""
        return root / "runs" / self.address

    def output(self, root: Path) -> Path | None:
        """Return the file that it writes for other runs, if its command writes one."""
        name = OUTPUTS[self.words[0]]
        return self.folder(root) / name if name else None


def expand(plan: Plan, tell: Tell = silent) -> list[Run]:
    """Return the runs of a plan in its order, each after the runs that it depends on.

    Args:
        plan: the plan.
        tell: warned of variables that no run uses.

    Raises:
        ForgetkitError: ``plan-malformed``, with file, line and run.
    """
    expansion = _Expansion(plan)
    for template in plan.runs.values():
        expansion.runs_of(template)
        expansion.used.update(template.named)
    for name in plan.variables:
        if name not in {STEP, *expansion.used}:
            tell(Warned("unused", f"{plan.path}: no run uses the variable '{name}'"))
    return [run for runs in expansion.done.values() for run in runs]


def arguments(run: Run, runs: dict[str, Run], root: Path) -> list[str]:
    """Return the command line of a run, with the paths of everything that it reads and writes.

    Args:
        run: the run.
        runs: all runs, by address.
        root: the folder of the sweep.
    """
    paths = {name: str(runs[address].output(root)) for name, address in run.inputs.items()}
    paths["folder"] = str(run.folder(root))
    words = [HOLE.sub(lambda hole: paths[hole[1]], word) for word in run.words]
    output = run.output(root)
    return [*words, *(["--out", str(output)] if output else [])]


class _Expansion:
    """The runs found so far, by template."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.done: dict[str, list[Run]] = {}
        self.open: list[str] = []
        self.used: set[str] = set()
        self.index: dict[tuple[str, tuple[str, ...]], dict[tuple[object, ...], list[Run]]] = {}

    def runs_of(self, template: Template) -> list[Run]:
        """Return the runs of a template; the runs that they depend on are expanded first."""
        if template.name in self.done:
            return self.done[template.name]
        if template.name in self.open:
            circle = " → ".join([*self.open[self.open.index(template.name) :], template.name])
            raise template.refusal(f"runs depend on each other in a circle: {circle}")
        self.open.append(template.name)
        found: dict[str, Run] = {}
        for command, binding, inputs in self._filled(template, template.command, {}, {}, 0):
            if _is_for(template, binding):
                run = self._run(template, command, binding, inputs)
                found.setdefault(compact_json(run.parameters), run)
        self.open.pop()
        self.done[template.name] = list(found.values())
        return self.done[template.name]

    def _filled(
        self, template: Template, text: str, binding: Binding, inputs: dict[str, str], start: int, depth: int = 0
    ) -> Iterator[tuple[str, Binding, dict[str, str]]]:
        """Yield ``text`` with every combination of values in its holes from ``start`` on; runs remain holes."""
        hole = HOLE.search(text, start)
        if hole is None:
            yield text, binding, inputs
            return
        if depth > DEEPEST:
            raise template.refusal("one of its variables contains itself")
        name, key = hole[1], hole[2]
        if name in self.plan.runs and key is None:
            for other in self._agreeing(self.plan.runs[name], binding):
                bound, given = {**binding, **other.binding}, {**inputs, name: other.address}
                yield from self._filled(template, text, bound, given, hole.end(), depth + 1)
        elif name == "folder" and key is None:
            yield from self._filled(template, text, binding, inputs, hole.end(), depth + 1)
        else:
            for value, bound in self._values(template, name, binding):
                filled = text[: hole.start()] + self._shown(template, name, value, key) + text[hole.end() :]
                yield from self._filled(template, filled, bound, inputs, hole.start(), depth + 1)

    def _agreeing(self, template: Template, binding: Binding) -> list[Run]:
        """Return the runs of a template whose values agree with ``binding``, looked up in an index: grids are large."""
        runs = self.runs_of(template)
        shared = tuple(name for name in binding if any(name in run.binding for run in runs[:1]))
        if any(run.binding.keys() != runs[0].binding.keys() for run in runs):
            return [run for run in runs if _agree(binding, run.binding)]
        index = self.index.get((template.name, shared))
        if index is None:
            index = self.index[template.name, shared] = {}
            for run in runs:
                index.setdefault(tuple(label(run.binding[name]) for name in shared), []).append(run)
        return index.get(tuple(label(binding[name]) for name in shared), [])

    def _values(self, template: Template, name: str, binding: Binding) -> Iterator[tuple[Value, Binding]]:
        if name not in self.plan.variables:
            hint = did_you_mean(name, [*self.plan.variables, *self.plan.runs, "folder"])
            raise template.refusal(f"{{{name}}} is neither a variable nor a run", hint)
        values = self.plan.variables[name]
        self.used.add(name)
        if name in binding:
            yield binding[name], binding
        elif isinstance(values, list):
            yield from ((value, {**binding, name: value}) for value in values)
        else:
            yield values, binding

    def _shown(self, template: Template, name: str, value: Value, key: str | None) -> str:
        if isinstance(value, dict):
            key = key or "name"
            if key not in value:
                message = f"'{label(value)}' of variable '{name}' has no key '{key}'"
                raise template.refusal(message, did_you_mean(key, value))
            return str(value[key])
        if key is not None:
            raise template.refusal(f"variable '{name}' has no keys")
        return str(value)

    def _run(self, template: Template, command: str, binding: Binding, inputs: dict[str, str]) -> Run:
        try:
            words = tuple(shlex.split(command))
        except ValueError as problem:
            raise template.refusal(str(problem).lower()) from problem
        if not words or words[0] not in OUTPUTS:
            first = words[0] if words else ""
            raise template.refusal(f"a sweep has no command '{first}'", did_you_mean(first, OUTPUTS))
        if taken := next((word for word in words if word.partition("=")[0] in TAKEN), None):
            raise template.refusal(f"the sweep sets {taken} itself", "leave it out")
        for name in inputs:
            if OUTPUTS[self.done[name][0].words[0]] is None:
                raise template.refusal(f"it reads {{{name}}}, which writes no file")
        content = {"words": words, "inputs": inputs, "files": _files(words), "software": software()}
        address = hashlib.sha256(compact_json(content).encode()).hexdigest()[:20]
        return Run(template.name, binding, words, inputs, address)


def _agree(one: Binding, other: Binding) -> bool:
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _is_for(template: Template, binding: Binding) -> bool:
    """Return whether the run is for these values."""
    for name, values in template.only.items():
        if name not in binding:
            raise template.refusal(f"'only' names '{name}', on which it does not depend")
        if label(binding[name]) not in [label(value) for value in values]:
            return False
    return True


def _files(words: tuple[str, ...]) -> dict[str, str]:
    """Return the digest of each file that a command names: a changed file makes another run."""
    found = {}
    for word in words:
        path = Path(word.partition("=")[2] if word.startswith("--") and "=" in word else word)
        try:
            if path.is_file():
                found[word] = hashlib.sha256(path.read_bytes()).hexdigest()
        except (OSError, ValueError) as problem:
            raise ForgetkitError("usage", f"{word}: {getattr(problem, 'strerror', problem)}") from problem
    return found
