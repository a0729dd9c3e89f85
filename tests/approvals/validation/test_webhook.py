"""Challenges of an MDM: checked by a signed webhook over real HTTP, for all answers."""

import json
import logging
import socket
from base64 import b64decode
from collections.abc import Iterator
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any
from unittest import mock

import pytest

from accounts.principals import PORTAL
from approvals.decisions.batch import decide_many
from approvals.decisions.decide import approve_request, reject_request, reopen_request
from approvals.enrollment.answers import answer_of
from approvals.issuance.sweep import sweep
from approvals.models.decisions import Decision, Verdict
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, KeptCsr, OutboxMessage
from approvals.models.validations import Validation, ValidationService
from approvals.profiles.manage import set_service
from approvals.rules.errors import Cause, NotValidated, ProfileInvalid, Refusal
from approvals.rules.states import State
from approvals.validation import worker
from approvals.validation.messages import Question, ServiceAnswer, ServiceVerdict
from approvals.validation.services import ServiceOrder
from approvals.validation.webhook_messages import signature_of
from audit.models import AuditEntry, AuditPrivateValue
from ca.certificates.key_blocks import block_key
from ca.x509.csr import decode_csr
from outbound.url_rules import read_allowed_host
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.requests import ReceivedCertRep
from scep.transport import HttpError
from tests.approvals.challenges.test_challenge_canary import database
from tests.approvals.validation.mdm import CODE, SECRET, Heard, Reply, StandIn, mdm, served, slow
from tests.approvals.validation.working import make_due, work
from tests.flows.wire import bare
from tests.world import (
    Device,
    World,
    create_profile,
    now,
    principal_of,
    run_worker,
    without_triggers,
)

LOOPBACK = ip_network("127.0.0.0/8")
pytestmark = pytest.mark.usefixtures("consistent")


@pytest.fixture
def stand_in(settings: Any) -> Iterator[StandIn]:
    """An MDM at an address that the operator allows."""
    with served(mdm) as server:
        settings.PORTAL_WEBHOOK_HOSTS = (read_allowed_host(server.origin),)
        settings.PORTAL_WEBHOOK_NETWORKS = (LOOPBACK,)
        yield server


def order(server: StandIn, **service_order: Any) -> ServiceOrder:
    return ServiceOrder(
        **{"kind": "webhook", "url": f"{server.origin}/scep", "secret": SECRET, **service_order}
    )


@pytest.fixture
def phones(world: World, stand_in: StandIn) -> EnrollmentProfile:
    """A profile that approves all devices that the MDM confirms."""
    return create_profile(
        world.ca, "phones", approval="automatic", challenge="webhook", service=order(stand_in)
    )


@pytest.fixture
def laptops(world: World, stand_in: StandIn) -> EnrollmentProfile:
    """A profile whose officers decide on the devices that the MDM knows."""
    return create_profile(world.ca, "laptops", challenge="webhook", service=order(stand_in))


def enroll(
    profile: str = "phones", *, code: str | None = CODE, key: str = "alice"
) -> ReceivedCertRep:
    return Device.named("p1.example", key=key, profile=profile).enroll(challenge=code)


def poll(profile: str = "phones") -> ReceivedCertRep:
    return Device.named("p1.example", profile=profile).poll()


