"""From approved to issued: a fault loses no request and issues no second certificate."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from unittest import mock

import pytest
from cryptography import x509
from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction

from accounts.principals import PORTAL
from accounts.roles import Role
from approvals.challenges.device_groups import add_devices, create_group
from approvals.decisions.decide import approve_request
from approvals.issuance import issue
from approvals.issuance.issue import issue_certificates
from approvals.issuance.sweep import sweep
from approvals.models.decisions import Decision
from approvals.models.devices import ExpectedDevice
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, OutboxMessage
from approvals.records.decision_documents import DecisionInvalid, verify_decisions
from approvals.records.due import LEASE, MAX_ATTEMPTS, backoff
from approvals.rules.states import State
from audit.canonical import canonical_json
from audit.models import AuditEntry
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from ca.models.profiles import CertificateProfileVersion
from ca.signing.issuance import (
    CertificateOrder,
    prepare_certificate,
    record_issued,
    sign_prepared,
    store_prepared,
)
from ca.x509.errors import RecordMismatch
from database.ids import uuid7
from scep.protocol.constants import PKIStatus
from tests.flows.wire import bare
from tests.world import (
    Device,
    World,
    create_person,
    now,
    principal_of,
    run_worker,
    without_triggers,
)


@pytest.fixture
def approved(world: World) -> EnrollmentRequest:
    """A request that Alice approved and that no worker has read."""
    Device.named("r1.example").enroll(dns_names=["r1.example"])
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    return fresh()


def fresh() -> EnrollmentRequest:
    """Return the only request as the database has it."""
    return EnrollmentRequest.objects.select_related("profile", "ca", "profile_version").get()


def make_due() -> None:
    """End the lease and the delay of the request."""
    past = now() - timedelta(seconds=1)
    EnrollmentRequest.objects.update(lease_until=None, next_attempt_at=past)


def test_the_certificate_is_what_was_approved(approved: EnrollmentRequest) -> None:
    assert run_worker().issued == [approved.pk]
    request = fresh()
    assert request.certificate is not None
    certificate = x509.load_der_x509_certificate(request.certificate.certificate_der)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["r1.example"]
    assert request.certificate.spki_sha256 == request.csr_spki_sha256
    assert request.certificate.profile_version_id == request.profile_version_id
    assert f"{certificate.serial_number:x}" == request.certificate.serial_hex
    assert (request.lease_until, request.next_attempt_at, request.last_fault) == (None, None, "")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_only_the_service_that_confirmed_the_challenge_is_told(
    approved: EnrollmentRequest, elsewhere: bool
) -> None:
    with (
        mock.patch.object(issue, "is_validated_elsewhere", return_value=elsewhere),
        mock.patch.object(issue, "ring_for_validations") as ring,
    ):
        assert run_worker().issued == [approved.pk]
    assert ring.call_args_list == ([mock.call([approved.pk])] if elsewhere else [])


def test_a_task_delivered_twice_makes_one_certificate(approved: EnrollmentRequest) -> None:
    assert run_worker().issued == [approved.pk]
    again = run_worker()
    assert (again.issued, again.skipped) == ([], [approved.pk])
    assert Certificate.objects.filter(kind="ordered").count() == 1


def test_a_worker_that_died_after_preparing_is_followed_by_one_that_signs_the_same_bytes(
    approved: EnrollmentRequest,
) -> None:
    with (
        mock.patch.object(issue, "sign_prepared", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        run_worker()
    prepared = Certificate.objects.get(kind="ordered")
    assert (fresh().state, prepared.status) == (State.ISSUING, "PREPARED")
    assert run_worker().skipped == [approved.pk]
    make_due()
    assert run_worker().issued == [approved.pk]
    issued = Certificate.objects.get(kind="ordered")
    assert (issued.pk, issued.serial_hex, issued.tbs_sha256) == (
        prepared.pk,
        prepared.serial_hex,
        prepared.tbs_sha256,
    )


def test_a_worker_that_died_after_signing_left_nothing_that_a_second_signature_does_not_equal(
    approved: EnrollmentRequest,
) -> None:
    signatures: list[bytes] = []
    sign = sign_prepared

    def remember(certificate: Certificate, *, now: datetime) -> bytes:
        signatures.append(sign(certificate, now=now))
        return signatures[-1]

    with mock.patch.object(issue, "sign_prepared", remember):
        with (
            mock.patch.object(issue, "_record", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            run_worker()
        make_due()
        run_worker()
    assert len(signatures) == 2
    assert signatures[0] == signatures[1] == Certificate.objects.get(kind="ordered").certificate_der


@pytest.mark.parametrize("state", [State.APPROVED, State.ISSUING])
def test_a_key_that_cannot_be_opened_keeps_the_device_waiting_and_calls_an_officer(
    approved: EnrollmentRequest, state: State
) -> None:
    if state is State.ISSUING:
        with (
            mock.patch.object(issue, "sign_prepared", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            run_worker()
        make_due()
    key = settings.CA_KEY_FOLDER / "issuing.pem"
    away = key.rename(key.with_suffix(".away"))
    assert run_worker().failed == [approved.pk]
    request = fresh()
    assert request.state == state
    assert "issuing.pem" in request.last_fault
    assert "Error" not in request.last_fault, "a sentence for people, not the name of a class"
    assert request.next_attempt_at is not None
    assert request.next_attempt_at > now()
    assert Device.named("r1.example").poll().status is PKIStatus.PENDING
    assert OutboxMessage.objects.filter(kind="request-attention").count() == 1
    assert AuditEntry.objects.get(event="request:attention").data["quarantined"] is False
    away.rename(key)
    make_due()
    assert run_worker().issued == [approved.pk]
    assert fresh().last_fault == ""


def test_after_so_many_attempts_an_officer_has_to_look(approved: EnrollmentRequest) -> None:
    (settings.CA_KEY_FOLDER / "issuing.pem").unlink()
    for _ in range(MAX_ATTEMPTS):
        make_due()
        run_worker()
    request = fresh()
    assert (request.attempts, request.state) == (MAX_ATTEMPTS, State.APPROVED)
    assert request.quarantined_at is not None
    assert run_worker().skipped == [request.pk]
    make_due()
    assert sweep(every=timedelta(0)).rung == 0
    assert AuditEntry.objects.filter(event="request:attention", data__quarantined=True).count() == 1


@pytest.mark.parametrize("attempts", [MAX_ATTEMPTS, MAX_ATTEMPTS + 1])
def test_what_workers_died_of_so_often_is_not_begun_again(
    approved: EnrollmentRequest, attempts: int
) -> None:
    EnrollmentRequest.objects.update(attempts=attempts)
    assert run_worker().failed == [approved.pk]
    assert fresh().quarantined_at is not None
    assert not Certificate.objects.filter(kind="ordered").exists()


def test_the_delay_grows_and_has_an_end() -> None:
    assert [backoff(attempts).total_seconds() for attempts in (0, 1, 2, 3, 4, 7, 8, 9, 50)] == [
        5, 5, 10, 20, 40, 320, 600, 600, 600,
    ]  # fmt: skip


@pytest.mark.parametrize("paused", [EnrollmentProfile, CertificateAuthority])
def test_nothing_is_signed_while_profile_or_authority_are_paused(
    approved: EnrollmentRequest, paused: type[EnrollmentProfile] | type[CertificateAuthority]
) -> None:
    paused.objects.update(paused_at=now())
    assert run_worker().skipped == [approved.pk]
    assert Device.named("r1.example").poll().status is PKIStatus.PENDING
    paused.objects.update(paused_at=None)
    assert run_worker().issued == [approved.pk]


def test_nothing_is_signed_before_a_decision_takes_effect(approved: EnrollmentRequest) -> None:
    EnrollmentRequest.objects.update(next_attempt_at=now() + timedelta(minutes=1))
    assert run_worker().skipped == [approved.pk]


def test_a_lease_keeps_another_worker_off_until_it_ends(approved: EnrollmentRequest) -> None:
    EnrollmentRequest.objects.update(lease_until=now() + timedelta(seconds=30))
    assert run_worker().skipped == [approved.pk]
    EnrollmentRequest.objects.update(lease_until=now() - timedelta(seconds=1))
    assert run_worker().issued == [approved.pk]


def test_a_worker_that_comes_second_takes_nothing(approved: EnrollmentRequest) -> None:
    for state in (State.APPROVED, State.ISSUING):
        request = fresh()
        assert request.state == state
        work = issue._Work(request, _certificate_of(request))
        EnrollmentRequest.objects.filter(pk=request.pk).update(version=request.version + 5)
        with transaction.atomic():
            assert issue._take(work, now=now()) is False
        if state is State.APPROVED:
            with (
                mock.patch.object(issue, "sign_prepared", side_effect=KeyboardInterrupt),
                pytest.raises(KeyboardInterrupt),
            ):
                run_worker()
            make_due()


def test_a_worker_that_comes_second_records_nothing(approved: EnrollmentRequest) -> None:
    with (
        mock.patch.object(issue, "_record", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        run_worker()
    stale = fresh()
    make_due()
    run_worker()
    work = issue._Work(stale, Certificate.objects.select_related("ca").get(kind="ordered"))
    with transaction.atomic():
        assert issue._record(work, now=now()) is False


def _certificate_of(request: EnrollmentRequest) -> Certificate:
    if request.state == State.ISSUING:
        return Certificate.objects.select_related("ca").get(order_id=request.pk)
    return prepare_certificate(issue._order(request), now=now())


def test_policy_that_refuses_after_the_approval_sends_the_request_back(
    approved: EnrollmentRequest,
) -> None:
    findings = (mock.Mock(text="serial number: too short"),)
    EnrollmentRequest.objects.update(expires_at=now() + timedelta(seconds=1))
    with mock.patch("ca.signing.issuance.lint_tbs", return_value=findings):
        assert run_worker().failed == [approved.pk]
    request = fresh()
    assert request.expires_at > now() + request.profile.request_ttl - timedelta(minutes=1), (
        "officers have their time"
    )
    assert (request.state, request.round, request.last_fault) == (
        State.FAILED,
        2,
        "serial number: too short",
    )
    assert Certificate.objects.filter(kind="ordered").count() == 0
    assert Device.named("r1.example").poll().status is PKIStatus.PENDING
    assert OutboxMessage.objects.filter(kind="request-failed").count() == 1


def tamper_with_names(request: EnrollmentRequest) -> None:
    """Change the approved names, as an attacker with the database could."""
    with without_triggers():
        EnrollmentRequest.objects.filter(pk=request.pk).update(names=["dns:dc1.example"])


def tamper_with_rules(request: EnrollmentRequest) -> None:
    """Point the request to rules that differ from those of the decision."""
    version = CertificateProfileVersion.objects.get()
    version.pk, version.number, version.spec_sha256 = None, 2, "0" * 64
    version.save()
    with without_triggers():
        EnrollmentRequest.objects.filter(pk=request.pk).update(profile_version=version)


@pytest.mark.parametrize("tamper", [tamper_with_names, tamper_with_rules])
def test_a_request_that_differs_from_its_decision_is_not_signed(
    approved: EnrollmentRequest, tamper: Callable[[EnrollmentRequest], None]
) -> None:
    tamper(approved)
    assert run_worker().failed == [approved.pk]
    assert fresh().state == State.FAILED
    assert "it was made on another" in fresh().last_fault
    assert not Certificate.objects.filter(kind="ordered").exists()


def test_names_that_the_csr_does_not_give_are_not_signed(approved: EnrollmentRequest) -> None:
    tamper_with_names(approved)
    with mock.patch.object(issue, "verify_decisions"):
        assert run_worker().failed == [approved.pk]
    assert fresh().last_fault == "the names of the certificate request are not the approved ones"


def test_rules_that_refuse_the_csr_now_are_not_signed(approved: EnrollmentRequest) -> None:
    refused = mock.Mock(refused=True, refusals=("RSA 2048: at least 3072",), sans=())
    with mock.patch.object(issue, "review_csr", return_value=refused):
        assert run_worker().failed == [approved.pk]
    assert fresh().last_fault == "RSA 2048: at least 3072"


def forge_state_without_decision(request: EnrollmentRequest) -> None:
    """Approve by UPDATE, without any decision."""
    with without_triggers():
        Decision.objects.all()._raw_delete("default")


def forge_document(request: EnrollmentRequest) -> None:
    """Change a decision's document."""
    with without_triggers():
        Decision.objects.update(document=b"{}")


