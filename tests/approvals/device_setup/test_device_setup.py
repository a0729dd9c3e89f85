"""The pages *Set up devices*: checked names, challenges by POST shown once, signed files."""

import html
import plistlib
import re
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.conf import settings
from django.http import HttpResponse
from django.urls import reverse

from accounts.models.people import Department
from accounts.principals import PORTAL
from accounts.roles import Role
from approvals.device_setup.client_matrix import Outcome, published_run
from approvals.device_setup.configuration_keys import (
    RENEWED_BEFORE,
    ensure_configuration_key,
    sign_configuration,
)
from approvals.device_setup.configurations.clients import CLIENTS
from approvals.device_setup.configurations.facts import Names
from approvals.device_setup.setup import (
    ConfigurationTarget,
    NamesRefused,
    WantedNames,
    check_wanted,
    configuration_facts,
    create_configuration_challenge,
)
from approvals.models.challenges import ChallengePassword
from approvals.models.profiles import EnrollmentProfile
from approvals.profiles.manage import ProtocolSwitches
from approvals.rules.errors import NotPermitted, ProfileInvalid
from audit.models import AuditEntry, AuditPrivateValue
from ca.content.csr_review import ProfileSpec
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from ca.models.keys import ServiceKey, ServicePurpose
from ca.signing.authorities import AuthorityRequest, create_authority
from ca.signing.service_keys import certify_service_keys
from ca.x509.names import build_name
from scep.protocol.constants import PKIStatus
from tests.ca.forge import challenge, request_der
from tests.flows import wire
from tests.pages import signed_in
from tests.pki import rsa_key
from tests.world import Device, World, create_person, create_profile, later, now, principal_of

SECRET = re.compile(r"--password ([a-z2-7]{32})")


@pytest.fixture(autouse=True)
def public_name(settings: Any) -> None:
    """Devices are told a name that leads to the portal."""
    settings.PORTAL_PUBLIC_URL = "http://pki.example:8000"


@pytest.fixture
def one_time(world: World) -> EnrollmentProfile:
    """A profile that wants one-time challenges."""
    return create_profile(world.ca, "vpn", challenge="one-time")


@pytest.fixture
def recorded_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The portal's own keys come from the recorded ones."""
    monkeypatch.setattr("keys.file.generate", lambda spec: rsa_key("device-8"))


def post(world: World, path: str, **data: str) -> HttpResponse:
    answer = signed_in(world.alice).post(path, {"lifetime": "1h"} | data)
    assert isinstance(answer, HttpResponse)
    return answer


@pytest.mark.parametrize("slug", sorted(CLIENTS))
def test_every_client_has_a_page_of_its_own_address(world: World, slug: str) -> None:
    page = signed_in(world.alice).get(f"/profiles/routers/devices/{slug}/")
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    assert CLIENTS[slug].name in html.unescape(page.content.decode())
    assert 'aria-current="page"' in page.content.decode()


def test_an_unknown_client_is_not_there(world: World) -> None:
    assert signed_in(world.alice).get("/profiles/routers/devices/toaster/").status_code == 404


def test_the_overview_has_what_any_client_needs(world: World) -> None:
    text = signed_in(world.alice).get("/profiles/routers/devices/").content.decode()
    for part in (
        "/scep/routers/",
        "SHA-256",
        "SHA-1",
        "MD5",
        "RSA 2048, 3072, 4096",
        "every 60 seconds",
        "<svg",
    ):
        assert part in text
    assert 'style="' not in text


