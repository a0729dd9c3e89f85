"""Display of times, names, fingerprints and icons on pages.

Text of a certificate goes through `visible`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import segno
from django import template
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.template.context import Context
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from lucide import IconDoesNotExist
from lucide.templatetags.lucide import lucide

from accounts.models.people import User
from accounts.people.changes import sentence
from accounts.permissions import can, roles_of
from accounts.roles import Verb
from approvals.challenges.lockouts import locks_of
from approvals.challenges.static import warnings_of
from approvals.models.challenges import ChallengePassword, FailedChallenges
from approvals.models.decisions import Decision
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.reading.queue import SigningHealth, duration, signing_health
from approvals.records import decision_content
from approvals.records.refusal_numbers import number_in, number_of_request, refusals_with
from approvals.rules.errors import MAX_DEVICE_REASON
from approvals.rules.states import REFUSED_STATES
from ca.models.certificates import Certificate
from ca.x509.text import display_name
from ca.x509.text import visible as visible_text

register = template.Library()

_SHORT = 48
_LABELS = {
    "key-revoked": "key of a revoked certificate",
    "san-loopback": "loopback name",
    "name-waiting": "name waits twice",
    "name-active": "name active on another key",
    "text-mixed-scripts": "letters of several scripts",
    "cn-not-in-san": "CN is no alternative name",
    "san-reserved": "reserved name",
    "extension-dropped": "extension not granted",
    "renewal-changed": "differs from the renewed one",
    "renewed-already": "renewed before",
}
_SEVERITIES = {
    "officer": "an officer decides",
    "warn": "warning",
    "info": "note",
    "refuse": "refused",
}


@register.simple_tag
@cache
def icon(name: str, size: int = 16) -> SafeString:
    """A lucide icon as inline SVG, hidden from assistive technology: text always accompanies it."""
    try:
        return SafeString(lucide(name, size=size, aria_hidden="true", focusable="false"))
    except IconDoesNotExist:
        return SafeString("")


@register.filter
def visible(value: object) -> str:
    """The text with control, bidi and zero-width characters written out; templates escape it."""
    return visible_text(str(value))


@register.filter
def on_device(reason: str) -> str:
    """The part of a rejection's reason that reaches the device."""
    return reason[:MAX_DEVICE_REASON]


@register.filter
def is_comment_erased(decision: Decision) -> bool:
    """Whether a decision had a comment whose text was erased."""
    return decision_content.is_comment_erased(decision)


@register.filter
def finding_label(finding: Mapping[str, str]) -> str:
    """The text of a finding's chip: words where an officer must act, else its code."""
    return _LABELS.get(finding["code"], visible_text(finding["code"]))


@register.filter
def severity_label(severity: str) -> str:
    """The text of a severity's chip."""
    return _SEVERITIES.get(severity, visible_text(severity))


@register.filter
def conflict_label(code: str) -> str:
    """The text of a chip for a name that another key has."""
    return _LABELS.get(code, code)


@register.filter
def middle(value: object, length: int = _SHORT) -> str:
    """The visible text, cut in its middle if it is longer than `length`."""
    text = visible_text(str(value))
    if len(text) <= length:
        return text
    head = (length - 1) * 2 // 3
    return f"{text[:head]}…{text[-(length - 1 - head) :]}"


@register.filter
def short_name(request: EnrollmentRequest) -> str:
    """The display name of a request: common name, subject, first alternative name, "(no name)"."""
    return display_name(request.common_name, request.subject, names=request.names)


@register.filter
def full_name(item: EnrollmentRequest | Certificate) -> str:
    """The subject of a request or certificate, else its first alternative name, or "(no name)"."""
    return display_name(item.subject, names=item.names)


@register.filter
def other_names(request: EnrollmentRequest) -> list[str]:
    """The alternative names of a request except its short name."""
    displayed = short_name(request)
    return [value for value in map(san_value, request.names) if value != displayed]


@register.filter
def san_kind(value: str) -> str:
    """The kind of a name like `dns:r1.example`."""
    return value.partition(":")[0]


@register.filter
def san_value(value: str) -> str:
    """The value of a name like `dns:r1.example`."""
    return value.partition(":")[2]


@register.filter
def change_sentence(facts: Mapping[str, str]) -> str:
    """A change of an officer's account by another person, as stored with a decision."""
    return sentence(facts)


@register.filter
def is_ahead(value: datetime | None) -> bool:
    """Whether a time is still to come."""
    return value is not None and value > timezone.now()


@register.filter
def hexadecimal(value: bytes) -> str:
    """Bytes of a database column as hexadecimal text."""
    return bytes(value).hex()


@register.simple_tag
def fingerprint(value: str) -> SafeString:
    """A hexadecimal digest in groups of four, in capitals."""
    text = value.upper()
    groups = format_html_join(
        "", "<span>{}</span>", ((text[start : start + 4],) for start in range(0, len(text), 4))
    )
    return format_html('<span class="fp">{}</span>', groups)


