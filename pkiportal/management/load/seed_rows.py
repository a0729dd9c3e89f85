"""Rows for load tests, in batches: without use cases, within every constraint, marked as seeded."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from django.db import transaction

from accounts.principals import Principal
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction, RequestTerm
from approvals.profiles.manage import REQUEST_TTL
from approvals.rules.states import State
from audit.events import Event, Subject
from audit.log import record
from ca.certificates.profile_versions import resolve_version
from ca.certificates.search_terms import normalized_terms
from ca.models.certificates import Certificate, CertificateKind, CertificateStatus, CertificateTerm
from ca.signing.authorities import issuer_facts, open_key
from keys.file import LoadedKey
from pkiportal.management.load.seed_insert import Row, insert_rows
from pkiportal.management.load.seed_material import (
    KEY,
    Device,
    make_certificate,
    make_device,
    uuid7_at,
)

BATCH: Final = 2000
CLIENT: Final = "seeded for load tests"
_PENDING_SINCE: Final = timedelta(days=20)
_ISSUED_SINCE: Final = timedelta(days=700)
_ISSUED_AFTER: Final = timedelta(minutes=7)
_VERSION_OF_ISSUED: Final = 4  # submitted, approved, prepared, issued


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of rows of each kind: pending requests, and requests with a certificate."""

    profile: EnrollmentProfile
    requests: int
    certificates: int
    now: datetime


@dataclass(frozen=True, slots=True)
class _Run:
    """Values shared by all batches of one run."""

    plan: Plan
    version_id: int
    key: LoadedKey
    mark: str


def seed(plan: Plan, *, principal: Principal) -> Iterator[int]:
    """Write the rows, each batch in its own transaction; yields the count after each batch."""
    version_id = plan.profile.certificate_profile.current_id
    if version_id is None:
        raise LookupError(f"certificate profile {plan.profile.slug} has no version")
    run = _Run(plan, version_id, open_key(plan.profile.ca, now=plan.now), secrets.token_hex(3))
    with transaction.atomic():
        counts = {"requests": plan.requests, "certificates": plan.certificates, "mark": run.mark}
        record(
            Event.DATA_SEED,
            actor=principal.actor,
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
    """Build one batch, then write it: nothing is computed while the transaction is open."""
    since = _ISSUED_SINCE if is_issued else _PENDING_SINCE
    requests: list[Row] = []
    certificates: list[Row] = []
    request_words: list[tuple[object, list[str]]] = []
    for number in numbers:
        moment = run.plan.now - since + since * ((number + 1) / (total + 1))
        device = make_device(number, f"{'i' if is_issued else 'p'}{run.mark}", moment)
        request = _request(run, device, moment, number)
        if is_issued:
            certificates.append(_certificate(run, device, moment, request))
        requests.append(request)
        request_words.append((request["id"], _words(device, request)))
    certificate_words = [(row["id"], _certificate_words(row)) for row in certificates]
    with transaction.atomic():
        insert_rows(Certificate, certificates)
        insert_rows(EnrollmentRequest, requests)
        insert_rows(EnrollmentTransaction, [_transaction(row) for row in requests])
        insert_rows(RequestTerm, _terms("request_id", request_words))
        insert_rows(CertificateTerm, _terms("certificate_id", certificate_words))


def _certificate(run: _Run, device: Device, moment: datetime, request: Row) -> Row:
    """Return the certificate of a request, and set state and time of the request."""
    ca = run.plan.profile.ca
    issuer = issuer_facts(ca.certificate_der)
    serial, period, tbs, der = make_certificate(
        device, issuer, resolve_version(run.version_id), run.key, moment
    )
    issued_at = moment + _ISSUED_AFTER
    row: Row = {
        "id": uuid7_at(issued_at, moment.microsecond),
        "ca_id": ca.pk,
        "kind": CertificateKind.ORDERED.value,
        "order_id": request["id"],
        "status": CertificateStatus.ISSUED.value,
        "serial_hex": f"{serial:x}",
        "subject": request["subject"],
        "names": request["names"],
        "profile_version_id": run.version_id,
        "spki_sha256": request["csr_spki_sha256"],
        "not_before": period[0],
        "not_after": period[1],
        "tbs": tbs,
        "tbs_sha256": sha256(tbs).hexdigest(),
        "der": der,
        "der_sha256": sha256(der).hexdigest(),
        "prepared_at": issued_at,
        "issued_at": issued_at,
    }
    request |= {
        "state": State.ISSUED.value,
        "version": _VERSION_OF_ISSUED,
        "certificate_id": row["id"],
    }
    request |= dict.fromkeys(("decided_at", "effective_at", "finished_at"), issued_at)
    return row


def _request(run: _Run, device: Device, moment: datetime, number: int) -> Row:
    profile = run.plan.profile
    return {
        "id": uuid7_at(moment, number),
        "profile_id": profile.pk,
        "ca_id": profile.ca_id,
        "profile_version_id": run.version_id,
        "state": State.PENDING.value,
        "version": 1,
        "csr": device.csr,
        "csr_sha256": sha256(device.csr).hexdigest(),
        "csr_spki_sha256": device.spki_sha256,
        "signer_spki_sha256": device.spki_sha256,
        "signer_certificate": device.signer_certificate,
        "content_sha256": sha256(device.content).hexdigest(),
        "subject": str(device.subject),
        "common_name": device.common_name,
        "names": [f"{name.kind}:{name.value}" for name in device.sans],
        "key_description": KEY,
        "transaction_id": device.spki_sha256[:40].upper(),
        "address": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        "client": CLIENT,
        "challenge": str(profile.challenge),
        "submitted_at": moment,
        "expires_at": moment + REQUEST_TTL,
        **dict.fromkeys(("certificate_id", "decided_at", "effective_at", "finished_at")),
    }


def _transaction(request: Row) -> Row:
    same = ("profile_id", "transaction_id", "signer_spki_sha256")
    return {"request_id": request["id"], "opened_at": request["submitted_at"]} | {
        name: request[name] for name in same
    }


def _terms(owner: str, lists: list[tuple[object, list[str]]]) -> list[Row]:
    return [{owner: key, "term": term} for key, texts in lists for term in normalized_terms(texts)]


def _words(device: Device, request: Row) -> list[str]:
    signer = sha256(device.signer_certificate).hexdigest()
    return [
        request["transaction_id"],
        request["address"],
        request["csr_spki_sha256"],
        signer,
        device.common_name,
    ]


def _certificate_words(certificate: Row) -> list[str]:
    names = [name.partition(":")[2] for name in certificate["names"]]
    return [
        certificate["serial_hex"],
        certificate["der_sha256"],
        certificate["spki_sha256"],
        *names,
    ]
