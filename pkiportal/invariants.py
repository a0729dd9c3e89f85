"""What must hold between requests, decisions, certificates, challenges and the log, looked at from outside.

Reads only. Each rule has the short name under which a violation is reported:

I1  an issued request has exactly one certificate that is not abandoned, a request being signed one that is prepared,
    any other none; at rest nothing is on its way
I2  each ordered certificate belongs to one request, which has valid decisions; log entries of its making exist once
I3  no serial number twice
I4  each signature of an outside journal belongs to a recorded certificate or CRL
I5  a certificate is the prepared bytes, signed by its CA, and has the digests, serial number and key on record
I6  the log tells a path through the table of transitions that ends in the state of the request
I7  each log entry has the digest of its canonical form, and its columns say the same
I8  certificate and transaction of a request belong to the key that asked
I9  a challenge serves one request, and each request that needed a challenge used up one
I10 the published CRL of each CA has its digest, number and signature, and names what is revoked, on hold or abandoned
    and nothing else, unless a revocation is newer; at rest none is
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import connection, transaction
from django.db.models import Count, F, Q

from approvals.models import (
    ChallengePassword,
    ChallengePolicy,
    Decision,
    EnrollmentRequest,
    EnrollmentTransaction,
    Verdict,
)
from approvals.states import TRANSITIONS, State
from approvals.verdicts import DecisionInvalid, verify_decision
from audit.canonical import leaf_hash
from audit.events import Event
from audit.models import AuditEntry
from ca.crl_linting import lint_crl
from ca.issuers import IssuerFacts
from ca.models import Certificate, CertificateAuthority, CertificateKind, CertificateStatus, CrlIssue
from ca.store import LISTED_STATUSES, latest_crl

_CHUNK: Final = 500
_STEPS: Final = frozenset((old.value, new.value) for (old, _), new in TRANSITIONS.items())
_ON_ITS_WAY: Final = (State.APPROVED, State.ISSUING)
_DECIDED: Final = (State.APPROVED, State.ISSUING, State.ISSUED)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is not as it must be."""

    invariant: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Findings:
    """How many of each were looked at, and what is wrong."""

    checked: Mapping[str, int]
    violations: tuple[Violation, ...]


def check_invariants(*, at_rest: bool = False, journal: Path | None = None) -> Findings:
    """Look at everything, in one snapshot where the database has them.

    `at_rest`: nothing may be on its way to a signature, unless it waits for an officer. `journal` has one signature a
    line, the SHA-256 of the signed bytes first, in hex. Raises OSError where the journal cannot be read.
    """
    checked: Counter[str] = Counter()
    with _snapshot():
        violations = [
            *_requests(checked, at_rest=at_rest),
            *_certificates(checked),
            *_serials(),
            *_transactions(checked),
            *_challenges(checked),
            *_crls(checked, at_rest=at_rest),
            *_entries(checked),
            *(_journal(journal, checked) if journal else ()),
        ]
    return Findings(dict(checked), tuple(violations))


@contextmanager
def _snapshot() -> Iterator[None]:
    """One view of everything, without holding up writers."""
    if connection.in_atomic_block:
        yield
        return
    connection.ensure_connection()
    mode = getattr(connection, "transaction_mode", None)  # of the SQLite backend
    if connection.vendor == "sqlite":
        setattr(connection, "transaction_mode", "DEFERRED")  # noqa: B010 - unknown to the proxy's type
    try:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    finally:
        if connection.vendor == "sqlite":
            setattr(connection, "transaction_mode", mode)  # noqa: B010 - unknown to the proxy's type


