"""To-be-signed certificates, encoded in DER by hand (RFC 5280 4.1, 4.2): fast and explicit.

A certificate takes the public key and the approved names from a request; all else comes from the
profile and the issuer. Building is a function of its arguments: the same content gives the same
bytes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from ca.content.issuers import (
    IssuerFacts,
    IssuerUnusable,
    key_algorithm,
    key_identifier,
    signature_algorithm_of,
)
from ca.content.profile_spec import ProfileSpec
from ca.x509 import asn1, extensions
from ca.x509.general_names import GeneralName, encode_general_names
from ca.x509.names import DistinguishedName

__all__ = [
    "CertificateContent",
    "IssuerFacts",
    "IssuerUnusable",
    "RevokedEntry",
    "ServiceUsages",
    "assemble_certificate",
    "build_ca_tbs",
    "build_crl_tbs",
    "build_service_tbs",
    "build_tbs",
    "new_serial_number",
    "validity",
]

# RSA: parameters NULL; ECDSA: absent (RFC 4055 5, RFC 5758 3.2).
_ALGORITHM_IDENTIFIERS: Final = {
    "rsa-sha256": asn1.der_sequence(asn1.der_oid("1.2.840.113549.1.1.11"), asn1.DER_NULL),
    "ecdsa-sha256": asn1.der_sequence(asn1.der_oid("1.2.840.10045.4.3.2")),
    "ecdsa-sha384": asn1.der_sequence(asn1.der_oid("1.2.840.10045.4.3.3")),
}
_CRL_VERSION_2: Final = asn1.der_integer(1)
_VERSION_3: Final = asn1.der_context(0, asn1.der_integer(2))
_ONE_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class CertificateContent:
    """The content of a device's certificate. Times are whole seconds in UTC."""

    spec: ProfileSpec
    issuer: IssuerFacts
    subject: DistinguishedName
    sans: tuple[GeneralName, ...]
    spki_der: bytes
    serial_number: int
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class RevokedEntry:
    """One line of a CRL. `reason` is a name in `extensions.CRL_REASON_CODES`.

    "" and unspecified leave it out.
    """

    serial_number: int
    revoked_at: datetime
    reason: str = ""
    invalidity_date: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Frame:
    """The fields of a to-be-signed certificate except its extensions."""

    signature_algorithm: str
    issuer_der: bytes
    subject_der: bytes
    spki_der: bytes
    serial_number: int
    validity: tuple[datetime, datetime]


def new_serial_number(entropy: bytes) -> int:
    """Return a serial number from `entropy` (18 to 20 octets), the first octet 01 to 7f.

    See RFC 5280 4.1.2.2.
    """
    if not 18 <= len(entropy) <= 20:
        raise ValueError(f"serial number from {len(entropy)} random bytes: 18 to 20 are needed")
    return int.from_bytes(bytes((entropy[0] % 127 + 1,)) + entropy[1:], "big")


def validity(spec: ProfileSpec, issuer: IssuerFacts, now: datetime) -> tuple[datetime, datetime]:
    """Return first and last second: backdated, `spec.validity` long, within the issuer's time.

    Both ends count. Raises IssuerUnusable when the issuer is not valid at `now` (which must be
    aware).
    """
    moment = now.astimezone(UTC).replace(microsecond=0)
    if not issuer.not_before <= moment <= issuer.not_after:
        raise IssuerUnusable(
            f"issuer certificate: valid {issuer.not_before:%Y-%m-%dT%H:%MZ} to "
            f"{issuer.not_after:%Y-%m-%dT%H:%MZ} only"
        )
    not_before = max(moment - timedelta(minutes=spec.backdate_minutes), issuer.not_before)
    return not_before, min(not_before + spec.validity - _ONE_SECOND, issuer.not_after)


def build_tbs(content: CertificateContent) -> bytes:
    """Return the to-be-signed bytes of a device's certificate."""
    spec, issuer = content.spec, content.issuer
    key_usages = extensions.key_usages_for(spec.key_usages, key_algorithm(content.spki_der))
    parts = [_leaf_extensions(key_usages, spec.extended_key_usages)]
    if content.sans:
        is_critical = not content.subject.attributes
        parts.append(
            _extension(
                extensions.SUBJECT_ALT_NAME,
                encode_general_names(content.sans),
                is_critical=is_critical,
            )
        )
    parts += [
        _subject_key_identifier(content.spki_der),
        _authority_key_identifier(issuer.subject_key_identifier),
        _addresses(spec.crl_url, spec.ca_issuers_url, spec.ocsp_url),
    ]
    frame = _Frame(
        signature_algorithm=issuer.signature_algorithm,
        issuer_der=issuer.subject_der,
        subject_der=content.subject.der,
        spki_der=content.spki_der,
        serial_number=content.serial_number,
        validity=(content.not_before, content.not_after),
    )
    return _tbs(frame, parts)


@dataclass(frozen=True, slots=True)
class ServiceUsages:
    """The purposes of a key of the portal itself, in the words of a certificate profile."""

    key_usages: tuple[str, ...] = ("digital-signature", "key-encipherment")
    extended_key_usages: tuple[str, ...] = ()


