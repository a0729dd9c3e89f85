"""CA rollover: stages and cancellation; every message finds its CA and RA key."""

from typing import Any
from unittest import mock

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from accounts.principals import PORTAL
from approvals.decisions.decide import approve_request
from approvals.models.profiles import EnrollmentProfile
from approvals.profiles.rollovers import switch_over
from audit.models import AuditEntry
from ca.models.authorities import (
    AuthorityRollover,
    CertificateAuthority,
    CertificatesShape,
    NextCaAnswer,
)
from ca.models.certificates import Certificate
from ca.models.keys import ServiceKey
from ca.signing.authorities import AuthorityRequest
from ca.signing.crl import issue_crl
from ca.signing.rollover import cancel_rollover, publish_rollover, refresh_answers, stage_rollover
from ca.x509.errors import CaError, RolloverRefused
from scep.client import Identity, build_csr
from scep.protocol.certificates import read_certificate
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.errors import UNREADABLE
from scep.protocol.requests import BadCertRep, decode_next_certificates
from scep.protocol.signatures import check_digest, check_signature
from scep.protocol.signed_data import find_signer, read_signed_data, read_signer_info
from scep.ra.keys import ra_keys, retire_ra_key
from tests.approvals.enrollment.renewing import allow, approve, certified, newest, renew, told
from tests.flows.rolling import published, recorded, renewed_ra, staged, switched, turned
from tests.flows.wire import message, ra_certificate, refused
from tests.pki import rsa_key
from tests.world import Device, World, later, now, principal_of, run_worker

pytestmark = pytest.mark.usefixtures("consistent", "no_waiting")
NAME = "r1.example"


def get(operation: str, profile: str = "routers") -> Any:
    return Client().get(f"/scep/{profile}/?operation={operation}")


def issuer_of(identity: Identity) -> CertificateAuthority:
    return Certificate.objects.get(der=identity.certificate_der).ca


def events() -> list[str]:
    return list(
        AuditEntry.objects.filter(event__startswith="rollover:")
        .order_by("id")
        .values_list("event", flat=True)
    )


# --------------------------------------------------------------------------------------- the stages


def test_a_staged_ca_changes_nothing_for_devices(world: World) -> None:
    before = get("GetCACert").content
    rollover = staged(world.ca)
    assert get("GetNextCACert").status_code == 404
    assert b"GetNextCACert" not in get("GetCACaps").content
    assert get("GetCACert").content == before
    ra = ra_keys.of(rollover.next_ca)[0]
    sent = message(
        world,
        build_csr(rsa_key("alice"), NAME),
        envelope={"recipient_certificate": ra.encryption_der},
    )
    refused(sent, FailInfo.BAD_REQUEST, UNREADABLE)
    assert events() == ["rollover:stage"]


def test_published_the_answer_is_signed_by_the_current_ca_and_holds_the_next_one_twice(
    world: World,
) -> None:
    rollover = published(world.ca)
    answer = get("GetNextCACert")
    assert (answer.status_code, answer.headers["Content-Type"]) == (
        200,
        "application/x-x509-next-ca-cert",
    )
    assert b"GetNextCACert" in get("GetCACaps").content.split(b"\n")
    stored = read_signed_data(NextCaAnswer.objects.get(shape="ra+chain").answer_der)
    assert read_signed_data(answer.content).signer_infos[0].raw == stored.signer_infos[0].raw
    certificates = Device.named(NAME).scep.get_next_ca_cert().certificates
    ra = ra_keys.of(rollover.next_ca)[0].certificate_der
    assert certificates == (ra, rollover.next_ca.certificate_der)
    assert answer.content.count(rollover.next_ca.certificate_der) == 2
    assert answer.content.count(world.ca.certificate_der) == 1
    assert events() == ["rollover:stage", "rollover:answer", "rollover:answer", "rollover:publish"]


def test_each_client_finds_the_signer_that_it_looks_for(world: World) -> None:
    """The CA comes first, as RFC 8894 demands and sscep reads; jscep compares the RA after it."""
    published(world.ca)
    signed = read_signed_data(get("GetNextCACert").content)
    signers = [read_signer_info(info) for info in signed.signer_infos]
    signers_seen = [find_signer(signed, signer) for signer in signers]
    assert [signer.der for signer in signers_seen if signer] == [
        world.ca.certificate_der,
        ra_certificate(world.ca),
    ]
    for signer, certificate in zip(signers, signers_seen, strict=True):
        assert certificate is not None
        check_signature(signer, certificate, "sha256")
        check_digest(signer, signed.content or b"", "sha256")


