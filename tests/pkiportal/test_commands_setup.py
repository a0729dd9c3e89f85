"""Authorities, profiles, people and challenges by command."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.management import CommandError

from accounts.models.people import Department, User
from accounts.permissions import roles_of
from accounts.roles import Role
from approvals.enrollment.renewals import policy_of
from approvals.models.profiles import EnrollmentProfile
from approvals.rules.policy import RenewalPolicy
from audit.models import AuditEntry
from ca.models.authorities import CertificateAuthority
from pkiportal.doctor.records import asserted_decisions
from pkiportal.management import arguments
from tests.pages import create_requests, signed_in
from tests.pki import rsa_key
from tests.pkiportal.commands import run, run_json, status_and_json
from tests.world import World, create_person, create_profile, now

PASSWORD = "correct horse battery staple"


def spec_of(slug: str) -> Any:
    """Return the rules of a profile's certificates."""
    version = EnrollmentProfile.objects.get(slug=slug).certificate_profile.current
    assert version is not None
    return version.resolve()


def test_createca_makes_an_authority_that_is_ready_for_scep(world: World) -> None:
    with mock.patch("keys.file.generate", side_effect=[rsa_key("ca"), rsa_key("bob")]):
        options = ["--key", "rsa:2048", "--subject", "CN=Sub,O=Ex", "--parent", "issuing", "--test"]
        document = run_json("createca", "sub", *options)
    assert document | {"sha256": "", "not_before": "", "not_after": ""} == {
        "name": "sub",
        "subject": "O=Ex, CN=Sub",
        "key": "rsa:2048",
        "parent": "issuing",
        "not_before": "",
        "not_after": "",
        "sha256": "",
        "test": True,
        "scep_ready": True,
    }
    entry = AuditEntry.objects.get(event="authority:create", subject_id="sub")
    assert entry.actor_kind == "command"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--key", "dsa:1024", "--subject", "CN=x"), "dsa:1024"),
        (("--key", "ec:p256", "--subject", "nonsense"), "nonsense"),
        (
            ("--key", "ec:p256", "--subject", "CN=x", "--parent", "unknown"),
            "authority 'unknown': not known, there are issuing",
        ),
        (("--key", "ec:p256", "--subject", "CN=x", "--days", "0"), "days 0"),
    ],
)
def test_createca_names_what_cannot_be(
    world: World, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        run("createca", "other", *options)
    assert CertificateAuthority.objects.count() == 1


def test_createca_says_what_is_left_when_the_ra_key_cannot_be_made(world: World) -> None:
    with (
        mock.patch("keys.file.generate", return_value=rsa_key("ca")),
        mock.patch(
            "pkiportal.management.ra_certificates.ensure_ra_key",
            side_effect=PermissionError("not yours"),
        ),
    ):
        assert (
            run_json("createca", "sub", "--key", "ec:p256", "--subject", "CN=Sub")["scep_ready"]
            is False
        )


def test_createprofile_makes_both_kinds_of_profile(world: World, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a static challenge\n")
    options = [
        "--approval",
        "automatic",
        "--challenge",
        "static",
        "--secret-file",
        str(secret),
        "--days",
        "90",
    ]
    options += [
        "--usage",
        "client-auth,server-auth",
        "--san-pattern",
        r"dns:.*\.example",
        "--san-pattern",
        r"(?:a|b)\.test",
    ]
    document = run_json(
        "createprofile",
        "vpn",
        "--ca",
        "issuing",
        "--network",
        "10.0.0.0/8",
        "--name",
        "VPN",
        *options,
    )
    assert document == {
        "slug": "vpn",
        "name": "VPN",
        "scep_url": "http://localhost:8000/scep/vpn/",
        "approval": "automatic",
        "challenge": "static",
        "renewal": "off",
        "default": False,
        "ca_certificates": "ra+chain",
        "ca": "issuing",
        "paused": False,
    }
    spec = spec_of("vpn")
    assert (spec.validity_days, spec.extended_key_usages) == (90, ("client-auth", "server-auth"))
    assert (spec.san_kinds, dict(spec.san_patterns)) == (
        ("dns",),
        {"dns": (r".*\.example", r"(?:a|b)\.test")},
    )
    assert (spec.ca_issuers_url, spec.crl_url) == (
        "http://localhost:8000/ca/{ca}.cer",
        "http://localhost:8000/ca/{ca}.crl",
    )


@pytest.mark.parametrize(("window", "expected"), [("0", timedelta(0)), ("45d", timedelta(days=45))])
def test_createprofile_says_how_devices_renew(
    world: World, window: str, expected: timedelta
) -> None:
    options = [
        "--approval",
        "manual",
        "--challenge",
        "none",
        "--renewal",
        "officer",
        "--renewal-window",
        window,
    ]
    assert (
        run_json("createprofile", "vpn", "--ca", "issuing", *options, "--renewal-key-reuse")[
            "renewal"
        ]
        == "officer"
    )
    assert policy_of(EnrollmentProfile.objects.get(slug="vpn")) == RenewalPolicy(
        "officer", expected, key_reuse=True
    )


def test_createprofile_bounds_renewals_and_guesses(world: World) -> None:
    options = ["--ca", "issuing", "--approval", "manual", "--challenge", "one-time"]
    renewal = [
        "--renewal",
        "automatic",
        "--renewal-grace",
        "7d",
        "--renewal-changed-names",
        "officer",
    ]
    limits = ["--max-failed-per-address", "0", "--max-failed", "90", "--never-lock", "10.9.0.0/16"]
    run("createprofile", "vpn", *options, *renewal, *limits)
    profile = EnrollmentProfile.objects.get(slug="vpn")
    assert policy_of(profile) == RenewalPolicy(
        "automatic", grace=timedelta(days=7), changed_names="officer"
    )
    assert (profile.max_failed_per_address, profile.max_failed_challenges) == (0, 90)
    assert profile.lock_exempt_networks == ["10.9.0.0/16"]


@pytest.mark.parametrize("number", ["-1", "many", "1000000001", "\u0663"])
def test_createprofile_names_a_limit_that_is_no_number(world: World, number: str) -> None:
    options = ["--ca", "issuing", "--approval", "manual", "--challenge", "one-time"]
    with pytest.raises(CommandError, match="is not a number from 0 to 1000000000"):
        run("createprofile", "vpn", *options, f"--max-failed={number}")


@pytest.mark.parametrize(
    ("options", "is_allowed"),
    [
        ((), False),
        (("--challenge", "one-time"), False),
        (("--approval", "automatic", "--challenge", "one-time"), False),
        (("--signed-in-officers-only",), False),
        (("--renewal", "officer"), False),
        (("--allow-asserted-decisions",), True),
    ],
)
def test_decisions_by_command_are_asked_for(
    world: World, options: tuple[str, ...], is_allowed: bool
) -> None:
    run(
        "createprofile",
        "vpn",
        "--ca",
        "issuing",
        "--approval",
        "manual",
        "--challenge",
        "none",
        *options,
    )
    assert EnrollmentProfile.objects.get(slug="vpn").allow_asserted_decisions is is_allowed
    entry = AuditEntry.objects.get(event="profile:create", subject_id="vpn")
    assert entry.data["allow_asserted_decisions"] is is_allowed
    (request,) = create_requests(EnrollmentProfile.objects.get(slug="vpn"), ["r1.example"])
    status, document = status_and_json("requests", "approve", str(request.pk), "--officer", "alice")
    assert (status, document[0]["done"]) == ((0, True) if is_allowed else (1, False))


def test_an_administrator_has_to_tick_decisions_by_command(world: World) -> None:
    charlie = signed_in(create_person("charlie", Role.ADMINISTRATOR))
    page = charlie.get("/admin/approvals/enrollmentprofile/add/")
    assert page.context["adminform"].form["allow_asserted_decisions"].value() is False
    assert EnrollmentProfile().allow_asserted_decisions is False


def test_doctor_names_profiles_that_take_decisions_by_command_but_no_test_profiles(
    world: World,
) -> None:
    for slug in ("a", "b", "c"):
        run("createprofile", slug, "--ca", "issuing", "--approval", "manual", "--challenge", "none")
    EnrollmentProfile.objects.filter(slug="c").update(allow_asserted_decisions=True, is_test=True)
    (finding,) = asserted_decisions(now)
    assert (finding.state, "routers" in finding.text) == ("warn", True)
    EnrollmentProfile.objects.filter(slug="b").update(allow_asserted_decisions=True)
    (finding,) = asserted_decisions(now)
    assert "b, routers" in finding.text
    EnrollmentProfile.objects.filter(is_test=False).update(allow_asserted_decisions=False)
    (finding,) = asserted_decisions(now)
    assert finding.state == "ok"


def test_createprofile_turns_the_switches_of_the_protocol(world: World) -> None:
    options = ["--ca", "issuing", "--approval", "manual", "--challenge", "none"]
    run("createprofile", "vpn", *options)
    run(
        "createprofile",
        "old",
        *options,
        "--legacy-algorithms",
        "--reply-chain",
        "chain",
        "--max-clock-skew",
        "10m",
    )
    run("createprofile", "odd", *options, "--empty-content", "absent")
    fields = ("slug", "legacy_algorithms", "reply_chain", "empty_content", "max_clock_skew")
    assert list(
        EnrollmentProfile.objects.exclude(slug="routers").order_by("slug").values_list(*fields)
    ) == [
        ("odd", False, "leaf", "absent", None),
        ("old", True, "chain", "octets", timedelta(minutes=10)),
        ("vpn", False, "leaf", "octets", None),
    ]


def test_createprofile_marks_the_one_profile_for_addresses_without_a_name(world: World) -> None:
    options = ["--ca", "issuing", "--approval", "manual", "--challenge", "none", "--default"]
    assert run_json("createprofile", "vpn", *options)["default"] is True
    with pytest.raises(CommandError, match="Another profile is the default already"):
        run("createprofile", "phones", *options)
    assert not EnrollmentProfile.objects.filter(slug="phones").exists()


def test_a_portal_with_tls_only_puts_no_address_into_certificates(
    world: World, settings: Any
) -> None:
    settings.PORTAL_PUBLIC_URL = "https://pki.example"
    run("createprofile", "vpn", "--ca", "issuing", "--approval", "manual", "--challenge", "none")
    assert (spec_of("vpn").ca_issuers_url, spec_of("vpn").crl_url) == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ca", "unknown", "--approval", "manual", "--challenge", "none"), "authority 'unknown'"),
        (("--ca", "issuing", "--approval", "automatic", "--challenge", "none"), "challenge none"),
        (("--ca", "issuing", "--approval", "manual", "--challenge", "static"), "--secret-file"),
        (
            (
                "--ca",
                "issuing",
                "--approval",
                "manual",
                "--challenge",
                "none",
                "--network",
                "10.0.0.1/8",
            ),
            "network",
        ),
        (
            (
                "--ca",
                "issuing",
                "--approval",
                "manual",
                "--challenge",
                "none",
                "--san-pattern",
                "dsn:x",
            ),
            "dsn",
        ),
        (
            (
                "--ca",
                "issuing",
                "--approval",
                "manual",
                "--challenge",
                "none",
                "--usage",
                "everything",
            ),
            "everything",
        ),
        (
            (
                "--ca",
                "issuing",
                "--approval",
                "manual",
                "--challenge",
                "static",
                "--secret-file",
                "/nowhere",
            ),
            "/nowhere",
        ),
        (
            (
                "--ca",
                "issuing",
                "--approval",
                "manual",
                "--challenge",
                "none",
                "--renewal-window",
                "soon",
            ),
            "'soon'",
        ),
    ],
)
def test_createprofile_names_what_cannot_be(
    world: World, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        run("createprofile", "vpn", *options)
    assert not EnrollmentProfile.objects.filter(slug="vpn").exists()


def test_profiles_list_says_where_devices_enroll(world: World) -> None:
    assert run_json("profiles", "list") == [
        {
            "slug": "routers",
            "name": "routers",
            "scep_url": "http://localhost:8000/scep/routers/",
            "approval": "manual",
            "challenge": "none",
            "renewal": "off",
            "default": False,
            "ca_certificates": "ra+chain",
            "ca": "issuing",
            "paused": False,
        }
    ]
    assert "http://localhost:8000/scep/routers/" in run("profiles", "list")


def test_createuser_reads_the_password_from_stdin(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch = Department.objects.create(slug="branch", name="Branch")
    options = [
        "--role",
        "officer",
        "--role",
        "auditor",
        "--department",
        "branch",
        "--email",
        "bob@example.org",
    ]
    document = run_json(
        "createuser",
        "bob",
        *options,
        "--password-stdin",
        stdin=f"{PASSWORD}\n",
        monkeypatch=monkeypatch,
    )
    bob = User.objects.get(username="bob")
    assert document == {
        "name": "bob",
        "id": str(bob.pk),
        "roles": ["officer", "auditor"],
        "email": "bob@example.org",
        "department": "branch",
        "password_link": None,
        "mailed_to": None,
        "expires_at": None,
    }
    assert bob.check_password(PASSWORD)
    assert roles_of(bob) == {Role.OFFICER, Role.AUDITOR}
    assert {assignment.department for assignment in bob.role_assignments.all()} == {branch}
    events = (
        AuditEntry.objects.filter(subject_id=str(bob.pk))
        .order_by("id")
        .values_list("event", flat=True)
    )
    assert list(events) == ["user:create", "role:grant", "role:grant"]


@pytest.mark.parametrize(
    ("options", "stdin", "message"),
    [
        ((), "short\n", "too short"),
        ((), "\n", "first line is empty"),
        (
            ("--department", "nowhere"),
            f"{PASSWORD}\n",
            "department 'nowhere': not known, there is none yet",
        ),
        (("--email", "nonsense"), f"{PASSWORD}\n", "valid email"),
    ],
)
def test_createuser_names_what_cannot_be(
    db: None, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], stdin: str, message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        run(
            "createuser",
            "bob",
            "--role",
            "officer",
            "--password-stdin",
            *options,
            stdin=stdin,
            monkeypatch=monkeypatch,
        )
    assert not User.objects.exists()


def test_a_user_name_is_given_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match=r"alice.*exists already"):
        run(
            "createuser",
            "alice",
            "--role",
            "officer",
            "--password-stdin",
            stdin=f"{PASSWORD}\n",
            monkeypatch=monkeypatch,
        )


def test_createchallenge_prints_each_challenge_once(world: World) -> None:
    create_profile(world.ca, "vpn", challenge="one-time")
    document = run_json(
        "createchallenge", "vpn", "--count", "2", "--expires", "30m", "--subject", "r1.example"
    )
    assert len({item["challenge"] for item in document}) == 2
    assert {(item["profile"], item["subject"]) for item in document} == {("vpn", "r1.example")}
    assert set(document[0]) == {"challenge", "id", "profile", "subject", "bound_to", "expires_at"}
    assert len(run("createchallenge", "vpn", "--count", "3").split()) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("routers",), "not one-time"),
        (("nothing",), "profile 'nothing': not known, there are routers"),
        (("routers", "--expires", "1 hour"), "write it like 90s, 30m, 1h or 7d"),
    ],
)
def test_createchallenge_names_what_cannot_be(
    world: World, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        run("createchallenge", *options)


def test_a_challenge_lives_for_a_year_at_most(world: World) -> None:
    create_profile(world.ca, "vpn", challenge="one-time")
    with pytest.raises(CommandError, match="365 days"):
        run("createchallenge", "vpn", "--expires", "999999999d")


def test_a_user_of_the_machine_without_a_name_is_named_by_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert arguments.operating_system_user() == "4000000"
