"""Names at the door: never certified ones, those for an officer, those of our recipes."""

import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509

from accounts.principals import PORTAL
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.device_setup.configurations.mdm import INTUNE_PATTERNS, intune, jamf
from approvals.models.challenges import ChallengePassword
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.states import State
from ca.certificates.store import subject_of
from ca.content.csr_review import ProfileSpec
from ca.models.certificates import Certificate
from ca.models.keys import ServiceKey
from ca.x509 import asn1
from ca.x509.csr import decode_csr
from ca.x509.general_names import general_name
from ca.x509.names import DistinguishedName, build_name, build_rdns, decode_name
from pkiportal.management.commands.createprofile import _patterns
from scep.protocol.constants import FailInfo, PKIStatus
from tests.approvals.device_setup.configurations.material import FACTS
from tests.approvals.enrollment.renewing import approve, newest
from tests.ca.forge import challenge, extension_request, raw_name, request_der, san
from tests.flows.rolling import published, staged, switched
from tests.flows.test_conformance import ROOT
from tests.flows.wire import Answer, causes, message, post, refused
from tests.world import World, create_profile, now, run_worker

pytestmark = pytest.mark.usefixtures("no_waiting", "consistent")
SECRET = "a secret of all phones"


@pytest.fixture
def phones(world: World) -> EnrollmentProfile:
    """A profile that approves by policy every device with a one-time challenge."""
    return create_profile(world.ca, "phones", approval="automatic", challenge="one-time")


def send(
    world: World,
    profile: EnrollmentProfile,
    subject: DistinguishedName | bytes,
    *sans: tuple[str, str],
) -> Answer:
    """Ask with a fresh one-time challenge of the profile; a worker is at it."""
    ((_, secret),) = create_challenges(ChallengeOrder(profile), principal=PORTAL, now=now())
    names = (
        [extension_request(san(*(general_name(kind, value) for kind, value in sans)))]
        if sans
        else []
    )
    answer = post(
        message(world, request_der(subject, challenge(secret.reveal()), *names)), profile.slug
    )
    run_worker()
    return answer


# ----------------------------------------------------------------------------------- reserved names


def of_the_issuing_ca(world: World) -> bytes:
    return x509.load_der_x509_certificate(world.ca.certificate_der).subject.public_bytes()


def of_the_ra(world: World) -> bytes:
    return decode_csr(bytes(ServiceKey.objects.get().csr)).subject.der


def of_the_next_ca(world: World) -> bytes:
    return x509.load_der_x509_certificate(
        published(world.ca).next_ca.certificate_der
    ).subject.public_bytes()


def of_a_staged_ca(world: World) -> bytes:
    return x509.load_der_x509_certificate(
        staged(world.ca).next_ca.certificate_der
    ).subject.public_bytes()


def of_the_ra_of_the_next_ca(world: World) -> bytes:
    rollover = published(world.ca)
    return decode_csr(bytes(ServiceKey.objects.get(ca=rollover.next_ca).csr)).subject.der


def of_the_ca_before(world: World) -> bytes:
    before = of_the_issuing_ca(world)
    switched(world.ca)
    return before


def as_it_is(name: DistinguishedName) -> bytes:
    return name.der


def otherwise(name: DistinguishedName) -> bytes:
    """Another string type, other case, more blanks."""
    values = [
        (item.oid, item.value.swapcase().replace(" ", "   ") + " ") for item in name.attributes
    ]
    return raw_name(*((oid, asn1.BMP_STRING, value.encode("utf-16-be")) for oid, value in values))


OWN = [
    of_the_issuing_ca,
    of_the_ra,
    of_the_next_ca,
    of_a_staged_ca,
    of_the_ra_of_the_next_ca,
    of_the_ca_before,
]


