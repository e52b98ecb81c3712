"""From a checkpoint, its audit and a key to a signed statement."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetkit.attestation.audit_report import Audit, audit_of
from forgetkit.attestation.envelope import payload_of, read_envelope, sealed
from forgetkit.attestation.keys import Ask, signer_of
from forgetkit.attestation.model_file import read_model
from forgetkit.attestation.statement import read_statement, statement_of
from forgetkit.errors import ForgetkitError
from forgetkit.files.record import Record
from forgetkit.request_book.book import Booking
from forgetkit.request_book.details import find_entry

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner


@dataclass(frozen=True)
class Attestation:
    """A statement about a model and its audit, to be signed.

    Attributes:
        record: of the model.
        audit: what is said of it.
        payload: the statement, as the bytes that are signed.
        signer: who signs.
    """

    record: Record
    audit: Audit
    payload: bytes
    signer: "CryptoSigner"

    def line(self) -> str:
        """Sign; return the envelope, a line of JSON."""
        return sealed(self.payload, self.signer)

    def is_in(self, path: Path) -> bool:
        """Say whether a file holds this statement, signed with this key."""
        try:
            return path.is_file() and payload_of(read_envelope(path), self.signer.public_key, path) == self.payload
        except ForgetkitError:
            return False


def attest(checkpoint: str, audit: Path, key: Path, *, ask: Ask, booking: Booking | None = None) -> Attestation:
    """Return what is to be signed of a checkpoint and its audit.

    Args:
        checkpoint: path of the model.
        audit: JSON that ``forgetkit audit`` printed of it.
        key: private key, in PEM.
        ask: called for the passphrase of the key, if it has one.
        booking: the request in a book that the audit closed, or was to close.

    Raises:
        ForgetkitError: ``checkpoint-missing``, ``checkpoint-malformed``; as :func:`.audit_report.audit_of`,
            :func:`.keys.signer_of` and :func:`request_of`.
    """
    model = read_model(checkpoint)
    record = model.record()
    found = audit_of(audit, record.digest, model.path)
    request = request_of(booking, record, found) if booking else None
    payload = statement_of(model, found, request)
    read_statement(payload, model.path)  # nothing is signed that verify would not take
    return Attestation(record, found, payload, signer_of(key, ask))


def request_of(booking: Booking, record: Record, audit: Audit) -> dict[str, Any]:
    """Return name and size of a request, if its book has this audit of this model.

    Raises:
        ForgetkitError: ``request-unknown``, ``request-unanswered``; ``checkpoint-mismatch`` for a model that does not
            descend from the answer; ``audit-mismatch`` where the book does not have the audit.
    """
    asked = booking.asked()
    booking.check_answered(record)
    said = record.digest, audit.verdict, audit.policy.criterion, audit.policy.sha256
    booked = {(one.digest, one.verdict, one.criterion, one.policy) for one in find_entry(booking).audits}
    if said not in booked or audit.inputs.ids.count > len(asked):
        message = f"{booking.name} has no audit of this model with these rules and the verdict {audit.verdict}"
        hint = f"forgetkit audit FILE --request {booking.request} --book {booking.book} --json"
        raise ForgetkitError("audit-mismatch", message, hint)
    return {"name": booking.request, "ids": len(asked)}
