"""Faults of other products' loops (officers-and-auditors, part 1), absent here: L1 to L9.

L10 and L11 are about renewal, which is not enabled; L13 to L16 are tested with the pages, L17 with
the log.
"""

from datetime import timedelta
from unittest import mock

import pytest
from cryptography import x509
from django.urls import reverse

from approvals.decisions.decide import approve_request, reject_request
from approvals.decisions.retry import retry_request
from approvals.decisions.review_digest import review_digest
from approvals.models.requests import EnrollmentRequest, OutboxMessage
from approvals.records.due import MAX_ATTEMPTS
from approvals.rules.states import State
from audit.models import AuditEntry
from ca.models.certificates import Certificate
from keys.errors import KeyStoreError
from scep.protocol.constants import FailInfo, PKIStatus
from tests.ca.forge import request_der
from tests.flows.wire import bare, causes, message, nothing_granted, post, refused
from tests.pages import signed_in
from tests.pki import ec_key
from tests.scep.forge import csr
from tests.world import Device, World, now, principal_of, run_worker


def the_request() -> EnrollmentRequest:
    return EnrollmentRequest.objects.get()


def approve_in_browser(world: World) -> EnrollmentRequest:
    """Alice clicks."""
    request = the_request()
    form = {"view_sha256": review_digest(request), "comment": "known router"}
    answer = signed_in(world.alice).post(reverse("request_approve", args=[request.pk]), form)
    assert answer.status_code in (200, 302)
    return the_request()


def test_l1_an_approval_makes_a_certificate_and_the_device_receives_it(world: World) -> None:
    device = Device.named("r1.example")
    assert device.enroll(dns_names=["r1.example"]).status is PKIStatus.PENDING
    assert approve_in_browser(world).state == State.APPROVED
    assert run_worker().issued == [the_request().pk]
    answer = device.poll()
    assert answer.status is PKIStatus.SUCCESS
    (der,) = answer.certificates
    certificate = x509.load_der_x509_certificate(der)
    assert certificate.public_key() == device.key.public_key()
    certificate.verify_directly_issued_by(x509.load_der_x509_certificate(world.ca.certificate_der))


def test_l2_pending_is_status_3_with_an_empty_content_that_is_there(world: World) -> None:
    answer = post(message(world, csr()))
    assert answer.status is PKIStatus.PENDING
    assert (answer.fail_info, answer.text, answer.content) == (None, "", b"")
    assert (
        bytes.fromhex("3011060a6086480186f8450109033103130133") in answer.body
    )  # pkiStatus, PrintableString "3"
    assert (
        bytes.fromhex("300f06092a864886f70d010701a0020400") in answer.body
    )  # eContent: a zero-length OCTET STRING
    assert (
        bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        in answer.body
    )


def test_l3_what_could_not_be_delivered_in_the_end_is_refused_before_anyone_waits(
    world: World,
) -> None:
    without_password = request_der(None, key=ec_key())
    refused(message(world, without_password, key="carol"), FailInfo.BAD_ALG)
    device = Device.named("r1.example")
    device.enroll()
    approve_in_browser(world)
    run_worker()
    with mock.patch(
        "scep.service.encode_cert_rep", side_effect=KeyStoreError("key ra: not readable")
    ):
        assert (
            post(
                message(world, message_type="20", transaction_id=device.identity.transaction_id)
            ).http
            == 500
        )
    assert device.poll().status is PKIStatus.SUCCESS  # the certificate is kept, and fetched later


def test_l4_poll_of_an_unknown_transaction_is_refused_as_bad_cert_id(world: World) -> None:
    poll = message(world, message_type="20")
    refused(poll, FailInfo.BAD_CERT_ID, "no such transaction", cause="unknown transaction")


def test_l5_a_result_is_for_the_key_that_asked_and_others_are_an_incident(world: World) -> None:
    post(message(world, csr()))
    approve_in_browser(world)
    run_worker()
    stolen = message(world, message_type="20", key="bob")
    answer = refused(
        stolen, FailInfo.BAD_CERT_ID, "no such transaction", cause="poll signed by another key"
    )
    assert Certificate.objects.get(order_id=the_request().pk).certificate_der not in answer.body
    incident = AuditEntry.objects.get(event="message:refuse")
    assert (incident.subject_kind, incident.subject_id) == ("request", str(the_request().pk))
    page = signed_in(world.alice).get(reverse("request", args=[the_request().pk])).content.decode()
    assert "poll signed by another key" in page
    assert post(message(world, message_type="20")).status is PKIStatus.SUCCESS


