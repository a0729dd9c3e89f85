"""The loop, from the first message to the certificate, through HTTP and the worker's code."""

from cryptography import x509
from django.urls import reverse

from approvals.decisions.decide import MAX_COMMENT, approve_request, reject_request
from approvals.models.requests import EnrollmentRequest
from approvals.rules.errors import MAX_DEVICE_REASON
from audit.models import AuditEntry
from scep.protocol.constants import FailInfo, PKIStatus
from tests.flows.wire import bare
from tests.pages import signed_in
from tests.world import Device, World, now, principal_of, run_worker


def test_a_device_waits_for_an_officer_and_then_has_its_certificate(world: World) -> None:
    device = Device.named("r1.example")
    assert device.scep.get_ca_caps() >= {
        "AES",
        "POSTPKIOperation",
        "SHA-256",
        "SHA-384",
        "SCEPStandard",
    }
    assert device.enroll(dns_names=["r1.example"]).status is PKIStatus.PENDING
    assert device.poll().status is PKIStatus.PENDING
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk,
        principal=principal_of(world.alice),
        comment="known router",
        now=now(),
    )
    assert device.poll().status is PKIStatus.PENDING
    assert run_worker().issued == [request.pk]
    answer = device.poll()
    assert answer.status is PKIStatus.SUCCESS
    certificate = x509.load_der_x509_certificate(answer.certificates[0])
    assert certificate.public_key() == device.key.public_key()
    assert device.enroll(dns_names=["r1.example"]).certificates == answer.certificates


def test_the_reason_of_a_rejection_reaches_the_device_byte_for_byte(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll()
    reason = "wrong site code: Größe 7 → profile “branch-2”"
    request = EnrollmentRequest.objects.get()
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment=reason, now=now()
    )
    answer = device.poll()
    assert (answer.status, answer.fail_info, bare(answer.fail_info_text)) == (
        PKIStatus.FAILURE,
        FailInfo.BAD_REQUEST,
        reason,
    )


def test_pages_say_how_much_of_a_long_reason_reaches_the_device(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll()
    request = EnrollmentRequest.objects.get()
    officer, page = signed_in(world.alice), reverse("request", args=[request.pk])
    for address in (page, reverse("queue")):
        assert f"the first {MAX_DEVICE_REASON} characters" in officer.get(address).content.decode()
    reason = "ü" * MAX_DEVICE_REASON + "z" * (MAX_COMMENT - MAX_DEVICE_REASON)
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment=reason, now=now()
    )
    received = bare(device.poll().fail_info_text)
    assert received == "ü" * MAX_DEVICE_REASON
    shown = officer.get(page).content.decode()
    assert f"the first {MAX_DEVICE_REASON} of {MAX_COMMENT} characters: “{received}”" in shown
    assert reason in shown, "the history keeps the whole reason"


def test_every_step_of_the_loop_is_in_the_log(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll()
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    device.poll()
    events = list(
        AuditEntry.objects.filter(subject_kind="request")
        .order_by("id")
        .values_list("event", "subject_seq")
    )
    assert events == [
        ("request:submit", 1),
        ("request:approve", 2),
        ("certificate:prepare", 3),
        ("certificate:issue", 4),
    ]
    of_certificate = AuditEntry.objects.filter(subject_kind="certificate").order_by("id")
    assert list(of_certificate.values_list("event", flat=True))[-3:] == [
        "certificate:prepare",
        "certificate:issue",
        "certificate:deliver",
    ]
