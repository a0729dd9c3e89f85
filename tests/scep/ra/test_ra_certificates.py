"""RA certificates over time: renewed, chosen by envelope, retired; shapes of GetCACert."""

import shutil
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import time_machine
from cryptography import x509
from django.test import Client
from structlog.testing import capture_logs

from accounts.principals import PORTAL
from approvals.models.profiles import EnrollmentProfile
from audit.models import AuditEntry
from ca.authorities.expiry import deadlines_of
from ca.authorities.ra_certificates import offered_certificates, ra_keys_of
from ca.models.authorities import CertificateAuthority, CertificatesShape
from ca.models.certificates import Certificate
from ca.models.crls import CrlIssue
from ca.models.keys import ServiceKey
from ca.signing.authorities import AuthorityRequest, create_authority
from ca.signing.crl import KEPT_CRLS, issue_crl, prune_crls
from ca.signing.rollover import stage_rollover
from ca.signing.service_keys import certify_service_keys
from keys.errors import KeyStoreError
from pkiportal.runtime import ra_keeper
from scep.client import CaCertificates
from scep.protocol.constants import PKIStatus
from scep.protocol.requests import read_certificates
from scep.ra.keys import RaNotReady, ensure_ra_key, ra_keys, remove_retired_files
from scep.ra.renewal import RaKeyNeeded, Upkeep, give_up, keep_ra_keys, renew_now
from tests.approvals.enrollment.renewing import certified
from tests.flows.rolling import recorded, renewed_ra, staged, switched
from tests.pki import rsa_key
from tests.world import Device, World, forget_caches, later, now

pytestmark = pytest.mark.usefixtures("consistent", "no_waiting")
OLD = timedelta(days=500)  # less than a third of 730 days is left


def given_out(profile: str = "routers") -> tuple[bytes, ...]:
    return read_certificates(Client().get(f"/scep/{profile}/?operation=GetCACert").content)


def usages(der: bytes) -> set[str]:
    usage = (
        x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.KeyUsage).value
    )
    return {name for name in ("digital_signature", "key_encipherment") if getattr(usage, name)}


def kept(*keys: str) -> Upkeep:
    with recorded(*keys):
        return keep_ra_keys(now=now())


# ---------------------------------------------------------------------------------- renewed in time


def test_an_ra_certificate_is_renewed_in_the_last_third_and_only_once(world: World) -> None:
    assert kept() == Upkeep()
    with time_machine.travel(now() + OLD, tick=True):
        assert kept("device-1") == Upkeep(made=1)
        assert kept() == Upkeep(), "it waits for its certificate"
        certify_service_keys(now=now())
        assert kept() == Upkeep()
    assert list(
        AuditEntry.objects.filter(event="service-key:create").values_list(
            "data__purpose", flat=True
        )
    ) == [
        "scep-ra",
        "scep-ra",
    ]


def test_the_renewed_one_is_given_out_after_an_hour_and_the_old_one_goes_on_working(
    world: World,
) -> None:
    old = Device.named("r1.example")
    before = given_out()
    old.scep.get_ca_cert()
    renewed_ra(world.ca, "device-1")
    newest = ra_keys.of(world.ca)[0].certificate_der
    assert given_out() == before
    quick = Device.named("r2.example", "bob")
    quick.scep.turn_to(CaCertificates.from_certificates((newest, world.ca.certificate_der)))
    assert quick.enroll().status is PKIStatus.PENDING, (
        "answered by the new one, which it was enveloped to"
    )
    with time_machine.travel(later(hours=2), tick=True):
        assert given_out() == (newest, world.ca.certificate_der)
        assert old.enroll().status is PKIStatus.PENDING, "answered by the old one"
        assert old.poll().status is PKIStatus.PENDING


