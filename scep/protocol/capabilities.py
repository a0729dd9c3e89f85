"""The GetCACaps answer, RFC 8894 section 3.5.2."""

from __future__ import annotations


def capabilities(*, renewal: bool, next_ca: bool, legacy: bool) -> bytes:
    """One keyword a line, in an order that real clients read. `legacy` adds 3DES and SHA-1.

    SHA-384 is not a keyword of the RFC, but strongSwan before 5.9.11 enrolls with its defaults only
    if it is listed.
    """
    keywords = [
        ("AES", True),
        ("DES3", legacy),
        ("GetNextCACert", next_ca),
        ("POSTPKIOperation", True),
        ("Renewal", renewal),
        ("SHA-1", legacy),
        ("SHA-256", True),
        ("SHA-384", True),
        ("SHA-512", True),
        ("SCEPStandard", True),
    ]
    return "\n".join(keyword for keyword, offered in keywords if offered).encode("ascii")
