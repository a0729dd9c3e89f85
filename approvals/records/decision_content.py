"""What a decision document says. Version 2 is written; versions 1 and 2 are read.

Every key of version 2 stands in every document, null where it is unused, so that a later release
fills a key instead of changing the form.
"""

import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from accounts.principals import Principal
from approvals.models.decisions import Decision, DecisionComment
from approvals.records.profile_versions import enrollment_profile_of
from audit.canonical import CanonicalValue, canonical_json
from audit.log import commitment, timestamp

DOCUMENT_VERSION: Final = 2
SALT_BYTES: Final = 16
_NOTHING: Final = sha256(b"").hexdigest()


class DocumentUnreadable(ValueError):
    """A decision document of a form that this version does not know."""


@dataclass(frozen=True, slots=True)
class BatchPlace:
    """The place of a decision in a batch: the Merkle root over the views, their number, its
    index.
    """

    root: str
    count: int
    index: int


@dataclass(frozen=True, slots=True)
class Basis:
    """The basis of a decision besides the request: page, facts, batch, and the undone decision."""

    view_sha256: str = ""
    facts: tuple[Mapping[str, CanonicalValue], ...] = ()
    batch: BatchPlace | None = None
    undo_of: Decision | None = None


def document_of(
    decision: Decision, *, principal: Principal, basis: Basis, comment: DecisionComment | None
) -> bytes:
    """Return the document of a decision that is about to be recorded, in canonical form."""
    return canonical_json(
        {
            "v": DOCUMENT_VERSION,
            "type": "decision",
            "decision": decision.verdict,
            "round": decision.round,
            "view_sha256": basis.view_sha256,
            **_about_request(decision),
            **_about_principal(decision, principal),
            "comment": {"c": commitment(bytes(comment.salt), comment.text)} if comment else None,
            "decided_at": timestamp(decision.decided_at),
            "effective_at": timestamp(decision.effective_at),
            **_about_basis(basis),
        }
    )


def _about_request(decision: Decision) -> dict[str, CanonicalValue]:
    request = decision.request
    version = request.profile_version
    return {
        "request": str(request.pk),
        "csr_sha256": request.csr_sha256,
        "spki_sha256": request.csr_spki_sha256,
        "subject": request.subject,
        "names": list(request.names),
        "ca": request.ca.name,
        "profile": request.profile.slug,
        "required_approvals": request.profile.required_approvals,
        "certificate_profile": {"version": version.number, "digest": version.spec_sha256},
        "enrollment_profile": enrollment_profile_of(request),
        "renews": request.renews.der_sha256 if request.renews else None,
    }


def _about_principal(decision: Decision, principal: Principal) -> dict[str, CanonicalValue]:
    """Who decided; a person who changed the account stands there by identifier, as the officer
    does.
    """
    changes = [
        {
            **{name: change[name] for name in ("change", "kind", "at", "detail")},
            "by": change["by_user"] or change["by"],
        }
        for change in decision.account_changes
    ]
    return {"principal": principal_facts(principal), "account_changes": changes or None}


def principal_facts(principal: Principal) -> dict[str, CanonicalValue]:
    """Return a principal as documents name it."""
    return {
        "kind": principal.kind.value,
        "id": principal.identifier,
        "name": principal.name or None,
        "evidence": principal.evidence.value,
        "on_behalf_of": principal.on_behalf_of or None,
        "delegation": principal.delegation or None,
    }


def _about_basis(basis: Basis) -> dict[str, CanonicalValue]:
    batch, undone = basis.batch, basis.undo_of
    return {
        "facts": list(basis.facts),
        "batch": {"root": batch.root, "count": batch.count, "index": batch.index}
        if batch
        else None,
        "undo_of": {"decision": str(undone.pk), "document_sha256": undone.document_sha256}
        if undone
        else None,
        "displayed": None,  # {from, to, in_batch}
        "compared": None,
        "corrections": None,  # {names, validity, digest}
        "rule_set": None,  # {version, digest, rule}
    }


def decided_facts(document: bytes) -> dict[str, Any]:
    """Return what a document of version 1 or 2 says was decided on, under the names of version 1.

    Raises DocumentUnreadable.
    """
    content = _read(document)
    principal, profile = content.get("principal"), content.get("certificate_profile")
    if content["v"] == 1:
        return content
    if not isinstance(principal, dict) or not isinstance(profile, dict):
        raise DocumentUnreadable("document of version 2 without principal or certificate profile")
    return {
        **content,
        "officer": principal.get("id"),
        "evidence": principal.get("evidence"),
        "profile_sha256": profile.get("digest"),
    }


def is_commented(document: bytes) -> bool:
    """Return whether the decision was made with a comment, erased or not."""
    content = _read(document)
    if content["v"] == 1:
        return bool(content.get("comment_sha256") != _NOTHING)
    return content.get("comment") is not None


def is_comment_erased(decision: Decision) -> bool:
    """Return whether there was a comment and its text was erased; reads `written`."""
    return not decision.comment and is_commented(bytes(decision.document))


def is_comment_of(comment: DecisionComment, document: bytes) -> bool:
    """Return whether this is the text that the document commits itself to.

    A document of version 1 has the digest of the text alone, and its comment no salt.
    """
    content = _read(document)
    committed = content.get("comment_sha256", "")
    if content["v"] != 1:
        committed = (content.get("comment") or {}).get("c", "")
    expected = commitment(bytes(comment.salt), comment.text)
    return hmac.compare_digest(str(committed), expected)


def comment_on(decision: Decision, text: str) -> DecisionComment | None:
    """Return the row that keeps the text of a comment under a fresh salt; None without a text."""
    if not text:
        return None
    return DecisionComment(decision=decision, salt=os.urandom(SALT_BYTES), text=text)


def _read(document: bytes) -> dict[str, Any]:
    content = json.loads(document)
    if not isinstance(content, dict) or content.get("v") not in (1, DOCUMENT_VERSION):
        raise DocumentUnreadable("document of an unknown version")
    return content
