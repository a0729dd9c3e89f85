"""Converts pasted text to bytes: base64 in its variants, hex, PEM, or the address of a GET.

PURE.
"""

import binascii
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from scep.query import QueryInvalid, decode_message

#: Maximum length of pasted text, and of its bytes: the largest SCEP message.
MAX_CHARACTERS: Final = 140_000
MAX_BYTES: Final = 65_536
_ARMOR: Final = re.compile(r"-----(BEGIN|END)[^-\n]{0,60}-----")
_HEX: Final = re.compile(r"(?:0x)?(?:[0-9A-Fa-f]{2}[\s:,]*)+")


class PasteInvalid(ValueError):
    """The text cannot be decoded; says why, and which text is accepted."""


def bytes_of(text: str) -> bytes:
    """Return the bytes of a pasted text. Raises PasteInvalid."""
    if len(text) > MAX_CHARACTERS:
        raise PasteInvalid(f"{len(text)} characters: at most {MAX_CHARACTERS}")
    bare = _ARMOR.sub("", text).strip()
    if not bare:
        raise PasteInvalid("Nothing is there: paste the message in base64 or hex.")
    data = _from_hex(bare) if _HEX.fullmatch(bare) else _from_base64(bare)
    if len(data) > MAX_BYTES:
        raise PasteInvalid(f"{len(data)} bytes: a SCEP message has at most {MAX_BYTES}")
    return data


def _from_hex(text: str) -> bytes:
    try:
        return binascii.unhexlify(re.sub(r"^0x|[\s:,]", "", text))
    except (binascii.Error, ValueError):
        raise PasteInvalid(
            "This looks like hex, but is not: two digits stand for each byte."
        ) from None


def _from_base64(text: str) -> bytes:
    """Decode base64, also from the address of a GET: percent-encoded, after `message=`."""
    if "message=" in text:
        text = text.partition("message=")[2].partition("&")[0].partition(" ")[0]
    packed = (
        unquote_to_bytes(text) if "%" in text else "".join(text.split()).encode("ascii", "replace")
    )
    try:
        data = decode_message(packed)
    except QueryInvalid:
        raise PasteInvalid(
            "This is neither base64 nor hex: paste the message alone, nothing around it."
        ) from None
    if not data:
        raise PasteInvalid("Nothing is there: paste the message in base64 or hex.")
    return data
