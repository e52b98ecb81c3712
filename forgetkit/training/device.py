"""Device, precision, threads and determinism of all arithmetic, and seeds for every purpose."""

import hashlib
import os
from dataclasses import dataclass

import torch

from forgetkit.errors import ForgetkitError
from forgetkit.options import PRECISIONS, Compute
from forgetkit.processes import available_cores

MOST_THREADS = 256


@dataclass(frozen=True)
class Machine:
    """The resolved answer to ``--device``, ``--precision`` and ``--threads``.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``float32``, or ``bfloat16`` for matrix products under autocast; weights are float32 in both.
        threads: CPU threads of one operation.
    """

    device: str
    precision: str
    threads: int

    def __str__(self) -> str:
        return f"{self.device}, {self.precision}, {self.threads} thread{'s' * (self.threads != 1)}"

    def options(self) -> dict[str, object]:
        """Return what a step records: the kind of device, not its number."""
        return {"device": torch.device(self.device).type, "precision": self.precision, "threads": self.threads}


def set_up(device: str, precision: str, threads: int) -> Machine:
    """Resolve ``auto``, and 0 threads, and make torch deterministic; to be called before any use of CUDA.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        threads: CPU threads of this process; 0 for ``OMP_NUM_THREADS``, else for all cores.

    Raises:
        ForgetkitError: ``usage`` for a device, precision or number of threads that this machine does not have.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms would import the compiler: 1.3 s
    torch._C._set_deterministic_fill_uninitialized_memory(False)  # filling costs up to a tenth of a training
    torch.backends.cudnn.benchmark = False
    most = max(available_cores(), MOST_THREADS)
    if threads > most:
        raise ForgetkitError("usage", f"{threads} is more than {most}", "0 means all cores", option="threads")
    threads = threads or min(_threads_of_openmp() or available_cores(), most)
    torch.set_num_threads(threads)
    device = _device(device)
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)  # streams, graphs and generators belong to the current device
    if precision not in PRECISIONS:
        raise ForgetkitError("usage", f"there is no precision '{precision}'", f"known: {', '.join(PRECISIONS)}")
    if precision == "auto":
        precision = "bfloat16" if _has_bfloat16(device) else "float32"
    return Machine(device, precision, threads)


def machine_for(compute: Compute) -> Machine:
    """Return :func:`set_up` for the options of a command, as they were given."""
    return set_up(compute.device, compute.precision, compute.threads)


def _threads_of_openmp() -> int:
    """Return what ``OMP_NUM_THREADS`` says of the outermost level; 0 where it says nothing."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(given) if given.isascii() and given.isdecimal() else 0


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        found = torch.device(name)
    except RuntimeError as problem:
        raise ForgetkitError(
            "usage", f"there is no device '{name}'", "known: auto, cpu, cuda, cuda:N, mps"
        ) from problem
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (found.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(found.type, False):
        raise ForgetkitError("usage", f"device '{name}' is not available on this machine", "try --device cpu")
    return name


def _has_bfloat16(device: str) -> bool:
    """Return whether the device multiplies bfloat16 in hardware; in software it is slower than float32."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return device == "cpu" and bool(found.get("amx_bf16") or found.get("avx512_bf16"))


def seed_for(seed: int, *purpose: object) -> int:
    """Return a different seed for each purpose (epoch, step …), so that no draw depends on earlier ones.

    Returns:
        an integer in ``[0, 2**63)``.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def generator_for(seed: int, *purpose: object) -> torch.Generator:
    """Return a CPU generator seeded by :func:`seed_for`."""
    return torch.Generator().manual_seed(seed_for(seed, *purpose))


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed the generators that dropout draws from, on the CPU and on ``device``.

    ``torch.manual_seed`` would seed every GPU, and with each call keep a stack trace for each that is not in use yet.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        number = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[number].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
