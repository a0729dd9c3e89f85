"""CRLs: their content, their due times, and the rows that a killed worker leaves."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from django.db import DatabaseError, IntegrityError, transaction
from django.test import Client

from accounts.principals import PORTAL
from approvals.decisions.decide import approve_request
from approvals.models.requests import EnrollmentRequest
from audit.events import NO_DEPARTMENT
from audit.models import AuditEntry
from ca.certificates.crls import CRL_LEASE, crl_is_due, crl_of_issuer, latest_crl
from ca.certificates.revocation import Witness, release, revoke
from ca.content.builder import RevokedEntry, assemble_certificate, build_crl_tbs
from ca.content.crl_linting import lint_crl
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from ca.models.crls import CrlIssue
from ca.signing.authorities import issuer_facts, open_key
from ca.signing.crl import issue_crl, issue_due_crls
from ca.tasks import issue_crls
from ca.x509 import asn1
from ca.x509.errors import AuthorityUnusable, CrlRefused
from ca.x509.findings import refuse
from keys.file import LoadedKey
from tests.ca.forge import issuer
from tests.pki import rsa_key
from tests.world import Device, World, create_ca, later, now, principal_of, run_worker

MOMENT = datetime(2026, 11, 21, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
WITNESS = Witness(PORTAL, NO_DEPARTMENT, {})


def certificate_of(world: World, name: str = "r1.example", key: str = "alice") -> Certificate:
    """A certificate that a device of this name was issued."""
    Device.named(name, key).enroll(dns_names=[name])
    request = EnrollmentRequest.objects.get(common_name=name)
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    run_worker()
    return Certificate.objects.get(order_id=request.pk)


def take_back(certificate: Certificate, reason: str = "superseded") -> None:
    with transaction.atomic():
        revoke(certificate, reason=reason, witness=WITNESS, now=now())


def give_back(certificate: Certificate) -> None:
    with transaction.atomic():
        release(certificate, witness=WITNESS, now=now())


def issued(ca: CertificateAuthority, *, at: datetime | None = None) -> CrlIssue:
    """The CRL that the worker makes now."""
    assert [issue.ca for issue in issue_due_crls(now=at or now())] == [ca]
    crl = latest_crl(ca)
    assert crl is not None
    return crl


def serials(issue: CrlIssue) -> set[str]:
    return {f"{entry.serial_number:x}" for entry in x509.load_der_x509_crl(issue.crl_der)}


def signed(*entries: RevokedEntry, number: int = 7, end: datetime = MOMENT + WEEK) -> bytes:
    """A CRL by the recorded RSA key."""
    tbs = build_crl_tbs(
        issuer=issuer(), number=number, this_update=MOMENT, next_update=end, entries=entries
    )
    return assemble_certificate(
        tbs, "rsa-sha256", LoadedKey.of(rsa_key("ca")).sign(tbs, "rsa-sha256")
    )


# ------------------------------------------------------------------------------------- content


def test_an_entry_says_when_why_and_since_when() -> None:
    since = datetime(2051, 1, 2, 3, 4, 5, tzinfo=UTC)
    crl = x509.load_der_x509_crl(
        signed(
            RevokedEntry(300, since, "keyCompromise", invalidity_date=MOMENT),
            RevokedEntry(2, MOMENT, "unspecified"),
            RevokedEntry(5, MOMENT, "certificateHold"),
            RevokedEntry(4, MOMENT),
        )
    )
    assert [entry.serial_number for entry in crl] == [2, 4, 5, 300]
    assert [len(entry.extensions) for entry in crl] == [0, 0, 1, 2]
    last = crl.get_revoked_certificate_by_serial_number(300)
    assert last is not None
    assert last.revocation_date_utc == since
    assert (
        last.extensions.get_extension_for_class(x509.CRLReason).value.reason
        is x509.ReasonFlags.key_compromise
    )
    assert (
        last.extensions.get_extension_for_class(x509.InvalidityDate).value.invalidity_date_utc
        == MOMENT
    )
    assert (crl.last_update_utc, crl.next_update_utc) == (MOMENT, MOMENT + WEEK)


def test_an_empty_crl_leaves_the_list_out_and_is_clean() -> None:
    der = signed(number=300)
    assert lint_crl(der, issuer=issuer(), number=300) == ()
    assert [tlv.tag for tlv in asn1.sequence(asn1.sequence(asn1.parse_exact(der))[0])][5:] == [0xA0]


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ([RevokedEntry(1, MOMENT), RevokedEntry(1, MOMENT)], "serial number twice"),
        ([RevokedEntry(1, MOMENT, "removeFromCRL")], "not for entries of a full CRL"),
    ],
)
def test_a_crl_that_may_not_be_is_not_built(entries: list[RevokedEntry], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        signed(*entries)


def test_a_crl_ends_after_it_begins() -> None:
    with pytest.raises(ValueError, match="not after thisUpdate"):
        signed(end=MOMENT)


def replaced(old: bytes, new: bytes) -> bytes:
    """A clean CRL with other bytes somewhere, so that its signature is wrong as well."""
    der = signed(RevokedEntry(0x4455, MOMENT, "keyCompromise"), RevokedEntry(0x4466, MOMENT))
    assert der.count(old) == 1
    return der.replace(old, new)


@pytest.mark.parametrize(
    ("make", "codes"),
    [
        (lambda: b"no CRL", {"crl-unreadable"}),
        (lambda: signed(number=8), {"crl-number"}),
        (
            lambda: replaced(b"\x02\x02\x44\x55", b"\x02\x02\x44\x77"),
            {"crl-signature", "crl-order"},
        ),
        (
            lambda: replaced(b"\x02\x02\x44\x55", b"\x02\x02\x44\x66"),
            {"crl-signature", "crl-order"},
        ),
        (lambda: replaced(b"\x0a\x01\x01", b"\x0a\x01\x00"), {"crl-signature", "crl-reason"}),
        (lambda: replaced(b"\x0a\x01\x01", b"\x0a\x01\x08"), {"crl-signature", "crl-reason"}),
        (
            lambda: replaced(b"261128120000Z", b"261121120000Z"),
            {"crl-unreadable", "crl-signature", "crl-times"},
        ),
        (
            lambda: replaced(issuer().subject_key_identifier, bytes(20)),
            {"crl-signature", "crl-aki"},
        ),
        (lambda: replaced(b"\x55\x1d\x23", b"\x55\x1d\x12"), {"crl-unreadable"}),
    ],
)
def test_lint_finds(make: Callable[[], bytes], codes: set[str]) -> None:
    finding_codes = {finding.code for finding in lint_crl(make(), issuer=issuer(), number=7)}
    assert finding_codes
    assert finding_codes <= codes


def test_lint_finds_the_crl_of_another_issuer_and_critical_extensions() -> None:
    key = rsa_key("bob")
    builder = x509.CertificateRevocationListBuilder().issuer_name(x509.Name([])).last_update(MOMENT)
    builder = builder.next_update(MOMENT + WEEK).add_extension(x509.CRLNumber(7), critical=True)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier(b"x", None, None), critical=False)
    der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    codes = {finding.code for finding in lint_crl(der, issuer=issuer(), number=7)}
    assert codes == {"crl-signature", "crl-issuer", "crl-aki", "crl-critical"}


@pytest.mark.usefixtures("starts_processes")
def test_openssl_reads_it_and_refuses_what_it_names(world: World, tmp_path: Path) -> None:
    bad, good = certificate_of(world), certificate_of(world, "r2.example", "bob")
    take_back(bad, "keyCompromise")
    issue = issued(world.ca)
    (tmp_path / "crl.der").write_bytes(issue.crl_der)
    (tmp_path / "crl.pem").write_bytes(
        x509.load_der_x509_crl(issue.crl_der).public_bytes(Encoding.PEM)
    )
    for name, row in (("ca", world.ca), ("bad", bad), ("good", good)):
        parsed = x509.load_der_x509_certificate(row.certificate_der)
        (tmp_path / f"{name}.pem").write_bytes(parsed.public_bytes(Encoding.PEM))

    def openssl(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            ["openssl", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    status, text = openssl(
        "crl", "-inform", "DER", "-in", "crl.der", "-noout", "-text", "-CAfile", "ca.pem"
    )
    assert status == 0, text
    assert "verify OK" in text
    for line in (
        "Version 2 (0x1)",
        "X509v3 CRL Number",
        str(issue.number),
        (
            "Serial Number: "
            f"{bad.serial_hex.upper().zfill(len(bad.serial_hex) + len(bad.serial_hex) % 2)}"
        ),
        "X509v3 CRL Reason Code",
        "Key Compromise",
        "X509v3 Authority Key Identifier",
    ):
        assert line in text, line
    assert text.count("Serial Number") == 1
    options = ("verify", "-crl_check", "-CAfile", "ca.pem", "-CRLfile", "crl.pem")
    assert openssl(*options, "good.pem")[0] == 0
    status, text = openssl(*options, "bad.pem")
    assert status != 0
    assert "certificate revoked" in text


# ----------------------------------------------------------------------------------- when it is due


def test_the_first_crl_is_due_at_once_and_the_task_twice_makes_one(world: World) -> None:
    issue_crls()
    issue_crls()
    issue = CrlIssue.objects.get()
    assert issue.number >= int(world.ca.created_at.timestamp())
    assert issue.next_update - issue.this_update == WEEK
    entry = AuditEntry.objects.get(event="crl:issue")
    assert (entry.subject_id, entry.data["number"], entry.data["entries"]) == (
        "issuing",
        issue.number,
        0,
    )
    assert str(issue) == f"CRL {issue.number} of issuing"


def test_a_new_one_is_due_at_half_of_its_life(world: World) -> None:
    first = issued(world.ca)
    assert issue_due_crls(now=later(days=3.4)) == []
    second = issued(world.ca, at=later(days=3.6))
    assert second.number > first.number
    assert second.this_update > first.this_update


def test_numbers_go_up_even_when_the_clock_goes_back(world: World) -> None:
    first = issued(world.ca)
    take_back(certificate_of(world))
    second = issued(world.ca, at=now() - timedelta(minutes=30))
    assert second.number == first.number + 1


def test_revocation_hold_and_release_each_make_one_due(world: World) -> None:
    certificate = certificate_of(world)
    assert serials(issued(world.ca)) == set()
    take_back(certificate, "certificateHold")
    assert serials(issued(world.ca)) == {certificate.serial_hex}
    give_back(certificate)
    assert serials(issued(world.ca)) == set()
    take_back(certificate)
    assert serials(issued(world.ca)) == {certificate.serial_hex}
    assert issue_due_crls(now=now()) == []


def test_what_was_given_up_is_on_it_since_a_signature_may_exist(world: World) -> None:
    Device.named("r1.example").enroll()
    request = EnrollmentRequest.objects.get()
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    with mock.patch(
        "approvals.issuance.issue.sign_prepared", side_effect=AuthorityUnusable("away")
    ):
        run_worker()
    given_up = Certificate.objects.filter(order_id=request.pk, status="PREPARED")
    certificate = given_up.get()
    given_up.update(status="ABANDONED")
    issue = issued(world.ca)
    assert serials(issue) == {certificate.serial_hex}
    entry = next(iter(x509.load_der_x509_crl(issue.crl_der)))
    assert entry.revocation_date_utc == certificate.prepared_at.replace(microsecond=0)
    assert len(entry.extensions) == 0


def test_an_entry_stays_until_a_crl_after_the_expiry_of_its_certificate_has_named_it(
    world: World,
) -> None:
    certificate = certificate_of(world)
    take_back(certificate)
    end = certificate.not_after
    shown = [serials(issued(world.ca, at=end + timedelta(days=days))) for days in (-3, 1, 5, 9, 13)]
    there = {certificate.serial_hex}
    assert shown == [there, there, there, set(), set()]


def test_a_crl_that_comes_late_names_what_expired_meanwhile(world: World) -> None:
    certificate = certificate_of(world)
    take_back(certificate)
    issued(world.ca)
    assert serials(issued(world.ca, at=certificate.not_after + timedelta(days=40))) == {
        certificate.serial_hex
    }
    assert serials(issued(world.ca, at=certificate.not_after + timedelta(days=44))) == set()


def test_the_life_is_a_setting(world: World, settings: object) -> None:
    settings.PORTAL_CRL_LIFE = timedelta(days=2)  # type: ignore[attr-defined]  # pytest-django's settings
    issue = issued(world.ca)
    assert issue.next_update - issue.this_update == timedelta(days=2)


# -------------------------------------------------------------------------------- faults


def test_a_worker_that_dies_before_storing_leaves_the_crl_before_and_the_next_one_has_a_higher_number(  # noqa: E501
    world: World,
) -> None:
    certificate = certificate_of(world)
    first = issued(world.ca)
    take_back(certificate)
    with (
        mock.patch("ca.signing.crl.lint_crl", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        issue_due_crls(now=now())
    lost = CrlIssue.objects.order_by("-number")[0]
    assert (lost.der, lost.number > first.number, latest_crl(world.ca)) == (None, True, first)
    assert lost.tbs_sha256  # the signed bytes are on record all the same
    with pytest.raises(LookupError, match="never signed"):
        _ = lost.crl_der
    assert issue_due_crls(now=now()) == []  # another worker could still be at it
    second = issued(world.ca, at=now() + CRL_LEASE)
    assert second.number > lost.number
    assert serials(second) == {certificate.serial_hex}


def test_a_revocation_does_not_wait_for_a_worker_that_died(world: World) -> None:
    with (
        mock.patch("ca.signing.crl.lint_crl", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        issue_due_crls(now=now())
    certificate = certificate_of(world)
    take_back(certificate)
    assert serials(issued(world.ca)) == {certificate.serial_hex}


def test_a_slow_worker_does_not_replace_what_another_published_meanwhile(world: World) -> None:
    certificate = certificate_of(world)
    real = lint_crl

    def slow(der: bytes, **rest: object) -> object:
        with mock.patch("ca.signing.crl.lint_crl", real):
            take_back(certificate)
            issued(world.ca)
        return ()

    with mock.patch("ca.signing.crl.lint_crl", slow):
        issue_crl(CertificateAuthority.objects.get(), now=now())
    newest = latest_crl(world.ca)
    assert newest is not None
    assert serials(newest) == {certificate.serial_hex}
    assert CrlIssue.objects.filter(der__isnull=False).count() == 2


def test_a_paused_authority_still_says_what_is_revoked_and_a_broken_one_holds_up_no_other(
    world: World,
) -> None:
    CertificateAuthority.objects.update(paused_at=now())
    other = create_ca("other", ra_key="device-1")
    broken = CertificateAuthority.objects.get(name="issuing")
    with mock.patch("ca.signing.crl.open_key", side_effect=_cannot_open(broken)):
        assert [issue.ca for issue in issue_due_crls(now=now())] == [other]
    assert [issue.ca for issue in issue_due_crls(now=now())] == [broken]


def _cannot_open(broken: CertificateAuthority) -> Callable[..., LoadedKey]:
    def opened(ca: CertificateAuthority, *, now: datetime) -> LoadedKey:
        if ca == broken:
            raise AuthorityUnusable("the key is away")
        return open_key(ca, now=now)

    return opened


def test_an_expired_authority_issues_none(world: World) -> None:
    assert issue_due_crls(now=later(days=4000)) == []
    with pytest.raises(AuthorityUnusable):
        issue_crl(world.ca, now=later(days=4000))
    assert not CrlIssue.objects.exists()


def test_two_workers_at_once_make_one(world: World) -> None:
    """The second worker finds the CRL due and, once it has the lock, not due any more."""
    with mock.patch("ca.signing.crl.crl_is_due", side_effect=[True, False]):
        assert issue_due_crls(now=now()) == []
    assert not CrlIssue.objects.exists()


def test_what_lint_refuses_is_not_published(world: World) -> None:
    with mock.patch("ca.signing.crl.lint_crl", return_value=(refuse("x", "CRL: not in order"),)):
        assert issue_due_crls(now=now()) == []
        with pytest.raises(CrlRefused, match="not in order"):
            issue_crl(world.ca, now=now(), even_if_not_due=True)
    assert latest_crl(world.ca) is None


def test_a_crl_on_record_does_not_change(world: World) -> None:
    issue = issued(world.ca)
    for change in ({"der": b"other", "sha256": "0"}, {"number": 1}, {"next_update": now()}):
        with pytest.raises((IntegrityError, DatabaseError)), transaction.atomic():
            CrlIssue.objects.filter(pk=issue.pk).update(**change)
    with pytest.raises((IntegrityError, DatabaseError)), transaction.atomic():
        issue.delete()


# -------------------------------------------------------------------------------------- publication


def test_everybody_fetches_it_without_a_name_of_the_host_and_asks_for_news(world: World) -> None:
    assert Client().get("/ca/issuing.crl").status_code == 404
    issue = issued(world.ca)
    answer = Client().generic("GET", "/ca/issuing.crl", HTTP_HOST="", SERVER_PROTOCOL="HTTP/1.0")
    assert (answer.status_code, answer.content) == (200, issue.crl_der)
    assert answer.headers["Content-Type"] == "application/pkix-crl"
    assert answer.headers["Content-Length"] == str(len(issue.crl_der))
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert "Set-Cookie" not in answer.headers
    for name, header in (
        ("HTTP_IF_NONE_MATCH", "ETag"),
        ("HTTP_IF_MODIFIED_SINCE", "Last-Modified"),
    ):
        environment: dict[str, Any] = {name: answer.headers[header]}
        again = Client().generic("GET", "/ca/issuing.crl", **environment)
        assert (again.status_code, again.content) == (304, b"")
        assert "Content-Length" not in again.headers
    take_back(certificate_of(world))
    issued(world.ca)
    news = Client().get("/ca/issuing.crl", HTTP_IF_NONE_MATCH=answer.headers["ETag"])
    assert news.status_code == 200
    assert news.content != issue.crl_der
    assert Client().get("/ca/unknown.crl").status_code == 404


def test_the_issuer_names_the_crl_and_of_two_of_one_name_the_newest_that_has_one(
    world: World,
) -> None:
    subject = issuer_facts(world.ca.certificate_der).subject_der
    assert crl_of_issuer(subject) is None
    issue = issued(world.ca)
    assert crl_of_issuer(subject) == issue.crl_der
    assert crl_of_issuer(b"\x30\x00") is None
    assert not crl_is_due(world.ca, now=now())
