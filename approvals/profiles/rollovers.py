"""The switch of a CA rollover: profiles of the current CA move to the next one.

No key is needed.
"""

from datetime import datetime

from django.db import transaction

from accounts.principals import Principal
from approvals.models.profiles import EnrollmentProfile
from approvals.profiles.settings import profile_facts
from approvals.profiles.versions import write_version
from approvals.records.transitions import department_of
from audit.events import Event, Subject
from audit.log import record
from ca.content.profile_spec import AUTHORITY_NAME
from ca.models.authorities import AuthorityRollover, CertificateAuthority, CertificatesShape
from ca.x509.errors import RolloverRefused


def needed_shapes(ca: CertificateAuthority) -> frozenset[CertificatesShape]:
    """Return the shapes in which the profiles of a CA deliver certificates."""
    shapes = EnrollmentProfile.objects.filter(ca=ca).values_list("ca_certificates", flat=True)
    return frozenset(CertificatesShape(shape) for shape in shapes)


def fixed_addresses(ca: CertificateAuthority) -> list[str]:
    """Return, as `profile: address`, fixed addresses of this CA in certificates of the next one."""
    addresses = []
    for profile in EnrollmentProfile.objects.filter(ca=ca).select_related(
        "certificate_profile__current"
    ):
        version = profile.certificate_profile.current
        spec = version.resolve() if version else None
        for address in (spec.crl_url, spec.ca_issuers_url) if spec else ():
            if address and AUTHORITY_NAME not in address:
                addresses.append(f"{profile.slug}: {address}")
    return addresses


def switch_over(
    rollover: AuthorityRollover, *, principal: Principal, now: datetime
) -> list[EnrollmentProfile]:
    """Replace the current CA by the next one; returns the changed profiles. Raises RolloverRefused.

    Requests keep the CA they were opened for. Locks the rollover and the profiles.
    """
    with transaction.atomic():
        locked = AuthorityRollover.objects.select_for_update(of=("self",)).get(pk=rollover.pk)
        if not locked.is_offered:
            raise RolloverRefused(
                f"rollover {rollover}: it is {locked.stage}, this step needs it published"
            )
        following = rollover.next_ca
        if following.paused_at is not None:
            raise RolloverRefused(
                f"CA {following.name}: it is paused; resume it first, or nothing would be issued"
            )
        AuthorityRollover.objects.filter(pk=rollover.pk).update(switched_at=now)
        rollover.refresh_from_db()
        changed = _point_profiles(rollover, principal=principal, now=now)
        record(
            Event.ROLLOVER_SWITCH,
            actor=principal.actor,
            now=now,
            subject=Subject.of("authority", rollover.ca.name),
            data={
                "next": following.name,
                "next_certificate_sha256": following.certificate_sha256,
                "profiles": [profile.slug for profile in changed],
            },
        )
    return changed


def _point_profiles(
    rollover: AuthorityRollover, *, principal: Principal, now: datetime
) -> list[EnrollmentProfile]:
    rows = (
        EnrollmentProfile.objects.select_for_update(of=("self",))
        .filter(ca=rollover.ca)
        .order_by("slug")
    )
    changed = list(rows.select_related("certificate_profile", "department"))
    for profile in changed:
        EnrollmentProfile.objects.filter(pk=profile.pk).update(ca=rollover.next_ca)
        profile.ca = rollover.next_ca
        write_version(profile, principal=principal, now=now)
        record(
            Event.PROFILE_CHANGE,
            actor=principal.actor,
            now=now,
            subject=Subject.of("profile", profile.slug),
            data=profile_facts(profile),
            department=department_of(profile),
        )
    return changed
