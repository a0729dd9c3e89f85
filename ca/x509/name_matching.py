"""When two names are equal (RFC 5280 §7.1 to §7.5, RFC 4518).

PURE. Names are compared as parsed, attribute by attribute, never as one text: choices of the
encoder (string type, case, blanks) do not count, the order of relative names does.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import chain
from urllib.parse import urlsplit

from ca.x509.general_names import GeneralName
from ca.x509.names import DistinguishedName

#: One relative name after another, each the sorted (OID, prepared value) pairs of its attributes.
ComparableName = tuple[tuple[tuple[str, str], ...], ...]
#: Kind and prepared value.
ComparableGeneralName = tuple[str, str]

_COMMON_NAME = "2.5.4.3"
#: RFC 4518 §2.2: these become a blank; other controls and the format characters become nothing.
_BLANKS = frozenset("\t\n\v\f\r\x85")
#: The same section: mapped to nothing, although they are not controls.
_NOTHING = frozenset(
    {0x00AD, 0x034F, 0x1806, 0xFFFC, *range(0x180B, 0x180E), *range(0xFE00, 0xFE10)}
)
#: Kinds of general names that are parsed, and so can be compared.
PARSED_KINDS = frozenset({"dns", "ip", "email", "uri", "upn"})


def comparable_name(name: DistinguishedName) -> ComparableName:
    """Return a name in a form in which equal names are equal."""
    return tuple(
        tuple(sorted((item.oid, comparable_text(item.value)) for item in rdn)) for rdn in name.rdns
    )


def is_like(one: ComparableName, other: ComparableName) -> bool:
    """Whether people confuse two names: equal attributes in any order, or equal common names."""
    if sorted(chain.from_iterable(one)) == sorted(chain.from_iterable(other)):
        return True
    return not _common_names(one).isdisjoint(_common_names(other))


def _common_names(name: ComparableName) -> set[str]:
    return {value for rdn in name for oid, value in rdn if oid == _COMMON_NAME}


def comparable_text(value: str) -> str:
    """Return a string prepared for caseIgnoreMatch: mapped, folded, NFKC, blanks compressed."""
    mapped = "".join(map(_mapped, value))
    folded = unicodedata.normalize(
        "NFKC", unicodedata.normalize("NFKC", mapped.casefold()).casefold()
    )
    return " ".join(part for part in folded.split(" ") if part)


def _mapped(character: str) -> str:
    category = unicodedata.category(character)
    if character in _BLANKS or category in {"Zs", "Zl", "Zp"}:
        return " "
    return "" if category in {"Cc", "Cf"} or ord(character) in _NOTHING else character


def comparable_general_name(name: GeneralName) -> ComparableGeneralName:
    """Return an alternative name in comparable form; unknown kinds keep their bytes."""
    match name.kind:
        case "dns":
            return name.kind, name.value.lower()
        case "email":
            local, at, domain = name.value.rpartition("@")
            return name.kind, f"{local}{at}{domain.lower()}"
        case "uri":
            return name.kind, _comparable_uri(name.value)
        case "ip" | "upn":
            return name.kind, name.value
        case _:
            return name.kind, name.der.hex()


def _comparable_uri(value: str) -> str:
    """Scheme and host are case-insensitive, the rest is not (RFC 5280 §7.4)."""
    scheme, colon, rest = value.partition(":")
    try:
        authority = urlsplit(value).netloc
    except ValueError:
        authority = ""
    account, at, host = authority.rpartition("@")
    if authority and rest.startswith(f"//{authority}"):
        rest = f"//{account}{at}{host.lower()}{rest[len(authority) + 2 :]}"
    return f"{scheme.lower()}{colon}{rest}"


def identities(subject: DistinguishedName, sans: Iterable[GeneralName]) -> Mapping[str, str]:
    """Return the names a certificate speaks for, as SHA-256 (hex) with the displayed name.

    A common name and an equal DNS name or address are one name. A subject without a common name and
    without alternative names counts as a whole.
    """
    names_by_key = {f"host {comparable_text(value)}": value for value in subject.values("CN")}
    for name in sans:
        kind, value = comparable_general_name(name)
        names_by_key.setdefault(f"{'host' if kind in {'dns', 'ip'} else kind} {value}", name.value)
    if not names_by_key:
        names_by_key[f"subject {comparable_name(subject)!r}"] = str(subject)
    return {sha256(key.encode()).hexdigest(): displayed for key, displayed in names_by_key.items()}
