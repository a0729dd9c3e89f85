"""A malformed certificate request is explained only to a sender who has shown its key."""

import time
from collections.abc import Callable
from typing import Any, Final
from unittest import mock

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.models import AuditEntry
from ca.models.authorities import CertificateAuthority
from ca.models.keys import ServiceKey
from ca.x509.asn1 import (
    BIT_STRING,
    BMP_STRING,
    DER_NULL,
    IA5_STRING,
    UTF8_STRING,
    der,
    der_integer,
    der_octets,
    der_oid,
    der_sequence,
    der_set,
    parse_exact,
    sequence,
)
from ca.x509.csr import decode_csr
from ca.x509.errors import CsrError
from exchanges.models import Exchange
from scep.protocol.certificates import issuer_and_serial, read_certificate, subject_key_identifier
from scep.protocol.constants import FailInfo
from scep.protocol.errors import NOT_OPENED, UNREADABLE
from scep.ra.addressees import mistaken_certificates
from tests.ca.forge import (
    CHALLENGE,
    attribute,
    extension_request,
    info,
    raw_name,
    request_der,
    san,
    signed,
    spki,
)
from tests.flows.test_attacks_messages import CLOCK, UNREADABLE_ENVELOPES
from tests.flows.wire import causes, message, post, ra_certificate, refused
from tests.pages import signed_in
from tests.pki import certificate_der, rsa_key
from tests.world import World, create_ca, now


def _signature_of(info_der: bytes) -> tuple[bytes, bytes]:
    algorithm, value = sequence(parse_exact(signed(info_der)))[1:]
    return algorithm.raw, value.raw