def test_a_changed_answer_or_one_that_another_ca_signed_is_not_believed(world: World) -> None:
    published(world.ca)
    body = get("GetNextCACert").content
    device = Device.named(NAME)
    trusted = device.scep.get_ca_cert().certificates
    assert decode_next_certificates(body, trusted=trusted)
    end = NextCaAnswer.objects.get(shape="ra+chain").answer_der[-16:]  # of the CA's signature
    for wrong in (
        body.replace(end, bytes(octet ^ 1 for octet in end)),
        body.replace(b"next CA", b"best CA"),
    ):
        with pytest.raises(BadCertRep):
            decode_next_certificates(wrong, trusted=trusted)
    with pytest.raises(BadCertRep, match="not the current CA"):
        decode_next_certificates(body, trusted=trusted[:1])


def test_a_request_enveloped_to_the_next_ra_certificate_is_issued_by_the_next_ca(
    world: World,
) -> None:
    rollover = published(world.ca)
    device = Device.named("r2.example", "bob")
    current = device.scep.get_ca_cert()
    turned(device, device.scep.get_next_ca_cert())
    assert device.enroll().status is PKIStatus.PENDING, (
        "its answer is signed by the next RA certificate"
    )
    assert newest().ca == rollover.next_ca
    approve(world)
    assert issuer_of(Identity(device.poll().certificates[0], device.key)) == rollover.next_ca
    turned(device, current)
    assert device.poll().status is PKIStatus.SUCCESS, (
        "a poll is answered by the RA that it is encrypted for"
    )
    other = certified(world, Device.named(NAME))
    assert issuer_of(other) == world.ca


def test_the_same_key_may_ask_both_and_gets_a_certificate_of_each(world: World) -> None:
    rollover = published(world.ca)
    device = Device.named(NAME)
    first = certified(world, device)
    current, following = device.scep.get_ca_cert(), device.scep.get_next_ca_cert()
    turned(device, following)
    second = certified(world, device)
    assert (issuer_of(first), issuer_of(second)) == (world.ca, rollover.next_ca)
    assert device.enroll().certificates == (second.certificate_der,), "a repeat is still a repeat"
    turned(device, current)
    assert device.enroll().certificates == (second.certificate_der,)


def test_while_a_request_at_the_current_ca_is_open_the_next_one_is_not_asked_with_that_key(
    world: World,
) -> None:
    published(world.ca)
    device = Device.named(NAME)
    device.enroll()
    turned(device, device.scep.get_next_ca_cert())
    assert told(device.enroll(transaction_id="another")) == (
        PKIStatus.FAILURE,
        FailInfo.BAD_REQUEST,
        "this key has an open request at CA issuing: wait for its end",
    )


def test_switched_the_profile_points_to_the_next_ca_and_old_ra_certificates_are_still_answered(
    world: World,
) -> None:
    old = Device.named(NAME)
    old.scep.get_ca_cert()
    pending = Device.named("r3.example", "device-1")
    assert pending.enroll().status is PKIStatus.PENDING
    rollover = switched(world.ca)
    world.profile.refresh_from_db()
    assert (world.profile.ca, get("GetNextCACert").status_code) == (rollover.next_ca, 404)
    assert b"GetNextCACert" not in get("GetCACaps").content
    assert Device.named("x").scep.get_ca_cert().certificates[1:] == (
        rollover.next_ca.certificate_der,
    )
    request = newest()
    approve(world)
    assert (
        issuer_of(Identity(pending.poll().certificates[0], pending.key)) == request.ca == world.ca
    )
    assert issuer_of(certified(world, old)) == rollover.next_ca, (
        "who knows the old RA gets the CA of today"
    )
    assert events()[-1] == "rollover:switch"
    assert AuditEntry.objects.filter(event="profile:change", subject_id="routers").exists()


def test_certificates_of_the_predecessor_renew_and_are_fetched_after_the_switch(
    world: World,
) -> None:
    allow(world)
    first = certified(world, Device.named(NAME))
    issue_crl(world.ca, now=now())
    rollover = switched(world.ca)
    answer = renew(first)
    assert answer.status is PKIStatus.PENDING
    assert run_worker().issued == [newest().pk]
    assert newest().ca == rollover.next_ca
    device = Device.named(NAME)
    read = read_certificate(first.certificate_der)
    got = device.scep.get_cert(read.issuer_der, read.serial_der, first)
    assert got.certificates == (first.certificate_der,)
    assert len(device.scep.get_crl(read.issuer_der, read.serial_der, first).crls) == 1


