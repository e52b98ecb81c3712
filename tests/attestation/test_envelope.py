"""Envelopes: the test vectors of DSSE, and every byte of one changed."""

import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from forgetkit.attestation.attest import Attestation
from forgetkit.attestation.envelope import PAYLOAD_TYPE, envelope_in, payload_of, sealed
from forgetkit.errors import ForgetkitError

HERE = Path("a.intoto.jsonl")
X = 46950820868899156662930047687818585632848591499744589407958293238635476079160
Y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
HELLO = {
    "payload": "aGVsbG8gd29ybGQ=",
    "payloadType": "http://example.com/HelloWorld",
    "signatures": [{"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}],
}
"""The example of DSSE's protocol.md, 1.0.0; its signature is r and s, one after the other."""
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
"""The key of test 1 of RFC 8032, which DSSE's testvectors/vectors.json calls A."""
SINGLE = {
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEifQ==",
    "payloadType": PAYLOAD_TYPE,
    "signatures": [{"sig": "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA=="}],
}
URL_SAFE = {
    "payload": "-_-_Pj8=",
    "payloadType": PAYLOAD_TYPE,
    "signatures": [{"sig": "P-_KHICeR7tI6S_YyejJTRtrXhcQyQ2LYPaL8h90KjC9qN8HU_svOQ6TuDOT1HIrsGW886DbWNWcCmX5twLrAw=="}],
}


def opened(envelope: dict[str, Any], key: SSlibKey, payload_type: str = PAYLOAD_TYPE) -> bytes:
    return payload_of(envelope_in(json.dumps(envelope).encode(), HERE), key, HERE, payload_type)


@pytest.fixture
def signer() -> CryptoSigner:
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(SEED))


def test_the_pre_authentication_encoding_is_that_of_the_protocol() -> None:
    encoded = Envelope(b"hello world", "http://example.com/HelloWorld", {}).pae()
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_ecdsa_signature_of_the_protocol_is_accepted() -> None:
    key = SSlibKey.from_crypto(ec.EllipticCurvePublicNumbers(X, Y, ec.SECP256R1()).public_key())
    raw = base64.b64decode(HELLO["signatures"][0]["sig"])
    r, s = (int.from_bytes(half) for half in (raw[:32], raw[32:]))
    in_der = {**HELLO, "signatures": [{"sig": base64.b64encode(encode_dss_signature(r, s)).decode()}]}
    assert opened(in_der, key, "http://example.com/HelloWorld") == b"hello world"


def test_signing_gives_the_published_ed25519_signature(signer: CryptoSigner) -> None:
    envelope = json.loads(sealed(b'{"_type":"https://in-toto.io/Statement/v1"}', signer))
    assert envelope["payload"] == SINGLE["payload"]
    assert envelope["signatures"][0]["sig"] == SINGLE["signatures"][0]["sig"]


@pytest.mark.parametrize("vector", [SINGLE, URL_SAFE])
def test_published_vectors_are_accepted_without_a_key_id_and_in_both_alphabets(
    vector: dict[str, Any], signer: CryptoSigner
) -> None:
    assert opened(vector, signer.public_key) in {b'{"_type":"https://in-toto.io/Statement/v1"}', b"\xfb\xff\xbf>?"}


def test_another_payload_type_is_another_signature(signer: CryptoSigner) -> None:
    swapped = {**SINGLE, "payloadType": "application/vnd.example.other+json"}
    with pytest.raises(ForgetkitError) as refused:
        opened(swapped, signer.public_key, "application/vnd.example.other+json")
    assert refused.value.code == "signature-invalid"


def test_a_signature_over_another_type_of_payload_is_not_taken_for_a_statement(signer: CryptoSigner) -> None:
    envelope = json.loads(sealed(b"hello", signer, "text/plain"))
    with pytest.raises(ForgetkitError, match="the payload is 'text/plain'") as refused:
        opened(envelope, signer.public_key)
    assert refused.value.code == "attestation-malformed"


def test_one_of_several_signatures_is_enough(prepared: Attestation, signer: CryptoSigner) -> None:
    envelope = json.loads(prepared.line())
    envelope["signatures"].insert(0, json.loads(sealed(prepared.payload, signer))["signatures"][0])
    assert opened(envelope, prepared.signer.public_key) == prepared.payload


def test_a_key_id_alone_is_trusted_by_nobody(prepared: Attestation, signer: CryptoSigner) -> None:
    envelope = json.loads(sealed(prepared.payload, signer))
    envelope["signatures"][0]["keyid"] = prepared.signer.public_key.keyid
    with pytest.raises(ForgetkitError, match="changed after it was signed") as refused:
        opened(envelope, prepared.signer.public_key)
    assert refused.value.code == "signature-invalid"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"{}\n{}\n", "2 attestations, where one is expected"),
        (b"[]", "not a DSSE envelope"),
        (b"{", "not a DSSE envelope"),
        (b"[" * 100_000, "not a DSSE envelope"),
        (b"\xff\xfe", "not a DSSE envelope"),
        (b'{"payload":"","payload":"","payloadType":"","signatures":[]}', "a key appears twice"),
        (b'{"payload":"","payloadType":"","signatures":[{"sig":1}]}', "not a DSSE envelope"),
        (b'{"payload":1,"payloadType":"","signatures":[]}', "not a DSSE envelope"),
        (b'{"payload":"","payloadType":"","signatures":["a"]}', "not a DSSE envelope"),
        (b'{"payload":"\\ud800","payloadType":"","signatures":[]}', "not a DSSE envelope"),
    ],
)
def test_what_is_no_envelope_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ForgetkitError) as refused:
        envelope_in(content, HERE)
    assert refused.value.code == "attestation-malformed"
    assert words in refused.value.message


def test_an_envelope_without_a_signature_is_refused(signer: CryptoSigner) -> None:
    with pytest.raises(ForgetkitError, match="it is not signed"):
        opened({**SINGLE, "signatures": []}, signer.public_key)


@pytest.mark.parametrize("field", ["payload", "sig"])
def test_text_that_is_not_base64_is_refused(field: str, signer: CryptoSigner) -> None:
    broken = {**SINGLE, "payload": "*"} if field == "payload" else {**SINGLE, "signatures": [{"sig": "*"}]}
    with pytest.raises(ForgetkitError, match="not base64"):
        opened(broken, signer.public_key)


def test_of_ten_thousand_changed_bytes_none_changes_what_is_believed(prepared: Attestation) -> None:
    """Spaces, key ids and the unused bits of base64 carry nothing: there, payload and signature must be the same."""
    line, draw, key = prepared.line().encode(), random.Random(0), prepared.signer.public_key
    (signed,) = Envelope.from_dict(json.loads(line)).signatures.values()
    caught = 0
    for _ in range(10_000):
        changed = bytearray(line)
        changed[draw.randrange(len(line))] ^= draw.randrange(1, 256)
        try:
            envelope = envelope_in(bytes(changed), HERE)
            payload = payload_of(envelope, key, HERE)
        except ForgetkitError:
            caught += 1
            continue
        (found,) = Envelope.from_dict(
            {**envelope, "signatures": [{"keyid": "", **envelope["signatures"][0]}]}
        ).signatures.values()
        assert (payload, found.signature) == (prepared.payload, signed.signature)
    assert 9_000 < caught < 10_000
