"""Facts for the renderers, over the recorded certificates."""

from dataclasses import replace
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from approvals.device_setup.configurations.facts import AuthorityFacts, ConfigurationFacts, Names
from tests.pki import FOLDER


def certificate(name: str) -> bytes:
    """Return a recorded certificate, DER."""
    return x509.load_pem_x509_certificate((FOLDER / f"{name}.crt.pem").read_bytes()).public_bytes(
        Encoding.DER
    )


ISSUING: Final = AuthorityFacts("issuing", "CN=Issuing CA", certificate("ra"))
ROOT: Final = AuthorityFacts("root", "CN=Root CA", certificate("ca"))
NAMES: Final = Names(
    (("O", "Example Org"), ("CN", "r1.example")),
    (("dns", "r1.example"), ("ip", "192.0.2.1"), ("email", "noc@example.org")),
)
FACTS: Final = ConfigurationFacts(
    url="http://portal.example/scep/routers/",
    profile="routers",
    authorities=(ISSUING, ROOT),
    names=NAMES,
    key_sizes=(2048, 3072, 4096),
    challenge="abcdefgh234567abcdefgh234567abcd",
    is_one_time=True,
)


def facts(**changes: Any) -> ConfigurationFacts:
    """Return the facts with some of them changed."""
    return replace(FACTS, **changes)


def named(
    *subject: tuple[str, str], sans: tuple[tuple[str, str], ...] = (), **changes: Any
) -> ConfigurationFacts:
    """Return facts for other names."""
    return replace(FACTS, names=Names(subject, sans), **changes)
