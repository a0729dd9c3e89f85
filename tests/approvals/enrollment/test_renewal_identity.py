"""Equal names of a renewal: as parsed (RFC 5280 §7.1), all of subjectAltName, issuer, serial."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from approvals.enrollment.renewals import _changes
from approvals.models.profiles import EnrollmentProfile
from approvals.rules.states import State
from ca.certificates.store import certificate_by_serial, sans_of
from ca.content.csr_review import ProfileSpec, check_csr
from ca.models.certificates import Certificate
from ca.x509 import asn1
from ca.x509.csr import decode_csr
from ca.x509.general_names import general_name
from ca.x509.names import build_name, build_rdns
from scep.client import Identity
from scep.protocol.constants import PKIStatus
from tests.approvals.enrollment.renewing import allow, approve, newest, of, told
from tests.ca.forge import extension_request, raw_name, request_der, san
from tests.flows.wire import causes, message, nothing_granted, post
from tests.pki import rsa_key
from tests.world import Device, World, create_profile, run_worker

pytestmark = pytest.mark.usefixtures("no_waiting", "consistent")
CN, O, OU, L = "2.5.4.3", "2.5.4.10", "2.5.4.11", "2.5.4.7"  # noqa: E741 - the attribute's own short name
KINDS = ProfileSpec(
    san_kinds=("dns", "ip", "email", "uri", "upn"),
    san_patterns={"uri": ("(?i)(https?|urn):.*",)},
    multi_valued_rdns=True,
)
SUBJECT = [("CN", "Core Router 7"), ("O", "Example Org"), ("L", "Zürich West")]
NAMES = [
    ("dns", "r7.example"),
    ("email", "Noc@example.org"),
    ("uri", "https://r7.example/Status"),
    ("ip", "192.0.2.7"),
]


@pytest.fixture
def old(world: World) -> Identity:
    """A device's certificate for the names above."""
    allow(World(world.ca, create_profile(world.ca, "named", spec=KINDS), world.alice))
    post(message(world, csr(build_name(SUBJECT).der, NAMES)), "named")
    approve(world)
    certificate = newest().certificate
    assert certificate is not None
    return Identity(certificate.certificate_der, rsa_key("alice"))


def csr(subject: bytes, names: list[tuple[str, str]] | bytes, key: str = "alice") -> bytes:
    asked = (
        names
        if isinstance(names, bytes)
        else san(*(general_name(kind, value) for kind, value in names))
    )
    return request_der(subject, extension_request(asked), key=rsa_key(key))


def renewed(old: Identity, request: bytes, key: str = "bob") -> Any:
    answer = Device.named("x", key, profile="named").scep.enroll(request, old, renewal=True)
    run_worker()
    return answer


def bmp(text: str) -> bytes:
    return text.encode("utf-16-be")


SAME = [
    raw_name(
        (CN, 0x13, b"CORE ROUTER 7"), (O, 0x13, b"example org"), (L, 0x0C, "zürich west".encode())
    ),
    raw_name(
        (CN, 0x0C, b"Core  Router   7"), (O, 0x0C, b" Example Org "), (L, 0x1E, bmp("Zürich West"))
    ),
    raw_name(
        (CN, 0x1E, bmp("core router 7")), (O, 0x14, b"EXAMPLE ORG"), (L, 0x14, b"Z\xfcrich West")
    ),
    raw_name(
        (CN, 0x0C, b"Core Router 7"), (O, 0x16, b"Example Org"), (L, 0x0C, "ZÜRICH  WEST".encode())
    ),
    raw_name(
        (CN, 0x1C, "Core Router 7".encode("utf-32-be")),
        (O, 0x0C, b"Example Org"),
        (L, 0x0C, "Zürich West".encode()),
    ),
]


@pytest.mark.parametrize("number", range(len(SAME)))
def test_a_name_written_otherwise_is_the_same_and_renews_by_policy(
    world: World, old: Identity, number: int
) -> None:
    # The certificate profile refuses blanks at the ends, whatever the renewal policy is.
    names = [
        ("dns", "R7.EXAMPLE"),
        ("email", "Noc@EXAMPLE.org"),
        ("uri", "HTTPS://R7.example/Status"),
        ("ip", "192.0.2.7"),
    ]
    request = csr(SAME[number], names[::-1])
    answer = Device.named("x", "bob", profile="named").scep.enroll(
        csr(SAME[number], names[::-1], "bob"), old, renewal=True
    )
    review = check_csr(decode_csr(request), KINDS)
    assert _changes(of(old), review) == ()
    if review.refused:
        assert answer.status is PKIStatus.FAILURE
        assert all("space" in text for text in review.refusals)
    else:
        run_worker()
        assert newest().state == State.ISSUED, told(answer)


OTHER = [
    (build_name(SUBJECT[::-1]).der, NAMES),
    (build_name(SUBJECT[:2]).der, NAMES),
    (build_rdns([SUBJECT[:2], SUBJECT[2:]]).der, NAMES),
    (build_name([("CN", "Core Router 7, O=Example Org"), SUBJECT[2]]).der, NAMES),
    (build_name([("CN", "CoreRouter 7"), *SUBJECT[1:]]).der, NAMES),
    (build_name(SUBJECT).der, NAMES[:3]),
    (build_name(SUBJECT).der, [*NAMES, ("ip", "192.0.2.8")]),
    (build_name(SUBJECT).der, [NAMES[0], ("email", "noc@example.org"), *NAMES[2:]]),
    (build_name(SUBJECT).der, [*NAMES[:2], ("uri", "https://r7.example/status"), NAMES[3]]),
    (build_name(SUBJECT).der, [*NAMES, ("upn", "core@example.org")]),
]


