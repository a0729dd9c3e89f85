"""The JSON that programs send and receive.

An unknown member is refused: a misspelled binding must not be silently ignored.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha1, sha256
from typing import Any, Final

from django.conf import settings
from rest_framework import serializers

from approvals.challenges.onetime import ChallengeOrder
from approvals.models.challenges import ChallengeOrigin, ChallengePassword
from approvals.models.devices import DeviceGroup
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from database.encryption import Secret

MAX_COUNT: Final = 1000
_MINUTE: Final = 60
_YEAR: Final = 365 * 86_400


class _Strict(serializers.Serializer[Any]):
    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        if unknown:
            raise serializers.ValidationError(
                {name: ["there is no such member"] for name in unknown}
            )
        return super().to_internal_value(data)


class BindingSerializer(_Strict):
    """The binding of a challenge; each member narrows it, so an empty member is refused."""

    common_name = serializers.CharField(max_length=255, default="")
    subject = serializers.CharField(max_length=1000, default="")
    serial_number = serializers.CharField(max_length=64, default="")
    sans = serializers.ListField(
        child=serializers.CharField(max_length=255), allow_empty=False, max_length=100, default=list
    )
    networks = serializers.ListField(
        child=serializers.CharField(max_length=50), allow_empty=False, max_length=100, default=list
    )
    device_group = serializers.CharField(max_length=50, default="")


class OrderSerializer(_Strict):
    """An order of challenges."""

    profile = serializers.CharField(max_length=50)
    count = serializers.IntegerField(min_value=1, max_value=MAX_COUNT, default=1)
    lifetime_seconds = serializers.IntegerField(min_value=_MINUTE, max_value=_YEAR, default=3600)
    created_for = serializers.CharField(max_length=150, default="", allow_blank=True)
    bound_to = BindingSerializer(default=dict)

    def order(self, profile: EnrollmentProfile, group: DeviceGroup | None) -> ChallengeOrder:
        """Return the order for a profile and a device group that were looked up by their slugs."""
        data, bind = self.validated_data, self.validated_data["bound_to"]
        return ChallengeOrder(
            profile,
            count=data["count"],
            lifetime=timedelta(seconds=data["lifetime_seconds"]),
            subject=bind.get("common_name", ""),
            subject_dn=bind.get("subject", ""),
            serial_number=bind.get("serial_number", ""),
            sans=tuple(bind.get("sans", ())),
            networks=tuple(bind.get("networks", ())),
            group=group,
            created_for=data["created_for"],
            origin=ChallengeOrigin.API,
        )


def state_of(challenge: ChallengePassword, *, now: datetime) -> str:
    """Return used, withdrawn, expired or unused."""
    if challenge.redeemed_at is not None:
        return "used"
    if challenge.withdrawn_at is not None:
        return "withdrawn"
    return "expired" if challenge.expires_at <= now else "unused"


def challenge_document(
    challenge: ChallengePassword, *, now: datetime, secret: Secret | None = None
) -> dict[str, Any]:
    """Return a challenge; with its clear text only if `secret` is passed (at its creation)."""
    request = challenge.redeemed_by
    text = {"challenge": secret.reveal()} if secret is not None else {}
    return {
        "id": str(challenge.pk),
        **text,
        "state": state_of(challenge, now=now),
        "profile": challenge.profile.slug,
        "scep_url": scep_url(challenge.profile),
        "created_at": challenge.created_at,
        "created_for": challenge.created_for,
        "origin": str(challenge.origin),
        "expires_at": challenge.expires_at,
        "bound_to": {
            "common_name": challenge.subject,
            "subject": challenge.subject_dn,
            "serial_number": challenge.serial_number,
            "sans": list(challenge.sans),
            "networks": list(challenge.networks),
            "device_group": challenge.group.slug if challenge.group else "",
        },
        "used_at": challenge.redeemed_at,
        "used_from": request.address if request else None,
        "request": request_document(request) if request else None,
    }


def request_document(request: EnrollmentRequest) -> dict[str, Any]:
    """Return the state of a request, and its certificate if there is one."""
    certificate = request.certificate
    return {
        "id": str(request.pk),
        "state": str(request.state).lower(),
        "profile": request.profile.slug,
        "subject": request.subject,
        "names": list(request.names),
        "transaction_id": request.transaction_id,
        "submitted_at": request.submitted_at,
        "decided_at": request.decided_at,
        "reason": request.reason,
        "certificate": certificate
        and {
            "id": str(certificate.pk),
            "serial": certificate.serial_hex,
            "status": str(certificate.status).lower(),
            "not_before": certificate.not_before,
            "not_after": certificate.not_after,
        },
    }


def profile_document(profile: EnrollmentProfile) -> dict[str, Any]:
    """Return the address for devices and the CA fingerprints; SHA-1 too: devices still show it."""
    der = profile.ca.certificate_der
    return {
        "slug": profile.slug,
        "name": profile.name,
        "scep_url": scep_url(profile),
        "challenge": str(profile.challenge),
        "approval": str(profile.approval),
        "paused": profile.paused_at is not None or profile.ca.paused_at is not None,
        "ca": {
            "name": profile.ca.name,
            "sha256": sha256(der).hexdigest(),
            "sha1": sha1(der, usedforsecurity=False).hexdigest(),
        },
    }


def scep_url(profile: EnrollmentProfile) -> str:
    """Return the enrollment address for devices."""
    return f"{settings.PORTAL_PUBLIC_URL}/scep/{profile.slug}/"
