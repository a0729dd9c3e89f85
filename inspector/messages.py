"""The outer parts of a SCEP message: SignedData, signer, attributes, envelope.

PURE; no step raises for bad bytes. The functions are those of the portal's own codec, so that the
report shows what the portal saw (RFC 8894 section 3).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ca.x509.asn1 import (
    CONSTRUCTED,
    CONTEXT,
    SEQUENCE,
    SET,
    TLV,
    Asn1Error,
    children,
    expect,
    explicit,
    octets,
    oid,
    parse_exact,
    sequence,
)
from ca.x509.bounds import prescan
from ca.x509.names import NameMalformed, decode_name
from inspector.report import Row, Section, Stop, Tone
from inspector.words import WIRE_NAMES
from scep.protocol import constants as c
from scep.protocol.certificates import UnusableKeyError, load_public_key, read_certificate
from scep.protocol.errors import Refused
from scep.protocol.messages import MessageRules, SignerCertificate
from scep.protocol.signatures import accepted_digest, check_digest, check_signature
from scep.protocol.signed_data import SignedData, SignerInfo, find_signer


@dataclass(frozen=True, slots=True)
class KnownKey:
    """An RA key that the report may name, and whether it can still decrypt."""

    name: str
    is_retired: bool = False
    is_ra: bool = True


#: RA keys by the DER of issuer and serial number, or by key identifier: the recipient of an
#: envelope.
KnownKeys = Mapping[bytes, KnownKey]

_ATTRIBUTES: Final = {
    c.ATTR_MESSAGE_TYPE: "messageType",
    c.ATTR_TRANSACTION_ID: "transactionID",
    c.ATTR_PKI_STATUS: "pkiStatus",
    c.ATTR_FAIL_INFO: "failInfo",
    c.ATTR_FAIL_INFO_TEXT: "failInfoText",
    c.ATTR_SENDER_NONCE: "senderNonce",
    c.ATTR_RECIPIENT_NONCE: "recipientNonce",
    c.ATTR_CONTENT_TYPE: "contentType",
    c.ATTR_MESSAGE_DIGEST: "messageDigest",
}
_NUMBERS: Final = {
    c.ATTR_MESSAGE_TYPE: {str(int(number)): name for number, name in WIRE_NAMES["type"].items()},
    c.ATTR_PKI_STATUS: {str(int(number)): name for number, name in WIRE_NAMES["status"].items()},
    c.ATTR_FAIL_INFO: {str(int(number)): name for number, name in WIRE_NAMES["fail"].items()},
}
_DIGESTS: Final = {name: text.upper() for name, text in c.DIGESTS.items()} | c.REFUSED_DIGESTS
_SIGNATURES: Final = (
    {c.RSA_ENCRYPTION: "RSA (PKCS #1 v1.5)", c.RSA_PSS: "RSASSA-PSS"}
    | {name: f"RSA with {text.upper()}" for name, text in c.RSA_SIGNATURES.items()}
    | {name: f"ECDSA with {text.upper()}" for name, text in c.ECDSA_SIGNATURES.items()}
    | c.REFUSED_SIGNATURES
)
_CIPHERS: Final = {name: text.upper() for name, text in c.CIPHERS.items()} | c.REFUSED_CIPHERS
_TRANSPORTS: Final = {c.RSA_ENCRYPTION: "RSA (PKCS #1 v1.5)", c.RSA_OAEP: "RSAES-OAEP"}
_MAX_SHOWN: Final = 300


def signature_section(signed: SignedData, signer: SignerInfo, rules: MessageRules) -> Section:
    """The signature over the message: its algorithms, and whether it is valid."""
    rows = (
        Row("digestAlgorithm", named(signer.digest_oid, _DIGESTS)),
        Row("signatureAlgorithm", _algorithm(signer.signature_algorithm, _SIGNATURES)),
        Row("certificates", str(len(signed.certificates))),
        Row("signerInfos", str(len(signed.signer_infos))),
        Row("content", f"{len(signed.content)} bytes" if signed.content else "none"),
    )
    try:
        digest = accepted_digest(signer, rules)
        certificate = find_signer(signed, signer)
        if certificate is None:
            return Section(
                "Signature",
                rows,
                "Not verified: no certificate in the message is the signer's.",
                "bad",
            )
        check_signature(signer, certificate, digest)
        check_digest(signer, signed.content or b"", digest)
    except Refused as refused:
        return Section("Signature", rows, f"Not verified: {refused.text}.", "bad")
    except Asn1Error as error:
        return Section("Signature", rows, f"Not verified: {error}.", "bad")
    return Section(
        "Signature",
        rows,
        "Verified: by the key of the signer certificate, over this content.",
        "good",
    )


def signer_section(signed: SignedData, signer: SignerInfo) -> Section:
    """The certificate of the signing key."""
    try:
        certificate = find_signer(signed, signer)
    except Asn1Error as error:
        at = signed.certificates[0].start if signed.certificates else 0
        return Section("Signer certificate", stop=Stop("certificates", at, "message", str(error)))
    if certificate is None:
        return Section(
            "Signer certificate",
            verdict="No certificate in the message is the signer's.",
            tone="bad",
        )
    kind = (
        "itself (a device without a certificate yet)"
        if certificate.is_self_issued
        else name_of(certificate.issuer_der)
    )
    rows = (
        Row("subject", name_of(certificate.subject_der)),
        Row("issued by", kind),
        Row("serial number", certificate.serial_der[2:].hex(), is_code=True),
        Row("key", key_of(certificate)),
        Row("SHA-256", hashlib.sha256(certificate.der).hexdigest(), is_code=True),
    )
    return Section("Signer certificate", rows)


def attributes_section(signer: SignerInfo) -> Section:
    """The signed attributes in the order of RFC 8894 section 3.2.1, then the unknown ones."""
    standard = [(name, _ATTRIBUTES[name]) for name in _ATTRIBUTES if name in signer.attributes]
    others = [(name, named(name, {})) for name in signer.attributes if name not in _ATTRIBUTES]
    rows = tuple(
        Row(text, _values(name, signer.attributes[name]), _is_octets(name))
        for name, text in [*standard, *others]
    )
    twice = [text for name, text in standard if len(signer.attributes[name]) != 1]
    missing = [
        _ATTRIBUTES[name]
        for name in (c.ATTR_MESSAGE_TYPE, c.ATTR_TRANSACTION_ID, c.ATTR_SENDER_NONCE)
        if name not in signer.attributes
    ]
    remarks = [f"Missing: {', '.join(missing)}."] if missing else []
    remarks += [f"Not there exactly once: {', '.join(twice)}."] if twice else []
    return Section("Attributes", rows, " ".join(remarks), "bad" if remarks else "")


def envelope_section(content: bytes, ra_keys: KnownKeys | None) -> Section:
    """The public part of the pkcsPKIEnvelope: its recipient and its algorithms.

    Nothing is decrypted. `ra_keys` is None for an answer, which is encrypted to the device.
    """
    where: list[tuple[str, int]] = [("ContentInfo", 0)]
    rows: list[Row] = [Row("size", f"{len(content)} bytes")]
    try:
        prescan(content)
        info = sequence(parse_exact(content), 2)
        where.append(("contentType", info[0].start))
        rows.append(Row("contentType", _content_type(info[0])))
        where.append(("EnvelopedData", info[1].start))
        members = sequence(explicit(info[1], CONTEXT | CONSTRUCTED), 3)
        if members[1].tag == CONTEXT | CONSTRUCTED:  # originatorInfo
            del members[1]
        where.append(("recipientInfos", members[1].start))
        recipients = children(expect(members[1], SET))
        keys = []
        for number, recipient in enumerate(recipients, 1):
            where.append((f"recipientInfo {number}", recipient.start))
            text, key = _recipient(recipient, ra_keys or {})
            rows.append(Row(f"recipient {number}", text))
            keys.append(key)
        where.append(("encryptedContentInfo", members[2].start))
        rows += _encrypted(sequence(members[2], 2))
    except (Asn1Error, Refused) as error:
        return Section("Envelope", tuple(rows), stop=Stop(*where[-1], "envelope", str(error)))
    if ra_keys is None:
        return Section(
            "Envelope", tuple(rows), "Encrypted to the device: only the device can open it."
        )
    return Section("Envelope", tuple(rows), *_addressee([key for key in keys if key]))


def _addressee(ours: list[KnownKey]) -> tuple[str, Tone]:
    """Which of our keys an envelope is for, as text and tone."""
    if not ours:
        return "Not encrypted to an RA key of a profile that you may see.", "warn"
    if not any(key.is_ra for key in ours):
        text = (
            f"Encrypted to {ours[0].name}, which decrypts nothing: the client took it for the RA "
            "certificate."
        )
        return text, "bad"
    names = ", ".join(f"a retired key, {key.name}" if key.is_retired else key.name for key in ours)
    return f"Encrypted to {names}.", "warn" if ours[0].is_retired else "good"


def stopped(title: str, part: str, path: Callable[[list[tuple[str, int]]], None]) -> Section:
    """Walk a path until it breaks, and report where; `path` notes each field before it reads it."""
    where: list[tuple[str, int]] = [("first value", 0)]
    try:
        path(where)
    except (Asn1Error, IndexError) as error:
        return Section(title, stop=Stop(*where[-1], part, str(error) or "a value is missing"))
    return Section(title, stop=Stop(*where[-1], part, "a SCEP message has another value here"))


def signed_data_path(data: bytes) -> Callable[[list[tuple[str, int]]], None]:
    """The path through ContentInfo and SignedData to the first SignerInfo (RFC 5652 section 5)."""

    def path(where: list[tuple[str, int]]) -> None:
        info = sequence(parse_exact(data), 2)
        where.append(("contentType", info[0].start))
        if info[0].raw != c.ID_SIGNED_DATA:
            raise Asn1Error(f"{oid(info[0])}: SignedData is needed")
        where.append(("SignedData", info[1].start))
        members = sequence(explicit(info[1], CONTEXT | CONSTRUCTED), 4)
        where.append(("encapContentInfo", members[2].start))
        inside = sequence(members[2], 1)
        if len(inside) > 1:
            where.append(("eContent", inside[1].start))
            octets(explicit(inside[1], CONTEXT | CONSTRUCTED))
        where.append(("signerInfos", members[-1].start))
        signers = children(expect(members[-1], SET))
        if not signers:
            raise Asn1Error("no SignerInfo: the message is not signed")
        where.append(("SignerInfo", signers[0].start))
        parts = sequence(signers[0], 6)
        for name, part in zip(
            ("version", "sid", "digestAlgorithm", "signedAttrs"), parts, strict=False
        ):
            where.append((name, part.start))
        for attribute in children(expect(parts[3], CONTEXT | CONSTRUCTED)):
            where.append(("signed attribute", attribute.start))
            expect(sequence(attribute, 2)[1], SET)
        where.append(("signatureAlgorithm", parts[4].start))
        expect(parts[4], SEQUENCE)
        where.append(("signature", parts[5].start))
        octets(parts[5])

    return path


def named(oid_der: bytes, names: Mapping[bytes, str]) -> str:
    """Return the name of an object identifier, or its dotted form."""
    try:
        return names.get(oid_der) or oid(parse_exact(oid_der))
    except Asn1Error:
        return "not readable"


def name_of(der: bytes) -> str:
    """Return a distinguished name as text."""
    try:
        return str(decode_name(der)) or "(empty)"
    except (NameMalformed, Asn1Error) as error:
        return f"not readable: {error}"


def key_of(certificate: SignerCertificate) -> str:
    """Return the kind of key in a certificate."""
    try:
        return (
            f"{certificate.key_algorithm.upper()} {load_public_key(certificate.spki_der).key_size}"
        )
    except UnusableKeyError:
        return f"{certificate.key_algorithm}, not usable here"


def certificate_rows(certificates: tuple[TLV, ...]) -> tuple[Row, ...]:
    """One row for each certificate of a certs-only message."""
    rows = []
    for number, tlv in enumerate(certificates, 1):
        try:
            certificate = read_certificate(tlv.raw)
            text = (
                f"{name_of(certificate.subject_der)}, issued by {name_of(certificate.issuer_der)}"
            )
        except Asn1Error as error:
            text = f"not readable at byte {tlv.start}: {error}"
        rows.append(Row(f"certificate {number}", text))
        rows.append(Row("SHA-256", hashlib.sha256(tlv.raw).hexdigest(), is_code=True))
    return tuple(rows)


def _values(name: bytes, values: list[TLV]) -> str:
    return ", ".join(_value(name, tlv) for tlv in values) or "(empty)"


def _value(name: bytes, tlv: TLV) -> str:
    if name == c.ATTR_CONTENT_TYPE:
        return "id-data" if tlv.raw == c.ID_DATA else named(tlv.raw, {})
    if _is_octets(name):
        return tlv.value.hex()[:_MAX_SHOWN]
    if name not in _ATTRIBUTES:
        return f"{len(tlv.value)} bytes"
    text = tlv.value.decode("utf-8", "replace")[:_MAX_SHOWN]
    meaning = _NUMBERS.get(name, {}).get(text)
    return f"{text} ({meaning})" if meaning else text


def _is_octets(name: bytes) -> bool:
    return name in (c.ATTR_SENDER_NONCE, c.ATTR_RECIPIENT_NONCE, c.ATTR_MESSAGE_DIGEST)


def _algorithm(tlv: TLV, names: Mapping[bytes, str]) -> str:
    try:
        return named(sequence(tlv, 1)[0].raw, names)
    except Asn1Error:
        return "not readable"


def _content_type(tlv: TLV) -> str:
    return named(
        tlv.raw,
        {c.ID_ENVELOPED_DATA: "EnvelopedData", c.ID_AUTH_ENVELOPED_DATA: "AuthEnvelopedData"},
    )


def _recipient(tlv: TLV, keys: KnownKeys) -> tuple[str, KnownKey | None]:
    """Return the recipient of one RecipientInfo, and its key if it is an RA key."""
    if tlv.tag != SEQUENCE:
        return f"a password or another kind of recipient ([{tlv.tag & 0x1F}])", None
    members = sequence(tlv, 4)
    rid = members[1]
    transport = _algorithm(members[2], _TRANSPORTS)
    if rid.tag & ~CONSTRUCTED == CONTEXT:
        key = octets(rid)
        return f"key identifier {key.hex()}, {transport}", keys.get(key)
    issuer, serial = sequence(rid, 2)[:2]
    text = f"serial number {serial.value.hex()} of {name_of(issuer.raw)}, {transport}"
    return text, keys.get(rid.raw)


def _encrypted(members: list[TLV]) -> list[Row]:
    rows = [Row("content encryption", _algorithm(members[1], _CIPHERS))]
    if len(members) > 2:
        rows.append(Row("encrypted content", f"{len(octets(members[2]))} bytes"))
    return rows
