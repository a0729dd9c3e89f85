"""The organization of the documents: the state before each of their command lines."""

import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from django.conf import LazySettings
from django.test import Client

from accounts.models.people import RoleAssignment, User
from accounts.principals import PORTAL
from accounts.roles import Role
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.decisions.decide import approve_request
from approvals.models.decisions import Decision
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from ca.signing.authorities import AuthorityRequest, create_authority
from ca.signing.crl import issue_crl
from ca.signing.service_keys import certify_service_keys
from outbound.http import HttpReply
from outbound.url_rules import read_allowed_host
from scep.ra.keys import ensure_ra_key
from tests.architecture.fences import CommandLine, command_lines, fences
from tests.flows.rolling import published, recorded, renewed_ra, staged
from tests.pki import rsa_key
from tests.pkiportal.commands import run, run_json
from tests.quick_commands import QuickPortal
from tests.selftest.walking import with_worker
from tests.world import (
    Device,
    create_person,
    create_profile,
    forget_caches,
    now,
    principal_of,
    run_worker,
    through,
)

LINES: Final = [line for fence in fences() if not fence.language for line in command_lines(fence)]
#: The lines of docs/commands.md that create profiles, without `./portal`, by the name of the
#: profile.
_PROFILES: Final[Mapping[str, list[str]]] = {
    words[2]: words[1:]
    for words in (
        shlex.split(line.text, comments=True)
        for line in LINES
        if line.document == "docs/commands.md"
    )
    if words[1] == "createprofile"
}
_FILES: Final[Mapping[str, str]] = {
    "challenge.txt": "a static challenge of the kiosks\n",
    "new.txt": "another challenge of the kiosks\n",
    "webhook.txt": "a secret that the portal and the MDM share\n",
    "intune.txt": "the client secret of the application\n",
    "devices.csv": (
        "common_name,serial_number,for\nvpn-1.example,FOC1,asset 1\nvpn-2.example,FOC2,asset 2\n"
    ),
    "expected.csv": "serial_number,mac,name\n"
    "FOC1,00:11:22:33:44:55,sw-1.example\nFOC2,,sw-2.example\n",
    "signatures.txt": "",
}
_KEY: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def prepare(portal: QuickPortal, line: CommandLine) -> dict[str, str]:
    """Create the preconditions of a line, and return the values of its variables."""
    command = line.text.removeprefix("./portal ")
    prepared = _made_by(command)
    for name, text in _FILES.items():
        (portal.folder / name).write_text(text)
    for name, make in _PARTS.items():
        if name == prepared:
            return {}
        make()
    with chdir(portal.folder):
        for slug in set(shlex.split(line.text, comments=True)) & set(_PROFILES) - {prepared}:
            _profile(slug)
        for beginning, make_more in _MORE.items():
            if command.startswith(beginning):
                make_more()
        return {name: value() for name, value in _VARIABLES.items() if f"${name}" in line.text}


def _profile(slug: str) -> EnrollmentProfile:
    """Return a profile of the documents; it is made by the line that they give for it."""
    if not EnrollmentProfile.objects.filter(slug=slug).exists():
        run(*_PROFILES[slug])
    return EnrollmentProfile.objects.get(slug=slug)


def _made_by(command: str) -> str:
    words = command.split()
    return words[1] if words[0] in {"createca", "createprofile", "createuser"} else ""


def _root() -> None:
    with recorded("ca"):
        ca = create_authority(_authority("root"), principal=PORTAL, now=now())
    issue_crl(ca, now=now(), principal=PORTAL)


def _issuing() -> None:
    with recorded("device-7", "ra"):
        issuing = _authority("issuing", parent=CertificateAuthority.objects.get(name="root"))
        ca = create_authority(issuing, principal=PORTAL, now=now())
        ensure_ra_key(ca, now=now())
    certify_service_keys(now=now())
    issue_crl(ca, now=now(), principal=PORTAL)


def _authority(name: str, parent: CertificateAuthority | None = None) -> AuthorityRequest:
    return AuthorityRequest(
        name=name,
        subject=f"CN=Example {name.title()} CA,O=Example",
        key_type="rsa:2048",
        parent=parent,
    )


def _alice() -> None:
    create_person("alice", Role.OFFICER, Role.AUDITOR)


#: The base of everything else, in the order of creation.
_PARTS: Final[Mapping[str, Callable[[], None]]] = {
    "root": _root,
    "issuing": _issuing,
    "alice": _alice,
}


def _ca() -> CertificateAuthority:
    return CertificateAuthority.objects.get(name="issuing")


def _auditor_alice() -> None:
    RoleAssignment.objects.filter(user__username="alice", role=Role.OFFICER).delete()


def _account() -> None:
    _profile("phones")
    run("ndes", "create", "jamf", "--profile", "phones", "--owner", "Mobile team")


def _group() -> None:
    run("devices", "create", "switches")


def _listed_devices() -> None:
    _group()
    run("devices", "add", "switches", "expected.csv")


def _blocked_key() -> None:
    run("keys", "block", _KEY, "--reason", "on a list")


def _decision() -> str:
    """Return a decision with a comment."""
    run("requests", "reject", _request(), "--officer", "alice", "--comment", "not our device")
    return str(Decision.objects.get().pk)


