"""The block list of public keys, kept by administrators of the whole organization."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.db import IntegrityError, transaction

from accounts.permissions import can
from accounts.principals import Principal
from accounts.roles import Verb
from audit.events import Actor, Event, Personal, Subject
from audit.log import record
from ca.models.keys import BlockedKey
from ca.x509.errors import KeyBlockRefused

MAX_REASON: Final = 300
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NOT_YOURS: Final = "Only administrators of the whole organization block keys."


def read_digest(text: str) -> str:
    """Return the stored form of the SHA-256 of a public key, from any usual spelling.

    Raises KeyBlockRefused.
    """
    plain = re.sub(r"[\s:]", "", text.strip().lower().removeprefix("sha256:"))
    if not _DIGEST.fullmatch(plain):
        raise KeyBlockRefused(
            f"key {text[:80]!r}: the SHA-256 of its SubjectPublicKeyInfo is needed, 64 hex digits"
        )
    return plain


def block_key(spki_sha256: str, *, reason: str, principal: Principal, now: datetime) -> BlockedKey:
    """Put a key on the block list; as a person with the right, or as the operator.

    Raises KeyBlockRefused.
    """
    digest, why = read_digest(spki_sha256), reason.strip()
    _check_right(principal)
    if not 1 <= len(why) <= MAX_REASON:
        raise KeyBlockRefused(
            f"reason of {len(why)} characters: 1 to {MAX_REASON}; officers read it with a request"
        )
    entry = BlockedKey(
        spki_sha256=digest,
        reason=why,
        blocked_at=now,
        blocked_by=principal.user,
        blocked_by_name=principal.name[:150],
    )
    try:
        with transaction.atomic():
            entry.save(force_insert=True)
            _record(Event.KEY_BLOCK, entry, actor=principal.actor, now=now, comment=why)
    except IntegrityError:
        raise KeyBlockRefused(f"key {digest}: on the block list already") from None
    return entry


def unblock_key(spki_sha256: str, *, comment: str, principal: Principal, now: datetime) -> None:
    """Take a key off the block list. Raises KeyBlockRefused."""
    digest = read_digest(spki_sha256)
    _check_right(principal)
    with transaction.atomic():
        entry = BlockedKey.objects.select_for_update().filter(spki_sha256=digest).first()
        if entry is None:
            raise KeyBlockRefused(f"key {digest}: not on the block list")
        _record(
            Event.KEY_UNBLOCK,
            entry,
            actor=principal.actor,
            now=now,
            comment=comment.strip()[:MAX_REASON],
        )
        entry.delete()


def blocked_keys() -> Sequence[BlockedKey]:
    """Return the block list, newest entry first."""
    return list(BlockedKey.objects.order_by("-id"))


def _check_right(principal: Principal) -> None:
    if principal.user is not None and not can(principal.user, Verb.KEY_BLOCK, BlockedKey()):
        raise KeyBlockRefused(_NOT_YOURS)


def _record(event: Event, entry: BlockedKey, *, actor: Actor, now: datetime, comment: str) -> None:
    record(
        event,
        actor=actor,
        now=now,
        subject=Subject.of("key", entry.spki_sha256),
        data={"spki_sha256": entry.spki_sha256, "comment": Personal(comment)},
    )