def events() -> list[str]:
    rows = AuditEntry.objects.filter(event__startswith="validation:").order_by("id")
    return list(rows.values_list("event", flat=True))


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_code_that_the_mdm_knows_gets_its_certificate_in_the_same_exchange(
    stand_in: StandIn,
) -> None:
    assert enroll().status is PKIStatus.SUCCESS
    validation = Validation.objects.get()
    assert (validation.state, validation.answered_by) == ("allowed", f"127.0.0.1:{stand_in.port}")
    assert Decision.objects.get().evidence == "policy"
    assert events() == ["validation:ask", "validation:allow"]
    assert not KeptCsr.objects.exists()


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_the_message_is_signed_and_says_everything_about_the_request(stand_in: StandIn) -> None:
    enroll()
    (heard,) = stand_in.heard
    request = EnrollmentRequest.objects.get()
    assert heard.headers["X-Portal-Signature"] == signature_of(heard.body, SECRET)
    assert heard.headers["Host"] == f"127.0.0.1:{stand_in.port}"
    message = heard.json
    assert (heard.headers["X-Portal-Id"], heard.headers["X-Portal-Timestamp"]) == (
        message["id"],
        message["timestamp"],
    )
    assert (message["kind"], message["profile"], message["challenge"]) == (
        "validate",
        "phones",
        CODE,
    )
    assert (message["request"], message["transactionID"]) == (
        str(request.pk),
        request.transaction_id,
    )
    assert (message["csr"]["subject"], message["csr"]["key"]) == ("CN=p1.example", "RSA 2048")
    sent = decode_csr(b64decode(message["csr"]["raw"], validate=True))
    assert (sent.challenge_password, sent.spki_sha256.hex()) == (CODE, request.csr_spki_sha256)


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_code_that_the_mdm_denies_is_refused_without_a_hint_and_logged_with_the_reason() -> None:
    answer = enroll(code="guessed-0815")
    assert (answer.status, answer.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert bare(answer.fail_info_text) == "request not permitted"
    assert bare(poll().fail_info_text) == "request not permitted"
    assert EnrollmentRequest.objects.get().state == State.REJECTED
    decision = Decision.objects.get()
    assert (decision.verdict, decision.evidence, decision.officer) == ("reject", "policy", None)
    assert events() == ["validation:ask", "validation:deny"]
    reason = AuditPrivateValue.objects.get(entry__event="validation:deny", path="data.comment")
    assert reason.value == "code … is not known"  # the MDM's repetition of the challenge is removed
    assert not KeptCsr.objects.exists()


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_code_longer_than_a_reason_is_left_out_of_it_too() -> None:
    enroll(code="guessed-0815" * 40)
    assert Validation.objects.get().reason == "code … is not known"
    assert "guessed" not in database()


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_device_without_a_code_is_refused_at_once_and_no_service_is_asked(
    stand_in: StandIn,
) -> None:
    assert bare(enroll(code=None).fail_info_text) == "request not permitted"
    assert not stand_in.heard
    assert not EnrollmentRequest.objects.exists()


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_what_the_profile_refuses_is_told_to_the_log_and_not_to_who_only_has_some_code(
    stand_in: StandIn,
) -> None:
    answer = Device.named("p1.example\u202e", profile="phones").enroll(challenge="guessed-0815")
    assert (answer.fail_info, bare(answer.fail_info_text)) == (
        FailInfo.BAD_REQUEST,
        "request not permitted",
    )
    entry = AuditEntry.objects.get(event="message:refuse")
    assert entry.data["cause"] == "phones: policy: text-hidden"
    assert "invisible or control character U+202E" in entry.data["detail"]
    assert not stand_in.heard


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_denied_device_may_ask_again_at_once_with_another_code_but_not_with_the_same(
    stand_in: StandIn,
) -> None:
    enroll(code="guessed-0815")
    enroll(code="guessed-0815")
    assert len(stand_in.heard) == 1
    assert enroll().status is PKIStatus.SUCCESS


@pytest.mark.usefixtures("prompt_workers")
def test_denied_codes_count_as_guesses_and_lock_their_address(
    phones: EnrollmentProfile, stand_in: StandIn
) -> None:
    EnrollmentProfile.objects.filter(pk=phones.pk).update(max_failed_per_address=2)
    enroll(code="guessed-0815")
    enroll(code="guessed-0816", key="bob")
    with pytest.raises(HttpError, match="HTTP 503 busy"):
        enroll(key="device-1")
    assert len(stand_in.heard) == 2


@pytest.mark.usefixtures("prompt_workers")
@pytest.mark.parametrize("key", ["RSA 2048", "EC P-256"])
def test_a_challenge_that_encrypts_the_answer_is_kept_for_it(
    phones: EnrollmentProfile, key: str
) -> None:
    with mock.patch("scep.operations.enrollment.WAIT_SECONDS", -1):
        enroll()
    with without_triggers():
        EnrollmentRequest.objects.update(key_description=key)
    work()
    assert Validation.objects.get().state == "allowed"
    assert KeptCsr.objects.exists() == key.startswith("EC")


@pytest.mark.usefixtures("laptops")
def test_officers_decide_about_what_the_mdm_confirmed_and_only_about_that(world: World) -> None:
    assert enroll("laptops").status is PKIStatus.PENDING
    request = EnrollmentRequest.objects.get()
    principal = principal_of(world.alice)
    with pytest.raises(NotValidated, match="has not said anything"):
        approve_request(request_id=request.pk, principal=principal, comment="", now=now())
    (result,) = decide_many(
        items=[(request.pk, None)],
        verdict=Verdict.APPROVE,
        principal=principal,
        comment="",
        now=now(),
    )
    assert (result.done, "wait for it" in result.text) == (False, True)
    assert not OutboxMessage.objects.exists()
    work()
    assert OutboxMessage.objects.get().kind == "request-pending"
    assert poll("laptops").status is PKIStatus.PENDING
    approve_request(request_id=request.pk, principal=principal, comment="", now=now())
    work()
    assert poll("laptops").status is PKIStatus.SUCCESS


@pytest.mark.usefixtures("laptops")
def test_an_officer_may_reject_without_waiting_for_the_mdm(world: World, stand_in: StandIn) -> None:
    enroll("laptops")
    request = EnrollmentRequest.objects.get()
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="not ours", now=now()
    )
    work()
    assert not stand_in.heard
    with pytest.raises(NotValidated):
        reopen_request(
            request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
        )