def test_l6_the_certificate_is_signed_at_approval_and_the_pickup_is_tracked_apart(
    world: World,
) -> None:
    device = Device.named("r1.example")
    device.enroll()
    approve_in_browser(world)
    run_worker()
    certificate = Certificate.objects.get(order_id=the_request().pk)
    assert (the_request().state, certificate.status) == (State.ISSUED, "ISSUED")
    assert not AuditEntry.objects.filter(event="certificate:deliver").exists()
    with nothing_granted():
        assert device.poll().certificates == (certificate.certificate_der,)
    delivery = AuditEntry.objects.get(event="certificate:deliver")
    assert delivery.subject_id == str(certificate.pk)


@pytest.mark.parametrize("transaction_id", ["", "another"])
def test_l7_a_retry_of_the_same_key_gets_the_decided_answer(
    world: World, transaction_id: str
) -> None:
    device = Device.named("r1.example")
    device.enroll()
    approve_in_browser(world)
    assert device.enroll(transaction_id=transaction_id).status is PKIStatus.PENDING
    run_worker()
    answer = device.enroll(transaction_id=transaction_id)
    assert (answer.status, EnrollmentRequest.objects.count()) == (PKIStatus.SUCCESS, 1)


def test_l7_a_retry_after_a_rejection_gets_the_reason(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll()
    reject_request(
        request_id=the_request().pk,
        principal=principal_of(world.alice),
        comment="wrong site",
        now=now(),
    )
    with nothing_granted():
        answer = device.enroll()
    assert (answer.fail_info, bare(answer.fail_info_text)) == (FailInfo.BAD_REQUEST, "wrong site")


def test_l8_a_repeat_after_delivery_returns_the_same_certificate_and_opens_nothing(
    world: World,
) -> None:
    device = Device.named("r1.example")
    device.enroll()
    approve_in_browser(world)
    run_worker()
    delivered = device.poll().certificates
    with nothing_granted():
        for again in (
            device.enroll(),
            device.poll(),
            device.enroll(transaction_id="lost everything"),
        ):
            assert again.certificates == delivered != ()


def test_l9_a_signing_failure_keeps_pending_is_shown_to_officers_and_is_tried_again(
    world: World,
) -> None:
    device = Device.named("r1.example")
    device.enroll()
    approve_in_browser(world)
    fault = KeyStoreError("key issuing: the token is not there")
    with mock.patch("keys.file.load", side_effect=fault):
        for _ in range(MAX_ATTEMPTS):
            EnrollmentRequest.objects.update(
                next_attempt_at=now() - timedelta(seconds=1), lease_until=None
            )
            assert run_worker().failed == [the_request().pk]
    for answer in (device.poll(), device.enroll()):
        assert answer.status is PKIStatus.PENDING
    queue = signed_in(world.alice).get(reverse("queue"), {"attention": "true"}).content.decode()
    assert "r1.example" in queue
    page = signed_in(world.alice).get(reverse("request", args=[the_request().pk])).content.decode()
    assert "the token is not there" in page
    assert OutboxMessage.objects.filter(kind="request-attention").exists()
    retry_request(request_id=the_request().pk, principal=principal_of(world.alice), now=now())
    assert run_worker().issued == [the_request().pk]
    assert device.poll().status is PKIStatus.SUCCESS


def test_l9_a_request_that_policy_refuses_after_the_approval_waits_for_an_officer_again(
    world: World,
) -> None:
    device = Device.named("r1.example")
    device.enroll()
    approve_request(
        request_id=the_request().pk, principal=principal_of(world.alice), comment="", now=now()
    )
    EnrollmentRequest.objects.filter(pk=the_request().pk).update(
        state=State.FAILED, last_fault="lint: odd"
    )
    for answer in (device.poll(), device.enroll()):
        assert answer.status is PKIStatus.PENDING
    assert causes() == []