def test_names_are_put_in_and_go_along_to_the_other_clients(world: World) -> None:
    page = signed_in(world.alice).get(
        "/profiles/routers/devices/strongswan/",
        {"cn": "r1.example", "o": "Example", "san": "dns:r1.example, 192.0.2.1"},
    )
    text = page.content.decode()
    assert "O=Example, CN=r1.example" in text
    assert "--san r1.example --san 192.0.2.1" in text
    assert "certmonger/?cn=r1.example&amp;o=Example&amp;san=dns%3Ar1.example%2C+192.0.2.1" in text


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ({"cn": "r1.example", "san": "email:a@b.example"}, "kind not allowed"),
        ({"cn": "r1.example", "san": "ip:nowhere"}, "not of kind ip"),
        ({"cn": "a\u202eb"}, "invisible or control character"),
        ({"cn": "R" * 65}, "at most 64"),
    ],
)
def test_the_profile_refuses_names_before_a_device_asks_for_them(
    world: World, names: dict[str, str], sentence: str
) -> None:
    text = (
        signed_in(world.alice).get("/profiles/routers/devices/cisco-ios/", names).content.decode()
    )
    assert sentence in text
    assert "CN=device.example" in text, "a placeholder stands in the steps"


def test_a_name_that_a_console_cannot_be_given_is_said_and_no_steps_are_shown(world: World) -> None:
    page = signed_in(world.alice).get("/profiles/routers/devices/cisco-ios/", {"cn": 'a"b'})
    assert page.status_code == 422
    assert "characters that a device console may take for commands" in page.content.decode()
    assert "crypto pki" not in page.content.decode()


def test_a_challenge_is_made_by_post_shown_once_and_serves_a_device(
    world: World, one_time: EnrollmentProfile
) -> None:
    page = post(world, "/profiles/vpn/devices/strongswan/challenge", cn="alice.example")
    (secret,) = SECRET.findall(page.content.decode())
    assert page["Cache-Control"] == "no-store"
    again = (
        signed_in(world.alice)
        .get("/profiles/vpn/devices/strongswan/?cn=alice.example")
        .content.decode()
    )
    assert secret not in again
    assert "--password CHALLENGE" in again
    device = Device.named("alice.example", profile="vpn")
    assert device.enroll(challenge=secret).status is PKIStatus.PENDING


def test_a_challenge_is_bound_to_the_names_typed_and_one_without_names_to_none(
    world: World, one_time: EnrollmentProfile
) -> None:
    post(world, "/profiles/vpn/devices/strongswan/challenge", cn="a.example", san="a.example")
    post(world, "/profiles/vpn/devices/strongswan/challenge", cn="a.example", san="b.example")
    post(world, "/profiles/vpn/devices/strongswan/challenge")
    bound = list(ChallengePassword.objects.order_by("id").values_list("subject", "sans"))
    assert bound == [("a.example", ["dns:a.example"]), ("a.example", ["dns:b.example"]), ("", [])]
    assert set(ChallengePassword.objects.values_list("origin", flat=True)) == {"configuration"}


def test_a_challenge_for_an_organization_alone_is_bound_to_that_subject(
    world: World, one_time: EnrollmentProfile
) -> None:
    names = check_wanted(one_time, WantedNames(organization="Example AG"))
    recipient = ConfigurationTarget(one_time, CLIENTS["strongswan"], names)
    secret = create_configuration_challenge(recipient, principal=PORTAL, now=now()).reveal()
    assert ChallengePassword.objects.get().subject_dn == "O=Example AG"
    for name, value, status in (
        ("CN", "dc1.example", PKIStatus.FAILURE),
        ("O", "Example AG", PKIStatus.PENDING),
    ):
        csr = request_der(build_name([(name, value)]), challenge(secret))
        assert wire.post(wire.message(world, csr), "vpn").status is status


def test_the_log_says_who_took_which_configuration_and_holds_no_challenge(
    world: World, one_time: EnrollmentProfile
) -> None:
    page = post(world, "/profiles/vpn/devices/strongswan/challenge", cn="a.example")
    (secret,) = SECRET.findall(page.content.decode())
    entry = AuditEntry.objects.get(event="configuration:export")
    assert entry.subject_id == str(ChallengePassword.objects.get().pk)
    assert (entry.data["profile"], entry.data["client"]) == ("vpn", "strongswan")
    assert secret not in str(list(AuditEntry.objects.values())) + str(
        list(AuditPrivateValue.objects.values())
    )


