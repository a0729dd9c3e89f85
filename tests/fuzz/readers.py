"""Every reader of untrusted bytes, as a function from bytes to its result.

No database is needed. `read` accepts planned exceptions as results; any other exception is a
finding. A reader also checks properties of the accepted value (`Broken`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from approvals.rules.submission import Submission
from ca.content.csr_review import ProfileSpec, check_csr
from ca.x509.csr import decode_csr, read_stored_csr
from ca.x509.general_names import decode_general_names, general_name_fault
from ca.x509.names import NameMalformed, decode_name
from ca.x509.text import punycode_shown, text_findings
from scep.client import CaCertificates
from scep.errors import PLANNED
from scep.protocol.certificates import (
    load_public_key,
    read_certificate,
    read_issuer_and_serial,
    subject_key_identifier,
)
from scep.protocol.codec import decode_pki_message
from scep.protocol.envelope import open_envelope
from scep.protocol.errors import Refused
from scep.protocol.requests import SentRequest, decode_cert_rep, read_certificates
from scep.query import decode_message, parse_query
from tests.fuzz.cases import SENT_ID
from tests.pki import RaKeys, certificate_der
from tests.scep.forge import NONCE, constant_entropy, identity

_ENTROPY: Final = constant_entropy()
_PROFILES: Final = (
    ProfileSpec(),
    ProfileSpec(san_kinds=("dns", "ip", "email", "uri", "upn"), san_required=True),
)


class Broken(Exception):
    """A reader accepted something and said something about it that is not so."""


def read(target: str, data: bytes) -> str:
    """Return "read", or the class of the planned exception with failInfo.

    Raises everything else.
    """
    reader, planned = READERS[target]
    try:
        reader(data)
    except planned as error:
        name = type(error).__name__
        return f"{name} {error.fail_info.spelled}" if isinstance(error, Refused) else name
    return "read"


def described(error: Exception) -> str:
    """Class, text and the last place in the portal's code."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}: {str(error)[:300]}"


def _message(data: bytes) -> None:
    open_envelope(decode_pki_message(data), recipients=[RaKeys()], entropy=_ENTROPY)


def _request(data: bytes) -> None:
    csr = decode_csr(data)
    for spec in _PROFILES:
        review = check_csr(csr, spec)
        if len(";".join(finding.text for finding in review.findings)) > 200_000:
            raise Broken("findings of more than 200,000 characters")
    stored = read_stored_csr(csr.stored_der)
    if (stored.subject.der, stored.spki_der, stored.requested_sans) != (
        csr.subject.der,
        csr.spki_der,
        csr.requested_sans,
    ):
        raise Broken("the request as kept says something else than the request as received")
    secret = (csr.challenge_password or "").encode()
    if len(secret) > 8 and data.count(secret) == 1 and secret in csr.stored_der:
        raise Broken("the challenge stands in the request as kept")
    submission = Submission(
        csr=csr,
        transaction_id="x",
        signer_spki_sha256=csr.spki_sha256,
        signer_certificate_der=b"",
        signer_is_self_issued=True,
        address="",
    )
    if not str(csr.subject).isprintable() or len(submission.content_sha256()) != 32:
        raise Broken("a subject as shown has characters that cannot be seen")


def _certificate(data: bytes) -> None:
    certificate = read_certificate(data)
    subject_key_identifier(data)
    load_public_key(certificate.spki_der)


def _name(data: bytes) -> None:
    try:
        for attribute in decode_name(data).attributes:
            text_findings(attribute.value)
    except NameMalformed:
        for name in decode_general_names(data):
            general_name_fault(name)
            text_findings(name.value)
            punycode_shown(name.value)


def _query(data: bytes) -> None:
    query = parse_query(data.decode("latin-1"))
    if query.message is not None:
        decode_message(query.message)


def _answer(data: bytes) -> None:
    sent = SentRequest(b"", SENT_ID, NONCE)
    decode_cert_rep(data, sent=sent, recipient=identity(), trusted=(certificate_der("ra"),))


def _published(data: bytes) -> None:
    CaCertificates.from_certificates(read_certificates(data))


def _serial_query(data: bytes) -> None:
    read_issuer_and_serial(data)


_Planned = tuple[type[Exception], ...]
READERS: Final[dict[str, tuple[Callable[[bytes], None], _Planned]]] = {
    "message": (_message, PLANNED["message"] + PLANNED["envelope"]),
    "request": (_request, PLANNED["request"]),
    "certificate": (_certificate, PLANNED["certificate"]),
    "name": (_name, PLANNED["name"]),
    "query": (_query, PLANNED["query"]),
    "query for a certificate": (
        _serial_query,
        PLANNED["query for a certificate"],
    ),
    "answer": (_answer, PLANNED["answer"]),
    "published": (_published, PLANNED["answer"]),
}
