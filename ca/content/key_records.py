"""The records about a public key, and their consequences for a new certificate.

PURE.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ca.x509.findings import Finding, ask_officer, refuse

#: Reasons of RFC 5280 §5.3.1 after which others may hold the private key: it is never certified
#: again.
COMPROMISE_REASONS: Final = frozenset({"keyCompromise", "cACompromise", "aACompromise"})
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """Block list entry and revoked certificates of a key; `revoked` has (serial number, reason)."""

    is_blocked: bool = False
    revoked: tuple[tuple[str, str], ...] = ()

    @property
    def compromised(self) -> tuple[str, ...]:
        """Serial numbers of its certificates that were revoked as possibly stolen."""
        return tuple(serial for serial, reason in self.revoked if reason in COMPROMISE_REASONS)

    @property
    def fault(self) -> str:
        """Why this key is never certified, as a sentence without its end; "" if it may be."""
        if self.is_blocked:
            return "the public key is on the block list"
        if self.compromised:
            return (
                f"the public key was revoked for key compromise (certificate {self.compromised[0]})"
            )
        return ""

    def findings(self) -> Iterator[Finding]:
        """Yield the findings for a request with this key."""
        if self.is_blocked:
            yield refuse("key-blocked", "public key: on the block list; a new key is needed")
        if self.compromised:
            serial = self.compromised[0]
            yield refuse(
                "key-compromised",
                f"public key: certificate {serial} was revoked for key compromise",
            )
        others = [
            f"{serial} ({reason})"
            for serial, reason in self.revoked
            if reason not in COMPROMISE_REASONS
        ]
        if others:
            yield ask_officer(
                "key-revoked", f"public key: of revoked certificates {', '.join(others[:_SHOWN])}"
            )
