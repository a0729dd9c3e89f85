"""The canonical form of an audit entry: a subset of the JSON Canonicalization Scheme (RFC 8785).

No floating-point numbers, integers within ±(2^53 - 1), keys in ASCII (so that their order by code
point is their order by UTF-16 unit). Within these limits Python's encoder produces exactly the
canonical bytes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

_EXPECTED = "audit data must be JSON of str, int, bool, None, lists and objects with ASCII keys"

CanonicalValue = (
    str | int | bool | None | Sequence["CanonicalValue"] | Mapping[str, "CanonicalValue"]
)

_LARGEST_INTEGER = 2**53 - 1
LEAF_PREFIX = b"\x00"  # RFC 6962 §2.1: a leaf is never mistaken for an inner node


class NotCanonical(TypeError):
    """A value without a canonical form; the text names place and type."""


def canonical_json(value: CanonicalValue) -> bytes:
    """Return the RFC 8785 bytes of `value`. Raises NotCanonical."""
    _check(value, path="$")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8"
    )


def leaf_hash(canonical: bytes) -> bytes:
    """Return the Merkle leaf hash of canonical bytes (32 bytes; RFC 6962 §2.1)."""
    return hashlib.sha256(LEAF_PREFIX + canonical).digest()


def _check(value: object, *, path: str) -> None:
    match value:
        case None | bool():
            return
        case str():
            _check_text(value, path=path)
        case int() if abs(value) > _LARGEST_INTEGER:
            raise NotCanonical(f"{path}: integer beyond 2^53: write it as text")
        case int():
            return
        case Mapping():
            _check_object(value, path=path)
        case list() | tuple():
            for index, item in enumerate(value):
                _check(item, path=f"{path}[{index}]")
        case _:
            raise NotCanonical(f"{path}: {type(value).__name__} has no canonical form; {_EXPECTED}")


def _check_object(value: Mapping[object, object], *, path: str) -> None:
    for key, item in value.items():
        if not isinstance(key, str) or not key.isascii():
            raise NotCanonical(f"{path}: key {key!r} is not ASCII text")
        _check(item, path=f"{path}.{key}")


def _check_text(value: str, *, path: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotCanonical(f"{path}: text with a lone surrogate") from error
