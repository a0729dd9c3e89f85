"""The binding of a one-time challenge, and whether a request keeps to it (VU#971035).

PURE. A leaked challenge must be worthless elsewhere: a request that claims anything beyond the
binding is refused.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from string import ascii_lowercase, ascii_uppercase
from typing import Final

from approvals.rules.errors import Cause, ChallengeInvalid
from approvals.rules.policy import is_address_allowed
from approvals.rules.submission import Submission
from ca.x509.csr import CertificationRequest
from ca.x509.general_names import general_name, general_name_fault
from ca.x509.names import ATTRIBUTE_TYPES

MAX_SANS: Final = 100
MAX_NETWORKS: Final = 100
MAX_SUBJECT: Final = 1000
MAX_COMMON_NAME: Final = 255
MAX_SERIAL_NUMBER: Final = 64
#: Attributes that name a device or a person. Cisco's devices use the last two for host name and
#: address.
_NAMING_ATTRIBUTES: Final = frozenset(
    {"CN", "UID", "emailAddress", "unstructuredName", "unstructuredAddress"}
)
_ATTRIBUTES: Final = {name.lower(): name for name in ATTRIBUTE_TYPES}
_NAME_OF: Final = {kind.oid: name for name, kind in ATTRIBUTE_TYPES.items()}
_PART: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*|[0-9]+(?:\.[0-9]+)+)\s*=(.*)", re.DOTALL)
_COMMA: Final = re.compile(r"((?:[^\\,]|\\.)*)(?:,|\Z)", re.DOTALL)
_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
_EXACT_KINDS: Final = frozenset({"uri", "rid", "other", "dirname"})

Attributes = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a request: names in the subject, the subject, alternative names, address."""

    names: frozenset[str]
    subject: Attributes
    sans: frozenset[str]
    address: str


@dataclass(frozen=True, slots=True)
class Binding:
    """The purpose of a challenge; empty parts do not restrict it.

    `sans` are written `kind:value`, networks in CIDR. The constructor takes the output of
    `normalized`.
    """

    common_name: str = ""
    subject: str = ""
    serial_number: str = ""
    sans: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(
            self.common_name or self.subject or self.serial_number or self.sans or self.networks
        )

    def fault(self, claims: Claims) -> Cause | None:
        """Return why a request with these claims may not use the challenge, None if it may.

        A further name is refused wherever it stands, and so is a request that has none of the bound
        names.
        """
        if self.networks and not is_address_allowed(claims.address, self.networks):
            return Cause.CHALLENGE_FOREIGN_ADDRESS
        if self.subject and _sorted(parse_subject(self.subject)) != _sorted(claims.subject):
            return Cause.CHALLENGE_FOREIGN_SUBJECT
        if self.serial_number and _serials(claims.subject) != {folded(self.serial_number)}:
            return Cause.CHALLENGE_FOREIGN_SERIAL
        return self._fault_of_names(claims)

    def _fault_of_names(self, claims: Claims) -> Cause | None:
        if not (self.common_name or self.subject or self.sans):
            return None
        bound_names = {
            value for name, value in parse_subject(self.subject) if name in _NAMING_ATTRIBUTES
        }
        bound_names |= {folded(self.common_name)} - {""}
        bound = {_value_of(san) for san in self.sans}
        if self.common_name and folded(self.common_name) not in claims.names | {
            _value_of(san) for san in claims.sans
        }:
            return Cause.CHALLENGE_FOREIGN_NAME
        if claims.names - bound_names - bound:
            return Cause.CHALLENGE_FOREIGN_NAME
        if any(san not in self.sans and _value_of(san) not in bound_names for san in claims.sans):
            return Cause.CHALLENGE_FOREIGN_SAN if self.sans else Cause.CHALLENGE_FOREIGN_NAME
        is_nameless = not claims.names and not claims.sans
        return Cause.CHALLENGE_FOREIGN_SAN if self.sans and is_nameless else None


def claims_of(submission: Submission) -> Claims:
    """Return the claims of a submission, in the form in which bindings are compared."""
    csr = submission.csr
    return Claims(
        names=frozenset(
            folded(a.value) for a in csr.subject.attributes if a.name in _NAMING_ATTRIBUTES
        ),
        subject=tuple((a.name, folded(a.value)) for a in csr.subject.attributes),
        sans=frozenset(_san(name.kind, name.value) for name in csr.requested_sans),
        address=submission.address,
    )


def names_of(csr: CertificationRequest) -> list[str]:
    """Return every name the requester claims: in the subject, and alternative names."""
    in_subject = [
        attribute.value
        for attribute in csr.subject.attributes
        if attribute.name in _NAMING_ATTRIBUTES
    ]
    return in_subject + [name.value for name in csr.requested_sans]