def test_a_certificate_of_the_current_ca_renews_at_the_next_one_before_the_switch(
    world: World,
) -> None:
    allow(world)
    first = certified(world, Device.named(NAME))
    rollover = published(world.ca)
    device = Device.named(NAME, "bob")
    turned(device, device.scep.get_next_ca_cert())
    assert (
        device.scep.enroll(build_csr(rsa_key("bob"), NAME), first, renewal=True).status
        is PKIStatus.PENDING
    )
    run_worker()
    assert newest().ca == rollover.next_ca


def test_a_ca_that_did_not_follow_by_a_rollover_does_not_renew_its_certificates(
    world: World,
) -> None:
    allow(world)
    first = certified(world, Device.named(NAME))
    EnrollmentProfile.objects.filter(pk=world.profile.pk).update(ca=staged(world.ca).next_ca)
    assert "issued by another CA" in (told(renew(first))[2] or "")


def test_a_look_alike_of_a_predecessors_certificate_is_named_as_one(world: World) -> None:
    allow(world)
    first = certified(world, Device.named(NAME))
    switched(world.ca)
    genuine, key = x509.load_der_x509_certificate(first.certificate_der), rsa_key("device-3")
    builder = x509.CertificateBuilder().subject_name(genuine.subject).issuer_name(genuine.issuer)
    builder = builder.public_key(key.public_key()).serial_number(genuine.serial_number)
    builder = builder.not_valid_before(genuine.not_valid_before_utc).not_valid_after(
        genuine.not_valid_after_utc
    )
    forged = builder.sign(key, SHA256()).public_bytes(Encoding.DER)
    assert (
        told(renew(Identity(forged, key)))[2]
        == "the certificate that signs the message was not issued by this portal"
    )


def test_two_rollovers_one_after_the_other_keep_the_first_ra_certificate_working(
    world: World,
) -> None:
    old = Device.named(NAME)
    old.scep.get_ca_cert()
    second = switched(world.ca).next_ca
    third = staged(second, "third", ("device-5", "device-6"))
    publish_rollover(third, needed=frozenset(), principal=PORTAL, now=now())
    switch_over(third, principal=PORTAL, now=now())
    assert issuer_of(certified(world, old)) == third.next_ca
    world.profile.refresh_from_db()
    assert [ca.name for ca in world.profile.lineage.previous] == ["next", "issuing"]


def test_of_a_predecessor_without_ra_keys_the_database_is_not_asked_with_each_message(
    world: World,
) -> None:
    switched(world.ca)
    retire_ra_key(ServiceKey.objects.get(ca=world.ca), now=now())
    ra_keys.forget()
    device = Device.named(NAME)
    assert device.enroll().status is PKIStatus.PENDING
    with CaptureQueriesContext(connection) as queries, capture_logs() as logs:
        assert device.poll().status is PKIStatus.PENDING
        assert device.enroll().status is PKIStatus.PENDING
    assert [query for query in queries.captured_queries if "ca_servicekey" in query["sql"]] == []
    assert logs == []


# ----------------------------------------------------------------------------------------- refusals