def _requests(checked: Counter[str], *, at_rest: bool) -> Iterator[Violation]:
    rows = EnrollmentRequest.objects.select_related("profile", "profile_version", "ca").order_by("id")
    for chunk in _chunks(rows.iterator(chunk_size=_CHUNK)):
        keys = [request.pk for request in chunk]
        certificates = _grouped(Certificate.objects.filter(order_id__in=keys), "order_id")
        decisions = _grouped(Decision.objects.filter(request_id__in=keys).order_by("decided_at"), "request_id")
        entries = AuditEntry.objects.filter(subject_kind="request", subject_id__in=[str(key) for key in keys])
        history = _grouped(entries.exclude(subject_seq=None).order_by("subject_seq"), "subject_id")
        for request in chunk:
            checked["requests"] += 1
            checked["issued"] += request.state == State.ISSUED
            mine = [one for one in certificates[request.pk] if one.status != CertificateStatus.ABANDONED]
            yield from _certificate_of(request, mine, at_rest=at_rest)
            if request.state in _DECIDED:
                yield from _decisions_of(request, decisions[request.pk])
            yield from _history_of(request, history[str(request.pk)])


def _certificate_of(request: EnrollmentRequest, mine: Sequence[Certificate], *, at_rest: bool) -> Iterator[Violation]:
    subject = f"request {request.pk}"
    expected = 1 if request.state in (State.ISSUING, State.ISSUED) else 0
    if len(mine) != expected:
        yield Violation("I1", subject, f"{request.state} with {len(mine)} certificates, {expected} expected")
    for certificate in mine:
        is_prepared = certificate.status == CertificateStatus.PREPARED
        if is_prepared != (request.state == State.ISSUING):
            yield Violation("I1", subject, f"{request.state} with a certificate that is {certificate.status}")
        if request.state == State.ISSUED and request.certificate_id != certificate.pk:
            yield Violation("I1", subject, f"points to certificate {request.certificate_id}, ordered {certificate.pk}")
        if certificate.spki_sha256 != request.csr_spki_sha256:
            yield Violation("I8", subject, "the certificate has another key than the certificate request")
    if at_rest and request.state in _ON_ITS_WAY and request.quarantined_at is None:
        yield Violation("I1", subject, f"still {request.state} after {request.attempts} attempts: {request.last_fault}")


def _decisions_of(request: EnrollmentRequest, decisions: Sequence[Decision]) -> Iterator[Violation]:
    subject = f"request {request.pk}"
    approvals = [one for one in decisions if one.verdict == Verdict.APPROVE and one.round == request.round]
    if not approvals:
        yield Violation("I2", subject, f"{request.state} without a decision in round {request.round}")
    for decision in approvals:
        try:
            verify_decision(decision, request)
        except DecisionInvalid as error:
            yield Violation("I2", subject, str(error))


def _history_of(request: EnrollmentRequest, entries: Sequence[AuditEntry]) -> Iterator[Violation]:
    subject = f"request {request.pk}"
    if not entries or entries[0].event != Event.REQUEST_SUBMIT:
        yield Violation("I6", subject, "the log does not begin with its submission")
    state = State.PENDING.value
    for entry in entries:
        if "to" not in entry.data:
            continue
        step = (entry.data.get("from"), entry.data["to"])
        if step not in _STEPS or step[0] != state:
            yield Violation("I6", subject, f"entry {entry.pk}: from {step[0]} to {step[1]}, but it was {state}")
        state = entry.data["to"]
    if state != request.state:
        yield Violation("I6", subject, f"{request.state}, but the log ends with {state}")
    if entries and (entries[-1].subject_seq or 0) > request.version:
        yield Violation("I6", subject, f"version {request.version}, but the log knows {entries[-1].subject_seq}")


def _certificates(checked: Counter[str]) -> Iterator[Violation]:
    issuers: dict[int, x509.Certificate] = {}
    rows = Certificate.objects.select_related("ca").order_by("id")
    for chunk in _chunks(rows.iterator(chunk_size=_CHUNK)):
        orders = [one.order_id for one in chunk if one.kind == CertificateKind.ORDERED]
        known = set(EnrollmentRequest.objects.filter(pk__in=orders).values_list("pk", flat=True))
        told = _told([one.pk for one in chunk])
        for certificate in chunk:
            checked["certificates"] += 1
            subject = f"certificate {certificate.serial_hex}"
            if certificate.kind == CertificateKind.ORDERED:
                if certificate.order_id not in known:
                    yield Violation("I2", subject, "no request ordered it")
                yield from _making_of(certificate, told)
            if certificate.ca_id not in issuers:
                issuers[certificate.ca_id] = x509.load_der_x509_certificate(certificate.ca.certificate_der)
            for fault in _faults_of(certificate, issuers[certificate.ca_id]):
                yield Violation("I5", subject, fault)


