"""The life of a request or certificate in sentences, from its audit entries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Q, QuerySet

from accounts.principals import Evidence
from approvals.models.decisions import DecisionComment
from approvals.models.requests import EnrollmentRequest
from audit.events import Event
from audit.models import AuditEntry

LIMIT: Final = 200

_EVENTS: Final = {event.value: event for event in Event}
_ACTORS: Final = {"system": "the portal", "policy": "the policy", "device": "the device"}
_QUIET_KEYS: Final = frozenset(
    {"comment", "evidence", "from", "to", "round", "names", "spec", "decision", "account_changes"}
)


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One entry for people. `details` are name and value pairs."""

    id: str
    at: datetime
    event: str
    what: str
    tone: str
    who: str
    address: str
    evidence: str
    comment: str
    is_comment_erased: bool  # there was one
    account_changes: str  # of the acting person, by others, shortly before
    details: tuple[tuple[str, str], ...]
    subject_kind: str
    subject_id: str


def timeline_of(request: EnrollmentRequest) -> list[TimelineEntry]:
    """Return the newest LIMIT entries about a request and its certificate, oldest first."""
    about = Q(subject_kind="request", subject_id=str(request.pk))
    if (
        request.certificate_id
    ):  # its own entries say more than the request's entries of the same two steps
        about &= ~Q(event__in=[Event.CERTIFICATE_PREPARE, Event.CERTIFICATE_ISSUE])
        about |= Q(subject_kind="certificate", subject_id=str(request.certificate_id))
    return moments(AuditEntry.objects.filter(about).order_by("-id")[:LIMIT])[::-1]


def moments_about(kind: str, identifier: object) -> list[TimelineEntry]:
    """Return the history of one subject, oldest first, the newest LIMIT entries of it."""
    about = AuditEntry.objects.filter(subject_kind=kind, subject_id=str(identifier))
    return moments(about.order_by("-id")[:LIMIT])[::-1]


def moments(entries: QuerySet[AuditEntry] | Sequence[AuditEntry]) -> list[TimelineEntry]:
    """Return entries for people, in the given order, with the private values that still exist."""
    if isinstance(entries, QuerySet):
        entries = list(entries.prefetch_related("private_values"))
    texts = _texts_of_decisions(entries)
    return [_moment(entry, texts) for entry in entries]


def _texts_of_decisions(entries: Sequence[AuditEntry]) -> dict[str, str]:
    """The comments on decisions that were not erased, by decision; the log holds commitments."""
    keys = [UUID(entry.data["decision"]) for entry in entries if _is_committed(entry.data)]
    rows = DecisionComment.objects.filter(pk__in=keys) if keys else ()
    return {str(row.pk): row.text for row in rows}


def _is_committed(data: object) -> bool:
    return isinstance(data, dict) and bool(data.get("decision")) and bool(data.get("comment"))


def _moment(entry: AuditEntry, texts: Mapping[str, str]) -> TimelineEntry:
    private = {value.path: value.value for value in entry.private_values.all()}
    event = _EVENTS.get(entry.event)
    data = entry.data if isinstance(entry.data, dict) else {}
    evidence = str(data.get("evidence", ""))
    text = texts.get(str(data.get("decision", "")), "") or _plain(data.get("comment"))
    return TimelineEntry(
        id=str(entry.pk),
        at=entry.at,
        event=entry.event,
        what=event.label if event else entry.event,
        tone=event.tone if event else "",
        who=_who(entry, private),
        address=private.get("actor.address", ""),
        evidence=Evidence(evidence).label if evidence in Evidence.values else "",
        comment=private.get("data.comment", "") or text,
        is_comment_erased=isinstance(data.get("comment"), dict)
        and not text
        and "data.comment" not in private,
        account_changes=private.get("data.account_changes", ""),
        details=tuple(_details(data, private)),
        subject_kind=entry.subject_kind,
        subject_id=entry.subject_id,
    )


def _who(entry: AuditEntry, private: Mapping[str, str]) -> str:
    name = private.get("actor.name", "")
    officer = private.get("actor.on_behalf_of", "")
    if officer:
        return f"{name} on behalf of {officer}"
    return name or _ACTORS.get(entry.actor_kind, entry.actor_id or entry.actor_kind)


def _details(data: Mapping[str, object], private: Mapping[str, str]) -> list[tuple[str, str]]:
    pairs = []
    for key, value in data.items():
        text = private.get(f"data.{key}", "") or _plain(value)
        if text and key not in _QUIET_KEYS:
            pairs.append((_name_of(key, data), text))
    return pairs


def _name_of(key: str, data: Mapping[str, object]) -> str:
    """Return the page's name of a fact.

    Version 0.1.0 wrote the key of a database row in place of the version's number.
    """
    if key == "profile_version" and "profile_sha256" not in data:
        return "database row of the profile version"
    return key.replace("_", " ")


def _plain(value: object) -> str:
    """Return a value as text, or None for an empty value and for an erased commitment."""
    if isinstance(value, dict) or value in ("", None, []):
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
