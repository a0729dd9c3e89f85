"""Microsoft Intune as validation service: real HTTP, with a local stand-in."""

import hashlib
from base64 import b64decode
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any
from unittest import mock

import pytest

from accounts.principals import PORTAL
from approvals.decisions.decide import approve_request, reject_request, reopen_request
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, KeptCsr
from approvals.models.validations import Validation, ValidationService
from approvals.profiles.manage import set_service
from approvals.records.stored_csrs import discard_overdue
from approvals.rules.errors import NotValidated, ProfileInvalid
from approvals.validation import intune, worker
from approvals.validation.services import ServiceOrder, order_probe, probe
from audit.models import AuditEntry
from ca.models.certificates import Certificate
from ca.x509.csr import decode_csr
from outbound.url_rules import read_allowed_host
from scep.protocol.certificates import read_certificate
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.requests import ReceivedCertRep
from tests.approvals.challenges.test_challenge_canary import database
from tests.approvals.validation.mdm import CODE, Intune, StandIn, served
from tests.approvals.validation.working import make_due, work
from tests.flows.wire import bare
from tests.world import Device, World, create_profile, now, principal_of

TENANT = "contoso.example"
SCOPES = ["{0}/.default", "{0}//.default"]
pytestmark = pytest.mark.usefixtures("consistent")


@pytest.fixture
def cloud() -> Intune:
    """The stand-in with its answers and the requests it received."""
    return Intune()


@pytest.fixture
def stand_in(cloud: Intune, settings: Any) -> Iterator[StandIn]:
    """Sign-in, directory and service, at one address on the loopback."""
    with served(cloud) as server:
        cloud.origin = server.origin
        settings.PORTAL_INTUNE_LOGIN_URL = settings.PORTAL_INTUNE_GRAPH_URL = server.origin
        settings.PORTAL_INTUNE_API_URL = server.origin
        settings.PORTAL_INTUNE_HOSTS = (read_allowed_host(server.origin),)
        settings.PORTAL_WEBHOOK_NETWORKS = (ip_network("127.0.0.0/8"),)
        yield server


def order(**service_order: Any) -> ServiceOrder:
    known = {"kind": "intune", "tenant": TENANT, "client_id": "0000", "secret": "a client secret"}
    return ServiceOrder(**(known | {"delivers_after_report": True} | service_order))


@pytest.fixture
def phones(world: World, stand_in: StandIn) -> EnrollmentProfile:
    """A profile that approves all devices that Intune confirms."""
    return create_profile(
        world.ca, "phones", approval="automatic", challenge="intune", service=order()
    )


@pytest.fixture
def laptops(world: World, stand_in: StandIn) -> EnrollmentProfile:
    """The same, and an officer on top."""
    return create_profile(world.ca, "laptops", challenge="intune", service=order())


def enroll(profile: str = "phones", code: str = CODE, key: str = "alice") -> ReceivedCertRep:
    return Device.named("p1.example", key=key, profile=profile).enroll(challenge=code)