def test_an_expired_one_is_retired_its_file_goes_and_it_decrypts_nothing(
    world: World, settings: Any
) -> None:
    settings.PORTAL_RA_LIFE = timedelta(days=1000)
    old = ServiceKey.objects.get()
    renewed_ra(world.ca, "device-1")
    folder = Path(settings.RA_KEY_FOLDER)
    with time_machine.travel(later(days=740), tick=True):
        assert kept("device-2") == Upkeep(made=1, retired=1)
        old.refresh_from_db()
        assert old.retired_at is not None
        assert not (folder / old.key_name).exists()
        forget_caches()
        assert len(ra_keys.of(world.ca)) == 1
        assert kept() == Upkeep()
    assert AuditEntry.objects.get(event="service-key:retire").subject_id == str(old.pk)
    (folder / old.key_name).touch()
    assert remove_retired_files() == 1, "what another machine retired goes here too"


def test_the_last_one_stays_even_expired_until_there_is_another(world: World) -> None:
    with time_machine.travel(later(days=740), tick=True):
        assert kept("device-1") == Upkeep(made=1)
        assert len(ra_keys.of(world.ca)) == 1


def test_it_is_not_renewed_where_the_ca_ends_with_it_or_was_followed(
    world: World, settings: Any
) -> None:
    rollover = switched(world.ca)
    ending = CertificateAuthority.objects.filter(pk=rollover.next_ca_id)
    with time_machine.travel(now() + OLD, tick=True):
        ra_end = x509.load_der_x509_certificate(
            ra_keys.of(rollover.next_ca)[0].certificate_der
        ).not_valid_after_utc
        ending.update(not_after=ra_end)
        assert kept() == Upkeep()
    with time_machine.travel(ra_end + timedelta(days=1), tick=True):
        assert kept() == Upkeep(retired=2), (
            "one CA has ended, the other was followed: nothing can be asked of them"
        )


def test_of_a_ca_that_was_followed_the_last_one_is_retired_when_it_ends(world: World) -> None:
    rollover = switched(world.ca)
    with time_machine.travel(later(days=740), tick=True):
        assert kept("device-1") == Upkeep(made=1, retired=1)
        forget_caches()
        with pytest.raises(RaNotReady):
            ra_keys.of(world.ca)
        assert len(ra_keys.of(rollover.next_ca)) == 1, "the one that waits for its successor"


def test_the_operator_says_how_long_they_live_and_when_they_are_renewed(
    world: World, settings: Any
) -> None:
    settings.PORTAL_RA_RENEW_BEFORE = timedelta(days=729)
    assert kept() == Upkeep()
    with time_machine.travel(later(days=2), tick=True):
        assert kept("device-1") == Upkeep(made=1)
    settings.PORTAL_RA_LIFE = timedelta(days=90)
    certify_service_keys(now=now())
    forget_caches()
    end = x509.load_der_x509_certificate(
        ra_keys.of(world.ca)[0].certificate_der
    ).not_valid_after_utc
    assert timedelta(days=89) < end - now() <= timedelta(days=90)
    settings.PORTAL_RA_RENEW_BEFORE = timedelta(0)
    with time_machine.travel(later(days=80), tick=True):
        assert kept() == Upkeep()


def test_a_ca_that_waits_for_its_first_ra_key_gets_it_without_a_device_asking(world: World) -> None:
    with recorded("device-7"):
        authority_request = AuthorityRequest("next", "CN=next CA", "rsa:2048")
        stage_rollover(world.ca, authority_request, principal=PORTAL, now=now())
    assert kept("device-8") == Upkeep(made=1)


def test_a_key_that_cannot_be_written_holds_up_no_other(world: World) -> None:
    with (
        time_machine.travel(now() + OLD, tick=True),
        mock.patch("keys.file.write", side_effect=KeyStoreError("disk full")),
    ):
        assert kept("device-1") == Upkeep()


