"""Devices that renew: shared parts of the renewal tests."""

from datetime import datetime, timedelta
from typing import Any

import time_machine

from approvals.decisions.decide import approve_request
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.policy import RenewalPolicy
from ca.models.certificates import Certificate
from scep.client import Identity, build_csr
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.requests import ReceivedCertRep
from tests.flows.wire import bare
from tests.pki import rsa_key
from tests.world import (
    Device,
    World,
    now,
    principal_of,
    run_worker,
)

ALWAYS = timedelta(0)
PENDING = (PKIStatus.PENDING, None, None)
NAME = "r1.example"


def told(answer: ReceivedCertRep) -> tuple[PKIStatus, FailInfo | None, str | None]:
    return answer.status, answer.fail_info, bare(answer.fail_info_text)


def no(text: str) -> tuple[PKIStatus, FailInfo | None, str | None]:
    return PKIStatus.FAILURE, FailInfo.BAD_REQUEST, text


def allow(world: World, **renewal: Any) -> None:
    """Let the profile `routers` renew; by default by policy and at any time."""
    changes: dict[str, Any] = {"mode": "automatic", "window": ALWAYS}
    policy = RenewalPolicy(**changes | renewal)
    EnrollmentProfile.objects.filter(pk=world.profile.pk).update(
        renewal_mode=policy.mode,
        renewal_window=policy.window,
        renewal_grace=policy.grace,
        renewal_key_reuse=policy.key_reuse,
        renewal_changed_names=policy.changed_names,
    )


def newest() -> EnrollmentRequest:
    return EnrollmentRequest.objects.order_by("-id")[0]


def approve(world: World) -> None:
    """Alice approves the newest request, and the worker signs."""
    approve_request(
        request_id=newest().pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert run_worker().issued == [newest().pk]


def certified(world: World, device: Device, **csr: Any) -> Identity:
    """Enroll; returns the device with the certificate it got."""
    assert device.enroll(**csr).status is PKIStatus.PENDING
    approve(world)
    return Identity(device.poll().certificates[0], device.key)


def renew(
    old: Identity, key: str = "bob", *, name: str = NAME, profile: str = "routers", **more: Any
) -> ReceivedCertRep:
    """Ask with a new key, signed with the old certificate; RenewalReq unless `renewal` is False."""
    asked = {"renewal": True, "transaction_id": "", **more}
    sent = {key: asked.pop(key) for key in ("renewal", "transaction_id")}
    csr = build_csr(rsa_key(key), name, **asked)
    return Device.named(name, key, profile=profile).scep.enroll(csr, old, **sent)


def of(identity: Identity) -> Certificate:
    return Certificate.objects.get(der=identity.certificate_der)


def travel(to: datetime) -> time_machine.travel:
    return time_machine.travel(to, tick=True)
