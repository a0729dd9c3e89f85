"""The facts in every configuration: address, authorities, names, challenge.

Values only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import md5, sha1, sha256
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import urlsplit

from ca.x509.text import visible

Digest = Literal["SHA-256", "SHA-1", "MD5"]
DIGESTS: Final[tuple[Digest, ...]] = ("SHA-256", "SHA-1", "MD5")
#: Placeholder for a challenge that is unknown or hidden.
PLACEHOLDER: Final = "CHALLENGE"
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")
KEY_SIZES: Final = (2048, 3072, 4096, 8192)


class NotExpressible(ValueError):
    """A value that this client's language cannot express; the text names it and what to do."""

    def __init__(self, subject: str, value: str, fault: str) -> None:
        super().__init__(f"{subject} '{visible(value)}': {fault}")


@dataclass(frozen=True, slots=True)
class AuthorityFacts:
    """One CA certificate, with the digests that devices show.

    The portal does not trust SHA-1 or MD5.
    """

    name: str
    subject: str
    der: bytes = field(repr=False)
    #: Lower-case hexadecimal without separators.
    digests: Mapping[Digest, str] = field(init=False, hash=False)

    def __post_init__(self) -> None:
        digests: dict[Digest, str] = {
            "SHA-256": sha256(self.der).hexdigest(),
            "SHA-1": sha1(self.der, usedforsecurity=False).hexdigest(),
            "MD5": md5(self.der, usedforsecurity=False).hexdigest(),
        }
        object.__setattr__(self, "digests", MappingProxyType(digests))


@dataclass(frozen=True, slots=True)
class Names:
    """The names for a device: subject attributes in order, alternative names as (kind, value)."""

    subject: tuple[tuple[str, str], ...]
    sans: tuple[tuple[str, str], ...] = ()

    @property
    def common_name(self) -> str:
        """The first CN, or ""."""
        return next((value for name, value in self.subject if name == "CN"), "")

    def values(self, kind: str) -> tuple[str, ...]:
        """The alternative names of one kind."""
        return tuple(value for name_kind, value in self.sans if name_kind == kind)

    def attribute(self, name: str) -> str:
        """The first subject attribute of this name, or ""."""
        return next((value for attribute, value in self.subject if attribute == name), "")


@dataclass(frozen=True, slots=True)
class Polling:
    """The polling of a device: every `interval` seconds, `count` times."""

    interval: int
    count: int

    def within(self, *, least: int = 1, most: int, times: int) -> "Polling":
        """Return the same wait within a client's limits.

        The interval is a multiple of `least` up to `most` seconds, with at most `times` polls.
        """
        total = self.interval * self.count
        enough = max(self.interval, -(-total // times))
        interval = min(-(-enough // least) * least, most)
        return Polling(interval, min(times, max(1, total // interval)))


#: A day for an officer's decision, and a quarter of an hour for a decision by policy.
FOR_OFFICERS: Final = Polling(60, 1440)
FOR_POLICY: Final = Polling(15, 60)


@dataclass(frozen=True, slots=True)
class ConfigurationFacts:
    """Everything a renderer may write.

    `authorities` begin with the issuing CA and end with the root. `challenge` is the text to write,
    None if the profile has none.
    """

    url: str
    profile: str
    authorities: tuple[AuthorityFacts, ...]
    names: Names
    key_sizes: tuple[int, ...]
    challenge: str | None = field(default=None, repr=False)
    is_manual: bool = True
    is_one_time: bool = False
    renews: bool = False
    takes_legacy: bool = False
    #: Whether GetCACert delivers two RA certificates, the encrypting one first; and whether the
    #: root.
    is_split: bool = False
    gives_root: bool = True

    def __post_init__(self) -> None:
        if not _SLUG.fullmatch(self.profile):
            raise NotExpressible(
                "profile", self.profile, "lower-case letters, digits and hyphens are needed"
            )
        if not self.authorities or not self.key_sizes:
            raise ValueError(f"profile {self.profile}: an authority and a key size are needed")

    @property
    def issuing(self) -> AuthorityFacts:
        return self.authorities[0]

    @property
    def root(self) -> AuthorityFacts:
        return self.authorities[-1]

    @property
    def key_bits(self) -> int:
        """The smallest RSA key of the profile: old devices and TPMs can make it."""
        return self.key_sizes[0]

    @property
    def polling(self) -> Polling:
        return FOR_OFFICERS if self.is_manual else FOR_POLICY

    @property
    def label(self) -> str:
        """A name for trustpoints, keys and files: at most 32 lower-case letters, digits, "-"."""
        return f"portal-{self.profile}"[:32].rstrip("-")

    @property
    def url_with_port(self) -> str:
        """The address with an explicit port, as some devices want it."""
        parts = urlsplit(self.url)
        if parts.port is not None:
            return self.url
        port = 443 if parts.scheme == "https" else 80
        return parts._replace(netloc=f"{parts.netloc}:{port}").geturl()


@dataclass(frozen=True, slots=True)
class Action:
    """One step: a sentence, and the text to paste or enter.

    `fields` are names and values of a form.
    """

    title: str
    text: str = ""
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A fingerprint in the form that this client shows or accepts."""

    authority: str
    digest: Digest
    text: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration of one client, in the order of its steps."""

    steps: tuple[Action, ...]
    compare: tuple[Comparison, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_text(self) -> str:
        """The steps as plain text, for a terminal."""
        parts = []
        for step in self.steps:
            lines = [step.title, *(f"  {name}: {value}" for name, value in step.fields)]
            parts.append("\n".join([*lines, step.text] if step.text else lines))
        return "\n\n".join(parts)


def key_sizes(least: int, most: int) -> tuple[int, ...]:
    """The usual RSA key sizes within a profile's bounds; the lower bound alone if none fits."""
    return tuple(size for size in KEY_SIZES if least <= size <= most) or (least,)
