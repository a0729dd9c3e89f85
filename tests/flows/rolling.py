"""A CA rollover on recorded keys: shared parts of the tests of rollover and RA certificates."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from accounts.principals import PORTAL
from approvals.profiles.rollovers import needed_shapes, switch_over
from ca.models.authorities import AuthorityRollover, CertificateAuthority
from ca.models.keys import ServiceKey
from ca.signing.authorities import AuthorityRequest
from ca.signing.rollover import publish_rollover, refresh_answers, stage_rollover
from ca.signing.service_keys import certify_service_keys
from scep.client import CaCertificates
from scep.ra.keys import ensure_ra_key, make_ra_key
from tests.pki import rsa_key
from tests.world import Device, forget_caches, now


@contextmanager
def recorded(*names: str) -> Iterator[None]:
    """Keys that are made meanwhile are these, in this order."""
    with mock.patch("keys.file.generate", side_effect=[rsa_key(name) for name in names]):
        yield


def staged(
    ca: CertificateAuthority, name: str = "next", keys: tuple[str, str] = ("device-7", "device-8")
) -> AuthorityRollover:
    """Stage a root with these recorded keys (CA, RA), certified and ready for SCEP."""
    authority_request = AuthorityRequest(
        name=name, subject=f"CN={name} CA,O=Example", key_type="rsa:2048"
    )
    with recorded(*keys):
        rollover = stage_rollover(ca, authority_request, principal=PORTAL, now=now())
        ensure_ra_key(rollover.next_ca, now=now())
    certify_service_keys(now=now())
    return rollover


def published(ca: CertificateAuthority, name: str = "next") -> AuthorityRollover:
    """Stage and publish."""
    rollover = staged(ca, name)
    publish_rollover(rollover, needed=needed_shapes(ca), principal=PORTAL, now=now())
    return rollover


def switched(ca: CertificateAuthority) -> AuthorityRollover:
    """Stage, publish, switch."""
    rollover = published(ca)
    switch_over(rollover, principal=PORTAL, now=now())
    return rollover


def renewed_ra(ca: CertificateAuthority, *keys: str, is_split: bool = False) -> ServiceKey:
    """Make another RA key of the CA and certify it."""
    with recorded(*keys):
        key = make_ra_key(ca, now=now(), is_split=is_split)
    certify_service_keys(now=now())
    refresh_answers(now=now())
    forget_caches()
    return key


def turned(device: Device, certificates: CaCertificates) -> Device:
    """Let a device encrypt to these certificates from now on."""
    device.scep.turn_to(certificates)
    return device
