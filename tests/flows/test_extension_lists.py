"""Requests that ask for extensions in several lists, at the door."""

from collections.abc import Sequence

import pytest

from approvals.models.requests import EnrollmentRequest
from ca.x509.asn1 import BMP_STRING, UTF8_STRING, der, der_context, der_oid
from ca.x509.csr import decode_csr
from ca.x509.errors import CsrMalformed
from scep.protocol.constants import PKIStatus
from tests.ca.forge import dns, extension, extension_request, request_der, san
from tests.flows.wire import message, nothing_granted, post
from tests.world import World

PKCS9, MICROSOFT, VERISIGN = (
    "1.2.840.113549.1.9.14",
    "1.3.6.1.4.1.311.2.1.14",
    "2.16.840.1.113733.1.9.8",
)
NAMES = san(dns("r1.example"), dns("r2.example"))
USAGE = extension("2.5.29.15", b"\x03\x02\x05\xa0", critical=b"\x01\x01\xff")
USAGE_01 = extension("2.5.29.15", b"\x03\x02\x05\xa0", critical=b"\x01\x01\x01")


def csr(lists: Sequence[tuple[str, list[bytes]]]) -> bytes:
    return request_der(None, *(extension_request(*requested, oid=oid) for oid, requested in lists))


@pytest.mark.parametrize(
    "lists",
    [
        pytest.param([(PKCS9, [NAMES, USAGE]), (MICROSOFT, [NAMES, USAGE])], id="the same"),
        pytest.param([(MICROSOFT, [USAGE_01, NAMES]), (PKCS9, [NAMES, USAGE])], id="another order"),
        pytest.param([(PKCS9, [NAMES]), (PKCS9, [USAGE])], id="two parts"),
        pytest.param([(PKCS9, [NAMES]), (PKCS9, [NAMES, USAGE])], id="a part and the whole"),
        pytest.param(
            [(PKCS9, []), (VERISIGN, [NAMES]), (MICROSOFT, [USAGE])], id="three, one of them empty"
        ),
    ],
)
def test_lists_that_agree_open_one_request_for_all_they_ask(
    world: World, lists: list[tuple[str, list[bytes]]]
) -> None:
    assert post(message(world, csr(lists))).status is PKIStatus.PENDING
    request = EnrollmentRequest.objects.get()
    assert request.names == ["dns:r1.example", "dns:r2.example"]


@pytest.mark.parametrize("other", [PKCS9, MICROSOFT, VERISIGN])
@pytest.mark.parametrize("names", ["r1.example", "r3.example", "R1.EXAMPLE"])
def test_lists_that_contradict_each_other_open_none(world: World, other: str, names: str) -> None:
    sent = message(world, csr([(PKCS9, [NAMES]), (other, [san(dns(names))])]))
    with nothing_granted():
        assert post(sent).status is PKIStatus.FAILURE


def upn(tag: int, encoding: str) -> bytes:
    return der_context(
        0,
        der_oid("1.3.6.1.4.1.311.20.2.3"),
        der_context(0, der(tag, "otto@r1.example".encode(encoding))),
    )


#: One content, written in two ways.
SPELLINGS = {
    "DNS names in capitals": (san(dns("r1.example")), san(b"\x82\x0aR1.EXAMPLE")),
    "a string of another type": (san(upn(UTF8_STRING, "utf-8")), san(upn(BMP_STRING, "utf-16-be"))),
    "unused bits": (
        extension("2.5.29.15", b"\x03\x02\x07\x80"),
        extension("2.5.29.15", b"\x03\x02\x00\x80"),
    ),
    "bits that are 0": (
        extension("2.5.29.15", b"\x03\x02\x05\xa0"),
        extension("2.5.29.15", b"\x03\x03\x07\xa0\x00"),
    ),
    "a long length": (
        extension("2.5.29.15", b"\x03\x02\x05\xa0"),
        extension("2.5.29.15", b"\x03\x81\x02\x05\xa0"),
    ),
    "no authority": (
        extension("2.5.29.19", b"\x30\x00"),
        extension("2.5.29.19", b"\x30\x03\x01\x01\x00"),
    ),
}


@pytest.mark.parametrize("other", [PKCS9, MICROSOFT])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_content_in_two_spellings_is_one(spelling: str, other: str) -> None:
    first, second = SPELLINGS[spelling]
    for one, two in ((first, second), (second, first)):
        (extension_read,) = decode_csr(csr([(PKCS9, [one]), (other, [two])])).requested_extensions
        assert extension_read.value in one, "the first counts"


#: Contents that look alike.
CONTRADICTIONS = {
    "a host name": (san(dns("r1.example")), san(dns("r1.examp1e"))),
    "another kind of name": (san(dns("r1.example")), san(b"\x81\x0ar1.example")),
    "one bit less": (
        extension("2.5.29.15", b"\x03\x02\x05\xa0"),
        extension("2.5.29.15", b"\x03\x02\x06\x80"),
    ),
    "an authority": (
        extension("2.5.29.19", b"\x30\x00"),
        extension("2.5.29.19", b"\x30\x03\x01\x01\xff"),
    ),
    "a path": (
        extension("2.5.29.19", b"\x30\x00"),
        extension("2.5.29.19", b"\x30\x03\x02\x01\x00"),
    ),
    "bytes of an unknown one": (
        extension("1.2.3.4", b"\x05\x00"),
        extension("1.2.3.4", b"\x05\x81\x00"),
    ),
}


@pytest.mark.parametrize("contents", CONTRADICTIONS)
def test_contents_that_only_look_alike_contradict_each_other(contents: str) -> None:
    first, second = CONTRADICTIONS[contents]
    for one, two in ((first, second), (second, first)):
        with pytest.raises(CsrMalformed, match="requested twice, with different content"):
            decode_csr(csr([(PKCS9, [one]), (MICROSOFT, [two])]))
