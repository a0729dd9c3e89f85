"""`./portal deviceconfig`: text for people, JSON for scripts, files that only their owner reads."""

import base64
import plistlib
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError

from approvals.models.challenges import ChallengePassword
from audit.models import AuditEntry
from ca.signing.service_keys import certify_service_keys
from scep.protocol.constants import PKIStatus
from tests.pki import rsa_key
from tests.pkiportal.commands import run, run_json
from tests.world import Device, World, create_profile, now


@pytest.fixture(autouse=True)
def public_name(settings: LazySettings) -> None:
    """Devices are told a name that leads to the portal."""
    settings.PORTAL_PUBLIC_URL = "http://pki.example:8000"


@pytest.fixture(autouse=True)
def recorded_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The portal's own keys come from the recorded ones."""
    monkeypatch.setattr("keys.file.generate", lambda spec: rsa_key("device-8"))


def test_it_prints_what_the_page_shows(world: World) -> None:
    text = run(
        "deviceconfig", "routers", "junos", "--cn", "r1.example", "--organization", "Example"
    )
    assert 'subject "O=Example,CN=r1.example"' in text
    assert "set security pki ca-profile portal-routers enrollment url" in text


def test_a_new_challenge_serves_the_device(world: World) -> None:
    create_profile(world.ca, "vpn", challenge="one-time")
    document = run_json(
        "deviceconfig", "vpn", "pan-os", "--cn", "alice.example", "--challenge", "new"
    )
    secret = document["steps"][0]["fields"]["Password"]
    assert (
        Device.named("alice.example", profile="vpn").enroll(challenge=secret).status
        is PKIStatus.PENDING
    )
    assert AuditEntry.objects.get(event="configuration:export").actor_kind == "command"
    assert set(document) == {"profile", "client", "steps", "compare", "warnings"}


def test_a_file_is_made_for_its_owner_alone_and_never_written_over(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "r1.txt"
    assert run("deviceconfig", "routers", "sscep", "--out", str(file)) == f"wrote {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CommandError, match="File exists"):
        run("deviceconfig", "routers", "sscep", "--out", str(file))


def test_apples_profile_is_a_file_and_says_whether_it_is_signed(
    world: World, tmp_path: Path
) -> None:
    first = run_json(
        "deviceconfig", "routers", "apple", "--cn", "mac.example", "--san", "dns:mac.example"
    )
    assert first["signed"] is False
    assert plistlib.loads(base64.b64decode(first["mobileconfig"]))["PayloadType"] == "Configuration"
    certify_service_keys(now=now())
    file = tmp_path / "mac.mobileconfig"
    second = run_json("deviceconfig", "routers", "apple", "--out", str(file))
    assert second["signed"] is True
    assert file.read_bytes() == base64.b64decode(second["mobileconfig"])
    with pytest.raises(CommandError, match="say where with --out"):
        run("deviceconfig", "routers", "apple")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere", "junos"], "profile 'nowhere': not known"),
        (["routers", "junos", "--cn", "x" * 65], "at most 64"),
        (["routers", "junos", "--san", "ip:x"], "not of kind ip"),
        (["routers", "cisco-ios", "--cn", 'a"b'], "device console"),
        (["routers", "junos", "--challenge", "new"], "not one-time challenges"),
        (
            ["routers", "junos", "--challenge", "new", "--expires", "9999d"],
            "not one-time challenges",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(world: World, arguments: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        run("deviceconfig", *arguments)
    assert not ChallengePassword.objects.exists()
