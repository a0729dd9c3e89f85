"""Opens a stored message with its RA key, for people who may see the requests of its profile.

Only stored messages: what anybody pastes is never decrypted (ADR 0026). For what cannot be
decrypted there is one sentence, whatever is wrong, for the reasons of
`scep.protocol.errors.Unreadable`.
"""

import os
from datetime import datetime

import structlog
from django.db import transaction

from accounts.models.people import User
from accounts.permissions import within
from accounts.principals import Principal
from accounts.roles import Verb
from approvals.models.profiles import EnrollmentProfile
from approvals.records.transitions import department_of
from audit.events import Event, Subject
from audit.log import record
from ca.certificates.admission import review_csr
from ca.certificates.profile_versions import resolve_version
from ca.models.authorities import CertificateAuthority
from ca.models.keys import ServiceKey, ServicePurpose
from ca.models.lineage import lineage_of
from ca.x509.asn1 import Asn1Error, der_sequence
from ca.x509.csr import CertificationRequest, decode_csr
from ca.x509.errors import CsrError
from exchanges.models import Exchange
from inspector.messages import KnownKey, name_of
from inspector.report import Row, Section
from inspector.requests import csr_section, findings_section
from scep.protocol.certificates import (
    read_certificate,
    read_issuer_and_serial,
    subject_key_identifier,
)
from scep.protocol.codec import decode_pki_message
from scep.protocol.constants import MessageType
from scep.protocol.envelope import open_envelope
from scep.protocol.errors import NOT_OPENED, UNREADABLE, Malformed, Refused, Unreadable
from scep.protocol.messages import MessageRules
from scep.ra.addressees import mistaken_certificates
from scep.ra.keys import RA_UNUSABLE, ra_keys

_log = structlog.get_logger(__name__)
_INSIDE = "Inside the envelope"
_CLOSED = Section(
    _INSIDE, verdict="Not opened: no RA key that is in use now makes it readable.", tone="warn"
)


def open_stored(exchange: Exchange, *, principal: Principal, now: datetime) -> list[Section]:
    """Return the content of a stored message, and record in the log who opened it."""
    with transaction.atomic():
        record(
            Event.EXCHANGE_OPEN,
            actor=principal.actor,
            now=now,
            subject=Subject.of("exchange", exchange.pk),
            data={"profile": exchange.profile.slug, "transaction_id": exchange.transaction_id},
            department=department_of(exchange.profile),
        )
    try:
        return _inside(bytes(exchange.message), exchange.profile)
    except RA_UNUSABLE as error:
        _log.error("inspector.not_opened", exchange=str(exchange.pk), fault=str(error))
        return [
            Section(
                _INSIDE,
                verdict="Not opened: no RA key of this CA can be used; see the doctor.",
                tone="warn",
            )
        ]
    except Malformed:
        return [Section(_INSIDE, verdict="Not opened: this is no SCEP message.", tone="warn")]
    except Unreadable as refused:
        was_unreadable = exchange.cause == UNREADABLE
        return [_unreadable(refused.cause) if was_unreadable else _CLOSED]
    except Refused as refused:
        return [Section(_INSIDE, verdict=f"Not opened: {refused.text}.", tone="warn")]


def _unreadable(cause: str) -> Section:
    """Return the whole text of the log; the device received only its first half."""
    text = f"{UNREADABLE.capitalize()}: the device got this answer too. What is wrong: {cause}."
    return Section(_INSIDE, verdict=text, tone="bad")


def _inside(der: bytes, profile: EnrollmentProfile) -> list[Section]:
    rules = MessageRules(legacy_algorithms=profile.legacy_algorithms)
    message = decode_pki_message(der, rules)
    if message.message_type is MessageType.CERT_POLL:
        verdict = (
            "Not opened: transactionID and signer key decide about a CertPoll (RFC 8894 section "
            "3.3.3)."
        )
        return [Section(_INSIDE, verdict=verdict)]
    recipients = ra_keys.behind(profile.lineage)
    content = open_envelope(message, recipients=recipients, entropy=os.urandom, rules=rules)
    if message.message_type in (MessageType.GET_CERT, MessageType.GET_CRL):
        return [_coordinates(content)]
    try:
        decode_csr(content, accepts_sha1=rules.legacy_algorithms)
    except CsrError as error:
        if not error.spki_der:
            return [_unreadable(NOT_OPENED)]
    csr, section = csr_section(content, rules)
    return [section, *(remarks(csr, profile, is_refused=section.tone == "bad") if csr else ())]


def _coordinates(content: bytes) -> Section:
    try:
        issuer, serial = read_issuer_and_serial(content)
    except Asn1Error:
        return _CLOSED
    return Section(
        _INSIDE,
        (Row("issuer", name_of(issuer)), Row("serial number", serial[2:].hex(), is_code=True)),
    )


def remarks(
    csr: CertificationRequest, profile: EnrollmentProfile, *, is_refused: bool
) -> list[Section]:
    """Return the findings of the certificate profile on a request, as the profile is now.

    `is_refused`: the request is refused whatever the profile finds.
    """
    version = profile.certificate_profile.current_id
    if version is None:
        return []
    findings = review_csr(csr, resolve_version(version)).findings
    return [findings_section(findings, profile.slug, is_refused=is_refused)]


def known_keys(user: User) -> dict[bytes, KnownKey]:
    """Return the RA keys of the profiles a person may see, by the identifiers in envelopes."""
    profiles = EnrollmentProfile.objects.filter(within(user, Verb.PROFILE_VIEW, "department_id"))
    current = CertificateAuthority.objects.filter(enrollment_profiles__in=profiles).distinct()
    lineage_authorities = [
        ca for authority in current for ca in lineage_of(authority).authorities()
    ]
    authority_ids = {ca.pk for ca in lineage_authorities}
    purposes = [ServicePurpose.RA, ServicePurpose.RA_ENCRYPTION]
    rows = ServiceKey.objects.filter(
        ca__in=authority_ids, purpose__in=purposes, certificate__der__isnull=False
    )
    keys = {
        rid: KnownKey(name, is_ra=False)
        for rid, name in mistaken_certificates(authority_ids).items()
    }
    for row in rows.select_related("ca", "certificate"):
        if row.certificate is not None:
            read = read_certificate(row.certificate.certificate_der)
            key = KnownKey(f"the RA key of CA {row.ca.name}", is_retired=row.retired_at is not None)
            keys[der_sequence(read.issuer_der, read.serial_der)] = key
            keys[subject_key_identifier(read.der) or b"-"] = key
    return keys
