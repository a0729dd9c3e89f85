"""Queries of pages about requests: keyset lists, prefix search, limited counts, signing health."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from accounts.models.people import User
from accounts.permissions import within
from accounts.roles import Verb
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.records.due import due, to_be_signed
from ca.certificates.search_terms import LAST_CHARACTER, normalize_term
from ca.models.certificates import Certificate, CertificateKind, CertificateStatus
from database import moments

PAGE_SIZE: Final = 50
COUNT_LID: Final = 1000
#: Number of matches up to which a search looks them up one by one; above, it walks the list and
#: checks each row.
_FEW_MATCHES: Final = 500
#: Time after which pages report due work as late; the sweep rings every few seconds.
STALLED_AFTER: Final = timedelta(seconds=60)

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """One page of a list, and the keys where the neighboring pages start (None: there is none)."""

    rows: list[M]
    previous: str | None
    next: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """A number with an upper limit for counting: `str()` is "17" or "1,000+"."""

    value: int
    is_capped: bool

    def __str__(self) -> str:
        return f"{COUNT_LID:,}+" if self.is_capped else f"{self.value:,}"


@dataclass(frozen=True, slots=True)
class SigningHealth:
    """Whether approved requests get signed. `sentence` is empty while all is well."""

    waiting: Count
    oldest_due_at: datetime | None
    stalled: bool
    sentence: str


def paginate(
    rows: QuerySet[M],
    parameters: Mapping[str, Any],
    *,
    newest_first: bool = True,
    size: int = PAGE_SIZE,
) -> Page[M]:
    """Return the page after or before a key (`?after=ID`, `?before=ID`), else the first page.

    Keys are version 7 UUIDs, which sort by time; no page counts or skips rows.
    """
    after, before = _key(parameters.get("after")), _key(parameters.get("before"))
    backwards = before is not None and after is None
    descending = newest_first != backwards
    key = before if backwards else after
    if key is not None:
        rows = rows.filter(pk__lt=key) if descending else rows.filter(pk__gt=key)
    page_rows = list(rows.order_by("-pk" if descending else "pk")[: size + 1])
    has_more, page_rows = len(page_rows) > size, page_rows[:size]
    if backwards:
        page_rows.reverse()
    first, last = (str(page_rows[0].pk), str(page_rows[-1].pk)) if page_rows else (None, None)
    has_previous = has_more if backwards else after is not None
    return Page(page_rows, first if has_previous else None, last if has_more or backwards else None)


def count(rows: QuerySet[M]) -> Count:
    """Count rows, but at most COUNT_LID + 1 of them."""
    number = rows.order_by().values("pk")[: COUNT_LID + 1].count()
    return Count(min(number, COUNT_LID), number > COUNT_LID)


def search(rows: QuerySet[M], terms: type[Model], owner: str, text: str) -> QuerySet[M]:
    """Return the rows with a word that begins with `text`, or equals it in double quotes.

    Both ways use an index: few matches are looked up by key; with many, the list is walked in order
    until the page is full.
    """
    query, exact = text.strip(), False
    if len(query) > 2 and query[0] == query[-1] == '"':
        query, exact = query[1:-1], True
    prefixes = {prefix for prefix in (normalize_term(query), query.strip().lower()) if prefix}
    if not prefixes:
        return rows
    matches = Q()
    for prefix in prefixes:
        matches |= (
            Q(term=prefix) if exact else Q(term__gte=prefix, term__lt=prefix + LAST_CHARACTER)
        )
    match_count = terms._default_manager.filter(matches)  # noqa: SLF001 - Django's documented name for a model's manager
    keys = list(match_count.values_list(owner, flat=True)[: _FEW_MATCHES + 1])
    if len(keys) <= _FEW_MATCHES:
        return rows.filter(pk__in=set(keys))
    return rows.filter(Exists(match_count.filter(**{owner: OuterRef("pk")})))


def requests_of(
    user: User, verb: Verb = Verb.REQUEST_VIEW, *, with_self_tests: bool = False
) -> QuerySet[EnrollmentRequest]:
    """Return the requests to which the user may do `verb`, without bytes that lists do not show.

    Requests of self-tests have their own page and are left out by default.
    """
    rows = EnrollmentRequest.objects.filter(within(user, verb, "profile__department_id")).defer(
        "csr"
    )
    rows = rows if with_self_tests else without_self_tests(rows)
    return rows.select_related(
        "profile", "ca", "profile_version", "challenge_password", "validation"
    )


def without_self_tests(rows: QuerySet[EnrollmentRequest]) -> QuerySet[EnrollmentRequest]:
    """Leave out requests of self-tests.

    The few profiles are looked up first, so that the index stays usable.
    """
    return rows.exclude(profile__in=EnrollmentProfile.objects.filter(for_self_test=True))


def certificates_without_self_tests(rows: QuerySet[Certificate]) -> QuerySet[Certificate]:
    """Leave out certificates of self-test CAs, which issue nothing else."""
    return rows.exclude(ca__in=EnrollmentProfile.objects.filter(for_self_test=True).values("ca_id"))


def seen_keys(requests: Sequence[EnrollmentRequest]) -> set[str]:
    """Return the keys of these requests that have a certificate of the portal, under any name."""
    keys = {request.csr_spki_sha256 for request in requests}
    own = {request.certificate_id for request in requests if request.certificate_id}
    rows = Certificate.objects.filter(spki_sha256__in=keys).exclude(pk__in=own)
    return set(rows.values_list("spki_sha256", flat=True).distinct())


def oldest(rows: QuerySet[EnrollmentRequest]) -> datetime | None:
    """Return when the longest waiting of these requests arrived."""
    return rows.order_by("pk").values_list("submitted_at", flat=True).first()


def signing_health(now: datetime) -> SigningHealth:
    """Return whether approved requests become certificates.

    Paused profiles and authorities do not count as waiting. The oldest due request alone decides:
    each attempt moves a request's next one into the future, so a due one was not looked at. The
    time of the last certificate says nothing about the others.
    """
    none_waits = SigningHealth(Count(0, is_capped=False), None, stalled=False, sentence="")
    if not EnrollmentRequest.objects.filter(to_be_signed()).exists():  # in a fifth of the time
        return none_waits
    waiting = EnrollmentRequest.objects.filter(
        due(now=now),
        ca__paused_at__isnull=True,
        profile__paused_at__isnull=True,
        profile__for_self_test=False,
    )
    oldest_due = (
        waiting.order_by("next_attempt_at").values_list("next_attempt_at", flat=True).first()
    )
    if oldest_due is None:
        return none_waits
    number = count(waiting)
    if moments.is_ahead(oldest_due, now=now):
        sentence = f"A clock was set back: {number} waiting, with times ahead of the clock."
        return SigningHealth(number, oldest_due, stalled=True, sentence=sentence)
    if now - oldest_due <= STALLED_AFTER:
        return SigningHealth(number, oldest_due, stalled=False, sentence="")
    span = duration(now - oldest_due)
    sentence = f"Nothing signed for {span}, {number} waiting."
    if _was_signed_lately(now):
        sentence = f"Signing lags: {number} waiting, the longest for {span}."
    return SigningHealth(number, oldest_due, stalled=True, sentence=sentence)


def _was_signed_lately(now: datetime) -> bool:
    issued = certificates_without_self_tests(
        Certificate.objects.filter(kind=CertificateKind.ORDERED, status=CertificateStatus.ISSUED)
    )
    signed_at = issued.order_by("-id").values_list("issued_at", flat=True).first()
    return signed_at is not None and now - STALLED_AFTER < signed_at <= now + moments.TOLERANCE


def duration(span: timedelta) -> str:
    """Return a time span in its largest sensible unit: "4 min", "3 h", "12 d"."""
    seconds = int(span.total_seconds())
    for unit, size, limit in (("s", 1, 60), ("min", 60, 120), ("h", 3600, 72)):
        if seconds < size * limit:
            return f"{max(seconds, 0) // size} {unit}"
    return f"{seconds // 86400} d"


def _key(text: object) -> UUID | None:
    try:
        return UUID(str(text)) if text else None
    except ValueError:
        return None
