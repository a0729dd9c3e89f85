"""The certificate store and the versions of certificate profiles: what is read and written without a key."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from django.db import transaction
from django.db.models import F, Q

from accounts.models import User
from audit import moments
from audit.events import Actor, Event, Subject
from audit.log import record
from audit.statements import insert
from ca import asn1
from ca.extensions import SUBJECT_ALT_NAME
from ca.issuers import IssuerFacts
from ca.models import (
    Certificate,
    CertificateAuthority,
    CertificateProfile,
    CertificateProfileVersion,
    CertificateStatus,
    CertificateTerm,
    CrlIssue,
)
from ca.name_matching import ComparableName, comparable_name
from ca.names import DistinguishedName, GeneralName, NameMalformed, decode_general_names, decode_name
from ca.profiles import ProfileSpec

LAST_CHARACTER = "\U0010ffff"
MAX_TERM = 255
#: What a CRL names. What was given up is on it, since a signature over its bytes may exist.
LISTED_STATUSES = (CertificateStatus.REVOKED, CertificateStatus.ON_HOLD, CertificateStatus.ABANDONED)
#: How long a worker may take over a CRL before another one makes a new one.
CRL_LEASE = timedelta(seconds=60)


def create_profile(
    *, slug: str, name: str, spec: ProfileSpec, actor: Actor, user: User | None, now: datetime
) -> CertificateProfile:
    """Create a certificate profile with its first version."""
    with transaction.atomic():
        profile = CertificateProfile.objects.create(slug=slug, name=name)
        save_profile_version(profile, spec, actor=actor, user=user, now=now)
        return profile


def save_profile_version(
    profile: CertificateProfile, spec: ProfileSpec, *, actor: Actor, user: User | None, now: datetime
) -> CertificateProfileVersion:
    """Add a version with these rules and make it current; the current one is returned where nothing changed.

    Locks the profile's row, so that two editors get two numbers.
    """
    with transaction.atomic():
        locked = CertificateProfile.objects.select_for_update(of=("self",)).get(pk=profile.pk)
        digest = spec.digest().hex()
        before = locked.current
        if before is not None and before.spec_sha256 == digest:
            return before
        version = CertificateProfileVersion.objects.create(
            profile=locked,
            number=before.number + 1 if before else 1,
            spec=spec.to_json(),
            spec_sha256=digest,
            created_at=now,
            created_by=user,
        )
        CertificateProfile.objects.filter(pk=locked.pk).update(current=version)
        profile.current = version
        record(
            Event.CERTIFICATE_PROFILE_CHANGE if before else Event.CERTIFICATE_PROFILE_CREATE,
            actor=actor,
            now=now,
            subject=Subject.of("certificate-profile", locked.slug),
            data={
                "version": version.number,
                "spec_sha256": digest,
                "before_sha256": before.spec_sha256 if before else "",
                "spec": spec.to_json(),
            },
        )
        return version


@lru_cache(maxsize=256)
def resolve_version(version_id: int) -> ProfileSpec:
    """Return the rules of a profile version. A version never changes, so a process reads it once."""
    return CertificateProfileVersion.objects.get(pk=version_id).resolve()


@dataclass(frozen=True, slots=True)
class VersionLabel:
    """What people call a version of a certificate profile, and the digest of its rules."""

    profile: str
    number: int
    spec_sha256: str


@lru_cache(maxsize=256)
def label_of(version_id: int) -> VersionLabel:
    """Return the label of a profile version. Like its rules it never changes."""
    version = CertificateProfileVersion.objects.select_related("profile").get(pk=version_id)
    return VersionLabel(version.profile.slug, version.number, version.spec_sha256)


def certificate_by_fingerprint(der_sha256: bytes) -> Certificate | None:
    """Return the certificate of ours with this SHA-256 over its DER, or None. Names and serials prove nothing."""
    return Certificate.objects.filter(der_sha256=der_sha256.hex()).first()


def authority_by_fingerprint(der_sha256: bytes) -> CertificateAuthority | None:
    """Return the authority with this SHA-256 over the DER of its certificate, or None."""
    return CertificateAuthority.objects.filter(certificate_sha256=der_sha256.hex()).first()


def certificate_by_serial(
    issuer_der: bytes, serial_der: bytes, *, cas: Sequence[CertificateAuthority]
) -> Certificate | None:
    """Return the certificate with this issuer (a complete Name) and serial number (a complete INTEGER) of these CAs."""
    named = [ca for ca in cas if is_named(ca, issuer_der)]
    if not named:
        return None
    try:
        number = asn1.integer(asn1.parse_exact(serial_der))
    except asn1.Asn1Error:
        return None
    return Certificate.objects.filter(ca__in=named, serial_hex=f"{number:x}").first()


def has_certificate_of_key(spki_sha256: bytes, *, cas: Sequence[CertificateAuthority]) -> bool:
    """Return whether one of these CAs prepared or issued a certificate over this key."""
    return Certificate.objects.filter(ca__in=cas, spki_sha256=spki_sha256.hex()).exclude(status="ABANDONED").exists()


def subject_of(certificate: Certificate) -> DistinguishedName:
    """Return the subject as it stands in the certificate; the column holds its beginning, for people."""
    return decode_name(_subject(certificate.tbs_der, is_tbs=True))


def sans_of(certificate: Certificate) -> tuple[GeneralName, ...]:
    """Return the alternative names as they stand in the certificate, of every type; the column is for people."""
    members = asn1.sequence(asn1.parse_exact(certificate.tbs_der))
    for extension in asn1.sequence(asn1.parse_exact(members[7].value)):
        parts = asn1.sequence(extension, 2)
        if asn1.oid(parts[0]) == SUBJECT_ALT_NAME:
            return decode_general_names(parts[-1].value)
    return ()


def is_named(authority: CertificateAuthority, name_der: bytes) -> bool:
    """Whether this complete Name is that of the authority (RFC 5280 §7.1): clients may have encoded it again."""
    try:
        return comparable_name(decode_name(name_der)) == _comparable_subject(authority.certificate_der)
    except NameMalformed:
        return False


@lru_cache(maxsize=256)
def _comparable_subject(certificate_der: bytes) -> ComparableName:
    return comparable_name(decode_name(IssuerFacts.from_certificate(certificate_der).subject_der))


def _subject(der: bytes, *, is_tbs: bool = False) -> bytes:
    """The encoded subject of a certificate of ours, which is version 3 (RFC 5280 §4.1)."""
    outer = asn1.sequence(asn1.parse_exact(der))
    members = outer if is_tbs else asn1.sequence(outer[0])
    return members[5].raw


def chain_of(certificate: Certificate) -> list[bytes]:
    """Return the certificate and its issuers up to the root, DER."""
    return [certificate.certificate_der, *(authority.certificate_der for authority in certificate.ca.chain())]


def normalized_terms(words: Iterable[str]) -> list[str]:
    """Return search words as they are kept: lower case, cut, without repeats."""
    return sorted({normalize_term(word) for word in words} - {""})


def normalize_term(word: str) -> str:
    """Return one search word as it is kept. Grouped hexadecimal (`AB:CD EF`) loses its separators."""
    text = word.strip().lower().replace("\x00", "")
    plain = text.replace(":", "").replace(" ", "")
    is_hex = len(plain) >= 8 and all(character in "0123456789abcdef" for character in plain)
    is_address = ":" in text and len(plain) < 16
    return (plain if is_hex and not is_address else text)[:MAX_TERM]


def add_certificate_terms(certificate: Certificate, words: Sequence[str]) -> None:
    """Make a certificate findable by these words."""
    insert(*(CertificateTerm(certificate=certificate, term=term) for term in normalized_terms(words)))


def authority_named(name: str) -> CertificateAuthority | None:
    """Return an authority with its parents loaded, or None."""
    return CertificateAuthority.objects.select_related("parent__parent").filter(name=name).first()


def outdate_crl(ca_id: int) -> None:
    """Note that the newest CRL does not say everything any more, in the transaction of what it does not say.

    Locks the authority's row: a CRL is made before this transaction or after it.
    """
    CertificateAuthority.objects.filter(pk=ca_id).update(revocation_version=F("revocation_version") + 1)


def crl_is_due(ca: CertificateAuthority, *, now: datetime) -> bool:
    """Return whether a new CRL is wanted: none yet, something revoked or released since, or half of its life over.

    `ca` is as just read. One that was begun within CRL_LEASE counts as there; one that becomes valid later is of no use
    to relying parties, and was made under a clock that was ahead (`audit.moments`).
    """
    there = Q(der__isnull=False) | moments.within("created_at", now=now, span=CRL_LEASE)
    newest = CrlIssue.objects.filter(there, ca=ca).defer("der").order_by("-number").first()
    if newest is None or newest.revocation_version < ca.revocation_version:
        return True
    if moments.is_ahead(newest.this_update, now=now):
        return True
    return now >= newest.this_update + (newest.next_update - newest.this_update) / 2


def latest_crl(ca: CertificateAuthority) -> CrlIssue | None:
    """Return the published CRL of an authority, its bytes not yet read, or None."""
    return CrlIssue.objects.filter(ca=ca, der__isnull=False).defer("der").order_by("-number").first()


def crl_of_issuer(issuer_der: bytes) -> bytes | None:
    """Return the published CRL of the authority with this name, DER, or None; of several the newest that has one."""
    for authority in CertificateAuthority.objects.order_by("-pk"):
        if is_named(authority, issuer_der):
            found = latest_crl(authority)
            if found is not None:
                return found.crl_der
    return None
