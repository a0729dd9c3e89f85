"""Encrypts secrets that have to be read again in the database (AES-256-GCM).

The key comes from outside the database (`PORTAL_CHALLENGE_KEY`): a copy of the database reveals
nothing.
"""

import hmac
import secrets
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_NONCE_BYTES = 12


class Secret:
    """A challenge in clear text, hidden from logs and `repr`; call `reveal` to read it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the clear text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"


def seal(purpose: str, owner: str, plain: bytes) -> bytes:
    """Encrypt `plain`; only the same purpose and owner (a slug or an id) decrypt it again."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(_key(purpose)).encrypt(nonce, plain, owner.encode())


def unseal(purpose: str, owner: str, sealed: bytes) -> bytes | None:
    """Decrypt the output of `seal`; None for another key, purpose or owner."""
    try:
        return AESGCM(_key(purpose)).decrypt(
            sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], owner.encode()
        )
    except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
        return None


def keyed_digest(purpose: str, owner: str, text: str) -> str:
    """Return the HMAC-SHA256 (hex) by which a random secret is compared.

    Two purposes or owners give two digests.
    """
    return hmac.new(_key(purpose), f"{owner}\0{text}".encode(), sha256).hexdigest()


def _key(purpose: str) -> bytes:
    return hmac.new(settings.CHALLENGE_KEY(), f"{purpose}: encryption".encode(), sha256).digest()
