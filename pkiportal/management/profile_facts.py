"""Output of commands about an enrollment profile."""

from typing import Any

from django.conf import settings

from approvals.models.profiles import EnrollmentProfile


def scep_url(slug: str) -> str:
    """Return the enrollment address for devices."""
    return f"{settings.PORTAL_PUBLIC_URL}/scep/{slug}/"


def nearby_scep_url(slug: str) -> str:
    """Return the address for a client on this machine: one without TLS if the portal has it."""
    return f"{settings.PORTAL_DATA.recorded_nearby() or settings.PORTAL_PUBLIC_URL}/scep/{slug}/"


def profile_document(profile: EnrollmentProfile) -> dict[str, Any]:
    """Return the profile for scripts."""
    return {
        "slug": profile.slug,
        "name": profile.name,
        "scep_url": scep_url(profile.slug),
        "approval": str(profile.approval),
        "challenge": str(profile.challenge),
        "renewal": str(profile.renewal_mode),
        "default": profile.is_default,
        "ca_certificates": str(profile.ca_certificates),
        "ca": profile.ca.name,
        "paused": profile.paused_at is not None or profile.ca.paused_at is not None,
    }