def poll(profile: str = "phones") -> ReceivedCertRep:
    return Device.named("p1.example", profile=profile).poll()


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_an_intune_device_gets_its_certificate_in_one_exchange_after_intune_was_told(
    cloud: Intune, stand_in: StandIn
) -> None:
    assert enroll().status is PKIStatus.SUCCESS
    assert cloud.tokens == [scope.format(stand_in.origin) for scope in SCOPES]
    assert cloud.wrong == []
    (asked,) = cloud.validated
    request = EnrollmentRequest.objects.get()
    sent = decode_csr(b64decode(asked["certificateRequest"], validate=True))
    assert (asked["transactionId"], sent.challenge_password) == (request.transaction_id, CODE)
    ((kind, notice),) = cloud.notices
    certificate = Certificate.objects.get(order_id=request.pk)
    thumbprint = (
        hashlib.sha1(certificate.certificate_der, usedforsecurity=False).hexdigest().upper()
    )
    assert (kind, notice["certificateThumbprint"]) == ("successNotification", thumbprint)
    assert notice["certificateSerialNumber"] == certificate.serial_hex
    assert notice["certificateRequest"] == asked["certificateRequest"]
    assert not KeptCsr.objects.exists()


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_challenge_that_intune_denies_is_refused_without_a_hint_and_intune_is_told(
    cloud: Intune,
) -> None:
    answer = enroll(code="stolen-from-another-device")
    assert (answer.status, answer.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert bare(answer.fail_info_text) == "request not permitted"
    discard_overdue(now=now())  # as the sweep does: a report that is due to Intune needs the CSR
    work()
    ((kind, notice),) = cloud.notices
    assert (kind, notice["hResult"]) == ("failureNotification", 0x80094014)
    assert notice["errorDescription"] == "the challenge has expired: the device has to sync again"
    validation = Validation.objects.get()
    assert (validation.state, validation.code, validation.report) == (
        "denied",
        "ChallengeExpired",
        "sent",
    )
    assert AuditEntry.objects.get(event="request:reject").data["code"] == "ChallengeExpired"


@pytest.mark.usefixtures("laptops")
def test_an_officer_decides_on_top_of_intune(world: World, cloud: Intune) -> None:
    assert enroll("laptops").status is PKIStatus.PENDING
    work()
    assert (Validation.objects.get().state, cloud.notices) == ("allowed", [])
    assert poll("laptops").status is PKIStatus.PENDING
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    work()
    assert poll("laptops").status is PKIStatus.PENDING  # Intune has not been told yet
    work()
    assert poll("laptops").status is PKIStatus.SUCCESS
    assert [kind for kind, _ in cloud.notices] == ["successNotification"]


@pytest.mark.usefixtures("laptops")
def test_intune_is_told_why_an_officer_refused_and_the_request_stays_closed(
    world: World, cloud: Intune
) -> None:
    enroll("laptops")
    work()
    request = EnrollmentRequest.objects.get()
    principal = principal_of(world.alice)
    reject_request(request_id=request.pk, principal=principal, comment="lost device", now=now())
    work()
    assert cloud.notices[0][1]["errorDescription"] == "lost device"
    with pytest.raises(NotValidated, match="was told that this request is over"):
        reopen_request(request_id=request.pk, principal=principal, comment="", now=now())


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_certificate_is_held_back_until_intune_takes_the_notice(
    cloud: Intune, phones: EnrollmentProfile
) -> None:
    cloud.notice = "InternalError"
    with mock.patch("scep.operations.enrollment.WAIT_SECONDS", 0.5):
        assert enroll().status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.get().state == "ISSUED"
    assert poll().status is PKIStatus.PENDING
    certificate = Certificate.objects.get(order_id=EnrollmentRequest.objects.get().pk)
    device = Device.named("p1.example", profile="phones")
    named = read_certificate(certificate.certificate_der)
    assert (
        device.scep.get_cert(named.issuer_der, named.serial_der, device.identity).status
        is PKIStatus.FAILURE
    )
    cloud.notice = "Success"
    make_due()
    work()
    assert poll().status is PKIStatus.SUCCESS


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_profile_that_does_not_wait_delivers_and_tells_intune_later(
    cloud: Intune, phones: EnrollmentProfile
) -> None:
    set_service(
        phones, order(secret=None, delivers_after_report=False), principal=PORTAL, now=now()
    )
    cloud.notice = "InternalError"
    assert enroll().status is PKIStatus.SUCCESS
    assert Validation.objects.get().report == "owed"


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_notice_that_comes_too_late_is_given_up_and_the_certificate_stays_here(
    cloud: Intune,
) -> None:
    cloud.notice = "InternalError"
    with mock.patch("scep.operations.enrollment.WAIT_SECONDS", 0.5):
        enroll()
    KeptCsr.objects.update(kept_until=now())
    make_due()
    work()
    assert Validation.objects.get().report == "given-up"
    assert AuditEntry.objects.get(event="validation:report").data["report"] == "given-up"
    assert poll().status is PKIStatus.PENDING


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_wrong_client_secret_leaves_the_device_pending_and_says_which_word_entra_used(
    cloud: Intune,
) -> None:
    cloud.secret = "another secret"
    assert enroll().status is PKIStatus.PENDING
    assert "no token, HTTP 401 (invalid_client)" in ValidationService.objects.get().last_fault
    assert cloud.validated == []


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_tokens_and_the_address_are_remembered_until_something_fails(
    cloud: Intune, stand_in: StandIn
) -> None:
    enroll()
    enroll(key="bob")
    assert len(cloud.tokens) == 2
    cloud.code = "Unheard"
    enroll(code="x" * 20, key="device-1")
    assert "unknown answer Unheard" in ValidationService.objects.get().last_fault
    enroll(key="device-2")
    assert len(cloud.tokens) == 4


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_challenge_that_intune_repeats_is_not_on_record(cloud: Intune) -> None:
    challenge = "stolen-from-another-device" * 40
    cloud.code = challenge
    enroll(code=challenge)
    assert "unknown answer …" in Validation.objects.get().fault
    assert "stolen" not in database()


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_service_at_a_host_that_is_not_intunes_is_not_called(
    cloud: Intune, settings: Any
) -> None:
    cloud.origin = "http://10.0.0.1"
    assert enroll().status is PKIStatus.PENDING
    assert "http://10.0.0.1: not on the list" in Validation.objects.get().fault


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_the_time_limit_is_for_all_calls_of_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intune, "SECONDS", 0.0)
    assert enroll().status is PKIStatus.PENDING
    assert "Intune: no answer within 0 s" in Validation.objects.get().fault


def test_a_test_signs_in_looks_up_and_is_on_record(
    phones: EnrollmentProfile, cloud: Intune
) -> None:
    service = ValidationService.objects.select_related("profile").get()
    works, text = probe(service, principal=PORTAL, now=now())
    assert (works, text) == (True, "signed in, and found the validation service at 127.0.0.1")
    cloud.secret = "another secret"
    assert order_probe(phones, now=now())
    assert worker.probe_services() == 1
    service.refresh_from_db()
    assert (service.probe_due_at, "invalid_client" in service.last_fault) == (None, True)
    assert [
        entry.data["works"]
        for entry in AuditEntry.objects.filter(event__endswith="probe").order_by("id")
    ] == [
        True,
        False,
    ]


def test_an_incomplete_tenant_is_refused(world: World) -> None:
    for missing in ({"tenant": ""}, {"client_id": ""}, {"secret": ""}, {"url": "https://x"}):
        with pytest.raises(ProfileInvalid, match="Intune: give the tenant"):
            set_service(world.profile, order(**missing), principal=PORTAL, now=now())
    with pytest.raises(ProfileInvalid, match="give its secret"):
        set_service(world.profile, order(secret=None), principal=PORTAL, now=now())
    with pytest.raises(ProfileInvalid, match="tenant and client id are Intune's"):
        set_service(
            world.profile, order(kind="webhook", secret="s" * 32), principal=PORTAL, now=now()
        )
    with pytest.raises(ProfileInvalid, match="no intune is asked"):
        create_profile(world.ca, "phones", challenge="one-time", service=order())


def test_the_real_addresses_are_the_default(settings: Any) -> None:
    hosts = {str(host) for host in intune.rules().hosts}
    assert hosts == {"login.microsoftonline.com", "graph.microsoft.com", "*.manage.microsoft.com"}
    assert settings.PORTAL_INTUNE_API_URL == "https://api.manage.microsoft.com"