def forge_csr(request: EnrollmentRequest) -> None:
    """Put another CSR under the decision."""
    with without_triggers():
        EnrollmentRequest.objects.update(csr=b"another")


@pytest.mark.parametrize(
    ("forge", "fault"),
    [
        (forge_state_without_decision, "0 of 1 needed approvals on record"),
        (forge_document, "the document does not have its digest"),
        (forge_csr, "the certificate request on record does not have its digest"),
    ],
)
def test_the_worker_believes_the_decisions_not_the_state(
    approved: EnrollmentRequest, forge: Callable[[EnrollmentRequest], None], fault: str
) -> None:
    forge(approved)
    with pytest.raises(DecisionInvalid, match=fault):
        verify_decisions(fresh())
    assert run_worker().failed == [approved.pk]
    assert not Certificate.objects.filter(kind="ordered").exists()


def test_a_decision_by_policy_counts_only_where_the_profile_has_one(
    approved: EnrollmentRequest,
) -> None:
    with without_triggers():
        Decision.objects.update(evidence="policy", officer=None)
    with (
        mock.patch("approvals.records.decision_documents.verify_decision"),
        pytest.raises(DecisionInvalid, match="asks an officer now"),
    ):
        verify_decisions(fresh())


def test_a_decision_by_policy_over_a_list_counts_only_with_a_listed_device(
    approved: EnrollmentRequest,
) -> None:
    with without_triggers():
        Decision.objects.update(evidence="policy", officer=None)
    EnrollmentProfile.objects.update(
        approval="automatic", networks=["192.0.2.0/24"], challenge="one-time"
    )
    with mock.patch("approvals.records.decision_documents.verify_decision"):
        verify_decisions(fresh())
        group = create_group("switches", department=None, principal=PORTAL, now=now())
        EnrollmentProfile.objects.update(eligibility=group, challenge="none")
        with pytest.raises(DecisionInvalid, match="no expected device of a list stands behind"):
            verify_decisions(fresh())
        add_devices(group, b"name\nr1.example\n", principal=PORTAL, now=now())
        ExpectedDevice.objects.update(used_by=approved, used_at=now())
        verify_decisions(fresh())