def test_a_key_whose_file_is_missing_here_is_left_out_unless_it_is_the_only_one(
    world: World, settings: Any
) -> None:
    first = ra_keys.of(world.ca)[0].certificate_der
    key = renewed_ra(world.ca, "device-1")
    (Path(settings.RA_KEY_FOLDER) / key.key_name).unlink()
    with time_machine.travel(later(hours=2), tick=True):
        assert given_out()[0] == first
    (Path(settings.RA_KEY_FOLDER) / ServiceKey.objects.order_by("id")[0].key_name).unlink()
    forget_caches()
    with pytest.raises(KeyStoreError):
        ra_keys.of(world.ca)


def test_a_key_of_a_ca_that_has_ended_is_not_tried_every_ten_seconds(world: World) -> None:
    with recorded("device-1"):
        renew_now(world.ca, now=now())
    with time_machine.travel(later(days=4000), tick=True), capture_logs() as logs:
        assert certify_service_keys(now=now()) == 0
    assert logs == []


@pytest.mark.parametrize("shape", ["ra+chain", "split+chain"])
def test_one_that_leaked_is_given_up_at_once_and_revoked(
    world: World, settings: Any, shape: str
) -> None:
    is_split = CertificatesShape(shape).is_split
    EnrollmentProfile.objects.update(ca_certificates=shape)
    if is_split:
        with recorded("device-2", "device-3"):
            ensure_ra_key(world.ca, now=now(), is_split=True)
        certify_service_keys(now=now())
        forget_caches()
    leaked = given_out()[: 2 if is_split else 1]
    serials = [f"{x509.load_der_x509_certificate(der).serial_number:x}" for der in leaked]
    give = partial(
        give_up, world.ca, serials[-1], reason="keyCompromise", principal=PORTAL, now=now()
    )
    with pytest.raises(RaKeyNeeded, match="racertificates renew --ca issuing"):
        give()
    old = Device.named("r1.example")
    assert old.enroll().status is PKIStatus.PENDING
    with recorded(*(["device-7", "device-4", "device-5"] if is_split else ["device-7"])):
        renew_now(world.ca, now=now())
    with pytest.raises(RaKeyNeeded):
        give()  # the next one has no certificate yet
    certify_service_keys(now=now())
    give()
    forget_caches()
    assert not set(given_out()) & set(leaked)
    rows = Certificate.objects.filter(serial_hex__in=serials)
    assert {(row.status, row.revocation_reason) for row in rows} == {("REVOKED", "keyCompromise")}
    assert (
        len(list(Path(settings.RA_KEY_FOLDER).glob("*.pem")))
        == ServiceKey.objects.filter(retired_at=None).count()
    )
    issued = issue_crl(world.ca, now=now())
    assert issued is not None
    crl = x509.load_der_x509_crl(bytes(issued.der or b""))
    assert all(crl.get_revoked_certificate_by_serial_number(int(serial, 16)) for serial in serials)
    assert Device.named("r1.example").poll().status is PKIStatus.PENDING
    with pytest.raises(RaKeyNeeded, match="no RA certificate in use"):
        give()


def test_a_lease_lets_one_process_look_after_keys_and_a_fault_does_not_end_it(world: World) -> None:
    with (
        mock.patch("pkiportal.runtime.ra_keeper.close_old_connections"),  # the test's own
        mock.patch(
            "pkiportal.runtime.ra_keeper.keep_ra_keys", side_effect=RuntimeError("odd")
        ) as keep,
    ):
        ra_keeper.keep_once()
        ra_keeper.keep_once()
    assert keep.call_count == 1
    assert ra_keeper.start_keeping() is None, "this process serves no web requests"


# ------------------------------------------------------------------------------------------- shapes