def _approve(request: str) -> None:
    alice = User.objects.get(username="alice")
    approve_request(
        request_id=EnrollmentRequest.objects.get(pk=request).pk,
        principal=principal_of(alice),
        comment="",
        now=now(),
    )


def _faulty() -> None:
    _approve(_request())
    EnrollmentRequest.objects.update(
        last_fault="key not readable", attempts=8, quarantined_at=now()
    )


def _held() -> None:
    run("certificates", "revoke", _serial(), "--officer", "alice", "--reason", "certificateHold")


def _demo() -> None:
    create_profile(_ca(), "demo")


def _officer_and_worker(_: float) -> None:
    """The events while a device waits."""
    for request in EnrollmentRequest.objects.filter(state="PENDING"):
        _approve(str(request.pk))
    with_worker()


def _second_ra() -> None:
    renewed_ra(_ca(), "bob")


def _request() -> str:
    """The request of a device at the profile `lab`."""
    _profile("lab")
    device = Device.named("lab-1.example", "device-1", "lab")
    request = EnrollmentRequest.objects.filter(common_name=device.name)
    if not request:
        device.enroll(dns_names=[device.name])
    return str(request.get().pk)


def _serial() -> str:
    """The serial number of the certificate that this device was issued."""
    request = _request()
    if not Certificate.objects.filter(order_id=request):
        _approve(request)
        run_worker()
    return Certificate.objects.get(order_id=request).serial_hex


def _challenge() -> str:
    ((challenge, _),) = create_challenges(
        ChallengeOrder(_profile("vpn")), principal=PORTAL, now=now()
    )
    return str(challenge.pk)


def _token() -> str:
    return str(
        run_json("tokens", "create", "s", "--owner", "alice", "--scope", "profile:view")["prefix"]
    )


def _ra_serial() -> str:
    return str(run_json("racertificates", "list", "--ca", "issuing")[0]["serial"])


#: Further preconditions of the commands with these beginnings.
_MORE: Final[Mapping[str, Callable[[], object]]] = {
    "users roles": _auditor_alice,
    "ndes list": _account,
    "ndes password": _account,
    "ndes disable": _account,
    "devices add": _group,
    "devices list": _listed_devices,
    "devices silent": _listed_devices,
    "devices remove": _listed_devices,
    "keys list": _blocked_key,
    "keys unblock": _blocked_key,
    "challenges list": _challenge,
    "tokens list": _token,
    "requests list": _request,
    "requests approve --all-pending": _request,
    "requests retry": _faulty,
    "certificates list": _serial,
    "certificates release": _held,
    "check_invariants": _serial,
    "demo": _demo,
    "racertificates retire": _second_ra,
    "rollover publish": lambda: staged(_ca()),
    "rollover cancel": lambda: staged(_ca()),
    "rollover list": lambda: staged(_ca()),
    "rollover switch": lambda: published(_ca()),
}


#: The values that a reader takes from the output of an earlier command.
_VARIABLES: Final[Mapping[str, Callable[[], str]]] = {
    "REQUEST": _request,
    "DECISION": _decision,
    "SERIAL": _serial,
    "CHALLENGE_ID": _challenge,
    "TOKEN_PREFIX": _token,
    "RA_SERIAL": _ra_serial,
}


@dataclass(frozen=True)
class _Clock:
    """Stands for the module `time` in one command."""

    sleep: Callable[[float], None]
    monotonic: Callable[[], float] = time.monotonic


def service(url: str, **_: Any) -> HttpReply:
    """The answers of the documents' services: an MDM that accepts every message, and Intune."""
    if url.startswith("https://mdm.example/"):
        return HttpReply(204, b"")
    endpoint = {
        "providerName": "ScepRequestValidationFEService",
        "uri": "https://fef.manage.microsoft.com/svc",
    }
    directory = {"value": [endpoint]}
    token = {"token_type": "Bearer", "expires_in": 3599, "access_token": "a token"}
    return HttpReply(200, json.dumps(token if url.endswith("/token") else directory).encode())


@contextmanager
def surroundings(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Iterator[None]:
    """A portal with a public name and the documents' hosts, whose devices need no network."""
    settings.PORTAL_PUBLIC_URL = "http://pki.example:8000"
    settings.PORTAL_WEBHOOK_HOSTS = (read_allowed_host("mdm.example"),)
    settings.CA_KEY_FOLDER = folder / "keys-ca"
    settings.RA_KEY_FOLDER = folder / "keys-ra"
    for name in ("approvals.validation.webhook.call", "approvals.validation.intune.call"):
        monkeypatch.setattr(name, service)
    for name in ("demo", "selftest"):
        monkeypatch.setattr(f"pkiportal.management.commands.{name}.fetch", through(Client()))
    monkeypatch.setattr("pkiportal.management.demo.display.time", _Clock(_officer_and_worker))
    monkeypatch.setattr("pkiportal.management.commands.selftest.time", _Clock(with_worker))
    monkeypatch.setattr("scep.operations.enrollment.WAIT_SECONDS", 0)
    monkeypatch.setattr("keys.file.generate", lambda _: rsa_key("device-8"))
    forget_caches()
    yield
    forget_caches()
