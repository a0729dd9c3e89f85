"""EC devices: the answer is encrypted with the request's challenge password (RFC 8894 3.1)."""

from dataclasses import dataclass
from datetime import timedelta
from unittest import mock

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from approvals.decisions.decide import approve_request, reject_request
from approvals.issuance.sweep import sweep
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, KeptCsr
from approvals.records.stored_csrs import kept_csr
from ca.content.profile_spec import ProfileSpec
from ca.models.certificates import Certificate
from scep.client import Identity, ScepClient, build_csr
from scep.protocol import password as password_module
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.requests import ReceivedCertRep
from scep.ra.reply_keys import ReplyKeys, reply_keys
from tests.flows.wire import bare, causes, message, post, refused
from tests.pki import ec_key
from tests.world import World, create_profile, later, now, principal_of, run_worker, through

PASSWORD = "moonlight-4711"
KEYS = {
    "P-256": ec_key(),
    "P-384": ec.derive_private_key(4711, ec.SECP384R1()),
    "P-521": ec.derive_private_key(4711, ec.SECP521R1()),
}
NO_PASSWORD = (
    "an EC key cannot decrypt the answer: put a challengePassword into the request, or use an RSA "
    "key"
)
GONE = (
    "the password that encrypts the answer is not kept any more: send the certificate request "
    "again, not a poll"
)