@register.simple_tag
def copy(value: object, label: str) -> SafeString:
    """A button that copies the visible text of `value`; shown only where the script runs."""
    return format_html(
        '<button type="button" class="copy" data-copy="{}" aria-label="Copy {}" title="Copy '
        '{}">{}</button>',
        visible_text(str(value)),
        label,
        label,
        icon("copy", 14),
    )


@register.simple_tag
def copy_from(prefix: str, number: int) -> SafeString:
    """A button that copies the text of element `prefix` + `number`, with its line breaks."""
    return format_html(
        '<button type="button" class="copy" data-copy-from="{}{}" aria-label="Copy step {}" '
        'title="Copy step {}">{}'
        "</button>",
        prefix,
        number,
        number,
        number,
        icon("copy", 14),
    )


@register.simple_tag
def qr(text: str, label: str) -> SafeString:
    """A QR code as inline SVG with attributes only, dark on light in both schemes."""
    code = segno.make(text, error="m", micro=False)
    drawing = code.svg_inline(
        border=3, dark="#000", light="#fff", omitsize=True, svgclass=None, lineclass=None
    )
    return format_html(
        '<span class="qr" role="img" aria-label="QR code: {}">{}</span>', label, SafeString(drawing)
    )


@register.simple_tag
def moment(value: datetime | None) -> SafeString:
    """A time in words, with the absolute time and zone in the title."""
    if value is None:
        return SafeString("-")
    local = timezone.localtime(value)
    return format_html(
        '<time datetime="{}" title="{}" data-relative>{}</time>',
        local.isoformat(timespec="seconds"),
        _full(local),
        _ago(value),
    )


@register.simple_tag
def exact(value: datetime | None) -> SafeString:
    """An absolute time with its zone."""
    if value is None:
        return SafeString("-")
    local = timezone.localtime(value)
    return format_html(
        '<time datetime="{}">{}</time>', local.isoformat(timespec="seconds"), _full(local)
    )


@register.simple_tag(takes_context=True)
def refusal_number(context: Context, text: str | None) -> str:
    """The refusal number in a text, if the person of this page may open it, or ""."""
    number = number_in(text or "")
    user = _user(context)
    return (
        number if number and isinstance(user, User) and refusals_with(number, user).exists() else ""
    )


@register.filter
def as_refusal_number(value: object) -> str:
    """The refusal number in the facts of a log entry, or ""."""
    return number_in(value) if isinstance(value, str) else ""


@register.simple_tag
def number_of_refused(request: EnrollmentRequest) -> str:
    """The number that the device of a refused request reads, or ""."""
    return number_of_request(request.pk) if request.state in REFUSED_STATES else ""


@register.simple_tag(takes_context=True)
def may(context: Context, verb: str, obj: Any = None) -> bool:
    """Whether the person of this page may do `verb`, to an object or at all."""
    return can(_user(context), Verb(verb), obj)


@register.simple_tag
def challenge_warnings(profile: EnrollmentProfile) -> list[tuple[str, str]]:
    """Warnings about a profile's challenge, as (tone, sentence)."""
    return warnings_of(profile, now=timezone.now())


@register.simple_tag
def challenge_locks(profile: EnrollmentProfile) -> list[FailedChallenges]:
    """The networks whose challenges are not checked at a profile now."""
    return locks_of(profile, now=timezone.now())


@register.filter
def bound_to(challenge: ChallengePassword) -> Sequence[str]:
    """The binding of a one-time challenge, as phrases."""
    return challenge.phrases()


@register.simple_tag(takes_context=True)
def role_names(context: Context) -> str:
    """The roles of the person of this page, as words."""
    user = _user(context)
    return (
        ", ".join(sorted(role.label for role in roles_of(user))) if isinstance(user, User) else ""
    )


@register.simple_tag
def device_reason_limit() -> int:
    """Return how many characters of a rejection's reason reach the device."""
    return MAX_DEVICE_REASON


@register.simple_tag
def demo_command() -> str:
    """Return the command that enrolls a throw-away device at this portal, with its data folder."""
    folder: str = settings.PORTAL_DATA_OPTION
    return f"./portal demo{folder}"


@register.simple_tag
def portal_version() -> str:
    """Return the version of the portal."""
    version: str = settings.PORTAL_VERSION
    return version


@register.simple_tag(takes_context=True)
def signing(context: Context) -> SigningHealth | None:
    """Whether approved requests get signed; None for people who may not see requests."""
    return signing_health(timezone.now()) if can(_user(context), Verb.REQUEST_VIEW) else None


@register.simple_tag(takes_context=True)
def current(context: Context, *prefixes: str) -> SafeString:
    """The attribute that marks the navigation's entry of this page."""
    path = context["request"].path
    return SafeString(
        'aria-current="page"' if any(path.startswith(prefix) for prefix in prefixes) else ""
    )


def _user(context: Context) -> User | AnonymousUser:
    user: User | AnonymousUser = getattr(context.get("request"), "user", None) or AnonymousUser()
    return user


def _full(local: datetime) -> str:
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"


def _ago(value: datetime) -> str:
    span = timezone.now() - value
    if abs(span) < timedelta(seconds=5):
        return "now"
    return f"{duration(span)} ago" if span > timedelta() else f"in {duration(-span)}"
