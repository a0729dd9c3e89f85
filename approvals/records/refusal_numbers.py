"""The number of a refusal: a technician reads it off the device, an officer finds the refusal by it
(ADR 0033).

The digits are a keyed digest of facts that the sender of the message knows: profile, network
address, minute and the text of the answer. They are never a digest of the real cause. Two refusals
that read alike therefore have one number, so that a stranger cannot tell by a number whether a
challenge was wrong or used, or what became of an envelope.
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
    """Return the number of all refusals of one profile to one address in one minute that read
    alike.
    """
    return _digits(profile.slug, address, f"{now:%Y-%m-%dT%H:%M}", text)


def number_of_request(request_id: UUID) -> str:
    """Return the number of the refusal that a request ended in: the same each time its device
    asks.
    """
    return _digits("request", str(request_id))


def number_in(text: str) -> str:
    """Return the number that a person typed, as `4711-2093`; empty where the text is none."""
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
    """Write down what a number stands for, in the caller's transaction."""
    insert(
        RefusalNumber(number=number, profile=profile, entry=entry, request_id=request_id, at=now)
    )


def keep_told_number(
    number: str, profile: EnrollmentProfile, request_id: UUID, *, now: datetime
) -> None:
    """Write down the number of a request that was refused before refusals had numbers, once its
    device reads it.
    """
    if not RefusalNumber.objects.filter(number=number, request_id=request_id).exists():
        keep_number(number, profile, now=now, entry=None, request_id=request_id)


def requests_with(number: str) -> list[UUID]:
    """Return the keys of the requests that a refusal with this number is about; of no number
    none.
    """
    if not number:
        return []
    rows = RefusalNumber.objects.filter(number=number, request_id__isnull=False)
    return list(rows.values_list("request_id", flat=True).distinct()[:50])


def refusals_with(number: str, user: User) -> QuerySet[RefusalNumber]:
    """Return the refusals with this number at the profiles that a person may see, oldest first."""
    seen = within(user, Verb.REQUEST_VIEW, "profile__department_id")
    return (
        RefusalNumber.objects.filter(seen, number=number)
        .select_related("profile", "request", "entry")
        .order_by("pk")
    )


def _digits(*facts: str) -> str:
    digest = salted_hmac(
        "approvals.refusal_numbers", "\x00".join(facts), algorithm="sha256"
    ).digest()
    digits = f"{int.from_bytes(digest[:8]) % 10**8:08d}"
    return f"{digits[:4]}-{digits[4:]}"