@pytest.mark.parametrize("number", range(len(OTHER)))
def test_other_names_are_refused(world: World, old: Identity, number: int) -> None:
    subject, names = OTHER[number]
    with nothing_granted():
        status, _, text = told(renewed(old, csr(subject, names, "bob")))
    assert status is PKIStatus.FAILURE
    assert (text or "").startswith("a renewal keeps the names of the certificate: ")


UNREAD = [
    asn1.der_context(4, build_name([("CN", "x")]).der),
    asn1.der(0x88, b"\x2a\x03"),
    asn1.der_context(0, asn1.der_oid("1.2.3"), asn1.der_context(0, asn1.der(0x0C, b"x"))),
    asn1.der_context(3, asn1.der_sequence()),
    asn1.der_context(5, asn1.der_sequence()),
]


@pytest.mark.parametrize("changed_names", ["refuse", "officer"])
@pytest.mark.parametrize("number", range(len(UNREAD)))
def test_a_kind_of_name_that_is_not_read_is_refused_in_every_renewal(
    world: World, old: Identity, number: int, changed_names: str
) -> None:
    EnrollmentProfile.objects.update(renewal_changed_names=changed_names)
    asked = san(*(general_name(kind, value) for kind, value in NAMES), UNREAD[number])
    with nothing_granted():
        assert renewed(old, csr(build_name(SUBJECT).der, asked, "bob")).status is PKIStatus.FAILURE


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(names=st.lists(st.sampled_from(NAMES), unique=True, max_size=4), data=st.data())
def test_every_name_that_comes_or_goes_is_named(
    old: Identity, names: list[tuple[str, str]], data: Any
) -> None:
    more = data.draw(
        st.lists(
            st.sampled_from([("dns", "dc1.example"), ("ip", "::2"), ("upn", "a@b")]), unique=True
        )
    )
    review = (
        check_csr(decode_csr(csr(build_name(SUBJECT).der, [*names, *more])), KINDS)
        if [*names, *more]
        else None
    )
    if review is None:
        return
    added = [f"{kind}:{value} added" for kind, value in more]
    added += [
        f"{name} left out"
        for name in map(str, sans_of(of(old)))
        if tuple(name.split(":", 1)) not in names
    ]
    assert sorted(_changes(of(old), review)) == sorted(added)


# -------------------------------------------------------------------------------- issuer and serial


def issuer(world: World) -> list[tuple[str, str]]:
    name = x509.load_der_x509_certificate(world.ca.certificate_der).subject
    return [(attribute.oid.dotted_string, str(attribute.value)) for attribute in name]


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x14, 0x16, 0x1E, 0x1C])
def test_an_issuer_encoded_again_is_the_same_issuer_and_the_serial_number_alone_is_nothing(
    world: World, old: Identity, tag: int
) -> None:
    encoding = {0x1E: "utf-16-be", 0x1C: "utf-32-be"}.get(tag, "ascii")
    again = raw_name(
        *((oid, tag, value.swapcase().encode(encoding)) for oid, value in issuer(world))
    )
    number = int(of(old).serial_hex, 16)
    certificate = certificate_by_serial(again, asn1.der_integer(number), cas=[world.ca])
    assert certificate is not None
    assert certificate.pk == of(old).pk
    assert certificate_by_serial(again, asn1.der_integer(number + 1), cas=[world.ca]) is None
    for foreign in (
        build_name([("CN", "Other CA")]).der,
        build_name([*issuer(world), ("CN", "x")]).der,
        b"\x30\x05",
    ):
        assert certificate_by_serial(foreign, asn1.der_integer(number), cas=[world.ca]) is None


@pytest.mark.parametrize(
    "change", [str.upper, str.lower, str.title, str.swapcase, lambda text: text.replace(" ", "  ")]
)
def test_d24_a_lookalike_hides_behind_no_other_spelling_of_the_issuer(
    world: World, old: Identity, change: Any
) -> None:
    real = x509.load_der_x509_certificate(old.certificate_der)
    name = x509.Name(
        [
            x509.NameAttribute(x509.ObjectIdentifier(oid), change(value))
            for oid, value in issuer(world)
        ]
    )
    forged = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=real.subject,
        public_key=rsa_key("bob").public_key(),
        serial_number=real.serial_number,
        not_valid_before=real.not_valid_before_utc,
        not_valid_after=real.not_valid_after_utc,
    ).sign(rsa_key("alice"), hashes.SHA256())
    signer = Identity(forged.public_bytes(Encoding.DER), rsa_key("bob"))
    with nothing_granted():
        assert (
            renewed(signer, csr(build_name(SUBJECT).der, NAMES, "bob")).status is PKIStatus.FAILURE
        )
    assert causes() == ["signer certificate only looks like one of this portal"]
    assert Certificate.objects.filter(kind="ordered").count() == 1
