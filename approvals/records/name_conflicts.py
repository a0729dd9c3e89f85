"""Two keys for one name: another open request, or a valid certificate, in the same profile.

A renewal is not another key: the earlier certificates of its lineage do not count. All reads use an
index on the table of names, so that a profile of many requests costs no more than a small one.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection

from approvals.models.profiles import EnrollmentProfile, NameConflicts
from approvals.models.requests import OPEN_FOR_KEY_SQL, EnrollmentRequest, RequestName
from approvals.rules.states import OPEN_STATES, State
from ca.content.csr_review import CsrReview
from ca.models.certificates import Certificate, CertificateStatus
from ca.x509.csr import CertificationRequest
from ca.x509.findings import Finding, ask_officer, refuse, warn
from ca.x509.name_matching import identities
from ca.x509.text import shortened
from database.statements import insert, key_of, key_parameter, places

WAITING: Final = "name-waiting"
ACTIVE: Final = "name-active"
#: Limits for the rows read for a page, and for the certificates of a lineage.
_MOST_ROWS: Final = 2000
_MOST_STEPS: Final = 50
_SEVERITY: Final[Mapping[str, Callable[[str, str], Finding]]] = {
    NameConflicts.OFFICER: ask_officer,
    NameConflicts.REFUSE: refuse,
    NameConflicts.ALLOW: warn,
}
_NAMES: Final = (
    "SELECT request_id, name FROM approvals_requestname WHERE request_id IN ({requests})"
)
#: Every enrollment and every decision asks it: compiling the query would cost more than running it.
#: MATERIALIZED keeps PostgreSQL from comparing the OR with each partial index of the requests: it
#: planned for 14 ms a statement that runs for 0.1.
_OTHERS: Final = f"""
WITH r AS MATERIALIZED (
    SELECT n.profile_id, n.name, q.id, q.state, q.csr_spki_sha256, q.certificate_id,
        q.next_attempt_at
    FROM approvals_requestname n JOIN approvals_enrollmentrequest q ON q.id = n.request_id
    WHERE n.profile_id IN ({{profiles}}) AND n.name IN ({{names}}) AND q.csr_spki_sha256 <> %s
)
SELECT r.profile_id, r.name, r.id, r.state, r.csr_spki_sha256, r.certificate_id
FROM r LEFT JOIN ca_certificate c ON c.id = r.certificate_id
WHERE {OPEN_FOR_KEY_SQL} OR (
    r.state = '{State.ISSUED}' AND c.not_after >= %s
    AND c.status IN ('{CertificateStatus.ISSUED}', '{CertificateStatus.ON_HOLD}')
) LIMIT {_MOST_ROWS}
"""  # noqa: S608 - our own names
_TEXT: Final = {
    WAITING: "another request waits for it, with another key",
    ACTIVE: "a certificate over another key is valid for it",
}


@dataclass(frozen=True, slots=True)
class NameCheck:
    """The names of a request (SHA-256 and as shown), and the findings about them."""

    names: Mapping[str, str]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A key and its requested names; `own` is its request, None before there is one."""

    profile_id: int
    key: str
    names: Collection[str]
    renews_id: UUID | None
    own: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Other:
    """Another owner of a name: a request that is open, or issued with a valid certificate."""

    profile_id: int
    name: str
    request_id: UUID
    state: str
    key: str
    certificate_id: UUID | None

    @property
    def code(self) -> str:
        return ACTIVE if self.state == State.ISSUED else WAITING


def check_names_in_use(
    csr: CertificationRequest,
    review: CsrReview,
    *,
    profile: EnrollmentProfile,
    renewed: Certificate | None,
    now: datetime,
) -> NameCheck:
    """Return the names of a new request, with a finding for each kind of conflict.

    The profile sets the severity.
    """
    names = identities(review.subject, review.sans)
    query = _Asked(profile.pk, csr.spki_sha256.hex(), names, renewed.pk if renewed else None)
    (conflicts,) = _conflicts([query], now=now)
    find = _SEVERITY[profile.name_conflicts]
    names_by_code = {item.code: names[item.name] for item in conflicts}
    return NameCheck(
        names,
        tuple(
            find(code, f"name '{shortened(name)}': {_TEXT[code]}")
            for code, name in sorted(names_by_code.items())
        ),
    )


def keep_names(request: EnrollmentRequest, check: NameCheck) -> None:
    """Store the names of a request, in the caller's transaction."""
    insert(
        *(
            RequestName(request=request, profile_id=request.profile_id, name=name)
            for name in check.names
        )
    )