@pytest.mark.parametrize(
    ("path", "data", "sentence"),
    [
        ("strongswan/challenge", {"cn": "x" * 65}, "at most 64"),
        ("strongswan/challenge", {"lifetime": "9y"}, "Select a valid choice"),
        ("cisco-ios/challenge", {"cn": 'a"b'}, "device console"),
        ("intune/challenge", {}, "brings a challenge of its own"),
        ("apple/mobileconfig/challenge", {"cn": "x" * 65}, "at most 64"),
        ("apple/mobileconfig/challenge", {"lifetime": ""}, "required"),
    ],
)
def test_nothing_is_made_for_a_form_that_is_wrong(
    world: World, one_time: EnrollmentProfile, path: str, data: dict[str, str], sentence: str
) -> None:
    page = post(world, f"/profiles/vpn/devices/{path}", **data)
    assert page.status_code == 422
    assert sentence in page.content.decode()
    assert not ChallengePassword.objects.exists()
    assert not AuditEntry.objects.filter(event="configuration:export").exists()


@pytest.mark.parametrize("path", ["strongswan/challenge", "apple/mobileconfig/challenge"])
def test_a_profile_without_one_time_challenges_gives_none(world: World, path: str) -> None:
    page = post(world, f"/profiles/routers/devices/{path}")
    assert page.status_code == 422
    assert "not one-time challenges" in page.content.decode()


def test_a_static_challenge_is_not_shown(world: World) -> None:
    create_profile(world.ca, "printers", challenge="static", static_challenge="seven-quiet-otters")
    text = signed_in(world.alice).get("/profiles/printers/devices/strongswan/").content.decode()
    assert "seven-quiet-otters" not in text
    assert "one static challenge" in text
    assert "--password CHALLENGE" in text


def test_an_auditor_reads_the_steps_and_makes_no_challenge(
    world: World, one_time: EnrollmentProfile
) -> None:
    bob = create_person("bob", Role.AUDITOR)
    assert (
        "Officers and administrators make it"
        in signed_in(bob).get("/profiles/vpn/devices/sscep/").content.decode()
    )
    assert signed_in(bob).post("/profiles/vpn/devices/sscep/challenge").status_code == 403


def test_an_officer_of_another_department_gets_no_challenge_by_any_door(
    world: World, one_time: EnrollmentProfile
) -> None:
    here, there = (Department.objects.create(slug=slug, name=slug) for slug in ("here", "there"))
    EnrollmentProfile.objects.filter(pk=one_time.pk).update(department=here)
    one_time.refresh_from_db()
    bob = create_person("bob", Role.OFFICER, department=there)
    assert (
        signed_in(bob).post("/profiles/vpn/devices/sscep/challenge", {"lifetime": "1h"}).status_code
        == 404
    )
    recipient = ConfigurationTarget(one_time, CLIENTS["sscep"], Names((("CN", "a"),)))
    with pytest.raises(NotPermitted):
        create_configuration_challenge(recipient, principal=principal_of(bob), now=now())
    assert not ChallengePassword.objects.exists()


def test_a_profile_whose_rules_are_not_there_yet_has_no_page(world: World) -> None:
    version = world.profile.certificate_profile.current
    type(world.profile.certificate_profile).objects.update(current=None)
    assert signed_in(world.alice).get("/profiles/routers/devices/").status_code == 404
    world.profile.certificate_profile.refresh_from_db()
    with pytest.raises(ProfileInvalid, match="no version yet"):
        check_wanted(world.profile, WantedNames())
    assert version is not None


def test_placeholders_fit_what_the_profile_lets_a_device_ask_for(world: World) -> None:
    strict = create_profile(world.ca, "strict", spec=ProfileSpec(san_required=True))
    bare = create_profile(world.ca, "bare", spec=ProfileSpec(subject_attributes=("O",)))
    assert check_wanted(world.profile, WantedNames()) == Names((("CN", "device.example"),))
    assert check_wanted(strict, WantedNames()).sans == (("dns", "device.example"),)
    assert check_wanted(bare, WantedNames()) == Names((), (("dns", "device.example"),))
    with pytest.raises(NamesRefused, match="subjectAltName: missing"):
        check_wanted(strict, WantedNames("a.example"))