pytestmark = pytest.mark.usefixtures("consistent", "no_waiting", "cheap_passwords")


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch passwords of tests a little only."""
    stretch = password_module.stretch_password
    monkeypatch.setattr(
        "scep.ra.reply_keys.stretch_password",
        lambda text, salt: stretch(text, salt=salt, iterations=100),
    )
    reply_keys.forget()


@dataclass
class EcDevice:
    """A device whose key signs and decrypts nothing."""

    key: ec.EllipticCurvePrivateKey
    password: str | None = PASSWORD
    profile: str = "routers"
    name: str = "meter-1.example"

    @property
    def identity(self) -> Identity:
        return Identity.self_signed(self.key, self.name, now=now(), password=self.password)

    @property
    def scep(self) -> ScepClient:
        return ScepClient(f"http://testserver/scep/{self.profile}/", through(Client()))

    def csr(self) -> bytes:
        return build_csr(self.key, self.name, challenge_password=self.password)

    def enroll(self, transaction_id: str = "") -> ReceivedCertRep:
        return self.scep.enroll(self.csr(), self.identity, transaction_id=transaction_id)

    def poll(self, transaction_id: str = "") -> ReceivedCertRep:
        return self.scep.poll(self.identity, transaction_id=transaction_id)


def approve(world: World) -> EnrollmentRequest:
    request = EnrollmentRequest.objects.get(state="PENDING")
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert run_worker().issued == [request.pk]
    return request


def key_of(rep: ReceivedCertRep) -> object:
    return x509.load_der_x509_certificate(rep.certificates[0]).public_key()


@pytest.mark.parametrize("curve", KEYS)
def test_a_device_with_an_ec_key_waits_and_gets_its_certificate(world: World, curve: str) -> None:
    create_profile(world.ca, "meters", spec=ProfileSpec(curves=("P-256", "P-384", "P-521")))
    device = EcDevice(KEYS[curve], profile="meters")
    assert device.enroll().status is PKIStatus.PENDING
    assert device.poll().status is PKIStatus.PENDING
    approve(world)
    answer = device.poll()
    assert answer.status is PKIStatus.SUCCESS
    assert key_of(answer) == device.key.public_key()
    assert len(answer.certificates) == 1


def test_the_answer_is_under_the_password_and_no_row_shows_it(world: World) -> None:
    device = EcDevice(ec_key())
    device.enroll()
    approve(world)
    with CaptureQueriesContext(
        connection,
    ) as observed:
        sent = post(
            message(world, device.csr(), key="carol", transaction_id=device.identity.transaction_id)
        )
    assert sent.status is PKIStatus.SUCCESS
    assert sent.content is not None
    assert (
        b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x03\x09" in sent.content
    )  # id-alg-PWRI-KEK
    assert not any(PASSWORD in str(query) for query in observed.captured_queries)
    assert PASSWORD.encode() not in bytes(EnrollmentRequest.objects.get().csr)
    assert PASSWORD.encode() not in bytes(KeptCsr.objects.get().sealed)


def test_an_automatic_profile_answers_at_once_with_a_one_time_challenge(world: World) -> None:
    create_profile(
        world.ca, "meters", approval="automatic", challenge="static", static_challenge=PASSWORD
    )
    device = EcDevice(ec_key(), profile="meters")
    with mock.patch(
        "scep.operations.enrollment._wait_for_worker",
        lambda request: (run_worker(), request.refresh_from_db()),
    ):
        answer = device.enroll()
    assert answer.status is PKIStatus.SUCCESS
    assert key_of(answer) == device.key.public_key()
    wrong = EcDevice(
        KEYS["P-384"], password="sunlight-4711", profile="meters", name="meter-2.example"
    )
    assert wrong.enroll().fail_info is FailInfo.BAD_REQUEST
    assert KeptCsr.objects.count() == 1


def test_a_lost_answer_is_given_again_for_a_day_and_then_to_the_request_only(world: World) -> None:
    device = EcDevice(ec_key())
    device.enroll()
    request = approve(world)
    assert device.poll().status is PKIStatus.SUCCESS
    assert KeptCsr.objects.get().kept_until <= later(hours=24)
    assert device.poll().status is PKIStatus.SUCCESS
    KeptCsr.objects.update(kept_until=now())
    assert sweep(every=timedelta(0)).ran
    answer = device.poll()
    assert (answer.status, answer.fail_info, bare(answer.fail_info_text)) == (
        PKIStatus.FAILURE,
        FailInfo.BAD_REQUEST,
        GONE,
    )
    assert causes() == ["challenge that encrypts the answer is not kept any more"]
    again = device.enroll()
    assert again.status is PKIStatus.SUCCESS
    assert key_of(again) == device.key.public_key()
    assert device.poll().status is PKIStatus.SUCCESS
    assert Certificate.objects.filter(order_id=request.pk).count() == 1


def test_the_password_of_the_newest_message_counts(world: World) -> None:
    first = EcDevice(ec_key())
    first.enroll()
    reset = EcDevice(ec_key(), password="after-the-reset")
    assert reset.enroll("another transaction").status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.count() == 1
    approve(world)
    assert reset.poll("another transaction").status is PKIStatus.SUCCESS
    assert first.enroll().status is PKIStatus.SUCCESS


def test_without_a_challenge_an_ec_device_is_told_at_once(world: World) -> None:
    sent = message(world, EcDevice(ec_key(), password=None).csr(), key="carol")
    for _ in range(2):
        refused(
            sent,
            FailInfo.BAD_ALG,
            NO_PASSWORD,
            cause="no key and no challenge to encrypt the answer with",
        )
    assert not KeptCsr.objects.exists()


def test_get_cert_and_get_crl_of_an_ec_device_are_bad_alg(world: World) -> None:
    text = "the certificate that signs the message needs an RSA key: the answer is encrypted to it"
    for kind in ("21", "22"):
        sent = message(world, key="carol", message_type=kind)
        refused(sent, FailInfo.BAD_ALG, text, cause="signer key cannot receive the certificate")


def test_a_poll_by_another_ec_key_is_a_poll_of_nothing(world: World) -> None:
    device = EcDevice(ec_key())
    device.enroll("one")
    stranger = EcDevice(KEYS["P-384"])
    for issued in (False, True):
        if issued:
            approve(world)
        answer = stranger.poll("one")
        assert (answer.fail_info, bare(answer.fail_info_text)) == (
            FailInfo.BAD_CERT_ID,
            "no such transaction",
        )
    assert device.poll("one").status is PKIStatus.SUCCESS


def test_a_refused_request_keeps_no_password_once_the_refusal_is_in_effect(world: World) -> None:
    EnrollmentProfile.objects.update(undo_window=timedelta(minutes=5))
    device = EcDevice(ec_key())
    device.enroll()
    request = EnrollmentRequest.objects.get()
    reject_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="no", now=now()
    )
    assert sweep(every=timedelta(0)).ran
    assert kept_csr(request.pk, now=now()) == device.csr() or KeptCsr.objects.count() == 1
    EnrollmentRequest.objects.update(effective_at=now(), next_attempt_at=now())
    sweep(every=timedelta(0))
    assert not KeptCsr.objects.exists()
    assert bare(device.enroll().fail_info_text) == "no"
    assert not KeptCsr.objects.exists()


def test_a_pending_poll_costs_no_more_queries_than_one_of_an_rsa_device(world: World) -> None:
    device = EcDevice(ec_key())
    device.enroll()
    transaction_id = device.identity.transaction_id
    poll = message(world, key="carol", message_type="20", transaction_id=transaction_id)
    with CaptureQueriesContext(connection) as queries:
        assert post(poll).status is PKIStatus.PENDING
    assert len(queries) <= 2, [query["sql"] for query in queries.captured_queries]


def test_renewal_with_an_ec_certificate_needs_a_challenge_inside_as_well(world: World) -> None:
    EnrollmentProfile.objects.update(renewal_mode="officer", renewal_window=timedelta(0))
    device = EcDevice(ec_key())
    device.enroll()
    approve(world)
    certificate = device.poll().certificates[0]
    held = Identity(certificate, device.key, PASSWORD)
    new = KEYS["P-384"]
    without = device.scep.enroll(
        build_csr(new, device.name), held, transaction_id="r1", renewal=True
    )
    assert (without.fail_info, bare(without.fail_info_text)) == (FailInfo.BAD_ALG, NO_PASSWORD)
    csr = build_csr(new, device.name, challenge_password=PASSWORD)
    assert (
        device.scep.enroll(csr, held, transaction_id="r2", renewal=True).status is PKIStatus.PENDING
    )
    approve(world)
    answer = device.scep.poll(held, transaction_id="r2")
    assert answer.status is PKIStatus.SUCCESS
    assert key_of(answer) == new.public_key()


def test_a_process_stretches_each_password_once_and_forgets_the_oldest() -> None:
    keys = ReplyKeys(most=2)
    first = keys.of(b"alice", "one")
    assert keys.of(b"alice", "one") is first
    assert keys.of(b"bob", "one").salt != first.salt
    assert keys.of(b"alice", "one") is first
    keys.of(b"alice", "two")
    assert keys.of(b"alice", "one") is first
    assert keys.of(b"bob", "one").salt != first.salt
    assert len(keys._keys) == 2
    assert "one" not in repr(keys._keys._entries)