@pytest.mark.usefixtures("laptops")
def test_a_key_that_was_blocked_meanwhile_is_rejected_although_the_mdm_confirms() -> None:
    enroll("laptops")
    request = EnrollmentRequest.objects.get()
    block_key(request.csr_spki_sha256, reason="seen for sale", principal=PORTAL, now=now())
    work()
    request.refresh_from_db()
    assert State(request.state) is State.REJECTED
    entry = AuditEntry.objects.get(event="request:reject")
    assert (entry.actor_kind, entry.data["cause"]) == (
        "policy",
        "the public key is on the block list",
    )


@pytest.mark.usefixtures("laptops")
def test_a_denied_request_cannot_be_opened_again(world: World) -> None:
    enroll("laptops", code="guessed-0815")
    work()
    with pytest.raises(NotValidated, match="denied the challenge"):
        reopen_request(
            request_id=EnrollmentRequest.objects.get().pk,
            principal=principal_of(world.alice),
            comment="",
            now=now(),
        )


@pytest.mark.usefixtures("forges_records", "laptops")
def test_what_was_approved_without_a_confirmation_is_not_signed(world: World) -> None:
    enroll("laptops")
    with mock.patch("approvals.decisions.decide.require_validation"):
        approve_request(
            request_id=EnrollmentRequest.objects.get().pk,
            principal=principal_of(world.alice),
            comment="",
            now=now(),
        )
    assert run_worker().issued == []
    assert "the challenge is not confirmed" in EnrollmentRequest.objects.get().last_fault


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_an_mdm_that_wants_an_officer_gets_one_even_where_the_policy_decides(
    stand_in: StandIn, world: World
) -> None:
    stand_in.answer = lambda heard: (200, {"action": "ask", "reason": "a shared device"})
    assert enroll().status is PKIStatus.PENDING
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    work()
    assert poll().status is PKIStatus.SUCCESS


def wrong_key(heard: Heard) -> Reply:
    is_ours = heard.headers["X-Portal-Signature"] == signature_of(
        heard.body, "another secret of the MDM alone"
    )
    return (200, {"action": "allow"}) if is_ours else (401, {"action": "allow"})


