"""CSRs and certificates for seeded rows: real keys, real signatures, made by the thousand.

The keys are thrown away.
"""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.content.builder import (
    CertificateContent,
    IssuerFacts,
    algorithm_identifier,
    assemble_certificate,
    build_tbs,
    new_serial_number,
)
from ca.content.profile_spec import ProfileSpec
from ca.x509 import asn1
from ca.x509.general_names import GeneralName, encode_general_names, general_name
from ca.x509.names import DistinguishedName, build_name
from keys.file import LoadedKey

KINDS: Final = (
    "router",
    "switch",
    "ap",
    "camera",
    "printer",
    "vpn",
    "plc",
    "phone",
    "sensor",
    "kiosk",
)
SITES: Final = (
    "berlin",
    "lyon",
    "porto",
    "graz",
    "turin",
    "gdansk",
    "malmo",
    "basel",
    "delft",
    "cork",
)
KEY: Final = "EC P-256"
_ALGORITHM: Final = "ecdsa-sha256"
_ECDSA: Final = ec.ECDSA(hashes.SHA256())
_COMMON_NAME, _UNIT, _ORGANIZATION = "2.5.4.3", "2.5.4.11", "2.5.4.10"
_VERSION_1: Final = asn1.der_integer(0)
_EXTENSION_REQUEST: Final = asn1.der_oid("1.2.840.113549.1.9.14")
_SUBJECT_ALT_NAME: Final = asn1.der_oid("2.5.29.17")
_SERIAL_ENTROPY: Final = 19
_SIGNER_DAYS: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Device:
    """One seeded device: its name, key and CSR, and the certificate that signed its message."""

    common_name: str
    subject: DistinguishedName
    sans: tuple[GeneralName, ...]
    spki_der: bytes
    csr: bytes
    content: bytes
    signer_certificate: bytes

    @property
    def spki_sha256(self) -> str:
        return sha256(self.spki_der).hexdigest()


def make_device(number: int, mark: str, now: datetime) -> Device:
    """Return the device of this number; `mark` keeps the names of several runs apart."""
    kind, site = KINDS[number % len(KINDS)], SITES[number // len(KINDS) % len(SITES)]
    common_name = f"{kind}-{mark}-{number:06d}.{site}.example"
    subject = build_name(
        [(_ORGANIZATION, "Example"), (_UNIT, site.title()), (_COMMON_NAME, common_name)]
    )
    sans = (general_name("dns", common_name),)
    key = ec.generate_private_key(ec.SECP256R1())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    names = asn1.der_sequence(_SUBJECT_ALT_NAME, asn1.der_octets(encode_general_names(sans)))
    attribute = asn1.der_sequence(_EXTENSION_REQUEST, asn1.der_set(asn1.der_sequence(names)))
    info = asn1.der_sequence(_VERSION_1, subject.der, spki, asn1.der_context(0, attribute))
    return Device(
        common_name=common_name,
        subject=subject,
        sans=sans,
        spki_der=spki,
        csr=assemble_certificate(
            info, _ALGORITHM, key.sign(info, _ECDSA)
        ),  # the same outer form, RFC 2986 §4.2
        content=info,
        signer_certificate=_self_signed(subject.der, spki, key, now),
    )


def make_certificate(
    device: Device, issuer: IssuerFacts, spec: ProfileSpec, key: LoadedKey, now: datetime
) -> tuple[int, tuple[datetime, datetime], bytes, bytes]:
    """Return serial number, validity, to-be-signed bytes and certificate, as the worker makes them.

    Only the dates differ: they spread over two years, for filters, so they may lie before the CA's
    own.
    """
    serial_number = new_serial_number(os.urandom(_SERIAL_ENTROPY))
    not_before = now.replace(microsecond=0)
    period = (not_before, not_before + spec.validity - timedelta(seconds=1))
    tbs = build_tbs(
        CertificateContent(
            spec=spec,
            issuer=issuer,
            subject=device.subject,
            sans=device.sans,
            spki_der=device.spki_der,
            serial_number=serial_number,
            not_before=period[0],
            not_after=period[1],
        )
    )
    algorithm = key.signature_algorithm
    return (
        serial_number,
        period,
        tbs,
        assemble_certificate(tbs, algorithm, key.sign(tbs, algorithm)),
    )


def uuid7_at(moment: datetime, number: int) -> UUID:
    """Return a version 7 UUID of this moment; equal moments sort by `number`, below 4096."""
    milliseconds = int(moment.timestamp() * 1000)
    random_bits = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    return UUID(
        int=milliseconds << 80 | 0x7 << 76 | (number & 0xFFF) << 64 | 0b10 << 62 | random_bits
    )


def _self_signed(
    name_der: bytes, spki: bytes, key: ec.EllipticCurvePrivateKey, now: datetime
) -> bytes:
    """Return a version 1 certificate, as small clients make them (RFC 8894 §2.3)."""
    times = (
        asn1.der(asn1.UTC_TIME, f"{t:%y%m%d%H%M%S}Z".encode()) for t in (now, now + _SIGNER_DAYS)
    )
    tbs = asn1.der_sequence(
        asn1.der_integer(1),
        algorithm_identifier(_ALGORITHM),
        name_der,
        asn1.der_sequence(*times),
        name_der,
        spki,
    )
    return assemble_certificate(tbs, _ALGORITHM, key.sign(tbs, _ECDSA))
