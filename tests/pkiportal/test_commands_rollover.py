"""Rollover and RA certificates by command."""

import re
from typing import Any

import pytest
from django.core.management import CommandError

from accounts.roles import Role
from approvals.models.profiles import EnrollmentProfile
from audit.models import AuditEntry
from ca.content.csr_review import ProfileSpec
from ca.models.authorities import AuthorityRollover, CertificateAuthority
from ca.models.certificates import Certificate
from ca.models.crls import CrlIssue
from ca.signing.service_keys import certify_service_keys
from pkiportal.doctor import diagnosis, machine
from tests.flows.rolling import recorded
from tests.pages import signed_in
from tests.pkiportal.commands import run, run_json
from tests.world import World, create_person, create_profile, now

STAGE = ("stage", "issuing", "--next", "second", "--key", "rsa:2048", "--subject", "CN=Second CA")


def stage(*more: str) -> Any:
    with recorded("device-7", "device-8"):
        return run_json("rollover", *STAGE, *more)


def test_a_rollover_goes_through_its_stages_and_the_log_names_who_did_it(world: World) -> None:
    assert "No CA was ever followed" in run("rollover", "list")
    staged = stage()
    assert set(staged) == {
        *(
            "ca",
            "next",
            "stage",
            "staged_at",
            "published_at",
            "switched_at",
            "cancelled_at",
            "next_sha256",
            "profiles",
        )
    }
    following = CertificateAuthority.objects.get(name="second")
    assert (staged["stage"], staged["next_sha256"]) == ("staged", following.certificate_sha256)
    assert CrlIssue.objects.filter(ca=following, der__isnull=False).exists()
    assert "Published" in run("rollover", "publish", "issuing")
    switched = run_json("rollover", "switch", "issuing")
    assert (switched["stage"], switched["profiles"]) == ("switched", ["routers"])
    assert EnrollmentProfile.objects.get().ca == following
    assert "switched" in run("rollover", "list")
    entries = AuditEntry.objects.filter(event__startswith="rollover:")
    assert {entry.actor_kind for entry in entries} == {"command"}
    with pytest.raises(CommandError, match="no rollover is open"):
        run("rollover", "cancel", "issuing")


def test_it_is_cancelled_before_the_switch(world: World) -> None:
    stage("--root")
    assert "issuing stays, second is not used" in run("rollover", "cancel", "issuing")
    assert AuthorityRollover.objects.get().stage == "cancelled"
    assert CertificateAuthority.objects.get(name="second").paused_at is None, (
        "it was never published"
    )


def test_the_next_ca_has_the_parent_that_is_named(world: World) -> None:
    assert stage("--parent", "issuing")["next"] == "second"
    assert CertificateAuthority.objects.get(name="second").parent == world.ca


def test_without_the_right_to_make_ra_keys_the_web_is_left_to_do_it(world: World) -> None:
    with recorded("device-7"):
        run("rollover", *STAGE, "--no-ra-key")
    with pytest.raises(CommandError, match=r"its RA certificate for ra\+chain is not there yet"):
        run("rollover", "publish", "issuing")


def test_a_profile_whose_addresses_name_the_current_ca_is_named(world: World) -> None:
    create_profile(world.ca, "fixed", spec=ProfileSpec(crl_url="http://pki.example/ca/issuing.crl"))
    create_profile(world.ca, "free", spec=ProfileSpec(crl_url="http://pki.example/ca/{ca}.crl"))
    stage()
    with pytest.raises(
        CommandError,
        match=r"fixed: http://pki.example/ca/issuing.crl: this address of issuing would",
    ):
        run("rollover", "publish", "issuing")
    assert "Published" in run("rollover", "publish", "issuing", "--fixed-addresses")


def test_ra_certificates_are_listed_and_renewed(world: World) -> None:
    (first,) = run_json("racertificates", "list")
    assert set(first) == {
        "ca",
        "purpose",
        "key",
        "serial",
        "certified_at",
        "not_after",
        "given_out",
    }
    assert (first["ca"], first["purpose"], first["given_out"]) == ("issuing", "scep-ra", True)
    with recorded("device-1"):
        waiting, _ = run_json("racertificates", "renew", "--ca", "issuing")
    assert (waiting["serial"], waiting["given_out"]) == (None, False)
    assert "waits" in run("racertificates", "list", "--ca", "issuing")
    certify_service_keys(now=now())
    serial = ":".join(re.findall("..?", first["serial"].upper()))
    (left,) = run_json("racertificates", "retire", "--ca", "issuing", "--serial", serial)
    assert (left["key"], left["given_out"]) == (waiting["key"], True)
    assert Certificate.objects.get(serial_hex=first["serial"]).revocation_reason == "keyCompromise"
    with pytest.raises(CommandError, match="its only RA certificate of the kind"):
        run("racertificates", "retire", "--ca", "issuing", "--serial", left["serial"])


def test_without_authorities_there_is_no_ra_certificate_to_list(db: None) -> None:
    assert "createca" in run("racertificates", "list")


def test_createprofile_says_what_get_ca_cert_answers(world: World) -> None:
    options = (
        "--ca",
        "issuing",
        "--approval",
        "manual",
        "--challenge",
        "none",
        "--ca-certificates",
        "split+chain",
    )
    assert run_json("createprofile", "vpn", *options)["ca_certificates"] == "split+chain"


def test_the_page_of_authorities_shows_the_rollover_and_what_ends(world: World) -> None:
    stage()
    page = signed_in(create_person("bob", Role.AUDITOR)).get("/ca/").content.decode()
    for text in ("Followed by", "Will follow", "staged", "SCEP RA", "given out", "no CRL yet"):
        assert text in page


def test_the_doctor_names_what_ends_and_ra_keys_that_are_missing_here(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "pending_migrations", list)
    monkeypatch.setattr(machine, "broker_answers", lambda: True)
    (next(settings.RA_KEY_FOLDER.glob("*.pem"))).unlink()
    findings = {(item.name, item.state): item.text for item in diagnosis.examine(now)}
    assert "no CRL yet" in findings["authority issuing", "warn"]
    assert "is missing: copy it" in findings["RA keys", "warn"]
    run("crl", "issue")
    settings.RA_KEY_FOLDER = settings.RA_KEY_FOLDER / "nowhere"
    findings = {(item.name, item.state): item.text for item in diagnosis.examine(now)}
    assert findings["authority issuing", "ok"] == "certificates and CRL are good"
    assert ("RA keys", "warn") not in findings