def test_cancelled_it_is_as_before_and_what_waited_for_the_next_ca_is_not_issued(
    world: World,
) -> None:
    rollover = published(world.ca)
    device = Device.named("r2.example", "bob")
    current = device.scep.get_ca_cert()
    turned(device, device.scep.get_next_ca_cert())
    assert device.enroll().status is PKIStatus.PENDING
    cancel_rollover(rollover, principal=PORTAL, now=now())
    assert get("GetNextCACert").status_code == 404
    approve_request(
        request_id=newest().pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert run_worker().issued == []
    turned(device, current)
    assert device.poll().status is PKIStatus.PENDING
    assert events()[-1] == "rollover:cancel"
    assert AuditEntry.objects.get(event="authority:pause").subject_id == "next"
    assert staged(world.ca, "after", ("device-5", "device-6")).stage == "staged"


def test_each_stage_wants_the_one_before(world: World) -> None:
    rollover = staged(world.ca)
    with pytest.raises(RolloverRefused, match="it is staged, this step needs it published"):
        switch_over(rollover, principal=PORTAL, now=now())
    publish_rollover(rollover, needed=frozenset(), principal=PORTAL, now=now())
    with pytest.raises(RolloverRefused, match="it is published, this step needs it staged"):
        publish_rollover(rollover, needed=frozenset(), principal=PORTAL, now=now())
    CertificateAuthority.objects.filter(pk=rollover.next_ca_id).update(paused_at=now())
    rollover.refresh_from_db()
    with pytest.raises(RolloverRefused, match="it is paused"):
        switch_over(rollover, principal=PORTAL, now=now())
    CertificateAuthority.objects.filter(pk=rollover.next_ca_id).update(paused_at=None)
    rollover.refresh_from_db()
    switch_over(rollover, principal=PORTAL, now=now())
    with pytest.raises(
        RolloverRefused, match="it is switched, this step needs it staged or published"
    ):
        cancel_rollover(rollover, principal=PORTAL, now=now())
    with pytest.raises(RolloverRefused, match="its rollover to next is switched; one at a time"):
        staged(world.ca, "again")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"subject": "CN=issuing CA,O=Example"}, "a CA has it already"),
        ({"is_test": True}, "followed by a test CA"),
    ],
)
def test_a_next_ca_has_a_name_of_its_own_and_is_a_test_only_after_a_test(
    world: World, changes: dict[str, Any], text: str
) -> None:
    authority_request = AuthorityRequest(
        **{"name": "next", "subject": "CN=next CA", "key_type": "rsa:2048"} | changes
    )
    with pytest.raises(RolloverRefused, match=text):
        stage_rollover(world.ca, authority_request, principal=PORTAL, now=now())
    assert not AuthorityRollover.objects.exists()


def test_it_is_published_only_when_the_next_ra_certificate_is_there_in_each_shape_needed(
    world: World,
) -> None:
    rollover = staged(world.ca)
    with pytest.raises(
        RolloverRefused, match=r"its RA certificate for split\+chain is not there yet"
    ):
        publish_rollover(rollover, needed=frozenset(CertificatesShape), principal=PORTAL, now=now())
    assert not NextCaAnswer.objects.exists()
    renewed_ra(rollover.next_ca, "device-5", "device-6", is_split=True)
    publish_rollover(rollover, needed=frozenset(CertificatesShape), principal=PORTAL, now=now())
    assert NextCaAnswer.objects.count() == 3


def test_the_database_allows_one_successor_and_no_way_back(world: World) -> None:
    rollover = published(world.ca)
    third = staged(rollover.next_ca, "third", ("device-5", "device-6")).next_ca
    for wrong in (
        {"ca": world.ca, "next_ca": third},
        {"ca": third, "next_ca": third},
        {"ca": third, "next_ca": world.ca, "switched_at": now()},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            AuthorityRollover.objects.create(staged_at=now(), **wrong)
    rows = AuthorityRollover.objects.filter(pk=rollover.pk)
    with pytest.raises(IntegrityError), transaction.atomic():
        rows.update(published_at=later(days=1))
    with pytest.raises(IntegrityError), transaction.atomic():
        NextCaAnswer.objects.update(shape="ra+issuing")


def test_a_profile_that_wants_another_shape_after_publication_is_asked_to_wait_for_the_worker(
    world: World,
) -> None:
    rollover = published(world.ca)
    EnrollmentProfile.objects.update(ca_certificates="split+chain")
    with recorded(
        "device-1", "device-2"
    ):  # the page that answers 503 makes the keys of the current CA
        assert get("GetNextCACert").status_code == 503
    renewed_ra(rollover.next_ca, "device-5", "device-6", is_split=True)
    assert get("GetNextCACert").status_code == 200


def test_a_renewed_ra_certificate_of_the_next_ca_makes_a_new_answer(world: World) -> None:
    rollover = published(world.ca)
    before = get("GetNextCACert").content
    renewed_ra(rollover.next_ca, "device-5")
    assert get("GetNextCACert").content == before, "for an hour the one before is given out"
    with time_machine.travel(later(hours=2), tick=True):
        assert refresh_answers(now=now()) == 2
        assert refresh_answers(now=now()) == 0
        assert get("GetNextCACert").content != before
    cancel_rollover(rollover, principal=PORTAL, now=now())
    with time_machine.travel(later(hours=2), tick=True):
        assert refresh_answers(now=now()) == 0


def test_a_current_ca_that_cannot_sign_any_more_leaves_the_answer_as_it_was(world: World) -> None:
    rollover = published(world.ca)
    renewed_ra(rollover.next_ca, "device-5")
    with (
        time_machine.travel(later(hours=2), tick=True),
        mock.patch("ca.signing.rollover.open_key", side_effect=CaError("no")),
    ):
        assert refresh_answers(now=now()) == 0
    assert NextCaAnswer.objects.count() == 2
