"""A portal on a Monday morning: real devices in every state, and many that wait."""

from dataclasses import dataclass
from datetime import timedelta
from unittest import mock

from django.test import override_settings

from accounts.models.people import User
from accounts.principals import PORTAL, Principal, asserted_principal
from accounts.roles import Verb
from accounts.tokens import revoke_token
from approvals.challenge_orders.ndes import NdesCredentials, fetch_challenge
from approvals.challenge_orders.ndes_accounts import (
    NdesAccountOrder,
    create_ndes_account,
    disable_ndes_account,
)
from approvals.decisions.decide import approve_request, reject_request
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.models.validations import Validation
from approvals.profiles.manage import ProtocolSwitches
from approvals.rules.policy import RenewalPolicy
from approvals.validation.messages import ServiceAnswer, ServiceVerdict
from approvals.validation.services import ServiceOrder
from approvals.validation.worker import validate_requests
from ca.models.certificates import Certificate
from ca.x509.errors import AuthorityUnusable
from exchanges.models import Exchange
from exchanges.recordings import start_recording
from outbound.errors import NoAnswer
from outbound.url_rules import read_allowed_host
from selftest.models import SelfTestRun
from tests.api.caller import Program
from tests.flows.rolling import published
from tests.pages import create_requests
from tests.selftest.walking import create_loop, started, walk
from tests.world import Device, World, create_profile, now, principal_of, run_worker

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
    silent: EnrollmentRequest
    denied: EnrollmentRequest
    certificate: Certificate
    profile: EnrollmentProfile
    run: SelfTestRun
    refused_run: SelfTestRun
    exchange: Exchange
    refused: Exchange