@pytest.mark.parametrize("write", [as_it_is, otherwise])
@pytest.mark.parametrize("own", OWN)
def test_d74_a_subject_of_an_authority_or_ra_is_refused_and_no_challenge_is_used_up(
    world: World,
    phones: EnrollmentProfile,
    own: Callable[[World], bytes],
    write: Callable[[DistinguishedName], bytes],
) -> None:
    subject = write(decode_name(own(world)))
    phones.refresh_from_db()
    answer = send(world, phones, subject)
    assert (answer.status, answer.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert "the name of an authority or of a key of this portal" in answer.text
    assert not ChallengePassword.objects.filter(redeemed_at__isnull=False).exists()
    assert not EnrollmentRequest.objects.exists()


# -------------------------------------------------------------------------- names for an officer

#: Names that people read as that of an authority, from the values of its own.
ALIKE: dict[str, Callable[[str, str], list[tuple[str, str]]]] = {
    "in another order": lambda common, organization: [("CN", common), ("O", organization)],
    "in another order and case": lambda common, organization: [
        ("CN", common.swapcase()),
        ("O", organization.upper()),
    ],
    "its common name": lambda common, _: [("CN", common)],
    "of another organization": lambda common, _: [("CN", common), ("O", "Another one")],
    "with a unit": lambda common, organization: [
        ("CN", common.title()),
        ("OU", "PKI"),
        ("O", organization),
    ],
}


@pytest.mark.parametrize("own", [of_the_issuing_ca, of_the_next_ca, of_the_ca_before])
@pytest.mark.parametrize("how", ALIKE)
def test_d78_a_name_that_reads_like_an_authority_waits_for_an_officer(
    world: World, phones: EnrollmentProfile, own: Callable[[World], bytes], how: str
) -> None:
    name = decode_name(own(world))
    phones.refresh_from_db()
    ((common,), (organization,)) = name.values("CN"), name.values("O")
    assert (
        send(world, phones, build_name(ALIKE[how](common, organization))).status
        is PKIStatus.PENDING
    )
    request = newest()
    assert (request.state, [item["code"] for item in request.findings]) == (
        State.PENDING,
        ["subject-like-authority"],
    )
    assert request.findings[0]["severity"] == "officer"


@pytest.mark.parametrize(
    "subject", ["issuing", "issuing CA 2", "Example", "CA issuing", "issuing.example"]
)
def test_another_common_name_in_the_same_organization_meets_no_officer(
    world: World, phones: EnrollmentProfile, subject: str
) -> None:
    send(world, phones, build_name([("CN", subject), ("O", "Example")]))
    assert newest().state == State.ISSUED


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("dns", "localhost"),
        ("dns", "app.localhost"),
        ("dns", "localhost.localdomain"),
        ("ip", "127.8.9.1"),
        ("ip", "0.0.0.0"),
        ("ip", "::1"),
        ("ip", "::ffff:127.0.0.1"),
        ("ip", "64:ff9b::7f00:1"),
    ],
)
def test_d75_a_name_by_which_every_machine_means_itself_waits_for_an_officer(
    world: World, phones: EnrollmentProfile, kind: str, value: str
) -> None:
    assert (
        send(world, phones, build_name([("CN", "p1")]), (kind, value)).status is PKIStatus.PENDING
    )
    request = newest()
    assert (request.state, [item["code"] for item in request.findings]) == (
        State.PENDING,
        ["san-loopback"],
    )
    approve(world)


@pytest.mark.parametrize("value", ["Иван's iPhone", "Ωmega 7", "p\u0430ypal", "東京-λ", "router-ж"])
def test_d76_names_of_mixed_scripts_are_issued(
    world: World, phones: EnrollmentProfile, value: str
) -> None:
    send(world, phones, build_name([("CN", value)]))
    assert newest().state == State.ISSUED, newest().last_fault
    assert Certificate.objects.get(order_id=newest().pk).subject == f"CN={value}"