BAD_HABITS: dict[str, tuple[Any, str]] = {
    "another key for the signature": (wrong_key, "webhook: HTTP 401"),
    "a redirect": (lambda heard: (302, b"http://169.254.169.254/latest"), "webhook: HTTP 302"),
    "a server error": (lambda heard: (500, {"action": "allow"}), "webhook: HTTP 500"),
    "no JSON": (lambda heard: (200, b"<p>allow</p>"), "not JSON as expected"),
    "half an object": (lambda heard: (200, b'{"action": "allow"'), "not JSON as expected"),
    "a list": (lambda heard: (200, b'["allow"]'), "not a JSON object"),
    "two answers": (lambda heard: (200, {"action": "allow", "allow": False}), "either"),
    "one answer twice": (
        lambda heard: (200, b'{"action":"deny","action":"allow"}'),
        "not JSON as expected",
    ),
    "no answer in it": (lambda heard: (200, {}), "either"),
    "a word of its own": (lambda heard: (200, {"action": "APPROVE"}), "one of allow, ask, deny"),
    "a truth of its own": (lambda heard: (200, {"allow": 1}), "true or false"),
    "too much": (
        lambda heard: (200, b" " * 70_000 + b'{"action": "allow"}'),
        "longer than 65,536 bytes",
    ),
    "nothing": (lambda heard: (200, b""), "not JSON as expected"),
}