def test_each_shape_has_the_ra_first_then_the_issuing_ca_then_the_root(world: World) -> None:
    root = world.ca
    with recorded("device-7", "device-8"):
        issuing = create_authority(
            AuthorityRequest("below", "CN=below CA", "rsa:2048", parent=root),
            principal=PORTAL,
            now=now(),
        )
        ensure_ra_key(issuing, now=now())
    certify_service_keys(now=now())
    EnrollmentProfile.objects.update(ca=issuing)
    ra = ra_keys.of(issuing)[0].certificate_der
    assert given_out() == (ra, issuing.certificate_der, root.certificate_der)
    assert usages(ra) == {"digital_signature", "key_encipherment"}
    EnrollmentProfile.objects.update(ca_certificates="ra+issuing")
    assert given_out() == (ra, issuing.certificate_der)
    EnrollmentProfile.objects.update(ca_certificates="split+chain")
    renewed_ra(issuing, "device-5", "device-6", is_split=True)
    encrypts, signs, *chain = given_out()
    assert (usages(encrypts), usages(signs)) == ({"key_encipherment"}, {"digital_signature"})
    assert chain == [issuing.certificate_der, root.certificate_der]


def test_the_ra_has_keys_of_its_own_that_lie_apart_from_those_of_the_ca(
    world: World, settings: Any
) -> None:
    """A reader of the RA's keys cannot issue; the issuer need not read them (RFC 8894 7.1, 7.2)."""
    ra, ca = (x509.load_der_x509_certificate(der) for der in given_out())
    assert ra.public_key() != ca.public_key()
    assert not ra.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    (key,) = ServiceKey.objects.all()
    row = key.certificate
    assert row is not None
    assert (row.not_before, row.not_after) == (ra.not_valid_before_utc, ra.not_valid_after_utc)
    assert {path.name for path in Path(settings.RA_KEY_FOLDER).glob("*.pem")} == {key.key_name}
    assert key.key_name not in {path.name for path in Path(settings.CA_KEY_FOLDER).glob("*.pem")}
    shutil.rmtree(settings.CA_KEY_FOLDER)
    forget_caches()
    assert Device.named("r1.example").enroll().status is PKIStatus.PENDING, (
        "the CA's key took no part in it"
    )


def test_a_split_ra_decrypts_with_one_key_and_signs_with_the_other(world: World) -> None:
    plain = Device.named("r2.example", "bob")
    plain.scep.get_ca_cert()
    renewed_ra(world.ca, "device-5", "device-6", is_split=True)
    EnrollmentProfile.objects.update(ca_certificates="split+chain")
    device = Device.named("r1.example")
    assert device.scep.get_ca_cert().encryption_der not in device.scep.get_ca_cert().signing_ders
    certified(world, device)
    assert plain.enroll().status is PKIStatus.PENDING, (
        "who knows the one RA certificate is answered by it"
    )


def test_a_pair_is_renewed_as_a_pair_and_the_old_pair_answers_together(world: World) -> None:
    EnrollmentProfile.objects.update(ca_certificates="split+chain")
    assert kept("device-5", "device-6") == Upkeep(made=1)
    certify_service_keys(now=now())
    forget_caches()
    old = Device.named("r1.example")
    first = old.scep.get_ca_cert()
    with time_machine.travel(now() + OLD, tick=True):
        assert kept("device-1", "device-2", "device-3") == Upkeep(made=2)
        certify_service_keys(now=now())
        with time_machine.travel(later(hours=2), tick=True):
            forget_caches()
            assert set(given_out()[:2]).isdisjoint(first.certificates[:2])
            assert old.enroll().status is PKIStatus.PENDING


def test_until_a_split_pair_is_certified_devices_wait_and_old_ones_are_answered(
    world: World,
) -> None:
    known = Device.named("r1.example")
    known.scep.get_ca_cert()
    EnrollmentProfile.objects.update(ca_certificates="split+chain")
    with recorded("device-5", "device-6"):
        answer = Client().get("/scep/routers/?operation=GetCACert")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert known.enroll().status is PKIStatus.PENDING
    assert offered_certificates(world.ca, CertificatesShape.SPLIT_CHAIN, now=now()) is None
    with pytest.raises(RaNotReady, match=r"split\+chain"):
        ra_keys.offered(world.ca, CertificatesShape.SPLIT_CHAIN, now=now())
    certify_service_keys(now=now())
    assert len(given_out()) == 3


