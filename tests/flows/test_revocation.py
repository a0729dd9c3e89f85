"""The end of a certificate: revoked, refused to its device, named by the CRL over SCEP."""

import pytest
from cryptography import x509

from approvals.decisions.decide import approve_request
from approvals.decisions.revocations import revoke_certificate
from approvals.models.requests import EnrollmentRequest, EnrollmentTransaction
from audit.models import AuditEntry
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from ca.signing.authorities import issuer_facts
from ca.signing.crl import issue_crl, issue_due_crls
from ca.x509.asn1 import der_integer, der_sequence
from scep.protocol.certificates import read_certificate
from scep.protocol.constants import FailInfo, PKIStatus
from tests.flows.wire import message, nothing_granted, ra_certificate, refused
from tests.world import Device, World, create_ca, now, principal_of, run_worker


def name_of(ca: CertificateAuthority) -> bytes:
    return issuer_facts(ca.certificate_der).subject_der


def test_from_the_certificate_to_the_crl_that_names_it(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll(dns_names=["r1.example"])
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    (der,) = device.poll().certificates
    certificate = Certificate.objects.get(order_id=request.pk)
    revoke_certificate(
        certificate_id=certificate.pk,
        principal=principal_of(world.alice),
        reason="keyCompromise",
        comment="",
        now=now(),
    )
    gone = device.poll()
    assert (gone.status, gone.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_CERT_ID)
    issue_due_crls(now=now())
    before = EnrollmentTransaction.objects.count()
    own = read_certificate(der)
    answer = device.scep.get_crl(own.issuer_der, own.serial_der, device.identity)
    assert (answer.status, answer.certificates, len(answer.crls)) == (PKIStatus.SUCCESS, (), 1)
    crl = x509.load_der_x509_crl(answer.crls[0])
    assert crl.get_revoked_certificate_by_serial_number(int(certificate.serial_hex, 16)) is not None
    assert EnrollmentTransaction.objects.count() == before


def test_any_signer_and_any_serial_number_get_the_crl_of_the_issuer_named(world: World) -> None:
    other = create_ca("other", ra_key="device-1")
    issue_due_crls(now=now())
    stranger = Device.named("stranger.example", "bob")
    for ca in (world.ca, other):
        with nothing_granted():
            answer = stranger.scep.get_crl(name_of(ca), der_integer(1), stranger.identity)
        assert x509.load_der_x509_crl(answer.crls[0]).issuer.public_bytes() == name_of(ca)


def test_the_name_of_the_ra_stands_for_its_issuer_as_sscep_writes_it(world: World) -> None:
    issue_due_crls(now=now())
    device = Device.named("r1.example")
    ra = read_certificate(ra_certificate(world.ca))
    answer = device.scep.get_crl(ra.subject_der, ra.serial_der, device.identity)
    assert x509.load_der_x509_crl(answer.crls[0]).issuer.public_bytes() == name_of(world.ca)
    other = create_ca("other", ra_key="device-1")
    foreign = read_certificate(ra_certificate(other)).subject_der
    sent = message(world, der_sequence(foreign, der_integer(1)), message_type="22")
    refused(sent, FailInfo.BAD_CERT_ID, "there is no CRL of this issuer here")


@pytest.mark.usefixtures("within_a_minute")
def test_an_unknown_issuer_and_an_issuer_without_crl_are_one_answer(world: World) -> None:
    stranger = read_certificate(Device.named("r1.example").identity.certificate_der).issuer_der
    issue_crl(create_ca("other", ra_key="device-1"), now=now())
    for issuer in (stranger, name_of(world.ca)):
        sent = message(
            world,
            der_sequence(issuer, der_integer(1)),
            message_type="22",
            transaction_id="constant",
        )
        refused(
            sent,
            FailInfo.BAD_CERT_ID,
            "there is no CRL of this issuer here",
            transaction_id="constant",
        )
    assert not EnrollmentTransaction.objects.exists()
    assert AuditEntry.objects.filter(event="message:refuse").count() == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x30\x00",
        der_sequence(der_integer(1), der_integer(1)),
        der_sequence(der_sequence(), der_sequence()),
        der_sequence(der_sequence(), der_integer(1), der_integer(2)),
        der_sequence(der_sequence(), der_integer(1)) + b"\x00\x00",
    ],
)
def test_a_get_crl_around_something_else_names_no_issuer(world: World, content: bytes) -> None:
    text = "there is no CRL of this issuer here"
    refused(message(world, content, message_type="22"), FailInfo.BAD_CERT_ID, text)
    refused(
        message(world, message_type="22", envelope={"encrypted_cek": b"\x17" * 256}),
        FailInfo.BAD_CERT_ID,
        text,
    )
