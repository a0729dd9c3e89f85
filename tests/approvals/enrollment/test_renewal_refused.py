"""Refused renewals: by certificate, time, key and names (attacks D-24, D-25, D-26)."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from accounts.principals import PORTAL
from approvals.models.decisions import Decision
from approvals.models.profiles import EnrollmentProfile, NameConflicts
from approvals.rules.policy import RenewalPolicy
from approvals.rules.states import State
from audit.models import AuditEntry
from ca.models.certificates import Certificate
from ca.signing.authorities import AuthorityRequest, create_authority
from scep.client import Identity
from scep.protocol.constants import FailInfo, PKIStatus
from scep.ra.keys import ra_keys
from tests.approvals.enrollment.renewing import (
    ALWAYS,
    NAME,
    PENDING,
    allow,
    approve,
    certified,
    newest,
    no,
    of,
    renew,
    told,
    travel,
)
from tests.flows.wire import causes, nothing_granted
from tests.pki import rsa_key
from tests.world import (
    Device,
    World,
    create_ca,
    create_profile,
    now,
    run_worker,
)

pytestmark = pytest.mark.usefixtures("no_waiting", "consistent")

# -------------------------------------------------------------------------- D-24: which certificate


def revoked(old: Identity, world: World) -> Identity:
    Certificate.objects.filter(pk=of(old).pk).update(
        status="REVOKED", revoked_at=now(), revocation_reason="superseded"
    )
    return old


def on_hold(old: Identity, world: World) -> Identity:
    Certificate.objects.filter(pk=of(old).pk).update(
        status="ON_HOLD", revoked_at=now(), revocation_reason="certificateHold"
    )
    return old


def not_yet_valid(old: Identity, world: World) -> Identity:
    Certificate.objects.filter(pk=of(old).pk).update(not_before=now() + timedelta(days=1))
    return old


def looking_alike(old: Identity, world: World) -> Identity:
    """A certificate with the same issuer and serial number, over another key, by a false CA."""
    real = x509.load_der_x509_certificate(old.certificate_der)
    forged = x509.CertificateBuilder(
        issuer_name=real.issuer,
        subject_name=real.subject,
        public_key=rsa_key("bob").public_key(),
        serial_number=real.serial_number,
        not_valid_before=real.not_valid_before_utc,
        not_valid_after=real.not_valid_after_utc,
    ).sign(rsa_key("alice"), hashes.SHA256())
    return Identity(forged.public_bytes(Encoding.DER), rsa_key("bob"))


def of_the_ra(old: Identity, world: World) -> Identity:
    return Identity(ra_keys.of(world.ca)[0].certificate_der, rsa_key("ra"))


def of_another_profile(old: Identity, world: World) -> Identity:
    create_profile(world.ca, "switches")
    device = Device.named(NAME, "device-3", profile="switches")
    return certified(world, device)


def of_another_ca(old: Identity, world: World) -> Identity:
    create_profile(create_ca("other", ra_key="bob"), "elsewhere")
    return certified(world, Device.named(NAME, "device-4", profile="elsewhere"))


OTHER_PROFILE = (
    "the certificate to renew was issued through another enrollment profile: use its address"
)
REFUSED = [
    (
        revoked,
        "the certificate to renew is revoked: enroll with a new key",
        "renewed certificate is revoked",
    ),
    (on_hold, "the certificate to renew is on hold", "renewed certificate is on hold"),
    (
        not_yet_valid,
        "the certificate to renew is valid from ",
        "renewed certificate is not valid yet",
    ),
    (of_another_profile, OTHER_PROFILE, "renewed certificate is of another profile"),
    (of_another_ca, OTHER_PROFILE, "renewed certificate is of another profile"),
    (
        looking_alike,
        "the certificate that signs the message was not issued by this portal",
        "signer certificate only looks like one of this portal",
    ),
    (
        of_the_ra,
        "the certificate that signs the message is not a device's",
        "signer certificate is not a device's",
    ),
]


@pytest.mark.parametrize("renewal", [True, False])
@pytest.mark.parametrize(
    ("make", "text", "cause"), REFUSED, ids=lambda value: getattr(value, "__name__", "")
)
def test_d24_such_a_certificate_renews_nothing(
    world: World, make: Any, text: str, cause: str, renewal: bool, forges_records: None
) -> None:
    allow(world, mode="officer")
    signer = make(certified(world, Device.named(NAME)), world)
    for key in ("bob", "device-5"):  # the key of the look-alike, and a new one
        with nothing_granted():
            status, fail_info, answer = told(renew(signer, key, renewal=renewal))
        assert (status, fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)
        assert (answer or "").startswith(text)
    assert cause in causes()


@pytest.mark.parametrize("renewal", [True, False])
def test_d24_an_expired_certificate_renews_within_the_grace_only(
    world: World, renewal: bool
) -> None:
    allow(world, grace=timedelta(days=7))
    old = certified(world, Device.named(NAME))
    end = of(old).not_after
    with travel(end + timedelta(days=7, seconds=30)), nothing_granted():
        answer = told(renew(old, renewal=renewal))
        assert answer == no(
            f"the certificate to renew expired at {end:%Y-%m-%dT%H:%MZ}: enroll with a new key"
        )
    assert "renewed certificate is expired" in causes()
    with travel(end + timedelta(days=6)):
        assert told(renew(old, renewal=renewal)) == PENDING


@pytest.mark.parametrize("renewal", [True, False])
def test_d24_certificates_of_authorities_sign_for_no_device(world: World, renewal: bool) -> None:
    root = create_ca("rsa-root", key_type="rsa:2048", ra_key="bob")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keys.file.generate", lambda spec: rsa_key("device-8"))
        authority_request = AuthorityRequest(
            name="below", subject="CN=Below", key_type="rsa:2048", parent=root
        )
        below = create_authority(authority_request, principal=PORTAL, now=now())
    for slug, ca in (("of-root", root), ("of-other", world.ca)):
        create_profile(ca, slug, renewal=RenewalPolicy(mode="officer", window=ALWAYS))
    signers = [
        ("of-root", Identity(root.certificate_der, rsa_key("ca"))),
        ("of-root", Identity(below.certificate_der, rsa_key("device-8"))),
        ("of-other", Identity(below.certificate_der, rsa_key("device-8"))),
    ]
    for slug, signer in signers:
        for key in ("ca", "device-8", "device-5"):
            with nothing_granted():
                assert (
                    renew(signer, key, profile=slug, renewal=renewal).fail_info
                    is FailInfo.BAD_REQUEST
                )
    assert set(causes()) == {"signer certificate is not a device's"}


def test_d24_a_renewal_by_its_own_word_needs_a_certificate_of_the_portal(world: World) -> None:
    allow(world)
    device = Device.named(NAME)
    foreign = x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "Another CA")]),
        subject_name=x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, NAME)]),
        public_key=device.key.public_key(),
        serial_number=7,
        not_valid_before=now() - timedelta(days=1),
        not_valid_after=now() + timedelta(days=1),
    ).sign(rsa_key("bob"), hashes.SHA256())
    signers = [device.identity, Identity(foreign.public_bytes(Encoding.DER), device.key)]
    text = "a renewal is signed with the certificate to renew, issued by this portal"
    for signer in signers:
        with nothing_granted():
            assert told(renew(signer, "alice")) == no(text)
    assert told(renew(signers[1], "alice", renewal=False)) == PENDING, (
        "a PKCSReq is an enrollment like any other"
    )


def test_d24_a_profile_that_was_given_another_ca_renews_no_certificate_of_the_first(
    world: World,
) -> None:
    allow(world)
    old = certified(world, Device.named(NAME))
    EnrollmentProfile.objects.update(ca=create_ca("next", ra_key="bob"))
    with nothing_granted():
        answer = told(renew(old, "device-1"))
    assert answer == no(
        "the certificate to renew was issued by another CA than this profile's: enroll with a new "
        "key"
    )


def test_without_a_renewal_policy_nothing_renews(world: World) -> None:
    old = certified(world, Device.named(NAME))
    for renewal in (True, False):
        with nothing_granted():
            assert told(renew(old, renewal=renewal)) == no("renewal is not enabled")


# ------------------------------------------------------------------------------ when, and which key


def test_a_renewal_comes_within_the_window(world: World) -> None:
    allow(world, window=timedelta(days=30))
    old = certified(world, Device.named(NAME))
    opens_at = of(old).not_after - timedelta(days=30)
    with nothing_granted():
        assert told(renew(old)) == no(f"too early to renew: from {opens_at:%Y-%m-%dT%H:%MZ} on")
    assert causes() == ["renewal too early"]
    entry = AuditEntry.objects.get(event="message:refuse")
    assert (entry.subject_kind, entry.subject_id) == ("certificate", str(of(old).pk))
    with travel(opens_at + timedelta(minutes=1)):
        assert told(renew(old)) == PENDING


@pytest.mark.parametrize("renewal", [True, False])
def test_a_renewal_needs_a_new_key_unless_the_profile_lets_it_keep_its_own(
    world: World, renewal: bool
) -> None:
    allow(world)
    device = Device.named(NAME)
    old = certified(world, device)
    with nothing_granted():
        answer = told(renew(old, "alice", renewal=renewal))
    assert answer == no("this key has a certificate already: renew with a new key")
    allow(world, key_reuse=True)
    assert told(renew(old, "alice", renewal=renewal)) == PENDING


def test_networks_and_the_rules_of_the_certificate_profile_hold_for_renewals_too(
    world: World,
) -> None:
    allow(world, changed_names="officer")
    old = certified(world, Device.named(NAME))
    with nothing_granted():
        status, _, text = told(renew(old, dns_names=["*.example"]))
        assert (status, text) == (
            PKIStatus.FAILURE,
            "subjectAltName dns '*.example': the profile allows no such wildcard",
        )
        EnrollmentProfile.objects.update(networks=["192.0.2.0/24"])
        assert told(renew(old)) == no("request not permitted")


# -------------------------------------------------------------------------------------- D-25: names


def test_d25_a_renewal_keeps_subject_and_alternative_names(world: World) -> None:
    allow(world)
    old = certified(world, Device.named(NAME), dns_names=["r1.example", "r1.example.net"])
    begins = "a renewal keeps the names of the certificate: "
    for more, text in (
        ({"dns_names": ["r1.example"]}, "dns:r1.example.net left out"),
        ({"dns_names": ["r1.example", "r1.example.net", "dc1.example"]}, "dns:dc1.example added"),
        (
            {"dns_names": ["r1.example", "r1.example.net"], "name": "dc1.example"},
            "subject CN=dc1.example",
        ),
    ):
        with nothing_granted():
            assert told(renew(old, **more)) == no(begins + text)
    assert causes() == ["renewal changes names"]
    assert told(renew(old, dns_names=["R1.example.net", "r1.example"])) == PENDING, (
        "order and case are no difference"
    )


def test_d25_where_an_officer_decides_on_other_names_no_policy_does(world: World) -> None:
    allow(world, changed_names="officer")
    old = certified(world, Device.named(NAME))
    assert told(renew(old, dns_names=["dc1.example"])) == PENDING
    request = newest()
    assert request.state == State.PENDING
    assert {"differs from the renewed certificate: dns:dc1.example added"} == {
        item["text"] for item in request.findings if item["code"] == "renewal-changed"
    }
    approve(world)


# ----------------------------------------------------------------- D-26: the same certificate twice


def test_d26_a_second_renewal_of_the_same_certificate_meets_an_officer(world: World) -> None:
    allow(world)
    old = certified(world, Device.named(NAME))
    renew(old)
    run_worker()
    for transaction_id in ("", "another"):
        key = "device-6" if transaction_id else "device-7"
        assert told(renew(old, key, transaction_id=transaction_id)) == PENDING
        request = newest()
        assert (request.state, request.findings[-1]["code"]) == (State.PENDING, "renewed-already")


def test_d26_that_holds_where_the_profile_lets_two_keys_have_one_name(world: World) -> None:
    """Where it does not, the name alone leads to an officer: two rules with one outcome."""
    allow(world)
    EnrollmentProfile.objects.update(name_conflicts=NameConflicts.ALLOW)
    old = certified(world, Device.named(NAME))
    assert told(renew(old)) == PENDING
    assert newest().state == State.APPROVED
    run_worker()
    assert told(renew(old, "device-7")) == PENDING
    assert newest().state == State.PENDING
    assert "renewed-already" in [item["code"] for item in newest().findings]
    assert not Decision.objects.filter(request=newest()).exists()
