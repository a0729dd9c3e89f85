"""Automatic profiles: policy decides, worker signs, the device gets it in one exchange."""

from collections.abc import Iterator
from unittest import mock

import pytest

from approvals.models.decisions import Decision
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from audit.models import AuditEntry
from ca.models.certificates import Certificate
from ca.models.keys import ServiceKey
from ca.signing.service_keys import certify_service_keys
from ca.tasks import certify
from ca.x509.errors import AuthorityUnusable
from scep.operations import enrollment
from scep.protocol.constants import PKIStatus
from tests.world import Device, World, create_profile, now, run_worker

SECRET = "a secret of all phones"


@pytest.fixture
def phones(world: World) -> EnrollmentProfile:
    """A profile that approves every device with its static challenge."""
    return create_profile(
        world.ca, "phones", approval="automatic", challenge="static", static_challenge=SECRET
    )


@pytest.fixture
def prompt_worker() -> Iterator[None]:
    """A worker that is at it while the web process sleeps."""
    with mock.patch(
        "scep.operations.enrollment.time.sleep", side_effect=lambda seconds: run_worker()
    ):
        yield


@pytest.mark.usefixtures("prompt_worker")
def test_an_automatic_profile_answers_success_in_the_same_exchange(
    phones: EnrollmentProfile,
) -> None:
    answer = Device.named("p1.example", profile="phones").enroll(challenge=SECRET)
    assert answer.status is PKIStatus.SUCCESS
    decision = Decision.objects.get()
    assert (decision.evidence, decision.officer) == ("policy", None)
    assert AuditEntry.objects.get(event="request:approve").actor_kind == "policy"


@pytest.mark.usefixtures("phones")
def test_a_worker_that_is_late_gets_the_device_pending_and_then_its_certificate() -> None:
    device = Device.named("p1.example", profile="phones")
    with mock.patch.object(enrollment, "WAIT_SECONDS", -1.0):
        assert device.enroll(challenge=SECRET).status is PKIStatus.PENDING
    run_worker()
    assert device.poll().status is PKIStatus.SUCCESS


@pytest.mark.usefixtures("phones", "prompt_worker")
def test_no_more_than_a_few_exchanges_wait_at_a_time() -> None:
    taken = [enrollment._waiters.acquire(blocking=False) for _ in range(8)]
    try:
        assert all(taken)
        answer = Device.named("p1.example", profile="phones").enroll(challenge=SECRET)
        assert answer.status is PKIStatus.PENDING
    finally:
        for _ in taken:
            enrollment._waiters.release()


def test_what_the_policy_approved_is_not_signed_once_the_profile_asks_officers(
    phones: EnrollmentProfile,
) -> None:
    with mock.patch.object(enrollment, "WAIT_SECONDS", -1.0):
        Device.named("p1.example", profile="phones").enroll(challenge=SECRET)
    EnrollmentProfile.objects.filter(pk=phones.pk).update(approval="manual")
    request = EnrollmentRequest.objects.get()
    assert run_worker().failed == [request.pk]
    request.refresh_from_db()
    assert "the profile asks an officer now" in request.last_fault


def test_a_service_key_that_cannot_be_certified_waits_for_the_next_time(world: World) -> None:
    service_key = ServiceKey.objects.get()
    ServiceKey.objects.update(certificate=None)
    with mock.patch(
        "ca.signing.service_keys.sign_prepared", side_effect=AuthorityUnusable("the key is away")
    ):
        assert certify_service_keys(now=now()) == 0
    certify()
    service_key.refresh_from_db()
    assert service_key.certificate is not None
    assert Certificate.objects.filter(kind="service").count() == 1
    assert certify_service_keys(now=now()) == 0