def furnish(world: World, *, bob: User, charlie: User) -> Scene:
    """Fill the portal through its own doors: devices enroll, Alice decides, the worker signs.

    Some signatures fail.
    """
    old = ProtocolSwitches(
        legacy_algorithms=True, reply_chain="chain", max_clock_skew=timedelta(minutes=15)
    )
    secret = "a secret of the printers"
    create_profile(
        world.ca,
        "printers",
        challenge="static",
        static_challenge=secret,
        switches=old,
        is_default=True,
    )
    create_profile(world.ca, "vpn", challenge="one-time", renewal=RenewalPolicy(mode="automatic"))
    _make_ndes_accounts(world, charlie)
    _make_tokens(world, charlie)
    (odd,) = create_requests(
        world.profile,
        [BIDI],
        names=[f"dns:{BIDI}"],
        findings=[_finding()],
        submitted_at=now() - timedelta(hours=60),
    )
    _let_many_wait(world)
    issued = _enroll("router-brno-01.example.org", "alice")
    approve_request(
        request_id=issued.pk,
        principal=_asserted(world.alice),
        comment="Serial number read by Jana",
        now=now(),
    )
    run_worker()
    Device.named("router-brno-01.example.org", "alice").poll()
    rejected = _enroll("printer-3.example.org", "bob")
    reject_request(
        request_id=rejected.pk,
        principal=principal_of(world.alice),
        comment="Wrong site code, use BRN",
        now=now(),
    )
    faulty = _enroll("switch-ost-2.example.org", "device-1")
    approve_request(
        request_id=faulty.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    with mock.patch(
        "ca.signing.issuance.open_key",
        side_effect=AuthorityUnusable("CA issuing: the key file is not readable"),
    ):
        run_worker()
    silent, denied = _ask_the_mdm(world)
    published(world.ca)
    pending = _enroll("core-1.example.org", "device-2", ahead=True)
    EnrollmentRequest.objects.filter(pk=odd.pk).update(expires_at=now() + timedelta(hours=5))
    certificate = Certificate.objects.get(order_id=issued.pk)
    run = walk(started(create_loop(), world.alice))
    refused_run = walk(started(world.profile, world.alice))
    exchange = Exchange.objects.filter(kept_for="self-test", message_type=19).latest("id")
    refused = Exchange.objects.filter(kept_for="refusal").exclude(number="").latest("id")
    start_recording(
        profile=world.profile,
        principal=principal_of(charlie),
        span=timedelta(hours=4),
        now=now(),
    )
    for request in (pending, issued, rejected, faulty, odd):
        request.refresh_from_db()
    return Scene(
        *(
            world.alice,
            bob,
            charlie,
            pending,
            issued,
            rejected,
            faulty,
            odd,
            silent,
            denied,
            certificate,
            world.profile,
        ),
        *(run, refused_run, exchange, refused),
    )


def _ask_the_mdm(world: World) -> tuple[EnrollmentRequest, EnrollmentRequest]:
    """Three phones at a profile whose MDM confirms one, denies one, and ignores the third."""
    with override_settings(PORTAL_WEBHOOK_HOSTS=(read_allowed_host("mdm.example.org"),)):
        order = ServiceOrder(kind="webhook", url="https://mdm.example.org/scep", secret="s" * 32)
        create_profile(world.ca, "phones", challenge="webhook", service=order)
    document = {
        "device-3": ServiceAnswer(ServiceVerdict.ALLOW, "allow"),
        "device-4": ServiceAnswer(
            ServiceVerdict.DENY, "deny", "the code was made for tablet-7.example.org"
        ),
        "device-5": NoAnswer("mdm.example.org: no answer within 4 s"),
    }
    for key, answer in document.items():
        Device.named(f"phone-{key[-1]}.example.org", key, profile="phones").enroll(
            challenge="1234-5678"
        )
        effect = (
            {"side_effect": answer} if isinstance(answer, NoAnswer) else {"return_value": answer}
        )
        with mock.patch("approvals.validation.webhook.WebhookClient.validate", **effect):
            validate_requests(list(Validation.objects.values_list("pk", flat=True)))
    by_name = EnrollmentRequest.objects.select_related("profile")
    return by_name.get(common_name="phone-5.example.org"), by_name.get(
        common_name="phone-4.example.org"
    )


def _make_ndes_accounts(world: World, charlie: User) -> None:
    """Two MDMs that fetch challenges, and one that is gone."""
    tablets = create_profile(world.ca, "tablets", challenge="one-time")
    networks = ("192.0.2.0/24", "2001:db8:17::/48")
    principal = principal_of(charlie)
    for name, owner in (
        ("jamf", "Mobile team"),
        ("fleet@example.org", "Workplace IT, Brno"),
        ("old-mdm", "Jana"),
    ):
        order = NdesAccountOrder(name, tablets, owner, networks=networks if name == "jamf" else ())
        account, secret = create_ndes_account(order, principal=principal, now=now())
        if name == "old-mdm":
            disable_ndes_account(account, principal=principal, now=now())
        else:
            fetch_challenge(NdesCredentials(name, secret.reveal(), "192.0.2.9"), now=now())


def _make_tokens(world: World, charlie: User) -> None:
    """Programs of two people, one of them retired."""
    Program(
        world.alice,
        Verb.CHALLENGE_CREATE,
        Verb.PROFILE_VIEW,
        profiles=("phones",),
        networks=("192.0.2.0/24",),
    )
    Program(charlie)
    revoke_token(Program(world.alice, Verb.REQUEST_VIEW).token, principal=PORTAL, now=now())


def _let_many_wait(world: World) -> None:
    """Seventy requests of a week-end, some with findings."""
    kinds = (
        ("ap-muc-{:04d}.branch.example.org", "10.20.14.{}"),
        ("vpn-{:03d}.example.org", "2001:db8:17::{}"),
    )
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


def _enroll(name: str, key: str, *, ahead: bool = False) -> EnrollmentRequest:
    """Let a device ask the current CA, or the next one."""
    device = Device.named(name, key, HTTP_USER_AGENT="sscep/0.10")
    if ahead:
        device.scep.turn_to(device.scep.get_next_ca_cert())
    device.enroll(dns_names=[name])
    return EnrollmentRequest.objects.filter(common_name=name).latest("id")


def _asserted(officer: User) -> Principal:
    return asserted_principal("root", officer)


def _finding() -> dict[str, str]:
    return {
        "severity": "warn",
        "code": "text-hidden",
        "text": f"CN '{BIDI}': invisible or control character U+202E",
    }