def test_the_facts_follow_the_profile(world: World) -> None:
    spec = ProfileSpec(rsa_min_bits=3072)
    profile = create_profile(
        world.ca, "kiosk", spec=spec, approval="automatic", challenge="one-time"
    )
    facts = configuration_facts(profile, check_wanted(profile, WantedNames("a.example")))
    assert (facts.key_bits, facts.is_manual, facts.is_one_time, facts.renews) == (
        3072,
        False,
        True,
        False,
    )
    assert facts.challenge == "CHALLENGE"
    assert [authority.name for authority in facts.authorities] == ["issuing"]
    assert (facts.takes_legacy, facts.is_split, facts.gives_root) == (False, False, True)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("issuing", "split+chain", (True, True)),
        ("issuing", "ra+issuing", (False, True)),
        ("below", "ra+issuing", (False, False)),
        ("below", "ra+chain", (False, True)),
    ],
)
def test_the_facts_say_what_the_profile_takes_and_gives_out(
    world: World, recorded_key: None, name: str, shape: str, expected: tuple[bool, bool]
) -> None:
    authority_request = AuthorityRequest(
        name="below", subject="CN=below CA,O=Example", key_type="rsa:2048", parent=world.ca
    )
    ca = {
        "issuing": world.ca,
        "below": create_authority(authority_request, principal=PORTAL, now=now()),
    }[name]
    switches = ProtocolSwitches(legacy_algorithms=True)
    profile = create_profile(ca, "kiosk", ca_certificates=shape, switches=switches)
    facts = configuration_facts(profile, check_wanted(profile, WantedNames("a.example")))
    assert (facts.is_split, facts.gives_root) == expected
    assert facts.takes_legacy


# ------------------------------------------------------------------------------------- Apple's file


@pytest.mark.usefixtures("starts_processes")
def test_the_first_file_is_not_signed_and_the_next_is_once_the_worker_was_there(
    world: World, recorded_key: None, tmp_path: Path
) -> None:
    client = signed_in(world.alice)
    assert "not signed yet" in client.get("/profiles/routers/devices/apple/").content.decode()
    first = client.get("/profiles/routers/devices/apple/mobileconfig", {"cn": "mac.example"})
    assert first["Content-Type"] == "application/x-apple-aspen-config"
    assert first["Content-Disposition"] == 'attachment; filename="portal-routers.mobileconfig"'
    assert plistlib.loads(first.content)["PayloadContent"][0]["PayloadContent"]["Subject"] == [
        [["CN", "mac.example"]]
    ]
    assert certify_service_keys(now=now()) == 1
    assert "is signed by issuing" in client.get("/profiles/routers/devices/apple/").content.decode()
    second = client.get("/profiles/routers/devices/apple/mobileconfig", {"cn": "mac.example"})
    assert verified(second.content, world, tmp_path) == first.content
    assert ServiceKey.objects.filter(purpose=ServicePurpose.CONFIGURATION).count() == 1


def verified(signed: bytes, world: World, folder: Path) -> bytes:
    """Return the content that `openssl cms` finds signed for mail, by a certificate of the CA."""
    (folder / "signed").write_bytes(signed)
    (folder / "ca.der").write_bytes(world.ca.certificate_der)
    command = [
        "openssl",
        "cms",
        "-verify",
        "-inform",
        "DER",
        "-in",
        "signed",
        "-purpose",
        "smimesign",
        "-out",
        "content",
    ]
    convert = ["openssl", "x509", "-inform", "DER", "-in", "ca.der", "-out", "ca.pem"]
    subprocess.run(convert, cwd=folder, check=True)
    subprocess.run([*command, "-CAfile", "ca.pem"], cwd=folder, check=True, capture_output=True)
    return (folder / "content").read_bytes()


def test_the_certificate_of_the_key_signs_and_does_nothing_else(
    world: World, recorded_key: None
) -> None:
    service = ensure_configuration_key(world.ca, now=now())
    certify_service_keys(now=now())
    service.refresh_from_db()
    assert service.certificate is not None
    extensions = x509.load_der_x509_certificate(service.certificate.certificate_der).extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (
        True,
        False,
        False,
    )
    purposes = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert purposes == [ExtendedKeyUsageOID.EMAIL_PROTECTION]


