"""One web process makes an RA key; others answer with it although they cached older ones."""

import pytest
from django.test import Client

from approvals.models.profiles import EnrollmentProfile
from ca.models.authorities import CertificateAuthority, CertificatesShape
from ca.models.keys import ServiceKey
from ca.signing.service_keys import certify_service_keys
from scep.client import CaCertificates
from scep.protocol.constants import PKIStatus
from scep.protocol.requests import BadCertRep
from scep.ra.keys import RaCredential, RaKeys, ensure_ra_key, make_ra_key, ra_keys
from tests.flows.rolling import published, recorded, turned
from tests.pki import certificate_der
from tests.world import Device, World, forget_caches, later, now

pytestmark = pytest.mark.usefixtures("consistent", "no_waiting")
#: The earlier answer of GetCACert, and the new shape of the profile.
SWITCHES = [
    ("ra+chain", "split+chain"),
    ("ra+issuing", "split+chain"),
    ("split+chain", "ra+chain"),
    ("split+chain", "ra+issuing"),
    ("ra+chain", "ra+issuing"),
    ("ra+issuing", "ra+chain"),
]
each_switch = pytest.mark.parametrize(("before", "after"), SWITCHES)


@pytest.fixture(autouse=True)
def moments_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts that were just read may be read again at once."""
    monkeypatch.setattr("scep.ra.keys.AGAIN_SECONDS", 0.0)


def switched(world: World, before: str, after: str) -> None:
    """Cache one shape in this process; let another process switch the profile and make keys."""
    if before == "split+chain":  # a profile made so: no other kind of key was ever made
        ServiceKey.objects.filter(ca=world.ca).update(retired_at=now())
        with recorded("device-3", "device-4"):
            ensure_ra_key(world.ca, now=now(), is_split=True)
        certify_service_keys(now=now())
    EnrollmentProfile.objects.update(ca_certificates=before)
    forget_caches()
    assert asked() == 200
    EnrollmentProfile.objects.update(ca_certificates=after)
    with recorded("device-5", "device-6"):
        ensure_ra_key(world.ca, now=now(), is_split=CertificatesShape(after).is_split)
    certify_service_keys(now=now())


def asked() -> int:
    return int(Client().get("/scep/routers/?operation=GetCACert").status_code)


@each_switch
def test_a_process_that_remembers_another_shape_gives_out_the_new_one_at_once(
    world: World, before: str, after: str
) -> None:
    switched(world, before, after)
    assert asked() == 200
    shape = CertificatesShape(after)
    assert ra_keys.offered(world.ca, shape, now=now()).is_split == shape.is_split


@each_switch
def test_a_message_to_the_new_key_is_read_by_a_process_that_remembers_the_old_one(
    world: World, before: str, after: str
) -> None:
    switched(world, before, after)
    remembered = dict(ra_keys._by_ca._entries)
    device = Device.named("r1.example")
    device.scep.get_ca_cert()
    ra_keys._by_ca._entries.clear()
    ra_keys._by_ca._entries.update(remembered)  # its message reaches the other process
    assert device.enroll().status is PKIStatus.PENDING


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_message_to_a_certificate_that_was_renewed_since_is_read(
    world: World, number: int
) -> None:
    assert asked() == 200
    with recorded(*["device-5", "device-6", "device-7"][:number]):
        for _ in range(number):
            make_ra_key(world.ca, now=now())
    certify_service_keys(now=now())
    elsewhere = RaKeys().offered(world.ca, CertificatesShape.RA_CHAIN, now=later(hours=2))
    assert encrypting_to(elsewhere, world.ca).enroll().status is PKIStatus.PENDING


def test_a_message_to_the_next_ca_is_read_by_a_process_that_saw_it_without_a_key(
    world: World,
) -> None:
    rollover = published(world.ca)
    asked()
    ra_keys._by_ca._entries[rollover.next_ca.pk] = (ra_keys._by_ca._entries[world.ca.pk][0], ())
    elsewhere = RaKeys().of(rollover.next_ca)[0]
    assert encrypting_to(elsewhere, rollover.next_ca).enroll().status is PKIStatus.PENDING


def test_messages_to_foreign_keys_make_a_process_look_once_a_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scep.ra.keys.AGAIN_SECONDS", 3600.0)
    assert asked() == 200
    looks = ra_keys._by_ca._entries[world.ca.pk]
    device = Device.named("r1.example")
    device.scep.turn_to(
        CaCertificates.from_certificates([certificate_der("ra"), certificate_der("ca")])
    )
    with pytest.raises(BadCertRep):
        device.enroll()
    assert ra_keys._by_ca._entries[world.ca.pk] is looks


def encrypting_to(credential: RaCredential, ca: CertificateAuthority) -> Device:
    """A device that was given these certificates by another process."""
    certificates = CaCertificates.from_certificates([*credential.certificates, ca.certificate_der])
    return turned(Device.named("r1.example"), certificates)