def build_service_tbs(
    *,
    issuer: IssuerFacts,
    subject: DistinguishedName,
    spki_der: bytes,
    serial_number: int,
    period: tuple[datetime, datetime],
    usages: ServiceUsages = ServiceUsages(),
) -> bytes:
    """Return the to-be-signed bytes of a certificate for one of the portal's own keys.

    It is for an RA, or for device configurations. Raises ValueError for a key other than RSA: every
    client can encrypt to RSA (RFC 8894 3.1) and verify it.
    """
    if key_algorithm(spki_der) != "rsa":
        raise ValueError(
            "service certificate: SCEP requests are encrypted to it, so it needs an RSA key"
        )
    frame = _Frame(
        signature_algorithm=issuer.signature_algorithm,
        issuer_der=issuer.subject_der,
        subject_der=subject.der,
        spki_der=spki_der,
        serial_number=serial_number,
        validity=period,
    )
    parts = [
        _leaf_extensions(usages.key_usages, usages.extended_key_usages),
        _subject_key_identifier(spki_der),
        _authority_key_identifier(issuer.subject_key_identifier),
    ]
    return _tbs(frame, parts)


def build_ca_tbs(
    *,
    issuer: IssuerFacts | None,
    subject: DistinguishedName,
    spki_der: bytes,
    serial_number: int,
    not_before: datetime,
    not_after: datetime,
) -> bytes:
    """Return the to-be-signed bytes of a CA certificate.

    `issuer` None makes a self-signed root (path length not limited); below an issuer it is an
    issuing CA (path length 0). Raises IssuerUnusable for a key other than RSA, P-256 and P-384.
    """
    own_algorithm = signature_algorithm_of(spki_der)
    frame = _Frame(
        signature_algorithm=own_algorithm if issuer is None else issuer.signature_algorithm,
        issuer_der=subject.der if issuer is None else issuer.subject_der,
        subject_der=subject.der,
        spki_der=spki_der,
        serial_number=serial_number,
        validity=(not_before, not_after),
    )
    path_length = b"" if issuer is None else asn1.der_integer(0)
    basic = asn1.der_sequence(asn1.der_boolean(value=True), path_length)
    parts = [
        _extension(extensions.BASIC_CONSTRAINTS, basic, is_critical=True),
        # digitalSignature: the CA key also signs GetNextCACert answers (RFC 8894 4.7).
        _key_usage(("digital-signature", "key-cert-sign", "crl-sign")),
        _subject_key_identifier(spki_der),
    ]
    if issuer is not None:
        parts.append(_authority_key_identifier(issuer.subject_key_identifier))
    return _tbs(frame, parts)


def build_crl_tbs(
    *,
    issuer: IssuerFacts,
    number: int,
    this_update: datetime,
    next_update: datetime,
    entries: Iterable[RevokedEntry],
) -> bytes:
    """Return the to-be-signed bytes of a full CRL (RFC 5280 5.1), sorted by serial number.

    Raises ValueError for a repeated serial number, a reason that is not for full CRLs, or an end
    before the beginning.
    """
    if this_update >= next_update:
        raise ValueError(f"CRL: nextUpdate {next_update} is not after thisUpdate {this_update}")
    ordered = sorted(entries, key=lambda entry: entry.serial_number)
    if len({entry.serial_number for entry in ordered}) != len(ordered):
        raise ValueError("CRL: a serial number twice")
    return asn1.der_sequence(
        _CRL_VERSION_2,
        algorithm_identifier(issuer.signature_algorithm),
        issuer.subject_der,
        _time(this_update),
        _time(next_update),
        asn1.der_sequence(*map(_crl_entry, ordered))
        if ordered
        else b"",  # absent where empty (5.1.2.6)
        asn1.der_context(
            0,
            asn1.der_sequence(
                _authority_key_identifier(issuer.subject_key_identifier),
                _extension(extensions.CRL_NUMBER, asn1.der_integer(number)),
            ),
        ),
    )


def assemble_certificate(tbs: bytes, signature_algorithm: str, signature: bytes) -> bytes:
    """Return the certificate, or CRL, from signed bytes and their signature.

    Raises ValueError for an unknown algorithm.
    """
    return asn1.der_sequence(
        tbs, algorithm_identifier(signature_algorithm), asn1.der_bit_string(signature)
    )


def algorithm_identifier(signature_algorithm: str) -> bytes:
    """The AlgorithmIdentifier. ValueError: unknown algorithm."""
    if signature_algorithm not in _ALGORITHM_IDENTIFIERS:
        allowed = ", ".join(_ALGORITHM_IDENTIFIERS)
        raise ValueError(f"signature algorithm {signature_algorithm!r}: allowed are {allowed}")
    return _ALGORITHM_IDENTIFIERS[signature_algorithm]


# ------------------------------------------------------------------------------------------- pieces


