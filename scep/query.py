"""The query string of a SCEP request, read as devices write it (RFC 8894 §4.1).

PURE. Django's `request.GET` does not fit: devices send raw `+` and `/`, line breaks inside base64,
and charsets of their own.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_BLANK = re.compile(rb"[\r\n\t]")
_OPERATIONS = {
    name.lower(): name
    for name in (
        "PKIOperation",
        "GetCACaps",
        "GetCACert",
        "GetNextCACert",
        "GetCACertChain",
        "GetCAChain",
    )
}


class QueryInvalid(ValueError):
    """The query cannot be read; the text names the fault."""


@dataclass(frozen=True, slots=True)
class ScepQuery:
    """`operation` in the RFC's spelling, "" if absent; `message` as percent-decoded bytes."""

    operation: str
    message: bytes | None


def parse_query(raw: str) -> ScepQuery:
    """Read a raw query string. Raises QueryInvalid.

    Unknown keys are ignored; a repeated or unknown operation is refused. Two messages are refused
    where the message matters, which it never does with GetCACaps and its like.
    """
    values: dict[str, list[bytes]] = {"operation": [], "message": []}
    for part in raw.split("&"):
        key, _, value = part.partition("=")
        if key in values:
            values[key].append(unquote_to_bytes(value))
    operation = _only("operation", values["operation"]).decode("ascii", "replace")
    if operation and operation.lower() not in _OPERATIONS:
        raise QueryInvalid("unknown operation")
    name = _OPERATIONS.get(operation.lower(), "")
    if name not in ("", "PKIOperation") or not values["message"]:
        return ScepQuery(name, None)
    return ScepQuery(name, _only("message", values["message"]))


def decode_message(text: bytes) -> bytes:
    """Decode the base64 of a GET message: spaces mean `+`; line breaks and padding do not matter.

    Raises QueryInvalid for anything but base64 in the standard or the URL-safe alphabet.
    """
    compact = (
        _BLANK.sub(b"", text)
        .replace(b" ", b"+")
        .replace(b"-", b"+")
        .replace(b"_", b"/")
        .rstrip(b"=")
    )
    try:
        return base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True)
    except binascii.Error:
        raise QueryInvalid("message is not base64") from None


def _only(key: str, values: list[bytes]) -> bytes:
    if len(values) > 1:
        raise QueryInvalid(f"{key} is given twice")
    return values[0] if values else b""
