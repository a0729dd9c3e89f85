"""The life of a request or certificate in sentences, from its audit entries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Q, QuerySet

from accounts.principals import Evidence
from approvals.models.requests import EnrollmentRequest
from audit.events import Event
from audit.models import AuditEntry

LIMIT: Final = 200

#: The sentence for an event, and the tone of its mark.
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    Event.REQUEST_SUBMIT: ("Request arrived", ""),
    Event.REQUEST_APPROVE: ("Approved", "good"),
    Event.REQUEST_REJECT: ("Rejected", "bad"),
    Event.REQUEST_FAIL: ("Refused by policy after approval", "bad"),
    Event.REQUEST_EXPIRE: ("Expired without a decision", "bad"),
    Event.REQUEST_REOPEN: ("Opened again", ""),
    Event.REQUEST_WITHDRAW: ("Withdrawn", "bad"),
    Event.REQUEST_ATTENTION: ("Signing failed, needs attention", "bad"),
    Event.REQUEST_RETRY: ("Retry ordered", "busy"),
    Event.MESSAGE_REFUSE: ("Message refused", "bad"),
    Event.MESSAGE_FAULT: ("Message met a fault of ours", "bad"),
    Event.CERTIFICATE_PREPARE: ("Prepared for signing", "busy"),
    Event.CERTIFICATE_ISSUE: ("Certificate signed and recorded", "good"),
    Event.CERTIFICATE_ABANDON: ("Certificate given up, on the CRL in case it was signed", "bad"),
    Event.CERTIFICATE_DELIVER: ("Device picked the certificate up", "good"),
    Event.CERTIFICATE_EXPORT: ("Certificate downloaded", ""),
    Event.CERTIFICATE_REVOKE: ("Revoked", "bad"),
    Event.CERTIFICATE_HOLD: ("Put on hold", "bad"),
    Event.CERTIFICATE_RELEASE: ("Released from hold", "good"),
    Event.KEY_BLOCK: ("Key blocked", "bad"),
    Event.KEY_UNBLOCK: ("Key taken off the block list", ""),
    Event.CRL_ISSUE: ("CRL issued", ""),
    Event.CRL_PRUNE: ("Bytes of old CRLs dropped", ""),
    Event.CHALLENGE_CREATE: ("Challenge created", ""),
    Event.CHALLENGE_REDEEM: ("Challenge used", ""),
    Event.CHALLENGE_WITHDRAW: ("Challenge withdrawn", "bad"),
    Event.CONFIGURATION_EXPORT: ("Configuration for a device handed out", ""),
    Event.VALIDATION_ASK: ("Validation service asked", "busy"),
    Event.VALIDATION_ALLOW: ("Challenge validated", "good"),
    Event.VALIDATION_DENY: ("Challenge denied", "bad"),
    Event.VALIDATION_NO_ANSWER: ("Validation service gave no answer", "bad"),
    Event.VALIDATION_REPORT: ("Outcome reported to the validation service", ""),
    Event.VALIDATION_SERVICE_CHANGE: ("Validation service changed", ""),
    Event.VALIDATION_SERVICE_PROBE: ("Validation service tried", ""),
    Event.CHALLENGE_LOCK: ("Challenges not checked any more: too many failed", "bad"),
    Event.CHALLENGE_UNLOCK: ("Challenges checked again", "good"),
    Event.CHALLENGE_ALARM: ("Many challenges failed; none of a kind that can be guessed", "bad"),
    Event.CHALLENGE_ROTATE: ("Static challenge rotated", ""),
    Event.CHALLENGE_REVEAL: ("Static challenge revealed", "bad"),
    Event.NDES_ACCOUNT_CREATE: ("NDES account created", ""),
    Event.NDES_ACCOUNT_CHANGE: ("NDES account given a new password", ""),
    Event.NDES_ACCOUNT_DISABLE: ("NDES account disabled", "bad"),
    Event.NDES_REFUSE: ("NDES account refused", "bad"),
    Event.DEVICES_CREATE: ("Device group made", ""),
    Event.DEVICES_ADD: ("Expected devices added", ""),
    Event.DEVICES_REMOVE: ("Expected devices removed", ""),
    Event.PROFILE_CREATE: ("Profile created", ""),
    Event.PROFILE_CHANGE: ("Profile changed", ""),
    Event.PROFILE_PAUSE: ("Profile paused", "bad"),
    Event.PROFILE_RESUME: ("Profile resumed", "good"),
    Event.CERTIFICATE_PROFILE_CREATE: ("Certificate profile created", ""),
    Event.CERTIFICATE_PROFILE_CHANGE: ("Certificate profile changed", ""),
    Event.AUTHORITY_CREATE: ("Authority created", ""),
    Event.AUTHORITY_PAUSE: ("Authority paused", "bad"),
    Event.AUTHORITY_RESUME: ("Authority resumed", "good"),
    Event.ROLLOVER_STAGE: ("Next authority staged", ""),
    Event.ROLLOVER_PUBLISH: ("Next authority published", ""),
    Event.ROLLOVER_ANSWER: ("GetNextCACert answer signed", ""),
    Event.ROLLOVER_SWITCH: ("Next authority took over", "good"),
    Event.ROLLOVER_CANCEL: ("Rollover cancelled", "bad"),
    Event.SERVICE_KEY_CREATE: ("Service key created", ""),
    Event.SERVICE_KEY_CERTIFY: ("Service key certified", ""),
    Event.SERVICE_KEY_RETIRE: ("Service key retired", ""),
    Event.USER_CREATE: ("Person added", ""),
    Event.USER_CHANGE: ("Person changed", ""),
    Event.USER_SIGN_IN: ("Signed in", ""),
    Event.USER_SIGN_IN_FAIL: ("Sign-in failed", "bad"),
    Event.USER_SIGN_OUT: ("Signed out", ""),
    Event.TOKEN_CREATE: ("API token made", ""),
    Event.TOKEN_REVOKE: ("API token revoked", "bad"),
    Event.TOKEN_REFUSE: ("API token refused", "bad"),
    Event.ROLE_GRANT: ("Role granted", ""),
    Event.ROLE_REVOKE: ("Role taken away", ""),
    Event.SETUP_LINK_CREATE: ("Set-up link made", ""),
    Event.SETUP_LINK_USE: ("Set-up link used", ""),
    Event.PASSWORD_LINK_CREATE: ("Password link issued", ""),
    Event.PASSWORD_LINK_USE: ("Password set through a link", "busy"),
    Event.PROCESS_START: ("Process started", ""),
    Event.SECRET_ACCEPT: ("Changed secret accepted", "warn"),
    Event.DATA_SEED: ("Rows seeded for a load test", ""),
    Event.SELF_TEST_START: ("Self-test started", ""),
    Event.SELF_TEST_FINISH: ("Self-test finished", ""),
    Event.EXCHANGE_OPEN: ("Stored message opened", ""),
    Event.RECORDING_START: ("Recording of messages switched on", "busy"),
    Event.RECORDING_STOP: ("Recording of messages switched off", ""),
}
_ACTORS: Final = {"system": "the portal", "policy": "the policy", "device": "the device"}
_QUIET_KEYS: Final = frozenset(
    {"comment", "evidence", "from", "to", "round", "names", "spec", "decision", "account_changes"}
)


@dataclass(frozen=True, slots=True)
class Moment:
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
    account_changes: str  # of the acting person, by others, shortly before
    details: tuple[tuple[str, str], ...]
    subject_kind: str
    subject_id: str


def timeline_of(request: EnrollmentRequest) -> list[Moment]:
    """Return the newest LIMIT entries about a request and its certificate, oldest first."""
    about = Q(subject_kind="request", subject_id=str(request.pk))
    if (
        request.certificate_id
    ):  # its own entries say more than the request's entries of the same two steps
        about &= ~Q(event__in=[Event.CERTIFICATE_PREPARE, Event.CERTIFICATE_ISSUE])
        about |= Q(subject_kind="certificate", subject_id=str(request.certificate_id))
    return moments(AuditEntry.objects.filter(about).order_by("-id")[:LIMIT])[::-1]


def moments_about(kind: str, identifier: object) -> list[Moment]:
    """Return the history of one subject, oldest first, the newest LIMIT entries of it."""
    about = AuditEntry.objects.filter(subject_kind=kind, subject_id=str(identifier))
    return moments(about.order_by("-id")[:LIMIT])[::-1]


def moments(entries: QuerySet[AuditEntry] | Sequence[AuditEntry]) -> list[Moment]:
    """Return entries for people, in the given order, with the private values that still exist."""
    if isinstance(entries, QuerySet):
        entries = list(entries.prefetch_related("private_values"))
    return [_moment(entry) for entry in entries]


def _moment(entry: AuditEntry) -> Moment:
    private = {value.path: value.value for value in entry.private_values.all()}
    what, tone = WORDS.get(entry.event, (entry.event, ""))
    data = entry.data if isinstance(entry.data, dict) else {}
    evidence = str(data.get("evidence", ""))
    return Moment(
        id=str(entry.pk),
        at=entry.at,
        event=entry.event,
        what=what,
        tone=tone,
        who=_who(entry, private),
        address=private.get("actor.address", ""),
        evidence=Evidence(evidence).label if evidence in Evidence.values else "",
        comment=private.get("data.comment", "") or _plain(data.get("comment")),
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
