"""Hostile certificate requests: names, keys, extensions (D-12 to D-23, D-41 to D-45)."""

from collections.abc import Iterator
from functools import partial
from math import prod
from time import perf_counter

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.urls import reverse

from approvals import tasks
from approvals.decisions.decide import approve_request
from approvals.decisions.review_digest import review_digest
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.errors import RequestChanged
from approvals.rules.states import State
from ca.content.csr_review import ProfileSpec
from ca.models.certificates import Certificate
from ca.x509 import asn1
from ca.x509.csr import decode_csr
from ca.x509.errors import CsrAlgorithmRefused, CsrSignatureInvalid
from ca.x509.general_names import GeneralName, general_name
from ca.x509.names import build_name
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.errors import UNREADABLE
from tests.ca.forge import (
    dns,
    extension,
    extension_request,
    info,
    raw_name,
    request_der,
    rsa_spki,
    san,
    signed,
    spki,
)
from tests.flows.wire import causes, message, nothing_granted, pending, post, refused
from tests.pages import signed_in
from tests.pki import ec_key, rsa_key
from tests.world import Device, World, create_profile, now, principal_of, run_worker

CN = "2.5.4.3"
UTF8 = asn1.UTF8_STRING


def issued(world: World, sent: bytes) -> x509.Certificate:
    """Return the result of a request that Alice approved unseen."""
    request = pending(sent)
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert run_worker().issued == [request.pk]
    return x509.load_der_x509_certificate(
        Certificate.objects.get(order_id=request.pk).certificate_der
    )


# --------------------------------------------------------------------- D-12, D-14, D-15: extensions

AUTHORITY = {
    "CA:TRUE": ("2.5.29.19", b"\x30\x03\x01\x01\xff"),
    "CA:TRUE with a path length": ("2.5.29.19", b"\x30\x06\x01\x01\xff\x02\x01\x00"),
    "keyCertSign": ("2.5.29.15", b"\x03\x02\x02\x84"),
    "cRLSign": ("2.5.29.15", b"\x03\x02\x01\x02"),
    "nameConstraints": ("2.5.29.30", b"\x30\x00"),
    "policyMappings": ("2.5.29.33", b"\x30\x00"),
}
NOT_COPIED = {
    "anyExtendedKeyUsage": ("2.5.29.37", "2.5.29.37.0"),
    "OCSPSigning": ("2.5.29.37", "1.3.6.1.5.5.7.3.9"),
    "codeSigning": ("2.5.29.37", "1.3.6.1.5.5.7.3.3"),
    "smartcardLogon": ("2.5.29.37", "1.3.6.1.4.1.311.20.2.2"),
    "certificate request agent": ("2.5.29.37", "1.3.6.1.4.1.311.20.2.1"),
    "PKINIT": ("2.5.29.37", "1.3.6.1.5.2.3.5"),
    "Active Directory SID": ("1.3.6.1.4.1.311.25.2", "1.2.3"),
    "Application Policies": ("1.3.6.1.4.1.311.21.10", "1.3.6.1.4.1.311.20.2.2"),
    "certificate template": ("1.3.6.1.4.1.311.21.7", "1.2.3"),
    "certificate template name": ("1.3.6.1.4.1.311.20.2", "1.2.3"),
}


def wanting(oid: str, value: bytes, key: str = "alice", subject: bytes | None = None) -> bytes:
    return request_der(subject, extension_request(extension(oid, value)), key=rsa_key(key))


def test_d12_no_device_becomes_an_authority_by_asking(world: World) -> None:
    for case, (oid, value) in AUTHORITY.items():
        answer = refused(message(world, wanting(oid, value)), FailInfo.BAD_REQUEST, cause="policy")
        assert "equested" in answer.text, case


def test_d14_d15_purposes_and_identities_come_from_the_profile_only(world: World) -> None:
    subject = build_name([("CN", "r1.example")])
    requested = [
        extension(oid, asn1.der_sequence(asn1.der_oid(inner)))
        for oid, inner in list(NOT_COPIED.values())[3:]
    ]
    one_of_each = {item[:20]: item for item in requested if b"\x55\x1d\x25" not in item[:8]}
    purposes = extension(
        "2.5.29.37",
        asn1.der_sequence(
            *(asn1.der_oid(inner) for oid, inner in NOT_COPIED.values() if oid == "2.5.29.37")
        ),
    )
    csr = request_der(subject, extension_request(purposes, *one_of_each.values()))
    sent = message(world, csr)
    request = pending(sent)
    shown = " ".join(finding["text"] for finding in request.findings)
    for name in ("smartcard-logon", "Active Directory security identifier"):
        assert name in shown
    certificate = issued(world, sent)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [purpose.dotted_string for purpose in usage] == ["1.3.6.1.5.5.7.3.2"]
    assert not [
        item
        for item in certificate.extensions
        if item.oid.dotted_string.startswith("1.3.6.1.4.1.311")
    ]
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


