"""The rules between requests, decisions, certificates, challenges and the log, and their check.

Reads only. Each rule has the short name under which a violation is reported:

I1   an issued request has exactly one certificate that is not abandoned, a request being signed
     one that is prepared, any other none; at rest nothing is on its way
I2   each ordered certificate belongs to one request, which has valid decisions; log entries of its
     making exist once
I3   no serial number twice
I4   each signature of an outside journal belongs to a recorded certificate or CRL
I5   a certificate is the prepared bytes, signed by its CA, and has the digests, serial number and
     key on record
I6   the log tells a path through the table of transitions that ends in the state of the request
I7   each log entry has the digest of its canonical form, and its columns say the same
I8   certificate and transaction of a request belong to the key that asked
I9   a challenge serves one request, and each request that needed a challenge used up one
I10  the published CRL of each CA has its digest, number and signature, and names what is revoked,
     on hold or abandoned and nothing else, unless a revocation is newer; at rest none is
I11  no log entry is missing that a later entry of the same process vouches for
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import F, Q

from approvals.models.challenges import ChallengePassword
from approvals.models.decisions import Decision, Verdict
from approvals.models.profiles import ChallengePolicy
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction
from approvals.records.decision_documents import DecisionInvalid, verify_comment, verify_decision
from approvals.rules.states import TRANSITIONS, State
from audit.canonical import leaf_hash
from audit.events import Event
from audit.gaps import Numbering
from audit.models import AuditEntry
from ca.models.certificates import Certificate, CertificateStatus
from pkiportal.doctor import signed_records
from pkiportal.doctor.violations import CHUNK, Violation, chunks

_STEPS: Final = frozenset((old.value, new.value) for (old, _), new in TRANSITIONS.items())
_ON_ITS_WAY: Final = (State.APPROVED, State.ISSUING)
_DECIDED: Final = (State.APPROVED, State.ISSUING, State.ISSUED)


@dataclass(frozen=True, slots=True)
class Findings:
    """The number of checked rows, and the violations."""

    checked: Mapping[str, int]
    violations: tuple[Violation, ...]


def check_invariants(*, at_rest: bool = False, journal: Path | None = None) -> Findings:
    """Check everything, in one snapshot where the database has them.

    `at_rest`: nothing may be on its way to a signature, unless it waits for an officer. `journal`
    has one signature a line, the SHA-256 of the signed bytes first, in hex. Raises OSError if the
    journal cannot be read.
    """
    checked: Counter[str] = Counter()
    with _snapshot():
        violations = [
            *_requests(checked, at_rest=at_rest),
            *signed_records.certificates(checked),
            *signed_records.serials(),
            *_transactions(checked),
            *_challenges(checked),
            *signed_records.crls(checked, at_rest=at_rest),
            *_entries(checked),
            *(signed_records.journal_of(journal, checked) if journal else ()),
        ]
    return Findings(dict(checked), tuple(violations))


@contextmanager
def _snapshot() -> Iterator[None]:
    """Use one view of everything, without blocking writers."""
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
    rows = EnrollmentRequest.objects.select_related("profile", "profile_version", "ca").order_by(
        "id"
    )
    for chunk in chunks(rows.iterator(chunk_size=CHUNK)):
        keys = [request.pk for request in chunk]
        certificates = _grouped(Certificate.objects.filter(order_id__in=keys), "order_id")
        decisions = _grouped(
            Decision.objects.filter(request_id__in=keys)
            .select_related("written")
            .order_by("decided_at"),
            "request_id",
        )
        entries = AuditEntry.objects.filter(
            subject_kind="request", subject_id__in=[str(key) for key in keys]
        )
        history = _grouped(entries.exclude(subject_seq=None).order_by("subject_seq"), "subject_id")
        for request in chunk:
            checked["requests"] += 1
            checked["issued"] += request.state == State.ISSUED
            own = [
                one for one in certificates[request.pk] if one.status != CertificateStatus.ABANDONED
            ]
            yield from _certificate_of(request, own, at_rest=at_rest)
            yield from _comments_of(request, decisions[request.pk])
            if request.state in _DECIDED:
                yield from _decisions_of(request, decisions[request.pk])
            yield from _history_of(request, history[str(request.pk)])


def _certificate_of(
    request: EnrollmentRequest, own: Sequence[Certificate], *, at_rest: bool
) -> Iterator[Violation]:
    subject = f"request {request.pk}"
    expected = 1 if request.state in (State.ISSUING, State.ISSUED) else 0
    if len(own) != expected:
        yield Violation(
            "I1", subject, f"{request.state} with {len(own)} certificates, {expected} expected"
        )
    for certificate in own:
        is_prepared = certificate.status == CertificateStatus.PREPARED
        if is_prepared != (request.state == State.ISSUING):
            yield Violation(
                "I1", subject, f"{request.state} with a certificate that is {certificate.status}"
            )
        if request.state == State.ISSUED and request.certificate_id != certificate.pk:
            yield Violation(
                "I1",
                subject,
                f"points to certificate {request.certificate_id}, ordered {certificate.pk}",
            )
        if certificate.spki_sha256 != request.csr_spki_sha256:
            yield Violation(
                "I8", subject, "the certificate has another key than the certificate request"
            )
    if at_rest and request.state in _ON_ITS_WAY and request.quarantined_at is None:
        yield Violation(
            "I1",
            subject,
            f"still {request.state} after {request.attempts} attempts: {request.last_fault}",
        )


def _decisions_of(request: EnrollmentRequest, decisions: Sequence[Decision]) -> Iterator[Violation]:
    subject = f"request {request.pk}"
    approvals = [
        one for one in decisions if one.verdict == Verdict.APPROVE and one.round == request.round
    ]
    if not approvals:
        yield Violation(
            "I2", subject, f"{request.state} without a decision in round {request.round}"
        )
    for decision in approvals:
        try:
            verify_decision(decision, request)
        except DecisionInvalid as error:
            yield Violation("I2", subject, str(error))


def _comments_of(request: EnrollmentRequest, decisions: Sequence[Decision]) -> Iterator[Violation]:
    for decision in decisions:
        try:
            verify_comment(decision)
        except DecisionInvalid as error:
            yield Violation("I2", f"request {request.pk}", str(error))


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
            yield Violation(
                "I6", subject, f"entry {entry.pk}: from {step[0]} to {step[1]}, but it was {state}"
            )
        state = entry.data["to"]
    if state != request.state:
        yield Violation("I6", subject, f"{request.state}, but the log ends with {state}")
    if entries and (entries[-1].subject_seq or 0) > request.version:
        yield Violation(
            "I6", subject, f"version {request.version}, but the log knows {entries[-1].subject_seq}"
        )


def _transactions(checked: Counter[str]) -> Iterator[Violation]:
    checked["transactions"] = EnrollmentTransaction.objects.count()
    holder = Q(signer_spki_sha256=F("request__signer_spki_sha256"))
    holder |= Q(
        signer_spki_sha256=F("request__csr_spki_sha256"), renews__isnull=True
    )  # meets the renewal of its key
    renewed = Q(renews__isnull=True) | Q(renews=F("request__renews"))
    same = Q(profile=F("request__profile")) & holder & renewed
    for transaction_row in EnrollmentTransaction.objects.exclude(same):
        text = "belongs to another profile or signer key than its transaction"
        yield Violation("I8", f"request {transaction_row.request_id}", text)


def _challenges(checked: Counter[str]) -> Iterator[Violation]:
    used = ChallengePassword.objects.filter(redeemed_at__isnull=False)
    checked["challenges"] = used.count()
    for foreign in used.exclude(profile=F("redeemed_by__profile")):
        yield Violation(
            "I9", f"challenge {foreign.pk}", "redeemed at another profile than it was made for"
        )
    rows = EnrollmentRequest.objects.filter(
        challenge=ChallengePolicy.ONE_TIME, challenge_password__isnull=True
    )
    for key in rows.values_list("pk", flat=True):
        yield Violation(
            "I9", f"request {key}", "needed a one-time challenge, none was redeemed for it"
        )
    counts = Counter(
        AuditEntry.objects.filter(event=Event.CHALLENGE_REDEEM)
        .order_by()
        .values_list("subject_id", flat=True)
    )
    for key in used.values_list("pk", flat=True):
        if counts.pop(str(key), 0) != 1:
            yield Violation(
                "I9", f"challenge {key}", "the log does not tell exactly once that it was redeemed"
            )
    for name in counts:
        yield Violation(
            "I9", f"challenge {name}", "redeemed according to the log, but not according to its row"
        )


def _entries(checked: Counter[str]) -> Iterator[Violation]:
    numbering = Numbering()
    for entry in AuditEntry.objects.order_by("id").iterator(chunk_size=CHUNK):
        checked["log entries"] += 1
        canonical = bytes(entry.canonical)
        has_digest = leaf_hash(canonical) == bytes(entry.leaf_hash)
        document = json.loads(canonical) if has_digest else {}
        numbering.add(entry.writer, entry.writer_seq, document)
        if not has_digest:
            yield Violation(
                "I7", f"log entry {entry.pk}", "the canonical form does not have its digest"
            )
        elif not _says_the_same(entry, document):
            yield Violation(
                "I7", f"log entry {entry.pk}", "the columns differ from the canonical form"
            )
    for gap in numbering.gaps():
        numbers = f"{gap.first} to {gap.last}" if gap.last > gap.first else f"{gap.first}"
        yield Violation(
            "I11", f"log of process {gap.writer}", f"{numbers} missing, and not rolled back"
        )


def _says_the_same(entry: AuditEntry, document: Mapping[str, Any]) -> bool:
    subject = document.get("subject") or {"kind": "", "id": "", "seq": None}
    columns = (
        str(entry.pk),
        entry.event,
        entry.actor_kind,
        entry.actor_id,
        entry.data,
    )
    about = (entry.subject_kind, entry.subject_id, entry.subject_seq)
    department = (entry.department, entry.department_path)
    number = (entry.writer, entry.writer_seq)
    actor = document["actor"]
    canonical_columns = (
        document["id"],
        document["event"],
        actor["kind"],
        actor["id"],
        document["data"],
    )
    return (
        columns == canonical_columns
        and about == (subject["kind"], subject["id"], subject["seq"])
        and department == _department_in(document)
        and number == (document.get("writer", ""), document.get("writer_seq"))
    )


def _department_in(document: Mapping[str, Any]) -> tuple[str, str]:
    """Slug and path; in version 1 the slug alone."""
    department = document["department"]
    if document["v"] == 1:
        return department, ""
    return (department["slug"], department["path"]) if department else ("", "")


def _grouped(rows: Iterable[Any], name: str) -> defaultdict[Any, list[Any]]:
    groups: defaultdict[Any, list[Any]] = defaultdict(list)
    for row in rows:
        groups[getattr(row, name)].append(row)
    return groups
