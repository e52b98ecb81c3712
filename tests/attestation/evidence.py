"""Keys, and reports of audits with the verdict that a test needs."""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

PASSPHRASE = "correct horse"
KINDS = ("ed25519", "p256")
MADE: dict[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}


def write_key(folder: Path, name: str, *, kind: str = "ed25519", passphrase: str | None = None) -> tuple[Path, Path]:
    """Write a new pair of keys; return the paths of the private and the public one."""
    key = MADE[kind]()
    locked = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def passing(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report in which membership decides, and the verdict is forgotten."""
    found: dict[str, Any] = json.loads(json.dumps(report))
    for check in found["checks"]:
        if check["verdict"] in {"fail", "inconclusive"}:
            check.update(verdict="info", gating=False)
        if check["id"] == "membership":
            check.update(verdict="pass", gating=True, statistic=0.5, interval=[0.48, 0.52])
    return {**found, "verdict": "forgotten", "exit_code": 0, "forgetting": "forgotten"}
