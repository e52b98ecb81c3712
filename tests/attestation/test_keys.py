"""Keys: of the right kind, on the right side, with their passphrase."""

import shutil
import subprocess
from pathlib import Path

import pytest

from forgetkit.attestation.keys import private_key, public_key, signer_of
from forgetkit.cli.passphrase import asking
from forgetkit.errors import ForgetkitError
from tests.attestation.evidence import KINDS, PASSPHRASE, write_key


def nobody() -> None:
    return None


def refusal(*, private: Path | None = None, public: Path | None = None, given: str | None = None) -> ForgetkitError:
    """Return why a key is refused, the private one with a passphrase if one is given."""

    def read() -> object:
        if private:
            return signer_of(private, lambda: None if given is None else given.encode())
        return public_key(public or Path())

    with pytest.raises(ForgetkitError) as refused:
        read()
    assert refused.value.hint
    return refused.value


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_key_signs_its_public_half_verifies(kind: str, tmp_path: Path) -> None:
    private, public = write_key(tmp_path, "key", kind=kind)
    signer = signer_of(private, nobody)
    public_key(public).verify_signature(signer.sign(b"words"), b"words")


@pytest.mark.parametrize("kind", KINDS)
def test_a_passphrase_is_asked_for_only_if_there_is_one(kind: str, tmp_path: Path) -> None:
    locked, _ = write_key(tmp_path, "locked", kind=kind, passphrase=PASSPHRASE)
    plain, _ = write_key(tmp_path, "plain", kind=kind)
    asked = []

    def ask() -> bytes:
        asked.append(PASSPHRASE.encode())
        return asked[-1]

    assert private_key(plain, ask)[1] is None
    assert asked == []
    assert private_key(locked, ask)[1] == PASSPHRASE.encode()


def test_a_passphrase_that_is_missing_or_wrong_is_refused(tmp_path: Path) -> None:
    locked, _ = write_key(tmp_path, "locked", passphrase=PASSPHRASE)
    for given, words in (
        (None, "and none was given"),
        ("", "and none was given"),
        ("wrong", "the passphrase is wrong"),
    ):
        refused = refusal(private=locked, given=given)
        assert (refused.code, words in refused.message) == ("key-locked", True)


def test_the_halves_of_a_pair_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    private, public = write_key(tmp_path, "key")
    assert "a public key; to sign, the private one is needed" in refusal(private=public).message
    assert "a private key, which should not leave its owner" in refusal(public=private).message


@pytest.mark.parametrize("kind", ["rsa", "p384"])
def test_keys_of_other_kinds_are_refused(kind: str, tmp_path: Path) -> None:
    private, public = write_key(tmp_path, "key", kind=kind)
    for refused in (refusal(private=private), refusal(public=public)):
        assert (refused.code, "Ed25519 or ECDSA on P-256 is needed" in refused.message) == ("key-malformed", True)


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    assert refusal(private=path).code == refusal(public=path).code == "key-malformed"
    assert refusal(private=tmp_path / "none").code == refusal(public=tmp_path / "none").code == "key-missing"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_a_key_of_openssh_is_named_as_such(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id"], check=True)
    assert "OpenSSH's own format" in refusal(private=tmp_path / "id").message


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_the_openssl_commands_of_the_help_make_keys_that_fit(tmp_path: Path) -> None:
    private, public, words = tmp_path / "key.pem", tmp_path / "key.pub", f"pass:{PASSPHRASE}"
    make = ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", words, "-out", private]
    halve = ["openssl", "pkey", "-in", private, "-passin", words, "-pubout", "-out", public]
    for command in (make, halve):
        subprocess.run(command, check=True, capture_output=True)
    signer = signer_of(private, PASSPHRASE.encode)
    assert signer.public_key.keyid == public_key(public).keyid


def test_the_passphrase_comes_from_the_file_then_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.txt").write_bytes(b"from the file\r\nsecond line\n")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    monkeypatch.delenv("FORGETKIT_PASSPHRASE", raising=False)
    assert asking("key.pem", None)() is None
    monkeypatch.setenv("FORGETKIT_PASSPHRASE", "from the environment")
    assert asking("key.pem", None)() == b"from the environment"
    assert asking("key.pem", str(tmp_path / "p.txt"))() == b"from the file"
    with pytest.raises(ForgetkitError) as refused:
        asking("key.pem", str(tmp_path / "none"))()
    assert refused.value.code == "passphrase-missing"