def _tbs(frame: _Frame, parts: Sequence[bytes]) -> bytes:
    if frame.serial_number <= 0 or frame.serial_number.bit_length() > 159:
        raise ValueError("serial number: 1 to 20 octets, positive")
    not_before, not_after = frame.validity
    if not_before > not_after:
        raise ValueError(f"validity: ends {not_after} before it begins {not_before}")
    return asn1.der_sequence(
        _VERSION_3,
        asn1.der_integer(frame.serial_number),
        algorithm_identifier(frame.signature_algorithm),
        frame.issuer_der,
        asn1.der_sequence(_time(not_before), _time(not_after)),
        frame.subject_der,
        frame.spki_der,
        asn1.der_context(3, asn1.der_sequence(*parts)),
    )


def _crl_entry(entry: RevokedEntry) -> bytes:
    details = _crl_reason(entry.reason)
    if entry.invalidity_date is not None:  # always GeneralizedTime (RFC 5280 5.3.2)
        since = entry.invalidity_date.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode()
        details += _extension(extensions.INVALIDITY_DATE, asn1.der(asn1.GENERALIZED_TIME, since))
    return asn1.der_sequence(
        asn1.der_integer(entry.serial_number),
        _time(entry.revoked_at),
        asn1.der_sequence(details) if details else b"",
    )


@lru_cache(maxsize=16)
def _crl_reason(reason: str) -> bytes:
    if reason in {"", "unspecified"}:
        return b""
    if reason not in extensions.CRL_REASON_CODES:
        raise ValueError(f"CRL: reason {reason!r} is not for entries of a full CRL")
    return _extension(
        extensions.CRL_REASON, asn1.der(0x0A, bytes((extensions.CRL_REASON_CODES[reason],)))
    )


def _time(moment: datetime) -> bytes:
    """UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 4.1.2.5)."""
    utc = moment.astimezone(UTC)
    if utc.year < 2050:
        return asn1.der(asn1.UTC_TIME, utc.strftime("%y%m%d%H%M%SZ").encode())
    return asn1.der(asn1.GENERALIZED_TIME, utc.strftime("%Y%m%d%H%M%SZ").encode())


def _extension(oid: str, value: bytes, *, is_critical: bool = False) -> bytes:
    critical = (
        asn1.der_boolean(value=True) if is_critical else b""
    )  # DER leaves the default FALSE out
    return asn1.der_sequence(asn1.der_oid(oid), critical, asn1.der_octets(value))


@lru_cache(maxsize=256)
def _leaf_extensions(key_usages: tuple[str, ...], extended_key_usages: tuple[str, ...]) -> bytes:
    basic = _extension(extensions.BASIC_CONSTRAINTS, asn1.der_sequence(), is_critical=True)
    if not extended_key_usages:
        return basic + _key_usage(key_usages)
    oids = [asn1.der_oid(extensions.extended_key_usage_oid(name)) for name in extended_key_usages]
    return (
        basic
        + _key_usage(key_usages)
        + _extension(extensions.EXTENDED_KEY_USAGE, asn1.der_sequence(*oids))
    )


def _key_usage(usages: tuple[str, ...]) -> bytes:
    """The named bits, trailing zero bits removed (X.690 11.2.2)."""
    bits = [extensions.KEY_USAGE_BITS[usage] for usage in usages]
    if not bits:
        raise ValueError("keyUsage: no usage is left for this kind of key")
    size = max(bits) // 8 + 1
    octets = sum(1 << (8 * size - 1 - bit) for bit in bits).to_bytes(size, "big")
    value = asn1.der_bit_string(octets, 8 * size - 1 - max(bits))
    return _extension(extensions.KEY_USAGE, value, is_critical=True)


_SKI_HEAD: Final = asn1.der_oid(extensions.SUBJECT_KEY_IDENTIFIER)


def _subject_key_identifier(spki_der: bytes) -> bytes:
    value = asn1.der_octets(asn1.der_octets(key_identifier(spki_der)))
    return asn1.der_sequence(_SKI_HEAD, value)


@lru_cache(maxsize=256)
def _authority_key_identifier(identifier: bytes) -> bytes:
    """The issuer's identifier, copied from its certificate, never recomputed (RFC 5280 4.2.1.1)."""
    value = asn1.der_sequence(asn1.der(asn1.CONTEXT, identifier))
    return _extension(extensions.AUTHORITY_KEY_IDENTIFIER, value)


@lru_cache(maxsize=256)
def _addresses(crl_url: str, ca_issuers_url: str, ocsp_url: str) -> bytes:
    """CRL distribution point and authority information access, if there are addresses."""
    parts: list[bytes] = []
    if crl_url:
        point = asn1.der_sequence(asn1.der_context(0, asn1.der_context(0, _uri(crl_url))))
        parts.append(_extension(extensions.CRL_DISTRIBUTION_POINTS, asn1.der_sequence(point)))
    access = [
        asn1.der_sequence(asn1.der_oid(method), _uri(url))
        for method, url in (
            (extensions.AD_OCSP, ocsp_url),
            (extensions.AD_CA_ISSUERS, ca_issuers_url),
        )
        if url
    ]
    if access:
        parts.append(_extension(extensions.AUTHORITY_INFO_ACCESS, asn1.der_sequence(*access)))
    return b"".join(parts)


def _uri(url: str) -> bytes:
    return asn1.der(asn1.CONTEXT | 6, url.encode("ascii"))