# -------------------------------------------------------------------------- D-13: alternative names


def upn_of(text: str) -> GeneralName:
    return general_name("upn", text)


def test_d13_a_privileged_name_that_is_not_allowed_is_refused_by_name(world: World) -> None:
    create_profile(world.ca, "strict", spec=ProfileSpec(san_patterns={"dns": (r"r\d+\.example",)}))
    names: dict[str, tuple[GeneralName | bytes, ...]] = {
        "dns 'dc1.example'": (dns("r1.example"), dns("dc1.example")),
        "upn 'admin@example.org'": (dns("r1.example"), upn_of("admin@example.org")),
        "email 'admin@example.org'": (
            dns("r1.example"),
            general_name("email", "admin@example.org"),
        ),
        "uri 'tag:microsoft.com,2022-09-14:sid:S-1-5-2": (
            dns("r1.example"),
            general_name("uri", "tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-500"),
        ),
        "dirname": (dns("r1.example"), asn1.der_context(4, build_name([("CN", "admin")]).der)),
    }
    for named, sans in names.items():
        csr = request_der(None, extension_request(san(*sans)))
        answer = refused(
            message(world, csr), FailInfo.BAD_REQUEST, cause="policy", profile="strict"
        )
        assert f"subjectAltName {named}" in answer.text


def test_d13_without_patterns_an_officer_sees_every_name_before_anything_is_issued(
    world: World,
) -> None:
    csr = request_der(
        None,
        extension_request(
            san(dns("r1.example"), dns("dc1.example"), general_name("ip", "192.0.2.1"))
        ),
    )
    request = pending(message(world, csr))
    page = signed_in(world.alice).get(reverse("request", args=[request.pk])).content.decode()
    for name in ("r1.example", "dc1.example", "192.0.2.1"):
        assert name in page
    assert request.state == State.PENDING


# ----------------------------------------------------------------------- D-16, D-17, D-18: the name


def name_of(*values: bytes, tag: int = UTF8) -> bytes:
    return raw_name(*((CN, tag, value) for value in values))


def test_d16_d17_a_subject_that_says_two_things_or_hides_one_is_refused(world: World) -> None:
    multi = asn1.der_sequence(
        asn1.der_set(
            *(
                asn1.der_sequence(asn1.der_oid(oid), asn1.der(UTF8, b"r1"))
                for oid in (CN, "2.5.4.10")
            )
        )
    )
    subjects = {
        "two CN": name_of(b"r1.example", b"admin"),
        "several attributes in one part": multi,
        "an attribute not on the list": raw_name((CN, UTF8, b"r1"), ("2.5.4.99", UTF8, b"x")),
        "NUL": name_of(b"r1\x00.evil.example"),
        "line break": name_of(b"r1\nforged log line"),
        "escape": name_of(b"r1\x1b[2J"),
        "right-to-left override": name_of("r1\u202egpj.exe".encode()),
        "zero width": name_of("r\u200b1".encode()),
        "NUL in BMPString": name_of("r1\0x".encode("utf-16-be"), tag=asn1.BMP_STRING),
        "64 KB": name_of(b"a" * 40_000),
        "65 characters": name_of(b"a" * 65),
        "nothing": name_of(b""),
        "no subject": raw_name(),
    }
    for case, subject in subjects.items():
        answer = refused(message(world, request_der(subject)), FailInfo.BAD_REQUEST, cause="policy")
        assert answer.text.isprintable(), case
        assert not set(answer.text) & set("\0\n\x1b\u202e\u200b"), case


def test_d16_d17_d18_a_subject_that_cannot_be_read_is_refused_unread(world: World) -> None:
    subjects = {
        "invalid UTF-8": name_of(b"r1\xff"),
        "half a BMPString": name_of(b"\x00r\x00", tag=asn1.BMP_STRING),
        "a lone surrogate": name_of(b"\xd8\x00", tag=asn1.BMP_STRING),
        "no text": name_of(b"r1", tag=0x04),
        "33 parts": name_of(*[b"r1"] * 33),
        "10,000 parts": name_of(*[b"r1"] * 3000),
    }
    for case, subject in subjects.items():
        text = refused(message(world, request_der(subject)), FailInfo.BAD_REQUEST).text
        assert text.startswith("certification request: ") != (case == "10,000 parts"), (case, text)


