"""``forgetkit attest``: sign what an audit found."""

from pathlib import Path

from forgetkit.attestation.options import Evidence
from forgetkit.cli.console import Console
from forgetkit.options import Checkpoint, Output

SUFFIX = ".intoto.jsonl"


def attest(checkpoint: Checkpoint, *, evidence: Evidence, output: Output) -> None:
    """Sign a statement on a model: how it came about, and what its audit found.

    The statement is an in-toto Statement v1 with the predicate test-result v0.1, in a DSSE envelope: readable and
    verifiable without forgetkit. It names no ids. It is beside the model: model.st → model.intoto.jsonl. Any verdict
    can be signed; the statement says which it is. The signature shows who says so, not that it is true.

    The report is what audit printed with --json. A key is made with: openssl genpkey -algorithm ed25519 -out key.pem;
    its public half with: openssl pkey -in key.pem -pubout -out key.pub.

    Examples:
        forgetkit attest model.forget.st --audit audit.json --key key.pem
        forgetkit attest model.forget.st --audit audit.json --key key.pem -o case-7.intoto.jsonl --json
    """
    from forgetkit.attestation.attest import attest as prepared
    from forgetkit.cli.passphrase import asking
    from forgetkit.cli.results import document
    from forgetkit.files.publish import check_target, claimed, publish_text
    from forgetkit.request_book.book import booking_of

    console, path = Console(output), Path(checkpoint)
    found = prepared(
        checkpoint,
        Path(evidence.audit),
        Path(evidence.key),
        ask=asking(evidence.key, evidence.passphrase_file),
        booking=booking_of(evidence.request, evidence.book),
    )
    target = Path(output.out) if output.out else path.with_suffix(SUFFIX)
    if found.audit.verdict != "forgotten":
        console.warn("not-forgotten", f"the verdict of the audit is {found.audit.verdict}, and the statement says so")
    done = found.is_in(target)
    if not done:
        given = (evidence.audit, evidence.key, evidence.book, evidence.passphrase_file)
        check_target(target, force=output.force, inputs=(path, *(Path(one) for one in given if one)))
    if output.dry_run:
        console.note(f"dry run: nothing was written to {target}")
        return
    if not done:
        with claimed((target,), force=output.force):
            publish_text(target, found.line())
    key = found.signer.public_key.keyid[:16]
    console.note(f"attest: {target} {'is up to date' if done else f'written, signed with key id {key}'}")
    console.note(f"next: forgetkit verify {path} --attestation {target} --key key.pub")
    metrics = {"verdict": found.audit.verdict, "key": found.signer.public_key.keyid}
    result = document("attest", target, found.record, up_to_date=done)
    console.result([str(target)], {**result, "metrics": metrics})