def test_more_approvals_than_the_profile_needs_are_enough(approved: EnrollmentRequest) -> None:
    decision = Decision.objects.get()
    bob = create_person("bob", Role.OFFICER)
    document = json.loads(bytes(decision.document))
    document["principal"]["id"] = str(bob.pk)
    decision.pk, decision.officer = uuid7(), bob
    decision.document = canonical_json(document)
    decision.document_sha256 = sha256(decision.document).hexdigest()
    decision.save(force_insert=True)
    assert run_worker().issued == [approved.pk]


def test_one_bad_row_does_not_hold_up_a_batch(world: World) -> None:
    for number in (1, 2, 3):
        Device.named(f"r{number}.example", key=f"device-{number}").enroll()
    requests = list(EnrollmentRequest.objects.order_by("id"))
    for request in requests:
        approve_request(
            request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    store = store_prepared

    def refuse_second(certificate: Certificate, *, now: datetime) -> None:
        if certificate.order_id == requests[1].pk:
            raise DatabaseError("disk on fire")
        store(certificate, now=now)

    with mock.patch.object(issue, "store_prepared", refuse_second):
        result = run_worker()
    assert result.issued == [requests[0].pk, requests[2].pk]
    assert result.failed == [requests[1].pk]
    bad = EnrollmentRequest.objects.get(pk=requests[1].pk)
    assert (bad.state, bad.last_fault) == (State.APPROVED, "DatabaseError: disk on fire")
    assert Certificate.objects.filter(kind="ordered", status="ISSUED").count() == 2


def test_an_unforeseen_fault_holds_up_its_own_request_only(world: World) -> None:
    for number in (1, 2):
        Device.named(f"r{number}.example", key=f"device-{number}").enroll()
    first, second = EnrollmentRequest.objects.order_by("id")
    for request in (first, second):
        approve_request(
            request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    order = issue._order

    def fail_once(request: EnrollmentRequest) -> CertificateOrder:
        if request.pk == first.pk:
            raise ZeroDivisionError("an unforeseen case")
        return order(request)

    with mock.patch.object(issue, "_order", fail_once):
        result = run_worker()
    assert (result.failed, result.issued) == ([first.pk], [second.pk])
    first.refresh_from_db()
    assert (first.state, first.last_fault) == (
        State.APPROVED,
        "ZeroDivisionError: an unforeseen case",
    )


def test_a_slow_key_records_what_it_signed_in_time_and_leaves_the_rest_to_the_next_task(
    world: World,
) -> None:
    for number in (1, 2, 3):
        Device.named(f"r{number}.example", key=f"device-{number}").enroll()
    requests = list(EnrollmentRequest.objects.order_by("id"))
    for request in requests:
        approve_request(
            request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
        )
    with mock.patch.object(issue, "SIGNING_TIME", -1.0):
        assert run_worker().issued == [requests[0].pk]
        rest = EnrollmentRequest.objects.filter(state=State.ISSUING).order_by("id")
        moved = [
            request.version - before.version
            for request, before in zip(rest, requests[1:], strict=True)
        ]
        assert moved == [3, 3], "approved, begun, given back"
        assert [(request.pk, request.lease_until, request.attempts) for request in rest] == [
            (requests[1].pk, None, 0),
            (requests[2].pk, None, 0),
        ]
        assert run_worker().issued == [requests[1].pk]
    assert run_worker().issued == [requests[2].pk]


def test_a_fault_is_not_noted_on_a_request_that_is_done(approved: EnrollmentRequest) -> None:
    stale = fresh()
    run_worker()
    result = issue.BatchResult()
    issue._postpone(stale, "too late", now=now(), result=result)
    assert (result.failed, fresh().last_fault) == ([], "")


def test_a_refusal_is_not_noted_on_a_request_that_moved_on(approved: EnrollmentRequest) -> None:
    stale = fresh()
    EnrollmentRequest.objects.update(version=stale.version + 1)
    result = issue.BatchResult()
    with transaction.atomic():
        issue._fail(stale, "too late", now=now(), result=result)
    assert (result.failed, fresh().state) == ([], State.APPROVED)


def test_another_certificate_than_the_prepared_one_is_never_recorded(
    approved: EnrollmentRequest,
) -> None:
    with (
        mock.patch.object(issue, "_record", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        run_worker()
    prepared = Certificate.objects.select_related("ca").get(kind="ordered")
    foreign = Certificate.objects.get(kind="service").certificate_der
    with pytest.raises(RecordMismatch, match="not the prepared ones"), transaction.atomic():
        record_issued(prepared, foreign, now=now())
    good = sign_prepared(prepared, now=now())
    with pytest.raises(RecordMismatch, match="the signature is not the CA's"), transaction.atomic():
        record_issued(prepared, good[:-1] + bytes([good[-1] ^ 1]), now=now())
    assert Certificate.objects.get(kind="ordered").status == "PREPARED"


def test_recording_twice_changes_nothing(approved: EnrollmentRequest) -> None:
    run_worker()
    issued = Certificate.objects.select_related("ca").get(kind="ordered")
    with transaction.atomic():
        record_issued(issued, issued.certificate_der, now=now())
    assert (
        AuditEntry.objects.filter(event="certificate:issue", subject_kind="certificate").count()
        == 2
    )  # and the RA's


def test_an_rsa_authority_signs_as_well(world: World) -> None:
    from tests.world import create_ca, create_profile

    create_profile(create_ca("rsa", "rsa:2048", ra_key="bob"), "phones")
    device = Device.named("p1.example", profile="phones")
    device.enroll()
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert run_worker().issued == [request.pk]
    assert device.poll().status is PKIStatus.SUCCESS


def test_the_database_allows_one_certificate_per_request_and_keeps_its_bytes(
    approved: EnrollmentRequest,
) -> None:
    run_worker()
    certificate = Certificate.objects.get(kind="ordered")
    with pytest.raises(IntegrityError), transaction.atomic():
        Certificate.objects.filter(pk=certificate.pk).update(tbs=b"another")
    with pytest.raises(IntegrityError), transaction.atomic():
        Certificate.objects.filter(pk=certificate.pk).update(der=b"another")
    with pytest.raises(IntegrityError), transaction.atomic():
        Certificate.objects.filter(pk=certificate.pk).update(
            status="PREPARED", der=None, issued_at=None
        )
    certificate.pk = None
    certificate.serial_hex, certificate.tbs_sha256, certificate.der_sha256 = (
        "7f",
        "0" * 64,
        "1" * 64,
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        certificate.save(force_insert=True)


def test_an_unknown_id_in_a_task_is_skipped(world: World) -> None:
    from uuid import uuid4

    unknown = uuid4()
    assert issue_certificates([unknown]).skipped == [unknown]


def test_the_sweep_rings_for_due_requests_and_expires_undecided_ones(
    world: World, approved: EnrollmentRequest
) -> None:
    with mock.patch("approvals.issuance.sweep.ring_now") as ring:
        assert sweep(every=timedelta(0)).rung == 1
    ring.assert_called_once_with([approved.pk])
    assert sweep(every=timedelta(minutes=1)).ran is True
    assert sweep(every=timedelta(minutes=1)).ran is False
    run_worker()
    device = Device.named("r2.example", key="bob")
    device.enroll()
    EnrollmentRequest.objects.filter(state=State.PENDING).update(
        expires_at=now() - timedelta(seconds=1)
    )
    with mock.patch("approvals.issuance.sweep.acquire", return_value=now()):
        assert sweep().expired == 1
    assert (
        bare(device.poll().fail_info_text) == "the request expired before anyone decided: ask again"
    )


def test_an_expiry_that_comes_second_changes_nothing(world: World) -> None:
    from approvals.issuance import sweep as sweeping
    from approvals.rules.errors import AlreadyDecided

    Device.named("r1.example").enroll()
    EnrollmentRequest.objects.update(expires_at=now() - timedelta(seconds=1))
    with mock.patch.object(sweeping, "advance", side_effect=AlreadyDecided("too late")):
        assert sweeping._expire(now()) == 0


def test_a_decision_takes_effect_after_the_undo_window(world: World) -> None:
    EnrollmentProfile.objects.update(undo_window=timedelta(minutes=1))
    Device.named("r1.example").enroll()
    moment = now()
    request = EnrollmentRequest.objects.get()
    decision = approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=moment
    )
    request.refresh_from_db()
    assert (
        decision.effective_at
        == request.effective_at
        == request.next_attempt_at
        == moment + timedelta(minutes=1)
    )
    assert run_worker().skipped == [request.pk]


def test_while_a_worker_signs_it_holds_the_lease_of_its_first_attempt(
    approved: EnrollmentRequest,
) -> None:
    leased: list[EnrollmentRequest] = []

    def look(certificate: Certificate, *, now: datetime) -> bytes:
        leased.append(fresh())
        return sign_prepared(certificate, now=now)

    with mock.patch.object(issue, "sign_prepared", look):
        run_worker()
    assert leased[0].attempts == 1
    assert leased[0].lease_until is not None
    assert now() + timedelta(seconds=50) < leased[0].lease_until <= now() + LEASE
    assert leased[0].next_attempt_at == leased[0].lease_until + backoff(1)


def test_a_fault_is_kept_to_the_length_of_its_column_and_moves_the_version_by_one(
    approved: EnrollmentRequest,
) -> None:
    issue._postpone(fresh(), "x" * 600, now=now(), result=issue.BatchResult())
    request = fresh()
    assert request.last_fault == "x" * 500
    assert request.version == approved.version + 1
    entry = AuditEntry.objects.get(event="request:attention")
    assert (entry.subject_seq, entry.data["fault"]) == (request.version, "x" * 500)
    EnrollmentRequest.objects.update(last_fault="")
    with transaction.atomic():
        issue._fail(fresh(), "y" * 600, now=now(), result=issue.BatchResult())
    assert fresh().last_fault == "y" * 500
