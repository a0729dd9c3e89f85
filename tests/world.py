"""A small organization for tests: a CA, profiles, Alice the officer, and SCEP devices."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django.db import connection
from django.test import Client

from accounts.models.people import Department, RoleAssignment, User
from accounts.principals import PORTAL, Principal, person_principal
from accounts.roles import Role
from approvals.apps import TRIGGERS
from approvals.issuance.issue import BatchResult, issue_certificates
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.profiles.manage import ProfileRequest, create_enrollment_profile
from audit import writers
from ca.content.csr_review import ProfileSpec
from ca.models.authorities import CertificateAuthority
from ca.signing.authorities import AuthorityRequest, create_authority
from ca.signing.service_keys import certify_service_keys
from database import caches
from database.triggers import install
from scep.client import Identity, ScepClient, build_csr
from scep.protocol.requests import ReceivedCertRep
from scep.ra.keys import ensure_ra_key
from scep.transport import HttpAnswer, HttpError, Transport
from tests.pki import ec_key, rsa_key


@dataclass(frozen=True)
class World:
    """The value of the fixture `world`."""

    ca: CertificateAuthority
    profile: EnrollmentProfile
    alice: User


def now() -> datetime:
    """Return the current time, with zone."""
    return datetime.now(UTC)


def create_world() -> World:
    """Create what the fixture `world` promises."""
    ca = create_ca()
    return World(ca=ca, profile=create_profile(ca), alice=create_person("alice", Role.OFFICER))


def create_ca(
    name: str = "issuing", key_type: str = "ec:p256", ra_key: str = "ra"
) -> CertificateAuthority:
    """Create a root CA that is ready for SCEP, from recorded keys."""
    with mock.patch(
        "keys.file.generate", lambda spec: ec_key() if spec.startswith("ec:") else rsa_key("ca")
    ):
        ca = create_authority(
            AuthorityRequest(name=name, subject=f"CN={name} CA,O=Example", key_type=key_type),
            principal=PORTAL,
            now=now(),
        )
    with mock.patch("keys.file.generate", return_value=rsa_key(ra_key)):
        ensure_ra_key(ca, now=now())
    certify_service_keys(now=now())
    return ca


def create_profile(
    ca: CertificateAuthority,
    slug: str = "routers",
    *,
    spec: ProfileSpec | None = None,
    **wanted: object,
) -> EnrollmentProfile:
    """Create an enrollment profile; default: no challenge, manual approval, asserted decisions."""
    defaults: dict[str, object] = {"challenge": "none", "allow_asserted_decisions": True}
    request = ProfileRequest(slug=slug, ca=ca, spec=spec or ProfileSpec(), **(defaults | wanted))  # type: ignore[arg-type]
    return create_enrollment_profile(request, principal=PORTAL, now=now())


def create_person(name: str, *roles: Role, department: Department | None = None) -> User:
    """Create a user with roles; the password is the name twice."""
    user = User.objects.create_user(
        name, email=f"{name}@example.org", password=name * 2, full_name=name.title()
    )
    for role in roles:
        RoleAssignment.objects.create(user=user, role=role, department=department)
    return user


def principal_of(user: User) -> Principal:
    """Return the principal of a signed-in officer."""
    return person_principal(user, address="")


def through(client: Client, **extra: str) -> Transport:
    """Return a transport for ScepClient that goes through Django's test client."""

    def fetch(url: str, body: bytes | None) -> HttpAnswer:
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}"
        answer = client.generic("GET" if body is None else "POST", path, body or b"", "", **extra)  # type: ignore[arg-type]  # WSGI environ keys
        return HttpAnswer(
            answer.status_code, answer.headers.get("Content-Type", ""), answer.content
        )

    return fetch


@dataclass(frozen=True)
class Device:
    """A device with a key of its own that enrolls at one profile."""

    name: str
    key: RSAPrivateKey
    scep: ScepClient
    identity: Identity

    @classmethod
    def named(
        cls, name: str, key: str = "alice", profile: str = "routers", **extra: str
    ) -> "Device":
        """Return a device with one of the recorded keys."""
        private = rsa_key(key)
        url = f"http://testserver/scep/{profile}/"
        return cls(
            name=name,
            key=private,
            scep=ScepClient(url, through(Client(), **extra)),
            identity=Identity.self_signed(private, name, now=now()),
        )

    def enroll(
        self, *, challenge: str | None = None, transaction_id: str = "", **csr: object
    ) -> ReceivedCertRep:
        """Send a PKCSReq."""
        request = build_csr(self.key, self.name, challenge_password=challenge, **csr)  # type: ignore[arg-type]
        return self.scep.enroll(request, self.identity, transaction_id=transaction_id)

    def is_told_to_wait(self, **asked: Any) -> bool:
        """Send a PKCSReq that must be answered with HTTP 503; returns True, for `assert`."""
        with pytest.raises(HttpError, match="HTTP 503 busy, try again later"):
            self.enroll(**asked)
        return True

    def poll(self, transaction_id: str = "") -> ReceivedCertRep:
        """Send a CertPoll."""
        return self.scep.poll(self.identity, transaction_id=transaction_id)


def run_worker() -> BatchResult:
    """Do all due work of the signing worker."""
    return issue_certificates(list(EnrollmentRequest.objects.values_list("pk", flat=True)))


def later(**difference: float) -> datetime:
    """Return a time that lies ahead."""
    return now() + timedelta(**difference)


def forget_caches() -> None:
    """Forget what a process remembers between messages."""
    caches.forget_all()
    writers.begin()


@contextmanager
def without_triggers() -> Iterator[None]:
    """Drop the triggers of the RA's tables for a while, as a database administrator could."""
    with connection.cursor() as cursor:
        for trigger in TRIGGERS:
            if connection.vendor == "postgresql":
                cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name} ON {trigger.table}")
            else:
                for number in range(1, len(trigger.sqlite) + 1):
                    cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name}_{number}")
    yield
    install(TRIGGERS, using="default")