def _making_of(certificate: Certificate, told: Mapping[tuple[str, str], int]) -> Iterator[Violation]:
    for event, expected in (
        (Event.CERTIFICATE_PREPARE, 1),
        (Event.CERTIFICATE_ISSUE, int(certificate.der is not None)),
    ):
        found = told.get((str(certificate.pk), event.value), 0)
        if found != expected:
            subject = f"certificate {certificate.serial_hex}"
            yield Violation("I2", subject, f"{found} log entries {event}, {expected} expected")


def _told(certificates: Sequence[UUID]) -> Counter[tuple[str, str]]:
    """How many entries the log has, by certificate and event."""
    entries = AuditEntry.objects.filter(subject_kind="certificate", subject_id__in=[str(key) for key in certificates])
    events = (Event.CERTIFICATE_PREPARE.value, Event.CERTIFICATE_ISSUE.value)
    return Counter(entries.filter(event__in=events).values_list("subject_id", "event"))


def _faults_of(certificate: Certificate, issuer: x509.Certificate) -> Iterator[str]:
    if sha256(certificate.tbs_der).hexdigest() != certificate.tbs_sha256:
        yield "the prepared bytes do not have their digest"
    if certificate.der is None:
        return
    der = certificate.certificate_der
    if sha256(der).hexdigest() != certificate.der_sha256:
        yield "the certificate does not have its digest"
    try:
        signed = x509.load_der_x509_certificate(der)
        signed.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        yield f"not a certificate of CA {certificate.ca.name} ({type(error).__name__})"
        return
    if signed.tbs_certificate_bytes != certificate.tbs_der:
        yield "the signed bytes are not the prepared ones"
    if f"{signed.serial_number:x}" != certificate.serial_hex:
        yield f"the certificate says serial number {signed.serial_number:x}"
    spki = signed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if sha256(spki).hexdigest() != certificate.spki_sha256:
        yield "the key is not the one on record"


def _serials() -> Iterator[Violation]:
    doubled = Certificate.objects.values("ca__name", "serial_hex").annotate(number=Count("id")).filter(number__gt=1)
    for row in doubled:
        yield Violation("I3", f"certificate {row['serial_hex']}", f"{row['number']} times in CA {row['ca__name']}")


def _transactions(checked: Counter[str]) -> Iterator[Violation]:
    checked["transactions"] = EnrollmentTransaction.objects.count()
    holder = Q(signer_spki_sha256=F("request__signer_spki_sha256"))
    holder |= Q(signer_spki_sha256=F("request__csr_spki_sha256"), renews__isnull=True)  # meets the renewal of its key
    renewed = Q(renews__isnull=True) | Q(renews=F("request__renews"))
    same = Q(profile=F("request__profile")) & holder & renewed
    for found in EnrollmentTransaction.objects.exclude(same):
        text = "belongs to another profile or signer key than its transaction"
        yield Violation("I8", f"request {found.request_id}", text)


def _challenges(checked: Counter[str]) -> Iterator[Violation]:
    used = ChallengePassword.objects.filter(redeemed_at__isnull=False)
    checked["challenges"] = used.count()
    for foreign in used.exclude(profile=F("redeemed_by__profile")):
        yield Violation("I9", f"challenge {foreign.pk}", "redeemed at another profile than it was made for")
    rows = EnrollmentRequest.objects.filter(challenge=ChallengePolicy.ONE_TIME, challenge_password__isnull=True)
    for key in rows.values_list("pk", flat=True):
        yield Violation("I9", f"request {key}", "needed a one-time challenge, none was redeemed for it")
    told = Counter(
        AuditEntry.objects.filter(event=Event.CHALLENGE_REDEEM).order_by().values_list("subject_id", flat=True)
    )
    for key in used.values_list("pk", flat=True):
        if told.pop(str(key), 0) != 1:
            yield Violation("I9", f"challenge {key}", "the log does not tell exactly once that it was redeemed")
    for name in told:
        yield Violation("I9", f"challenge {name}", "redeemed according to the log, but not according to its row")