def test_d17_alternative_names_of_odd_shape_are_refused(world: World) -> None:
    refusable = [
        "r1\0.example",
        "r1 .example",
        "r1_x.example",
        "*.example",
        "r1.example.",
        "",
        "192.0.2.7",
        "-r1.example",
    ]
    for value in refusable:
        csr = request_der(None, extension_request(san(dns(value))))
        assert refused(message(world, csr), FailInfo.BAD_REQUEST, cause="policy"), value
    unreadable = [
        san(),
        san(b"\x87\x05\xc0\x00\x02\x01\x01"),
        san("\x82\x0cr\xfc.example".encode("latin-1")),
        san(*(dns(f"r{number}.example") for number in range(101))),
        extension("2.5.29.17", b"junk"),
    ]
    for names in unreadable:
        text = refused(
            message(world, request_der(None, extension_request(names))), FailInfo.BAD_REQUEST
        ).text
        assert text.startswith("certification request: subjectAltName")


def test_d18_too_many_extensions_are_refused_quickly(world: World) -> None:
    for count in (33, 1000):
        many = extension_request(
            *(extension(f"1.2.3.{number}", b"\x05\x00") for number in range(count))
        )
        text = refused(message(world, request_der(None, many)), FailInfo.BAD_REQUEST).text
        assert text in (
            UNREADABLE,
            f"certification request: {count} requested extensions: at most 32",
        )


def test_mixed_scripts_are_shown_to_the_officer_with_a_warning(world: World) -> None:
    request = pending(message(world, request_der(build_name([("CN", "p\u0430ypal")]))))
    assert [finding["code"] for finding in request.findings] == ["text-mixed-scripts"]


def test_d42_what_a_device_writes_is_text_on_every_page(world: World) -> None:
    hostile = [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "=cmd|' /C calc'!A0",
        "{{ 7*7 }}{% now %}",
    ]
    for number, text in enumerate(hostile, start=1):
        key = f"device-{number}"
        csr = request_der(build_name([("CN", text)]), key=rsa_key(key))
        pending(message(world, csr, key=key, transaction_id=text, transaction_id_tag=UTF8))
    alice = signed_in(world.alice)
    pages = [
        reverse("queue"),
        *(reverse("request", args=[row.pk]) for row in EnrollmentRequest.objects.all()),
    ]
    for page in pages:
        shown = alice.get(page, HTTP_USER_AGENT="<b>").content.decode()
        assert "<script>alert" not in shown
        assert "<img" not in shown
    assert "{{ 7*7 }}" in alice.get(pages[0]).content.decode()


# --------------------------------------------------------------------------------- D-21, D-22: keys


def with_key(spki_der: bytes) -> bytes:
    """A request for any key, with a signature of the right size that cannot be right."""
    body = info(build_name([("CN", "r1.example")]).der, spki_der=spki_der)
    return signed(body, rsa_key("alice"))


def weak_moduli() -> Iterator[tuple[str, int, int]]:
    """Numbers that are no good keys."""
    good = rsa_key("alice").public_key().public_numbers().n
    yield "512 bits", (1 << 511) | 1, 65537
    yield "1024 bits", (1 << 1023) | 1, 65537
    yield "16384 bits", (1 << 16_383) | 1, 65537
    yield "exponent 1", good, 1
    yield "exponent 2", good, 2
    yield "exponent 3", good, 3
    yield "even exponent", good, 65538
    yield "exponent of 2048 bits", good, good - 2
    yield "even modulus", good - 1, 65537
    yield "negative modulus", -good, 65537
    yield "small factors", prod(range(3, 400, 2)) | 1 << 2047, 65537


def test_d21_bad_rsa_keys_are_refused_quickly_and_no_device_waits(world: World) -> None:
    for case, modulus, exponent in weak_moduli():
        sent = message(world, with_key(rsa_spki(modulus, exponent)))
        started = perf_counter()
        with nothing_granted():
            answer = post(sent)
        assert (answer.http, answer.status) == (200, PKIStatus.FAILURE), case
        assert perf_counter() - started < 1, case


def test_d21_a_proven_key_with_an_exponent_that_is_not_allowed_is_refused_by_name(
    world: World,
) -> None:
    create_profile(world.ca, "odd", spec=ProfileSpec(rsa_exponents=(65539,)))
    text = "RSA 2048 exponent 65537: allowed is 65539"
    refused(
        message(world, request_der()), FailInfo.BAD_REQUEST, text, cause="policy", profile="odd"
    )


