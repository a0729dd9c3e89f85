"""Answers that the throw-away device rejects."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from selftest.chart import WIDTH, bars_of
from selftest.checks import (
    Chain,
    check_capabilities,
    check_certificate,
    check_chain,
    check_crl,
    fingerprints,
)
from selftest.errors import StepFailed
from selftest.models import SelfTestStep
from tests.pki import rsa_key

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NAME = "selftest-00000000.invalid"
DAY = timedelta(days=1)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text)])


def made(
    subject: str = NAME,
    issuer: str = "CA",
    *,
    is_ca: bool | None = None,
    signer: str = "ca",
    key: str = "alice",
    life: timedelta = timedelta(minutes=10),
    since: datetime = NOW - timedelta(minutes=5),
    dns: str = NAME,
) -> x509.Certificate:
    """A certificate with one thing wrong, if wanted."""
    builder = x509.CertificateBuilder(name(issuer), name(subject), rsa_key(key).public_key(), 7)
    builder = builder.not_valid_before(since).not_valid_after(NOW + life)
    if is_ca is not None:
        builder = builder.add_extension(
            x509.BasicConstraints(ca=is_ca, path_length=None), critical=True
        )
    if dns:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False
        )
    return builder.sign(rsa_key(signer), hashes.SHA256())


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


ROOT = made("Root", "Root", is_ca=True, signer="device-1", key="device-1", life=DAY, dns="")
CA = made("CA", "Root", is_ca=True, signer="device-1", key="ca", life=DAY, dns="")
RA = made("RA", "CA", key="ra", life=DAY, dns="")
CHAIN = Chain(RA, (CA, ROOT))


def test_a_chain_is_sorted_into_roles_and_checked() -> None:
    chain = check_chain([der(ROOT), der(RA), der(CA)], issuing_der=der(CA), now=NOW)
    assert (chain.ra, chain.authorities, chain.issuing) == (RA, (CA, ROOT), CA)
    assert fingerprints(chain).count("SHA-256") == 2
    assert check_chain([der(RA), der(CA)], issuing_der=der(CA), now=NOW).authorities == (CA,)


@pytest.mark.parametrize(
    ("received", "fault"),
    [
        ([RA, ROOT], "the issuing CA on record is not in the answer"),
        ([CA, ROOT], "no RA certificate"),
        (
            [made("RA", "CA", signer="bob", life=DAY), CA],
            "RA certificate CN=RA: not signed by CN=CA",
        ),
        ([made("RA", "CA", life=-timedelta(minutes=1)), CA], "CN=RA is not valid now"),
        (
            [RA, CA, made("Root", "Root", is_ca=True, signer="bob", key="bob", life=DAY)],
            "CA certificate CN=CA",
        ),
    ],
)
def test_a_chain_that_does_not_hold_is_named(received: list[x509.Certificate], fault: str) -> None:
    with pytest.raises(StepFailed, match=fault):
        check_chain([der(item) for item in received], issuing_der=der(CA), now=NOW)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"key": "bob"}, "not for the key of this device"),
        ({"subject": "other.invalid"}, "common name"),
        ({"dns": "other.invalid"}, "alternative names"),
        ({"dns": ""}, "alternative names"),
        ({"is_ca": True}, "it could sign others"),
        ({"signer": "bob"}, "not signed by CN=CA"),
        ({"life": -timedelta(minutes=1)}, "not now"),
        ({"life": timedelta(hours=2)}, "self-tests get minutes"),
    ],
)
def test_a_certificate_that_is_not_the_one_asked_for_is_refused(
    changes: dict[str, object], fault: str
) -> None:
    key = rsa_key("alice").public_key()
    good = check_certificate(der(made()), CHAIN, key=key, common_name=NAME, now=NOW)
    assert good.serial_number == 7
    odd = der(made(**changes))  # type: ignore[arg-type]  # one field of `made`
    with pytest.raises(StepFailed, match=fault):
        check_certificate(odd, CHAIN, key=key, common_name=NAME, now=NOW)


def crl(signer: str = "ca", until: timedelta = DAY) -> bytes:
    builder = x509.CertificateRevocationListBuilder(name("CA"), NOW - DAY, NOW + until)
    return builder.sign(rsa_key(signer), hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_crl_must_be_the_cas_and_of_today() -> None:
    assert len(check_crl(crl(), CA, now=NOW)) == 0
    with pytest.raises(StepFailed, match="not signed by the issuing CA"):
        check_crl(crl(signer="bob"), CA, now=NOW)
    with pytest.raises(StepFailed, match="outdated since"):
        check_crl(crl(until=-timedelta(hours=1)), CA, now=NOW)


def test_capabilities_that_every_client_needs_must_be_offered() -> None:
    assert check_capabilities(
        frozenset({"AES", "POSTPKIOperation", "SCEPStandard", "SHA-256"})
    ).startswith("AES, ")
    with pytest.raises(StepFailed, match="offered are none"):
        check_capabilities(frozenset())


def test_bars_stand_within_the_picture_and_none_is_too_thin_to_see() -> None:
    steps = [SelfTestStep(begun_us=0, took_us=1), SelfTestStep(begun_us=1, took_us=999_999)]
    first, second = bars_of([*steps, SelfTestStep(begun_us=1_000_000, took_us=0)])[:2]
    assert first.width > 1
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH for bar in bars_of(steps))
    assert second.width > 500
    assert bars_of([]) == []