@pytest.mark.usefixtures("phones", "prompt_workers")
@pytest.mark.parametrize("habit", BAD_HABITS)
def test_whatever_is_no_answer_decides_nothing(stand_in: StandIn, habit: str) -> None:
    stand_in.answer, fault = BAD_HABITS[habit]
    assert enroll().status is PKIStatus.PENDING
    validation = Validation.objects.get()
    assert (validation.state, validation.attempts) == ("unreachable", 1)
    assert fault in validation.fault
    assert fault in ValidationService.objects.get().last_fault
    assert EnrollmentRequest.objects.get().state == State.PENDING
    assert events() == ["validation:ask", "validation:no-answer"]


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_slow_answer_is_none(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("approvals.validation.webhook.SECONDS", 0.2)
    stand_in.answer = slow(0.6)
    assert enroll().status is PKIStatus.PENDING
    assert "no answer within 0.2 s" in Validation.objects.get().fault


@pytest.mark.usefixtures("prompt_workers")
def test_a_dead_mdm_leaves_the_device_pending_until_it_is_back(
    world: World, stand_in: StandIn, settings: Any
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        dead = StandIn(bound.getsockname()[1], mdm)
        settings.PORTAL_WEBHOOK_HOSTS = (
            *settings.PORTAL_WEBHOOK_HOSTS,
            read_allowed_host(dead.origin),
        )
        phones = create_profile(
            world.ca, "phones", approval="automatic", challenge="webhook", service=order(dead)
        )
        assert enroll().status is PKIStatus.PENDING
    assert "refused" in Validation.objects.get().fault
    set_service(phones, order(stand_in), principal=PORTAL, now=now())
    work()
    assert poll().status is PKIStatus.PENDING  # it is asked again after a second, not at once
    make_due()
    work()
    assert poll().status is PKIStatus.SUCCESS
    validation = Validation.objects.get()
    assert (validation.fault, validation.unreachable_since) == ("", None)


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_officers_hear_of_a_silence_once_it_has_lasted(stand_in: StandIn) -> None:
    stand_in.answer = lambda heard: (503, b"")
    enroll()
    for _ in range(5):
        make_due()
        work()
    assert Validation.objects.get().attempts == 6
    assert OutboxMessage.objects.get().kind == "request-unvalidated"


@pytest.mark.usefixtures("phones", "no_waiting")
def test_the_sweep_rings_for_what_waits_and_lets_it_expire_unconfirmed() -> None:
    enroll()
    with mock.patch("approvals.issuance.sweep.ring_for_validations_now") as ring:
        sweep(every=timedelta(0))
    assert ring.call_args.args[0] == [EnrollmentRequest.objects.get().pk]
    EnrollmentRequest.objects.update(expires_at=now())
    sweep(every=timedelta(0))
    assert EnrollmentRequest.objects.get().state == State.EXPIRED
    assert worker.validate_requests([EnrollmentRequest.objects.get().pk]) == 0


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_an_mdm_whose_name_leads_to_a_private_address_is_not_called(
    stand_in: StandIn, settings: Any
) -> None:
    settings.PORTAL_WEBHOOK_NETWORKS = ()
    assert enroll().status is PKIStatus.PENDING
    assert "its address 127.0.0.1 is not a public one" in Validation.objects.get().fault
    assert not stand_in.heard


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_host_that_the_operator_took_off_the_list_is_not_called(
    stand_in: StandIn, settings: Any
) -> None:
    settings.PORTAL_WEBHOOK_HOSTS = ()
    assert enroll().status is PKIStatus.PENDING
    assert "PORTAL_WEBHOOK_HOSTS" in Validation.objects.get().fault
    assert not stand_in.heard


def test_a_profile_cannot_name_a_host_that_is_not_on_the_list(world: World) -> None:
    service_order = ServiceOrder(kind="webhook", url="https://10.0.0.1/", secret=SECRET)
    with pytest.raises(ProfileInvalid, match="not on the list of hosts"):
        set_service(world.profile, service_order, principal=PORTAL, now=now())
    with pytest.raises(ProfileInvalid, match="a service has to be named"):
        create_profile(world.ca, "phones", challenge="webhook")


def test_a_profile_is_switched_to_a_webhook_and_its_log_has_no_secret(
    world: World, stand_in: StandIn
) -> None:
    set_service(world.profile, order(stand_in, reports=True), principal=PORTAL, now=now())
    world.profile.refresh_from_db()
    assert world.profile.challenge == "webhook"
    entry = AuditEntry.objects.get(event="validation-service:change")
    assert (entry.data["url"], entry.data["secret_replaced"]) == (f"{stand_in.origin}/scep", True)
    assert SECRET not in json.dumps(entry.data)
    set_service(world.profile, order(stand_in, secret=None), principal=PORTAL, now=now())
    with pytest.raises(ProfileInvalid, match="at least 32"):
        set_service(world.profile, order(stand_in, secret="short"), principal=PORTAL, now=now())


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_service_that_was_set_for_another_kind_of_challenge_is_not_asked() -> None:
    ValidationService.objects.update(kind="intune", url="", tenant="contoso.example", client_id="x")
    assert enroll().status is PKIStatus.PENDING
    assert "no service is set" in Validation.objects.get().fault


@pytest.mark.usefixtures("no_waiting")
def test_a_challenge_of_the_service_before_is_not_shown_to_one_of_another_kind(
    phones: EnrollmentProfile, settings: Any
) -> None:
    enroll()
    settings.PORTAL_INTUNE_LOGIN_URL = settings.PORTAL_INTUNE_GRAPH_URL = "https://127.0.0.1:9"
    service_order = ServiceOrder(
        kind="intune", tenant="contoso.example", client_id="x", secret="a client secret"
    )
    set_service(phones, service_order, principal=PORTAL, now=now())
    work()
    assert Validation.objects.get().fault.startswith("no service is set")
    assert ValidationService.objects.get().last_fault == ""


@pytest.mark.usefixtures("phones", "no_waiting")
def test_a_request_that_is_not_kept_is_no_fault_of_the_mdm_and_holds_up_no_other(
    stand_in: StandIn,
) -> None:
    enroll()
    KeptCsr.objects.all().delete()
    enroll(key="bob")
    worker.validate_requests(list(Validation.objects.order_by("pk").values_list("pk", flat=True)))
    assert [validation.state for validation in Validation.objects.order_by("pk")] == [
        "unreachable",
        "allowed",
    ]
    assert "is not kept any more" in Validation.objects.earliest("pk").fault
    assert ValidationService.objects.get().last_fault == ""
    asked = AuditEntry.objects.get(event="validation:ask")
    assert asked.subject_id == str(Validation.objects.latest("pk").pk)
    assert len(stand_in.heard) == 1


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_secret_that_cannot_be_decrypted_asks_no_service(stand_in: StandIn) -> None:
    ValidationService.objects.update(sealed_secret=b"something else")
    assert enroll().status is PKIStatus.PENDING
    assert "PORTAL_CHALLENGE_KEY" in Validation.objects.get().fault
    assert not stand_in.heard


@pytest.mark.usefixtures("prompt_workers")
def test_the_mdm_is_told_of_the_certificate_and_of_the_refusal(
    world: World, stand_in: StandIn
) -> None:
    create_profile(
        world.ca,
        "phones",
        approval="automatic",
        challenge="webhook",
        service=order(stand_in, reports=True),
    )
    assert enroll().status is PKIStatus.SUCCESS
    work()
    (issued,) = stand_in.of_kind("issued")
    certificate = EnrollmentRequest.objects.get().certificate
    assert certificate is not None
    assert issued.json["certificate"]["serial"] == certificate.serial_hex
    enroll(code="guessed-0815", key="bob")
    work()
    (refused,) = stand_in.of_kind("refused")
    assert refused.json["reason"] == "code … is not known"
    assert set(Validation.objects.values_list("report", flat=True)) == {"sent"}
    assert AuditEntry.objects.filter(event="validation:report").count() == 2
    assert not KeptCsr.objects.exists()


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_a_worker_that_lost_its_claim_changes_nothing() -> None:
    def validate(question: Question, *, now: datetime) -> ServiceAnswer:
        Validation.objects.update(attempts=7)  # another one, after the lease ran out
        return ServiceAnswer(ServiceVerdict.ALLOW)

    with (
        mock.patch("approvals.validation.webhook.WebhookClient.validate", side_effect=validate),
        mock.patch("scep.operations.enrollment.WAIT_SECONDS", 0.2),
    ):
        enroll()
    assert Validation.objects.get().state == "waiting"
    assert EnrollmentRequest.objects.get().state == State.PENDING


@pytest.mark.usefixtures("phones")
def test_what_another_worker_has_claimed_is_left_to_it(stand_in: StandIn) -> None:
    with mock.patch("scep.operations.enrollment.WAIT_SECONDS", -1):
        enroll()
    Validation.objects.update(lease_until=now() + timedelta(seconds=20))
    work()
    assert not stand_in.heard


@pytest.mark.usefixtures("phones", "prompt_workers")
def test_one_silent_service_is_asked_once_in_a_task(stand_in: StandIn) -> None:
    stand_in.answer = lambda heard: (503, b"")
    with mock.patch("scep.operations.enrollment.WAIT_SECONDS", -1):
        for key in ("alice", "bob", "device-1"):
            enroll(key=key)
    work()
    assert len(stand_in.heard) == 1


def test_the_answer_to_a_policy_rejection_is_the_uniform_text(world: World) -> None:
    profile = EnrollmentProfile()
    request = EnrollmentRequest(
        profile=profile, state=State.REJECTED, reason="request not permitted", effective_at=None
    )
    assert answer_of(request, now=now()) == Refusal(Cause.REJECTED, "request not permitted")


@pytest.mark.usefixtures("phones", "prompt_workers")
@pytest.mark.parametrize("good", [True, False])
def test_no_challenge_stands_in_logs_entries_or_records(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture, good: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    stand_in.answer = mdm if good else (lambda heard: (500, heard.body))
    enroll()
    written = [caplog.text, *map(str, AuditEntry.objects.values_list("data", flat=True))]
    written += [bytes(sealed).hex() for sealed in KeptCsr.objects.values_list("sealed", flat=True)]
    written += [str(row) for row in Validation.objects.values()]
    written += [str(row) for row in AuditPrivateValue.objects.values()]
    written += [bytes(csr).hex() for csr in EnrollmentRequest.objects.values_list("csr", flat=True)]
    assert not [text for text in written if CODE in text or CODE.encode().hex() in text]
