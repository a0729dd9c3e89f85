"""Decodes any bytes into a report, step by step, as far as they can be read.

PURE; never raises for bad bytes.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

from ca.x509.asn1 import Asn1Error
from ca.x509.bounds import prescan_prefix
from inspector.messages import (
    KnownKeys,
    attributes_section,
    certificate_rows,
    envelope_section,
    signature_section,
    signed_data_path,
    signer_section,
    stopped,
)
from inspector.other_formats import section_of
from inspector.outline import outline_of
from inspector.report import Report, Row, Section
from inspector.requests import csr_section, looks_like_csr
from inspector.words import WIRE_NAMES, wire_name
from scep.protocol import constants as c
from scep.protocol.codec import decode_pki_message
from scep.protocol.errors import Malformed, Refused
from scep.protocol.messages import STRICT, MessageRules
from scep.protocol.signed_data import SignedData, SignerInfo, read_signed_data, read_signer_info

_ANSWER: Final = "answer (CertRep)"
_TRAILING: Final = b"\x00\r\n"
_BY_CHALLENGE: Final = (
    "The outer part is accepted. The signer has no RSA key: the answer is encrypted with the "
    "challengePassword of the "
    "request, and a request without one is refused."
)
_NO_ANSWER: Final = (
    "FAILURE badAlg: the signer has no RSA key, and nothing else could encrypt the answer."
)
_WITHOUT_RSA: Final = {c.MessageType.GET_CERT: _NO_ANSWER, c.MessageType.GET_CRL: _NO_ANSWER}


def decode(data: bytes, *, known: KnownKeys, rules: MessageRules = STRICT) -> Report:
    """Return everything that can be read from `data` without a key, under the rules of its profile.

    `known` are the RA keys that the report may name.
    """
    kind, sections = _sections(data, known, rules)
    lines, end = outline_of(data)
    return Report(kind, len(data), hashlib.sha256(data).hexdigest(), tuple(sections), lines, end)


def _sections(
    data: bytes, ra_keys: KnownKeys, rules: MessageRules
) -> tuple[str, Sequence[Section]]:
    try:
        end = prescan_prefix(data)
    except Asn1Error as error:
        return "not readable", [
            Section("Encoding", verdict=f"{str(error).capitalize()}.", tone="bad")
        ]
    rest = data[end:].strip(_TRAILING)
    before = (
        [Section("Encoding", verdict=f"{len(rest)} bytes follow the message.", tone="bad")]
        if rest
        else []
    )
    if looks_like_csr(data[:end]):
        return "certificate request (PKCS #10)", [*before, csr_section(data[:end], rules)[1]]
    other = section_of(data[:end])
    if other is not None:
        return other[0], [*before, other[1]]
    try:
        signed = read_signed_data(data[:end])
        if not signed.signer_infos and signed.certificates and not signed.content:
            return "certificates (GetCACert, or the inside of an answer)", [
                *before,
                _degenerate(signed),
            ]
        signer = read_signer_info(signed.signer_infos[0])
    except (Asn1Error, IndexError):
        return "not a SCEP message", [
            *before,
            stopped("Structure", "message", signed_data_path(data[:end])),
        ]
    is_answer = _kind(signer) == _ANSWER
    sections = [*before, *_message_sections(signed, signer, None if is_answer else ra_keys, rules)]
    if not is_answer:
        sections.append(_verdict(data, rules))
    return _kind(signer), sections


def _message_sections(
    signed: SignedData, signer: SignerInfo, known: KnownKeys | None, rules: MessageRules
) -> Iterator[Section]:
    yield signature_section(signed, signer, rules)
    yield signer_section(signed, signer)
    yield attributes_section(signer)
    if signed.content:
        yield envelope_section(signed.content, known)


def _kind(signer: SignerInfo) -> str:
    tlv = signer.single(c.ATTR_MESSAGE_TYPE)
    number = tlv.value.decode("ascii", "replace") if tlv is not None else ""
    if number == str(int(c.MessageType.CERT_REP)):
        return _ANSWER
    names = {str(int(item)): name for item, name in WIRE_NAMES["type"].items()}
    return f"message ({names[number]})" if number in names else "message of an unknown type"


def _verdict(data: bytes, rules: MessageRules) -> Section:
    """Return the result of the portal's own codec before it opens the envelope."""
    title = "As the portal takes it"
    try:
        message = decode_pki_message(data, rules)
    except Malformed as malformed:
        return Section(title, verdict=f"HTTP 400: {malformed}.", tone="bad")
    except Refused as refused:
        return Section(
            title,
            verdict=f"FAILURE {wire_name(refused.fail_info, 'fail')}: {refused.text}.",
            tone="bad",
        )
    if message.signer.key_algorithm != "rsa":
        return Section(
            title, verdict=_WITHOUT_RSA.get(message.message_type, _BY_CHALLENGE), tone="warn"
        )
    return Section(
        title, verdict="The outer part is accepted; the envelope is opened next.", tone="good"
    )


def _degenerate(signed: SignedData) -> Section:
    rows = (*certificate_rows(signed.certificates), Row("CRLs", str(len(signed.crls))))
    return Section("Certificates", rows)
