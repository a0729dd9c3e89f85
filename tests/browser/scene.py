"""What a portal looks like on a Monday morning: real devices in every state, and many that wait."""

from dataclasses import dataclass
from datetime import timedelta
from unittest import mock

from accounts.models import User
from approvals.decisions import approve_request, reject_request
from approvals.models import EnrollmentProfile, EnrollmentRequest, Evidence
from approvals.verdicts import Voice
from ca.errors import AuthorityUnusable
from ca.models import Certificate
from tests.pages import create_requests
from tests.world import Device, World, create_profile, now, run_worker, voice_of

BIDI = "evil\u202egpj.exe<script>alert(1)</script>"


@dataclass(frozen=True)
class Scene:
    """The people, and a request in each state worth a look."""

    alice: User
    bob: User
    charlie: User
    pending: EnrollmentRequest
    issued: EnrollmentRequest
    rejected: EnrollmentRequest
    faulty: EnrollmentRequest
    odd: EnrollmentRequest
    certificate: Certificate
    profile: EnrollmentProfile


def furnish(world: World, *, bob: User, charlie: User) -> Scene:
    """Fill the portal through its own doors: devices enroll, Alice decides, the worker signs or fails to."""
    create_profile(world.ca, "printers", challenge="static", static_challenge="a secret of the printers")
    (odd,) = create_requests(
        world.profile, [BIDI], names=[f"dns:{BIDI}"], findings=[_finding()], submitted_at=now() - timedelta(hours=60)
    )
    _let_many_wait(world)
    issued = _enroll("router-brno-01.example.org", "alice")
    approve_request(request_id=issued.pk, voice=_asserted(world.alice), comment="Serial number read by Jana", now=now())
    run_worker()
    Device.named("router-brno-01.example.org", "alice").poll()
    rejected = _enroll("printer-3.example.org", "bob")
    reject_request(request_id=rejected.pk, voice=voice_of(world.alice), comment="Wrong site code, use BRN", now=now())
    faulty = _enroll("switch-ost-2.example.org", "device-1")
    approve_request(request_id=faulty.pk, voice=voice_of(world.alice), comment="", now=now())
    with mock.patch("ca.issuance.open_key", side_effect=AuthorityUnusable("CA issuing: the key file is not readable")):
        run_worker()
    pending = _enroll("core-1.example.org", "device-2")
    EnrollmentRequest.objects.filter(pk=odd.pk).update(expires_at=now() + timedelta(hours=5))
    certificate = Certificate.objects.get(order_id=issued.pk)
    for request in (pending, issued, rejected, faulty, odd):
        request.refresh_from_db()
    return Scene(world.alice, bob, charlie, pending, issued, rejected, faulty, odd, certificate, world.profile)


def _let_many_wait(world: World) -> None:
    """Seventy requests that came over the week-end, one after the other, some with something to say about them."""
    kinds = (("ap-muc-{:04d}.branch.example.org", "10.20.14.{}"), ("vpn-{:03d}.example.org", "2001:db8:17::{}"))
    remarks = {3: "cn-not-in-san", 11: "text-mixed-scripts", 12: "san-punycode"}
    for number in range(70):
        name, address = kinds[number % 9 == 4]
        code = remarks.get(69 - number)
        remark = {"severity": "warn", "code": str(code), "text": f"{code}: look at the names"}
        create_requests(
            world.profile,
            [name.format(4100 + number)],
            address=address.format(number % 40 + 11),
            submitted_at=now() - timedelta(minutes=4 + (69 - number) ** 1.9),
            findings=[remark] if code else [],
            key_description="RSA 3072" if number % 9 == 4 else "RSA 2048",
            challenge="one-time" if number % 3 else "none",
        )


def _enroll(name: str, key: str) -> EnrollmentRequest:
    Device.named(name, key, HTTP_USER_AGENT="sscep/0.10").enroll(dns_names=[name])
    return EnrollmentRequest.objects.filter(common_name=name).latest("id")


def _asserted(officer: User) -> Voice:
    return Voice(evidence=Evidence.ASSERTED, officer=officer, asserted_by="root")


def _finding() -> dict[str, str]:
    return {"severity": "warn", "code": "text-hidden", "text": f"CN '{BIDI}': invisible or control character U+202E"}
