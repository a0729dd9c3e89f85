"""Rows for load tests, in batches, past the use cases but within every constraint; all of them marked as seeded."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from django.db import connection, transaction

from approvals.models import EnrollmentProfile, EnrollmentRequest, EnrollmentTransaction, RequestTerm
from approvals.profiles import REQUEST_TTL
from approvals.states import State
from audit.events import Actor, Event, Subject
from audit.log import record
from ca.authorities import issuer_facts, open_key
from ca.models import Certificate, CertificateStatus, CertificateTerm
from ca.store import normalized_terms, resolve_version
from keys.file import LoadedKey
from pkiportal.management.seed_material import KEY, Device, make_certificate, make_device, uuid7_at

BATCH: Final = 2000
CLIENT: Final = "seeded for load tests"
_PENDING_SINCE: Final = timedelta(days=20)
_ISSUED_SINCE: Final = timedelta(days=700)
_DECIDED_AFTER: Final = timedelta(minutes=7)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rows of which kind: requests that wait, and requests that have their certificate."""

    profile: EnrollmentProfile
    requests: int
    certificates: int
    now: datetime


@dataclass(frozen=True, slots=True)
class _Run:
    """What all batches of one run share."""

    plan: Plan
    version_id: int
    key: LoadedKey
    mark: str


def seed(plan: Plan, *, actor: Actor) -> Iterator[int]:
    """Write the rows; yields how many were written after each batch, each in its own transaction."""
    version_id = plan.profile.certificate_profile.current_id
    if version_id is None:
        raise LookupError(f"certificate profile {plan.profile.slug} has no version")
    run = _Run(plan, version_id, open_key(plan.profile.ca, now=plan.now), secrets.token_hex(3))
    with transaction.atomic():
        counts = {"requests": plan.requests, "certificates": plan.certificates, "mark": run.mark}
        record(
            Event.DATA_SEED,
            actor=actor,
            now=plan.now,
            subject=Subject.of("profile", plan.profile.slug),
            data=counts,
        )
    done = 0
    for is_issued, total in ((True, plan.certificates), (False, plan.requests)):
        for start in range(0, total, BATCH):
            numbers = range(start, min(start + BATCH, total))
            _write(run, numbers, total=total, is_issued=is_issued)
            done += len(numbers)
            yield done


def _write(run: _Run, numbers: range, *, total: int, is_issued: bool) -> None:
    """Make one batch, then write it: nothing is computed while the transaction is open."""
    since = _ISSUED_SINCE if is_issued else _PENDING_SINCE
    made = []
    for number in numbers:
        moment = run.plan.now - since + since * ((number + 1) / (total + 1))
        device = make_device(number, f"{'i' if is_issued else 'p'}{run.mark}", moment)
        certificate = _certificate(run, device, moment, number) if is_issued else None
        made.append((device, _request(run, device, moment, number, certificate)))
    requests = [request for _, request in made]
    certificates = [request.certificate for request in requests if request.certificate is not None]
    with transaction.atomic():
        Certificate.objects.bulk_create(certificates)
        EnrollmentRequest.objects.bulk_create(requests)
        EnrollmentTransaction.objects.bulk_create(map(_transaction, requests))
        _insert_terms(RequestTerm, "request_id", [(item.pk, _words(of, item)) for of, item in made])
        _insert_terms(CertificateTerm, "certificate_id", [(c.pk, _certificate_words(c)) for c in certificates])


def _certificate(run: _Run, device: Device, moment: datetime, number: int) -> Certificate:
    ca = run.plan.profile.ca
    spec = resolve_version(run.version_id)
    issuer = issuer_facts(ca.certificate_der)
    serial, period, tbs, der = make_certificate(device, issuer, spec, run.key, moment)
    return Certificate(
        id=uuid7_at(moment, number),
        ca=ca,
        order_id=uuid7_at(moment, number),
        status=CertificateStatus.ISSUED,
        serial_hex=f"{serial:x}",
        subject=str(device.subject),
        names=[f"{name.kind}:{name.value}" for name in device.sans],
        profile_version_id=run.version_id,
        spki_sha256=device.spki_sha256,
        not_before=period[0],
        not_after=period[1],
        tbs=tbs,
        tbs_sha256=sha256(tbs).hexdigest(),
        der=der,
        der_sha256=sha256(der).hexdigest(),
        prepared_at=moment + _DECIDED_AFTER,
        issued_at=moment + _DECIDED_AFTER,
    )


def _request(
    run: _Run, device: Device, moment: datetime, number: int, certificate: Certificate | None
) -> EnrollmentRequest:
    profile = run.plan.profile
    decided = moment + _DECIDED_AFTER if certificate is not None else None
    return EnrollmentRequest(
        id=certificate.order_id if certificate is not None else uuid7_at(moment, number),
        profile=profile,
        ca=profile.ca,
        profile_version_id=run.version_id,
        state=State.ISSUED if certificate is not None else State.PENDING,
        version=4 if certificate is not None else 1,
        csr=device.csr,
        csr_sha256=sha256(device.csr).hexdigest(),
        csr_spki_sha256=device.spki_sha256,
        signer_spki_sha256=device.spki_sha256,
        signer_certificate=device.signer_certificate,
        content_sha256=sha256(device.content).hexdigest(),
        subject=str(device.subject),
        common_name=device.common_name,
        names=[f"{name.kind}:{name.value}" for name in device.sans],
        key_description=KEY,
        transaction_id=device.spki_sha256[:40].upper(),
        address=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        client=CLIENT,
        challenge=profile.challenge,
        submitted_at=moment,
        expires_at=moment + REQUEST_TTL,
        decided_at=decided,
        effective_at=decided,
        finished_at=decided,
        certificate=certificate,
    )


def _transaction(request: EnrollmentRequest) -> EnrollmentTransaction:
    return EnrollmentTransaction(
        profile_id=request.profile_id,
        transaction_id=request.transaction_id,
        signer_spki_sha256=request.signer_spki_sha256,
        request=request,
        opened_at=request.submitted_at,
    )


def _words(device: Device, request: EnrollmentRequest) -> list[str]:
    signer = sha256(device.signer_certificate).hexdigest()
    return [request.transaction_id, request.address, request.csr_spki_sha256, signer, device.common_name]


def _certificate_words(certificate: Certificate) -> list[str]:
    names = [name.partition(":")[2] for name in certificate.names]
    return [certificate.serial_hex, certificate.der_sha256 or "", certificate.spki_sha256, *names]


def _insert_terms(model: type[RequestTerm | CertificateTerm], owner: str, rows: list[tuple[object, list[str]]]) -> None:
    """Insert search words without making a model object for each: they are most of the rows."""
    if not rows:
        return
    field = model._meta.get_field(owner.removesuffix("_id")).target_field  # type: ignore[union-attr]  # noqa: SLF001 - the documented name; both are foreign keys
    statement = f"INSERT INTO {model._meta.db_table} ({owner}, term) VALUES (%s, %s)"  # noqa: S608, SLF001 - names from our own model
    values = [
        (prepared, term)
        for key, words in rows
        for prepared in [field.get_db_prep_value(key, connection)]
        for term in normalized_terms(words)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement, values)
