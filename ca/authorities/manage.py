"""Administrators pause and resume certification authorities."""

from datetime import datetime

from django.db import transaction

from accounts.permissions import can
from accounts.principals import Principal
from accounts.roles import Verb
from audit.events import Event, Subject
from audit.log import record
from ca.models.authorities import CertificateAuthority
from ca.x509.errors import NotYourAuthority


def pause_authority(
    *, authority: CertificateAuthority, principal: Principal, now: datetime
) -> None:
    """Stop signing with this authority; devices keep getting PENDING. Raises NotYourAuthority."""
    _set_pause(authority, principal=principal, paused_at=now, now=now)


def resume_authority(
    *, authority: CertificateAuthority, principal: Principal, now: datetime
) -> None:
    """Sign again; what waited is due at once. Raises NotYourAuthority."""
    _set_pause(authority, principal=principal, paused_at=None, now=now)


def _set_pause(
    authority: CertificateAuthority,
    *,
    principal: Principal,
    paused_at: datetime | None,
    now: datetime,
) -> None:
    if principal.user is None or not can(principal.user, Verb.AUTHORITY_PAUSE, authority):
        raise NotYourAuthority(
            "Only administrators of the whole organization pause and resume authorities."
        )
    with transaction.atomic():
        rows = CertificateAuthority.objects.filter(
            pk=authority.pk, paused_at__isnull=paused_at is not None
        )
        if not rows.update(paused_at=paused_at):
            return
        authority.paused_at = paused_at
        record(
            Event.AUTHORITY_PAUSE if paused_at else Event.AUTHORITY_RESUME,
            actor=principal.actor,
            now=now,
            subject=Subject.of("authority", authority.name),
        )
