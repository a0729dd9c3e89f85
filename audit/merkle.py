"""Merkle tree hash over byte strings (RFC 6962 §2.1, SHA-256). PURE."""

import hashlib
from collections.abc import Sequence
from typing import Final

from audit.canonical import leaf_hash

NODE_PREFIX: Final = b"\x01"


def merkle_root(entries: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash of the entries in their order (32 bytes).

    The hash of no entry is the SHA-256 of nothing. The left subtree holds the largest power of two
    that is smaller than the number of entries.
    """
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return leaf_hash(entries[0])
    split = 1 << (len(entries) - 1).bit_length() - 1
    left, right = merkle_root(entries[:split]), merkle_root(entries[split:])
    return hashlib.sha256(NODE_PREFIX + left + right).digest()