def normalized(
    *,
    common_name: str = "",
    subject: str = "",
    serial_number: str = "",
    sans: Iterable[str] = (),
    networks: Iterable[str] = (),
) -> Binding:
    """Return a binding in stored form. Raises ChallengeInvalid naming the invalid part."""
    common_name, subject, serial_number = (
        common_name.strip(),
        subject.strip(),
        serial_number.strip(),
    )
    for what, text, limit in (
        ("common name", common_name, MAX_COMMON_NAME),
        ("subject", subject, MAX_SUBJECT),
        ("serial number", serial_number, MAX_SERIAL_NUMBER),
    ):
        if len(text) > limit:
            raise ChallengeInvalid(f"{what} of {len(text)} characters: at most {limit}")
    attributes = parse_subject(subject)
    if common_name and subject and ("CN", folded(common_name)) not in attributes:
        raise ChallengeInvalid(
            f"common name {common_name!r}: the subject {subject!r} has another one, give one of "
            "them"
        )
    return Binding(
        common_name=common_name,
        subject=subject,
        serial_number=serial_number,
        sans=_limited(dict.fromkeys(map(_checked_san, sans)), MAX_SANS, "alternative names"),
        networks=_limited(dict.fromkeys(map(_checked_network, networks)), MAX_NETWORKS, "networks"),
    )


def parse_subject(text: str) -> Attributes:
    """Parse a subject such as `CN=r1.example, O=Example`; values are case-folded.

    A comma or backslash in a value is escaped by a backslash. Raises ChallengeInvalid naming the
    part.
    """
    return tuple(map(_attribute, _parts(text)))


def written_subject(attributes: Iterable[tuple[str, str]]) -> str:
    """Write a subject in the form that `parse_subject` reads."""
    return ", ".join(f"{name}=" + re.sub(r"([\\,])", r"\\\1", value) for name, value in attributes)


def folded(value: str) -> str:
    """Return a name for comparison: only A to Z are folded to a to z (RFC 5280 §7.1)."""
    return value.translate(_LOWER)


def _parts(text: str) -> list[str]:
    return [part for part in (match[1] for match in _COMMA.finditer(text)) if part.strip()]


def _attribute(part: str) -> tuple[str, str]:
    match = _PART.fullmatch(part)
    if match is None or not match[2].strip():
        raise ChallengeInvalid(
            f"subject: {part.strip()!r} is not NAME=VALUE, write it like CN=r1.example, O=Example"
        )
    name = _ATTRIBUTES.get(match[1].lower()) or _NAME_OF.get(match[1])
    if name is None and "." not in match[1]:
        raise ChallengeInvalid(
            f"subject: attribute {match[1]!r} is not known, write its number (OID)"
        )
    return name or match[1], folded(re.sub(r"\\(.)", r"\1", match[2].strip()))


def _serials(attributes: Attributes) -> set[str]:
    return {value for name, value in attributes if name == "serialNumber"}


def _sorted(attributes: Attributes) -> list[tuple[str, str]]:
    """Sort the attributes: people and libraries write subjects from either end."""
    return sorted(attributes)


def _checked_san(text: str) -> str:
    kind, colon, value = text.strip().partition(":")
    if not colon:
        raise ChallengeInvalid(
            f"alternative name {text!r}: write it like dns:r1.example or ip:192.0.2.1"
        )
    try:
        name = general_name(kind.lower(), value.strip())
    except ValueError as error:
        raise ChallengeInvalid(f"alternative name {text!r}: {error}") from error
    # The profile decides about issuing: a pattern may admit a name that is not for everyone.
    fault = general_name_fault(
        general_name(name.kind, folded(name.value)) if name.kind == "dns" else name, None
    )
    if fault is not None:
        raise ChallengeInvalid(f"alternative name {text!r}: {fault}")
    return _san(name.kind, name.value)


def _checked_network(text: str) -> str:
    try:
        return str(ip_network(text.strip()))
    except ValueError as error:
        raise ChallengeInvalid(
            f"network {text!r}: write it like 10.20.0.0/16 or 192.0.2.7 ({error})"
        ) from error


def _limited(items: Iterable[str], limit: int, what: str) -> tuple[str, ...]:
    values = tuple(items)
    if len(values) > limit:
        raise ChallengeInvalid(f"{len(values)} {what}: at most {limit}")
    return values


def _san(kind: str, value: str) -> str:
    if kind == "ip":
        return f"ip:{ip_address(value)}"
    return f"{kind}:{value if kind in _EXACT_KINDS else folded(value)}"


def _value_of(san: str) -> str:
    return san.partition(":")[2]


def described(binding: Binding, group: str = "") -> Sequence[str]:
    """Return the binding as phrases for people; empty if nothing is bound."""
    return [
        *([f"name {binding.common_name}"] if binding.common_name else []),
        *([f"subject {binding.subject}"] if binding.subject else []),
        *([f"serial number {binding.serial_number}"] if binding.serial_number else []),
        *binding.sans,
        *([f"device group {group}"] if group else []),
        *(f"from {network}" for network in binding.networks),
    ]