def earlier_conflicts(request: EnrollmentRequest) -> tuple[str, ...]:
    """Return, as sentences, earlier requests or certificates with one of these names.

    For the moment before signing: of two requests that came at the same time, neither saw the other
    at the door.
    """
    if request.profile.name_conflicts == NameConflicts.ALLOW:
        return ()
    conflicts = _conflicts(_asked_by([request]), now=request.decided_at or request.submitted_at)
    codes = {item.code for items in conflicts for item in items if item.request_id < request.pk}
    return tuple(f"its name: {_TEXT[code]}" for code in sorted(codes))


def conflicts_of(
    requests: Sequence[EnrollmentRequest], *, now: datetime
) -> Mapping[UUID, tuple[str, ...]]:
    """Return the codes of the current conflicts of each open request; few queries per page."""
    queries = _asked_by([request for request in requests if request.state in OPEN_STATES])
    return {
        item.own: tuple(sorted({other.code for other in others}))
        for item, others in zip(queries, _conflicts(queries, now=now), strict=True)
        if item.own is not None
    }


def conflict_facts(
    request: EnrollmentRequest, *, now: datetime
) -> tuple[Mapping[str, str | list[str]], ...]:
    """Return the conflicts that an open request has now; `evidence` are the other requests."""
    (others,) = _conflicts(_asked_by([request]), now=now)
    requests: dict[str, set[str]] = {}
    for other in others:
        requests.setdefault(other.code, set()).add(str(other.request_id))
    severity = _SEVERITY[request.profile.name_conflicts]("", "").severity
    return tuple(
        {
            "code": code,
            "text": f"its name: {_TEXT[code]}",
            "severity": severity,
            "evidence": sorted(requests[code]),
        }
        for code in sorted(requests)
    )


def _asked_by(requests: Sequence[EnrollmentRequest]) -> list[_Asked]:
    names: dict[UUID, set[str]] = {request.pk: set() for request in requests}
    if names:
        keys = list(map(key_parameter, names))
        with connection.cursor() as cursor:
            cursor.execute(_NAMES.format(requests=places(keys)), keys)
            for request_id, name in cursor.fetchall():
                names[key_of(request_id)].add(name)
    return [
        _Asked(item.profile_id, item.csr_spki_sha256, names[item.pk], item.renews_id, item.pk)
        for item in requests
    ]


def _conflicts(queries: Sequence[_Asked], *, now: datetime) -> list[list[_Other]]:
    names = sorted({name for item in queries for name in item.names})
    if not names:
        return [[] for _ in queries]
    profiles = sorted({item.profile_id for item in queries})
    statement = _OTHERS.format(profiles=places(profiles), names=places(names))
    # The rows of a single request's own key may be many: one device that asks again and again.
    own_key = queries[0].key if len(queries) == 1 else ""
    moment = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        cursor.execute(statement, [*profiles, *names, own_key, moment])
        others = list(map(_other, cursor.fetchall()))
    lineages = _lineages({item.renews_id for item in queries if item.renews_id}) if others else {}
    return [[other for other in others if _is_against(other, item, lineages)] for item in queries]


def _other(row: Sequence[Any]) -> _Other:
    profile_id, name, request_id, state, key, certificate_id = row
    certificate = key_of(certificate_id) if certificate_id else None
    return _Other(profile_id, name, key_of(request_id), state, key, certificate)


def _is_against(other: _Other, item: _Asked, lineages: Mapping[UUID, Collection[UUID]]) -> bool:
    if other.profile_id != item.profile_id or other.name not in item.names:
        return False
    if other.key == item.key or other.request_id == item.own:
        return False
    return item.renews_id is None or other.certificate_id not in lineages[item.renews_id]


def _lineages(certificates: Iterable[UUID]) -> dict[UUID, set[UUID]]:
    """Return each certificate with all its predecessors; one query per generation."""
    lineages = {certificate: {certificate} for certificate in certificates}
    oldest = {certificate: certificate for certificate in lineages}
    for _ in range(_MOST_STEPS):
        rows = EnrollmentRequest.objects.filter(
            certificate__in=set(oldest.values()), renews__isnull=False
        )
        before = dict(rows.values_list("certificate_id", "renews_id"))
        oldest = {
            one: before[last]
            for one, last in oldest.items()
            if last in before and before[last] is not None
        }
        if not oldest:
            break
        for one, last in oldest.items():
            lineages[one].add(last)
    return lineages