def test_d21_a_key_below_the_size_of_the_profile_is_refused_with_the_reason_by_name(
    world: World,
) -> None:
    create_profile(world.ca, "large", spec=ProfileSpec(rsa_min_bits=3072))
    sent = message(world, request_der())
    refused(sent, FailInfo.BAD_REQUEST, "RSA 2048: at least 3072", cause="policy", profile="large")


def ec_spki(curve: ec.EllipticCurve) -> bytes:
    key = ec.derive_private_key(7, curve).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_d22_other_curves_and_kinds_of_keys_are_refused(world: World) -> None:
    point = ec_key().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    p256 = asn1.der_sequence(asn1.der_oid("1.2.840.10045.2.1"), asn1.der_oid("1.2.840.10045.3.1.7"))
    off_curve = asn1.der_sequence(p256, asn1.der_bit_string(b"\x04" + b"\x01" * 64))
    edwards = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    keys = {
        "P-192": ec_spki(ec.SECP192R1()),
        "P-224": ec_spki(ec.SECP224R1()),
        "secp256k1": ec_spki(ec.SECP256K1()),
        "brainpool": ec_spki(ec.BrainpoolP256R1()),
        "P-256": spki(ec_key()),
        "compressed": asn1.der_sequence(p256, asn1.der_bit_string(point)),
        "not on the curve": off_curve,
        "explicit parameters": asn1.der_sequence(
            asn1.der_sequence(
                asn1.der_oid("1.2.840.10045.2.1"), asn1.der_sequence(asn1.der_integer(1))
            ),
            asn1.der_bit_string(b"\x04" + bytes(64)),
        ),
        "Ed25519": edwards.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "DSA": asn1.der_sequence(
            asn1.der_sequence(asn1.der_oid("1.2.840.10040.4.1")),
            asn1.der_bit_string(b"\x02\x01\x07"),
        ),
    }
    for case, key in keys.items():
        with nothing_granted():
            answer = post(message(world, with_key(key)))
        assert (answer.http, answer.status) == (200, PKIStatus.FAILURE), case
        assert (answer.fail_info, answer.text) == (FailInfo.BAD_REQUEST, UNREADABLE), case
        # P-256 is an accepted kind of key, but the sender has not proved it.
        with pytest.raises(CsrSignatureInvalid if case == "P-256" else CsrAlgorithmRefused):
            decode_csr(with_key(key))
    assert any("EC curve" in cause for cause in causes()), "the log says which"


def test_d23_a_key_that_has_a_certificate_under_another_name_waits_and_the_officer_is_shown_both(
    world: World,
) -> None:
    EnrollmentProfile.objects.update(on_duplicate="redeliver")
    issued(world, message(world, request_der(build_name([("CN", "r1.example")]))))
    other = message(world, request_der(build_name([("CN", "r2.example")])), transaction_id="second")
    request = pending(other)
    page = signed_in(world.alice).get(reverse("request", args=[request.pk])).content.decode()
    assert "CN=r1.example" in page
    assert EnrollmentRequest.objects.count() == 2


# ------------------------------------------------------------------ D-41, D-45: between two moments


def test_d41_what_was_reviewed_is_what_is_decided_on_and_issued(world: World) -> None:
    device = Device.named("r1.example")
    device.enroll()
    request = EnrollmentRequest.objects.get()
    digest = review_digest(request)
    with nothing_granted():
        assert device.enroll(dns_names=["dc1.example"]).status is PKIStatus.FAILURE
    assert review_digest(EnrollmentRequest.objects.get()) == digest
    approve = partial(
        approve_request,
        request_id=request.pk,
        principal=principal_of(world.alice),
        comment="",
        now=now(),
    )
    with pytest.raises(RequestChanged):
        approve(view_sha256="0" * 64)
    approve(view_sha256=digest)
    run_worker()
    certificate = x509.load_der_x509_certificate(device.poll().certificates[0])
    assert not [
        item for item in certificate.extensions if item.oid == x509.OID_SUBJECT_ALTERNATIVE_NAME
    ]


def test_d45_a_task_that_comes_too_early_or_again_or_for_nothing_issues_nothing_more(
    world: World,
) -> None:
    sent = message(world, request_der())
    request = pending(sent)
    tasks.issue_certificates(request_ids=[str(request.pk)])
    assert post(sent).status is PKIStatus.PENDING
    issued(world, sent)
    with nothing_granted():
        tasks.issue_certificates(request_ids=[str(request.pk), str(request.pk)])
        tasks.issue_certificates(request_ids=["00000000-0000-0000-0000-000000000000"])
        with pytest.raises(ValueError, match="badly formed"):
            tasks.issue_certificates(request_ids=["'; DROP TABLE ca_certificate"])