@pytest.mark.parametrize(
    "rdns",
    [
        [[("serialNumber", "FDO2"), ("unstructuredName", "r2.example")]],
        [[("OU", "one"), ("OU", "two")], [("CN", "r3")]],
        [[("CN", "r4"), ("O", "Example")]],
        [[("DC", "example"), ("DC", "org")], [("CN", "r5")]],
        [[("CN", "r6"), ("UID", "6"), ("L", "Brno")], [("O", "Example")]],
    ],
)
def test_several_attributes_in_a_relative_name_are_issued_where_the_profile_says_so(
    world: World, rdns: Any
) -> None:
    subject = build_rdns(rdns)
    sent = message(world, request_der(subject))
    refused(sent, FailInfo.BAD_REQUEST, "subject: several attributes in one relative name")
    create_profile(world.ca, "cisco", spec=ProfileSpec(multi_valued_rdns=True))
    assert post(message(world, request_der(subject)), "cisco").status is PKIStatus.PENDING
    approve(world)
    assert subject_of(Certificate.objects.get(order_id=newest().pk)).der == subject.der


# ------------------------------------------------------------------------------------------ recipes

_DEVICE = ["f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "00000000-0000-0000-0000-000000000001"]
_SID = [
    f"tag:microsoft.com,2022-09-14:sid:S-1-5-21-{number}-2-3-1104"
    for number in (1, 2127521184, 4294967295)
]
VARIABLES = {
    "{{DeviceId}}": [
        *_DEVICE,
        *(text.upper() for text in _DEVICE),
        "12345678-9abc-def0-1234-56789abcdef0",
    ],
    "{{OnPremisesSecurityIdentifier}}": [
        *_SID,
        "tag:microsoft.com,2022-09-14:sid:S-1-12-1-1",
        _SID[0] + "0",
    ],
    "$COMPUTERNAME": ["Anna\u2019s MacBook Pro", "LAB-7", "Büro (2)", "mac/07", "C02XL0ABJG5H"],
    "$UDID": [*_DEVICE, *(text.upper() for text in _DEVICE), "00008030-001A2D3C4E5F802E"],
}
KINDS = {"URI": "uri", "DNS Name": "dns"}


def recommended(recipe: str, number: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Subject and alternative names of a recipe, its variables replaced by their n-th value."""
    recipes = {"intune": intune, "jamf": jamf}[recipe](FACTS)
    fields = [field for step in recipes.steps for field in step.fields]
    subjects = [
        value.partition("=")[::2]
        for name, value in fields
        if name.lower().startswith("subject") and "=" in value
    ]
    sans = [
        value.partition(": ")[::2]
        for name, value in fields
        if "lternative" in name or "lternative Name" in name
    ]
    return (
        [(name, filled(value, number)) for name, value in subjects],
        [(KINDS[kind], filled(value, number)) for kind, value in sans],
    )


def filled(text: str, number: int) -> str:
    for variable, values in VARIABLES.items():
        text = text.replace(variable, values[number])
    assert not re.search(r"[{$]", text), f"{text}: a variable that this test does not know"
    return text


def profile_of(recipe: str) -> ProfileSpec:
    """The certificate profile of docs/mdm.md for Intune; for Jamf, a command's without patterns."""
    if recipe == "jamf":
        return ProfileSpec()
    (line,) = re.findall(
        r"\./portal (createprofile .*--challenge intune.*)", (ROOT / "docs" / "mdm.md").read_text()
    )
    words = shlex.split(line)
    patterns = _patterns(
        [words[at + 1] for at, word in enumerate(words) if word == "--san-pattern"]
    )
    assert patterns == {"uri": INTUNE_PATTERNS}
    return ProfileSpec(san_patterns=patterns, san_kinds=tuple(patterns))


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("recipe", ["intune", "jamf"])
def test_every_name_that_a_recipe_recommends_is_issued(
    world: World, recipe: str, number: int
) -> None:
    profile = create_profile(
        world.ca, recipe, spec=profile_of(recipe), approval="automatic", challenge="one-time"
    )
    subject, sans = recommended(recipe, number)
    assert subject
    assert sans
    send(world, profile, build_name(subject), *sans)
    assert causes() == []
    assert newest().state == State.ISSUED, newest().last_fault
    issued = Certificate.objects.get(order_id=newest().pk)
    assert issued.names == [
        f"{kind}:{value.lower() if kind == 'dns' else value}" for kind, value in sans
    ]