def test_a_file_with_a_challenge_is_recorded_and_kept_nowhere(
    world: World, one_time: EnrollmentProfile, recorded_key: None
) -> None:
    answer = post(world, "/profiles/vpn/devices/apple/mobileconfig/challenge", cn="mac.example")
    assert answer["Cache-Control"] == "no-store"
    content = plistlib.loads(answer.content)["PayloadContent"][0]["PayloadContent"]
    stolen = Device.named("thief.example", profile="vpn").enroll(challenge=content["Challenge"])
    assert stolen.status is PKIStatus.FAILURE
    rightful = Device.named("mac.example", profile="vpn").enroll(challenge=content["Challenge"])
    assert rightful.status is PKIStatus.PENDING
    assert AuditEntry.objects.get(event="configuration:export").data["client"] == "apple"


def test_names_that_are_refused_give_no_file(world: World) -> None:
    answer = signed_in(world.alice).get(
        "/profiles/routers/devices/apple/mobileconfig", {"cn": "x" * 65}
    )
    assert answer.status_code == 422
    assert answer["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(("ra_days", "ca_days"), [(20, 3650), (730, 20)])
def test_downloads_share_a_key_also_where_its_certificate_never_lasts_a_month(
    world: World, recorded_key: None, settings: Any, ra_days: int, ca_days: int
) -> None:
    settings.PORTAL_RA_LIFE = timedelta(days=ra_days)
    CertificateAuthority.objects.update(not_after=now() + timedelta(days=ca_days))
    world.ca.refresh_from_db()
    first = ensure_configuration_key(world.ca, now=now())
    certify_service_keys(now=now())
    Certificate.objects.filter(order_id=first.pk).update(not_after=now() + timedelta(days=20))
    assert ensure_configuration_key(world.ca, now=later(hours=3)) == first


def test_a_key_that_cannot_be_read_leaves_the_file_unsigned(
    world: World, recorded_key: None
) -> None:
    service = ensure_configuration_key(world.ca, now=now())
    certify_service_keys(now=now())
    assert sign_configuration(world.ca, b"content", now=now()) is not None
    (Path(settings.RA_KEY_FOLDER) / service.key_name).unlink()
    assert sign_configuration(world.ca, b"content", now=now()) is None


def test_a_new_key_is_made_before_the_certificate_of_the_old_one_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = iter([rsa_key("device-7"), rsa_key("device-8")])
    monkeypatch.setattr("keys.file.generate", lambda spec: next(keys))
    first = ensure_configuration_key(world.ca, now=now())
    certify_service_keys(now=now())
    assert ensure_configuration_key(world.ca, now=now()) == first
    Certificate.objects.filter(order_id=first.pk).update(not_after=now() + RENEWED_BEFORE / 2)
    second = ensure_configuration_key(world.ca, now=now())
    assert second != first
    signed = sign_configuration(world.ca, b"content", now=now())
    assert signed is not None, "the old one signs until the new one is certified"


def test_the_page_of_clients_is_the_published_run(world: World) -> None:
    run = published_run()
    page = signed_in(world.alice).get(reverse("working_clients")).content.decode()
    assert all(
        name in page for name in (*run.clients, run.platform, *(row.title for row in run.scenarios))
    )
    assert all(html.escape(item.reason) in page for item in run.reasons)
    document = (settings.BASE_DIR / "docs/devices/interop.md").read_text()
    for row in run.scenarios:
        assert (
            f"| {row.title} | {' | '.join(outcome.text for outcome in row.outcomes)} |" in document
        )


@pytest.mark.parametrize(
    ("text", "tone"),
    [
        ("works", "good"),
        ("refused: badAlg, with a text", "bad"),
        ("**fails**", "bad"),
        ("no", "quiet"),
        ("not run", "quiet"),
    ],
)
def test_an_outcome_says_at_a_glance_what_it_is(text: str, tone: str) -> None:
    assert Outcome("sscep", text).tone == tone