def _crls(checked: Counter[str], *, at_rest: bool) -> Iterator[Violation]:
    for ca in CertificateAuthority.objects.order_by("id"):
        subject = f"CRL of CA {ca.name}"
        issue = latest_crl(ca)
        if (issue.revocation_version if issue else 0) != ca.revocation_version:
            if at_rest:
                yield Violation("I10", subject, "a certificate was revoked or released, and no CRL came after it")
        elif issue is not None:
            checked["CRLs"] += 1
            for fault in _faults_of_crl(issue, ca):
                yield Violation("I10", subject, fault)


def _faults_of_crl(issue: CrlIssue, ca: CertificateAuthority) -> Iterator[str]:
    if sha256(issue.crl_der).hexdigest() != issue.sha256:
        yield "it does not have its digest"
    issuer = IssuerFacts.from_certificate(ca.certificate_der)
    faults = lint_crl(issue.crl_der, issuer=issuer, number=issue.number)
    if faults:
        yield from (finding.text for finding in faults)
        return
    named = {f"{entry.serial_number:x}" for entry in x509.load_der_x509_crl(issue.crl_der)}
    rows = Certificate.objects.filter(ca=ca, status__in=LISTED_STATUSES)
    revoked = dict(rows.values_list("serial_hex", "not_after"))
    yield from (f"it names {serial}, which is not revoked" for serial in sorted(named - revoked.keys()))
    for serial in sorted(revoked.keys() - named):
        if revoked[serial] >= issue.this_update:
            yield f"it does not name {serial}, which is revoked"


def _entries(checked: Counter[str]) -> Iterator[Violation]:
    for entry in AuditEntry.objects.order_by("id").iterator(chunk_size=_CHUNK):
        checked["log entries"] += 1
        canonical = bytes(entry.canonical)
        if leaf_hash(canonical) != bytes(entry.leaf_hash):
            yield Violation("I7", f"log entry {entry.pk}", "the canonical form does not have its digest")
        elif not _says_the_same(entry, json.loads(canonical)):
            yield Violation("I7", f"log entry {entry.pk}", "the columns do not say what the canonical form says")


def _says_the_same(entry: AuditEntry, document: Mapping[str, Any]) -> bool:
    subject = document.get("subject") or {"kind": "", "id": "", "seq": None}
    columns = (str(entry.pk), entry.event, entry.actor_kind, entry.actor_id, entry.department, entry.data)
    about = (entry.subject_kind, entry.subject_id, entry.subject_seq)
    actor = document["actor"]
    told = (document["id"], document["event"], actor["kind"], actor["id"], document["department"], document["data"])
    return columns == told and about == (subject["kind"], subject["id"], subject["seq"])


def _journal(journal: Path, checked: Counter[str]) -> Iterator[Violation]:
    signed = {words[0].lower() for line in journal.read_text().splitlines() if (words := line.split())}
    checked["journal"] = len(signed)
    for chunk in _chunks(iter(sorted(signed))):
        known: set[str | None] = set()
        for model in (Certificate, CrlIssue):
            known |= set(model.objects.filter(tbs_sha256__in=chunk).values_list("tbs_sha256", flat=True))
        for digest in chunk:
            if digest not in known:
                yield Violation("I4", f"signature over {digest}", "no certificate or CRL with these bytes is on record")


def _grouped(rows: Iterable[Any], name: str) -> defaultdict[Any, list[Any]]:
    found: defaultdict[Any, list[Any]] = defaultdict(list)
    for row in rows:
        found[getattr(row, name)].append(row)
    return found


def _chunks(rows: Iterator[_T]) -> Iterator[list[_T]]:
    while chunk := list(islice(rows, _CHUNK)):
        yield chunk
