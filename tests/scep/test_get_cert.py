"""GetCert (RFC 8894 §3.3.4): a certificate again, for its holder only."""

from datetime import timedelta

import pytest
import time_machine

from approvals.decisions.decide import approve_request
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction
from audit.models import AuditEntry
from ca.models.certificates import Certificate
from ca.x509.asn1 import der, der_integer, der_sequence
from scep.client import Identity
from scep.protocol.certificates import read_certificate
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.requests import ReceivedCertRep
from scep.ra.keys import ra_keys
from tests.flows.rolling import renewed_ra
from tests.flows.wire import bare, causes, message, nothing_granted, refused
from tests.world import Device, World, create_profile, now, principal_of, run_worker

NO_SUCH = (PKIStatus.FAILURE, FailInfo.BAD_CERT_ID, "no such certificate")


def certified(
    world: World, name: str = "r1.example", key: str = "alice", profile: str = "routers"
) -> Identity:
    device = Device.named(name, key, profile=profile)
    device.enroll()
    request = EnrollmentRequest.objects.order_by("-id")[0]
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    return Identity(device.poll().certificates[0], device.key)


def get(identity: Identity, signer: Identity, profile: str = "routers") -> ReceivedCertRep:
    certificate = read_certificate(identity.certificate_der)
    return Device.named("r1.example", profile=profile).scep.get_cert(
        certificate.issuer_der, certificate.serial_der, signer
    )


def told(answer: ReceivedCertRep) -> tuple[PKIStatus, FailInfo | None, str | None]:
    return answer.status, answer.fail_info, bare(answer.fail_info_text)


def test_the_holder_of_the_key_gets_the_certificate_again_and_no_transaction_is_stored(
    world: World,
) -> None:
    identity = certified(world)
    transactions = EnrollmentTransaction.objects.count()
    selfsigned = Device.named("any name").identity
    with nothing_granted():
        for signer in (identity, selfsigned, selfsigned):
            answer = get(identity, signer)
            assert (answer.status, answer.certificates) == (
                PKIStatus.SUCCESS,
                (identity.certificate_der,),
            )
    assert EnrollmentTransaction.objects.count() == transactions
    delivered = AuditEntry.objects.filter(event="certificate:deliver", subject_kind="certificate")
    assert {entry.subject_id for entry in delivered} == {
        str(Certificate.objects.get(kind="ordered").pk)
    }


def test_a_certificate_of_the_same_subject_and_profile_may_ask_for_it(world: World) -> None:
    first, second = certified(world), certified(world, key="bob")
    assert get(first, second).certificates == (first.certificate_der,)


@pytest.mark.parametrize("is_split", [False, True])
def test_the_name_of_the_ra_stands_for_its_issuer_as_sscep_writes_it(
    world: World, is_split: bool
) -> None:
    if is_split:
        renewed_ra(world.ca, "device-6", "device-7", is_split=True)
    identity, other = certified(world), certified(world, "r2.example", "device-1")
    ra = next(ra for ra in ra_keys.of(world.ca) if ra.is_split is is_split)
    serial = read_certificate(identity.certificate_der).serial_der
    for der_of_ra in ra.certificates:
        named = read_certificate(der_of_ra).subject_der
        answer = Device.named("r1.example").scep.get_cert(named, serial, identity)
        assert (answer.status, answer.certificates) == (
            PKIStatus.SUCCESS,
            (identity.certificate_der,),
        )
        assert told(Device.named("r2.example").scep.get_cert(named, serial, other)) == NO_SUCH


def test_others_are_told_what_is_told_of_a_certificate_that_does_not_exist(world: World) -> None:
    create_profile(world.ca, "switches")
    identity = certified(world)
    other_name = certified(world, "r2.example", "device-1")
    other_profile = certified(world, "r1.example", "device-2", "switches")
    revoked = certified(world, "r1.example", "device-3")
    Certificate.objects.filter(der=revoked.certificate_der).update(
        status="REVOKED", revoked_at=now(), revocation_reason="superseded"
    )
    stranger = Device.named("r1.example", "bob").identity
    with nothing_granted():
        for signer in (other_name, other_profile, revoked, stranger):
            assert told(get(identity, signer)) == NO_SUCH
        assert told(get(stranger, stranger)) == NO_SUCH
        assert told(get(identity, identity, "switches")) == NO_SUCH, "asked at another profile"
    assert set(causes()) == {"certificate of another device", "no such certificate"}


def test_a_certificate_that_is_revoked_or_expired_is_not_handed_out(world: World) -> None:
    identity = certified(world)
    with time_machine.travel(now() + timedelta(days=400), tick=True):
        assert told(get(identity, identity)) == NO_SUCH
    Certificate.objects.filter(kind="ordered").update(
        status="REVOKED", revoked_at=now(), revocation_reason="superseded"
    )
    assert told(get(identity, identity)) == NO_SUCH
    assert set(causes()) == {"certificate is not valid any more"}


def test_certificates_of_the_portal_itself_are_not_handed_out(world: World) -> None:
    identity = certified(world)
    service = Certificate.objects.get(kind="service")
    issuer = read_certificate(identity.certificate_der).issuer_der
    for serial in (
        der_integer(int(service.serial_hex, 16)),
        der_integer(0),
        der_integer(-1),
        der(0x02),
    ):
        inside = der_sequence(issuer, serial)
        refused(
            message(world, inside, message_type="21"), FailInfo.BAD_CERT_ID, "no such certificate"
        )


@pytest.mark.parametrize(
    "inside",
    [
        b"",
        b"\x30",
        der_sequence(),
        der_sequence(der_integer(1)),
        der_sequence(der_integer(1), der_integer(1)),
    ],
)
def test_what_is_no_issuer_and_serial_number_names_no_certificate(
    world: World, inside: bytes
) -> None:
    refused(message(world, inside, message_type="21"), FailInfo.BAD_CERT_ID, "no such certificate")
    unreadable = {"encrypted_cek": b"\x17" * 256}
    refused(
        message(world, envelope=unreadable, message_type="21"),
        FailInfo.BAD_CERT_ID,
        "no such certificate",
    )


def test_a_paused_profile_still_hands_out(world: World) -> None:
    identity = certified(world)
    EnrollmentProfile.objects.update(paused_at=now())
    assert get(identity, identity).status is PKIStatus.SUCCESS