def test_devices_that_ask_at_once_for_a_pair_that_is_not_there_get_one(world: World) -> None:
    first, real = [True], ra_keys_of

    def a_moment_ago(ca: CertificateAuthority, *, is_split: bool) -> list[ServiceKey]:
        """The second to look saw nothing yet; meanwhile the first has made the pair."""
        if not is_split or not first:
            return real(ca, is_split=is_split)
        first.clear()
        ensure_ra_key(ca, now=now(), is_split=True)
        return []

    with recorded("device-5", "device-6"), mock.patch("scep.ra.keys.ra_keys_of", a_moment_ago):
        late = ensure_ra_key(world.ca, now=now(), is_split=True)
    assert real(world.ca, is_split=True) == [late]


def test_renewing_by_command_makes_the_next_key_of_each_kind(world: World) -> None:
    renewed_ra(world.ca, "device-5", "device-6", is_split=True)
    with recorded("device-1", "device-2", "device-3"):
        assert [key.purpose for key in renew_now(world.ca, now=now())] == [
            "scep-ra",
            "scep-ra-encrypt",
        ]


# ---------------------------------------------------------------------------------------- deadlines


def about(world: World, days: float) -> dict[tuple[str, str], str]:
    with time_machine.travel(later(days=days), tick=True):
        return {
            (deadline.about, deadline.state): deadline.text
            for deadline in deadlines_of(world.ca, now=now())
        }


def test_what_ends_soon_or_has_ended_is_said_with_what_to_do(world: World) -> None:
    assert "no CRL yet" in about(world, 0)["crl", "warn"]
    issue_crl(world.ca, now=now())
    assert about(world, 0) == {}
    assert "not replaced in time" in about(world, 6)["crl", "warn"]
    assert "overdue" in about(world, 8)["crl", "fail"]
    assert "racertificates renew --ca issuing" in about(world, 600)["ra", "warn"]
    assert "devices may refuse" in about(world, 740)["ra", "fail"]
    assert "./portal rollover stage issuing" in about(world, 3000)["ca", "warn"]
    assert list(about(world, 3660)) == [("ca", "fail")]
    staged(world.ca)
    assert "its rollover to next is staged" in about(world, 3000)["ca", "warn"]


def test_of_a_ca_that_was_followed_only_the_crl_is_watched(world: World) -> None:
    issue_crl(world.ca, now=now())
    switched(world.ca)
    assert list(about(world, 8)) == [("crl", "fail")]
    assert about(world, 4000) == {}


def test_an_ra_key_that_waits_for_its_certificate_is_named(world: World) -> None:
    issue_crl(world.ca, now=now())
    with recorded("device-1"):
        renew_now(world.ca, now=now())
    assert "waits for its certificate" in about(world, 0.1)["ra", "warn"]
    assert rsa_key("device-1").key_size == 2048


# -------------------------------------------------------------------------------------- CRL pruning


def test_the_bytes_of_old_crls_are_dropped_and_nothing_else(world: World, settings: Any) -> None:
    for _ in range(KEPT_CRLS + 2):
        issue_crl(world.ca, now=now(), even_if_not_due=True)
    assert prune_crls(world.ca, now=now()) == 0
    settings.PORTAL_CRL_KEEP = timedelta(days=30)
    assert prune_crls(world.ca, now=later(days=31)) == 2
    assert prune_crls(world.ca, now=later(days=31)) == 0
    pruned = list(CrlIssue.objects.filter(pruned_at__isnull=False).order_by("number"))
    assert [(row.der, bool(row.sha256)) for row in pruned] == [(None, True)] * 2
    with pytest.raises(LookupError, match="was pruned"):
        pruned[0].crl_der  # noqa: B018 - asking is the test
    entry = AuditEntry.objects.get(event="crl:prune")
    assert (entry.data["crls"], entry.data["first_number"]) == (2, pruned[0].number)
    assert AuditEntry.objects.filter(event="crl:issue").count() == KEPT_CRLS + 2
