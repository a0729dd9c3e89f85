"""The number of a refusal: a technician reads it off the device, an officer searches for it.

See ADR 33. The digits are a keyed digest of facts that the sender of the message knows: profile,
network address, minute and the text of the answer. The real cause is never part of it. So two
refusals with the same text have one number, and a stranger cannot tell by it whether a challenge
was wrong or used, or how far an envelope was opened.
"""

import re
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import QuerySet
from django.utils.crypto import salted_hmac

from accounts.models.people import User
from accounts.permissions import within
from accounts.roles import Verb
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import RefusalNumber
from audit.models import AuditEntry
from database.statements import insert

_NUMBER: Final = re.compile(r"[\[(]?(\d{4})[-\u2010-\u2015 ]?(\d{4})[\])]?")


def number_of_answer(profile: EnrollmentProfile, *, address: str, text: str, now: datetime) -> str:
    """Return the number of equal refusals of one profile to one address in one minute."""
    return _digits(profile.slug, address, f"{now:%Y-%m-%dT%H:%M}", text)


def number_of_request(request_id: UUID) -> str:
    """Return the number of a request's final refusal: the same each time its device asks."""
    return _digits("request", str(request_id))


def number_in(text: str) -> str:
    """Return the typed number, such as `4711-2093`, or ""."""
    match = _NUMBER.fullmatch(text.strip())
    return f"{match[1]}-{match[2]}" if match else ""


def keep_number(
    number: str,
    profile: EnrollmentProfile,
    *,
    now: datetime,
    entry: AuditEntry | None,
    request_id: UUID | None,
) -> None:
    """Store the meaning of a number, in the caller's transaction."""
    insert(
        RefusalNumber(number=number, profile=profile, entry=entry, request_id=request_id, at=now)
    )


def keep_told_number(
    number: str, profile: EnrollmentProfile, request_id: UUID, *, now: datetime
) -> None:
    """Store the number of a request refused before numbers existed, when its device reads it."""
    if not RefusalNumber.objects.filter(number=number, request_id=request_id).exists():
        keep_number(number, profile, now=now, entry=None, request_id=request_id)


def requests_with(number: str) -> list[UUID]:
    """Return the keys of the requests with this refusal number; none for no number."""
    if not number:
        return []
    rows = RefusalNumber.objects.filter(number=number, request_id__isnull=False)
    return list(rows.values_list("request_id", flat=True).distinct()[:50])


def refusals_with(number: str, user: User) -> QuerySet[RefusalNumber]:
    """Return the refusals with this number at the profiles that a person may see, oldest first."""
    visible = within(user, Verb.REQUEST_VIEW, "profile__department_id")
    return (
        RefusalNumber.objects.filter(visible, number=number)
        .select_related("profile", "request", "entry")
        .order_by("pk")
    )


def _digits(*facts: str) -> str:
    digest = salted_hmac(
        "approvals.refusal_numbers", "\x00".join(facts), algorithm="sha256"
    ).digest()
    digits = f"{int.from_bytes(digest[:8]) % 10**8:08d}"
    return f"{digits[:4]}-{digits[4:]}"