CN: Final = "2.5.4.3"
NAME: Final = raw_name((CN, UTF8_STRING, b"r7.example"))
#: Each fault is in the signed part: the request, and the rest of its text after the name of the
#: request.
FAULTS: Final = {
    "version 3": (signed(info(NAME, version=3)), "of version 3: 0 is needed"),
    "version -1": (signed(info(NAME, version=-1)), "of version -1: 0 is needed"),
    "a number as version is missing": (
        signed(der_sequence(DER_NULL, NAME, spki(rsa_key("alice")))),
        "NULL of 0 bytes: an INTEGER is needed",
    ),
    "bits as CN": (
        signed(info(raw_name((CN, BIT_STRING, b"\x00r7")))),
        "name attribute CN: BIT STRING: not a text type",
    ),
    "challenge is an OCTET STRING": (
        signed(info(NAME, [attribute(CHALLENGE, der_octets(b"hush-hush"))])),
        "challengePassword: OCTET STRING: not a text type",
    ),
    "challenge without SET": (
        signed(info(NAME, [der_sequence(der_oid(CHALLENGE), der(UTF8_STRING, b"hush-hush"))])),
        "challengePassword: UTF8String: SET is needed",
    ),
    "challenge in a SEQUENCE": (
        signed(
            info(
                NAME,
                [der_sequence(der_oid(CHALLENGE), der_sequence(der(UTF8_STRING, b"hush-hush")))],
            )
        ),
        "challengePassword: SEQUENCE: SET is needed",
    ),
    "challenge of half a BMPString": (
        signed(info(NAME, [attribute(CHALLENGE, der(BMP_STRING, b"hush-hush"))])),
        "challengePassword: BMPString whose text is not valid utf-16-be",
    ),
    "Latin-1 in an IA5String": (
        signed(info(raw_name((CN, IA5_STRING, b"caf\xe9")))),
        "name attribute CN: IA5String whose text is not valid ascii",
    ),
    "Latin-1 in a UTF8String": (
        signed(info(raw_name(("2.5.4.10", UTF8_STRING, b"M\xfcller")))),
        "name attribute O: UTF8String whose text is not valid utf-8",
    ),
    "UTF-8 in rfc822Name": (
        signed(info(NAME, [extension_request(san(b"\x81\x0ajos\xc3\xa9@a.bc"))])),
        "subjectAltName email: not ASCII",
    ),
    "an extension that is none": (
        signed(info(NAME, [extension_request(der_sequence(der_oid("2.5.29.17")))])),
        "SEQUENCE of 1: at least 2 members are needed",
    ),
    "attributes in a SET": (
        signed(
            der_sequence(
                der_integer(0), NAME, spki(rsa_key("alice")), der_set(attribute("1.2.3", DER_NULL))
            )
        ),
        "SET: [0] is needed",
    ),
    "five members": (
        signed(
            der_sequence(der_integer(0), NAME, spki(rsa_key("alice")), der(0xA0, b""), DER_NULL)
        ),
        "of 5 members: at most four are needed",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_sender_who_signed_both_is_told_what_is_wrong_and_so_are_log_and_page(
    world: World, fault: str
) -> None:
    request, expected = FAULTS[fault]
    answer = refused(message(world, request), FailInfo.BAD_REQUEST)
    assert expected in answer.text
    assert "hush" not in answer.text
    entry = AuditEntry.objects.get(event="message:refuse")
    assert expected in entry.data["text"]
    assert entry.data["number"] == answer.number
    page = (
        signed_in(world.alice)
        .get(reverse("exchange", args=[Exchange.objects.get().pk]))
        .content.decode()
    )
    assert expected in page
    opened = (
        signed_in(world.alice)
        .post(reverse("exchange_open", args=[Exchange.objects.get().pk]))
        .content.decode()
    )
    assert expected in opened.partition("Inside the envelope")[2]
    assert UNREADABLE not in page + opened
    assert "hush" not in page + opened


@pytest.mark.parametrize("fault", FAULTS)
def test_a_request_whose_own_signature_has_held_is_told_to_a_sender_with_another_key(
    world: World, fault: str
) -> None:
    request, expected = FAULTS[fault]
    assert expected in refused(message(world, request, key="bob"), FailInfo.BAD_REQUEST).text


#: Nothing shows that the sender made the request: its signature does not hold, or does not cover
#: the fault.
UNPROVEN: Final = {
    "another version afterwards": signed(info(NAME)).replace(b"\x02\x01\x00", b"\x02\x01\x01", 1),
    "another name afterwards": signed(info(NAME)).replace(b"r7.example", b"r7\xffexample"),
    "a fourth member": der_sequence(info(NAME), *_signature_of(info(NAME)), DER_NULL),
    "another key's signature": signed(info(NAME, version=2), rsa_key("bob")),
    "no key": signed(der_sequence(der_integer(0), NAME, DER_NULL)),
    "a certificate": certificate_der("ca"),
    "PEM": b"-----BEGIN CERTIFICATE REQUEST-----",
}


@pytest.mark.parametrize("fault", UNPROVEN)
def test_what_is_not_proven_is_unreadable_to_its_sender_and_has_its_cause_in_the_log(
    world: World, fault: str
) -> None:
    sent = message(world, UNPROVEN[fault], key="device-1")
    refused(sent, FailInfo.BAD_REQUEST, UNREADABLE)
    (cause,) = causes()
    assert cause in (NOT_OPENED, "certification request: the signature does not fit the key")
    assert Exchange.objects.get().detail == cause


def test_faults_that_only_the_private_key_shows_have_one_cause_for_people_too(world: World) -> None:
    """A person who sends captured blocks and reads log or pages learns no more than the wire."""
    for inside in (
        b"\x30\x00",
        b"junk",
        b"",
        UNPROVEN["a fourth member"],
        UNPROVEN["no key"],
        request_der() * 2,
    ):
        post(message(world, inside, key="device-1"))
    details = set(Exchange.objects.values_list("detail", flat=True))
    assert details == {NOT_OPENED}


@given(position=st.integers(0, len(signed(info(NAME))) - 1), bit=st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_no_bit_changed_in_a_request_of_another_device_makes_it_proven(
    position: int, bit: int
) -> None:
    changed = bytearray(signed(info(NAME)))
    changed[position] ^= 1 << bit
    fault, read = None, None
    try:
        read = decode_csr(bytes(changed))
    except CsrError as error:
        fault = error
    assert fault is None or not fault.is_proven
    assert read is None or read.info_der == info(NAME), (
        "the parameters of the signature algorithm are not signed"
    )


@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("by_key_identifier", [False, True])
def test_a_certificate_of_the_portal_that_was_taken_for_the_ra_certificate_is_named(
    world: World, copies: int, by_key_identifier: bool
) -> None:
    taken = read_certificate(world.ca.certificate_der)
    rid = (
        der(0x80, subject_key_identifier(taken.der) or b"")
        if by_key_identifier
        else issuer_and_serial(taken)
    )
    pieces = {"encrypted_cek": b"\x07" * 256, "rid": rid, "copies": copies}
    refused(message(world, request_der(), envelope=pieces), FailInfo.BAD_REQUEST, UNREADABLE)
    name = f"the certificate of CA {world.ca.name}"
    assert causes() == [f"encrypted to {name}: an RA certificate of CA {world.ca.name} is needed"]
    page = (
        signed_in(world.alice)
        .get(reverse("exchange", args=[Exchange.objects.get().pk]))
        .content.decode()
    )
    assert f"Encrypted to {name}, which decrypts nothing" in page


def test_a_retired_ra_certificate_is_named_too(world: World) -> None:
    old = ra_certificate(world.ca)
    ServiceKey.objects.filter(ca=world.ca).update(retired_at=now())
    assert mistaken_certificates({world.ca.pk})[issuer_and_serial(read_certificate(old))] == (
        f"a retired RA certificate of CA {world.ca.name}"
    )


#: Certificates of the portal that decrypt nothing for `routers`, by whose they are.
ELSEWHERE: Final[dict[str, Callable[[CertificateAuthority], tuple[bytes, str]]]] = {
    "the RA of another CA": lambda other: (ra_certificate(other), "the RA certificate of CA other"),
    "another CA": lambda other: (other.certificate_der, "the certificate of CA other"),
    "a retired RA of another CA": lambda other: (
        retired(other),
        "a retired RA certificate of CA other",
    ),
}


def retired(ca: CertificateAuthority) -> bytes:
    """Give up the RA key of an authority; returns its certificate."""
    certificate = ra_certificate(ca)
    ServiceKey.objects.filter(ca=ca).update(retired_at=now())
    return certificate


@pytest.mark.parametrize("by_key_identifier", [False, True])
@pytest.mark.parametrize("whose", ELSEWHERE)
def test_a_certificate_of_another_authority_of_the_portal_is_named(
    world: World, whose: str, by_key_identifier: bool
) -> None:
    """A client that asked another profile of the portal for its certificates."""
    der, name = ELSEWHERE[whose](create_ca("other", ra_key="device-8"))
    taken = read_certificate(der)
    rid = key_identifier(taken.der) if by_key_identifier else issuer_and_serial(taken)
    refused(
        message(world, request_der(), envelope={"encrypted_cek": b"\x07" * 256, "rid": rid}),
        FailInfo.BAD_REQUEST,
    )
    assert causes() == [f"encrypted to {name}: an RA certificate of CA issuing is needed"]


def key_identifier(certificate_der: bytes) -> bytes:
    """The RecipientIdentifier of a certificate by its key identifier."""
    return der(0x80, subject_key_identifier(certificate_der) or b"")


#: The recipient that the envelope names publicly.
ADDRESSEES: Final[dict[str, Callable[[World], dict[str, Any]]]] = {
    "the RA certificate": lambda _: {},
    "the CA": lambda world: {"rid": issuer_and_serial(read_certificate(world.ca.certificate_der))},
    "a stranger": lambda _: {
        "rid": der_sequence(raw_name(("2.5.4.3", UTF8_STRING, b"x")), der_integer(7))
    },
}


@pytest.mark.parametrize("addressee", ADDRESSEES)
def test_what_only_the_key_shows_changes_nothing_in_what_the_database_is_asked(
    world: World, addressee: str
) -> None:
    """An extra look-up takes time, which would tell an attacker how far the decryption came."""
    insides: list[dict[str, Any]] = [
        pieces for case, pieces in UNREADABLE_ENVELOPES if case in _ONLY_THE_KEY_SHOWS
    ]
    insides += [
        {"plaintext": UNPROVEN[case]}
        for case in ("no key", "another name afterwards", "a certificate")
    ]
    counts = set()
    nothing_grows_old = mock.patch("time.monotonic", return_value=time.monotonic())
    with mock.patch(CLOCK, return_value=now().replace(second=20)), nothing_grows_old:
        for _ in range(2):  # the first refusal of a minute is written, the others are counted
            post(message(world, b"", key="device-1", envelope=ADDRESSEES[addressee](world)))
        for inside in insides:
            sent = message(world, key="device-1", envelope=ADDRESSEES[addressee](world) | inside)
            with CaptureQueriesContext(connection) as queries:
                post(sent)
            # At intervals old stored messages are removed, whatever their content.
            counts.add(sum("exchanges_exchange" not in query["sql"] for query in queries))
    assert len(counts) == 1


_ONLY_THE_KEY_SHOWS: Final = {
    "random encrypted key",
    "PKCS #1 without separator",
    "another content key",
    "CBC padding 0",
    "CBC padding 17",
    "right padding, junk inside",
    "right padding, nothing inside",
    "right padding, no request inside",
}
