"""The NDES page, byte for byte as its readers expect it, and the credentials they send.

PURE. MDMs search for these sentences with regular expressions (docs/ndes.md), so the wording is
fixed: the phrases, the spaces around `<B>`, and no 16 hexadecimal digits in a row before the
challenge.
"""

import base64
import binascii
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256

#: Longer credentials are invalid; no slow hash is computed over them.
_MAX_HEADER = 1024
_HEAD = (
    '<HTML><Head><Meta HTTP-Equiv="Content-Type" Content="text/html; charset=UTF-8">'
    "<Title>Network Device Enrollment Service</Title></Head><Body>"
    "<P> Network Device Enrollment Service allows you to obtain certificates for routers or other "
    "network devices "
    "using the Simple Certificate Enrollment Protocol (SCEP). </P>"
)
_TAIL = "</Body></HTML>"


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """Name and password of HTTP Basic authentication (RFC 7617)."""

    name: str
    password: str = field(repr=False)


def parse_basic(header: str) -> BasicCredentials | None:
    """Return the credentials in an `Authorization` header; None for anything other than Basic.

    They are UTF-8, as the 401 asks for.
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(header) > _MAX_HEADER:
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    name, colon, password = text.partition(":")
    return BasicCredentials(name, password) if colon and "\x00" not in text else None


def challenge_page(
    challenge: str, *, ca_certificate: bytes, lifetime: timedelta, encoding: str
) -> bytes:
    """Return the page with a fresh challenge.

    The thumbprint is the SHA-256 of the CA certificate; NDES shows MD5, which is unsafe to compare.
    """
    minutes = int(lifetime.total_seconds() // 60)
    return _page(
        "<P> To complete certificate enrollment for your network device you will need the "
        "following information: "
        "<P> The thumbprint (hash value) for the CA certificate is: <B> "
        f"{_thumbprint(ca_certificate)} </B> "
        f"<P> The enrollment challenge password is: <B> {challenge} </B> "
        f"<P> This password can be used only once and will expire within {minutes} minutes. "
        "<P> Each enrollment requires a new challenge password. "
        "You can refresh this web page to obtain a new challenge password. </P>",
        encoding,
    )


def cache_full_page(*, lifetime: timedelta, encoding: str) -> bytes:
    """Return the page for an account with the maximum of unused challenges."""
    minutes = int(lifetime.total_seconds() // 60)
    return _page(
        "<P> The password cache is full. <P> Network Device Enrollment Service stores unused "
        "passwords for later use. "
        f"Passwords are stored for {minutes} minutes. Use one of them, or wait until one expires. "
        "</P>",
        encoding,
    )


def no_permission_page(*, encoding: str) -> bytes:
    """Return the page for an account that may not get challenges."""
    return _page(
        "<P> You do not have sufficient permission to enroll with SCEP. Please contact your system "
        "administrator. </P>",
        encoding,
    )


def _page(body: str, encoding: str) -> bytes:
    return f"{_HEAD}{body}{_TAIL}".encode(encoding)


def _thumbprint(certificate: bytes) -> str:
    digest = sha256(certificate).hexdigest().upper()
    return " ".join(digest[start : start + 8] for start in range(0, len(digest), 8))
