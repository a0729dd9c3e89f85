"""Output of commands about an enrollment request."""

from collections.abc import Sequence
from typing import Any

from accounts.people.changes import sentence
from approvals.decisions.review_digest import Review, review_of
from approvals.models.decisions import Decision
from approvals.models.requests import EnrollmentRequest, PollRecord
from approvals.records.decision_content import is_comment_erased
from pkiportal.management.output import facts, iso

#: Columns of `requests list`: wide ones (CSR, signer certificate) stay in the database.
LISTED = (
    "id",
    "state",
    "profile__slug",
    "subject",
    "transaction_id",
    "submitted_at",
    "certificate__serial_hex",
)


def listed(row: Sequence[Any]) -> dict[str, Any]:
    """Return one line of the list from the values of LISTED."""
    request_id, state, profile, subject, transaction_id, submitted_at, serial = row
    return {
        "id": str(request_id),
        "state": state.lower(),
        "profile": profile,
        "subject": subject,
        "transaction_id": transaction_id,
        "submitted_at": iso(submitted_at),
        "serial": serial,
    }


def request_document(request: EnrollmentRequest) -> dict[str, Any]:
    """Return all facts for judging a request, and its result."""
    review = review_of(request)
    certificate = request.certificate
    polls = PollRecord.objects.filter(request=request).first()
    return {
        "id": str(request.pk),
        "state": request.state.lower(),
        "profile": request.profile.slug,
        "subject": request.subject,
        "transaction_id": request.transaction_id,
        "renews": request.renews.serial_hex if request.renews else None,
        "submitted_at": iso(request.submitted_at),
        "serial": certificate.serial_hex if certificate else None,
        "names": list(request.names),
        "key": request.key_description,
        "ca": request.ca.name,
        "address": request.address,
        "client": request.client,
        "challenge": request.challenge,
        "expires_at": iso(request.expires_at),
        "finished_at": iso(request.finished_at),
        "reason": request.reason,
        "fingerprints": _fingerprints(review),
        "findings": [dict(finding) for finding in review.findings],
        "would_issue": _would_issue(review),
        "requested_extensions": list(review.requested_extensions),
        "not_copied": list(review.dropped),
        "same_key": [str(other.pk) for other in review.past.same_key_requests],
        "same_name": [str(other.pk) for other in review.past.same_name_requests],
        "decisions": [
            _decision(decision)
            for decision in request.decisions.select_related("officer", "written").order_by("id")
        ],
        "signing": _signing(request),
        "polls": {
            "count": polls.count if polls else 0,
            "last_at": iso(polls.last_at) if polls else None,
        },
        "certificate": str(certificate.pk) if certificate else None,
    }


def request_text(document: dict[str, Any]) -> str:
    """Return the document for people, without empty values."""
    would, prints, signing = document["would_issue"], document["fingerprints"], document["signing"]
    pairs: list[tuple[str, object]] = [
        ("request", document["id"]),
        ("state", document["state"]),
        ("subject", document["subject"]),
        ("names", document["names"]),
        ("key", document["key"]),
        ("public key SHA-256", prints["public_key_sha256"]),
        ("signer certificate SHA-256", prints["signer_certificate_sha256"]),
        ("profile", document["profile"]),
        ("CA", document["ca"]),
        ("would be issued", f"{would['subject']}, {_validity(would)}"),
        ("usages", [*would["key_usages"], *would["extended_key_usages"]]),
        ("not copied from the request", document["not_copied"]),
        ("renews certificate", document["renews"]),
        ("transactionID", document["transaction_id"]),
        ("challenge", document["challenge"]),
        ("address", document["address"]),
        ("client", document["client"]),
        ("submitted", document["submitted_at"]),
        ("expires", document["expires_at"] if document["state"] == "pending" else None),
        ("polls", document["polls"]["count"] or None),
        ("same key", document["same_key"]),
        ("same name", document["same_name"]),
        ("reason", document["reason"]),
        ("last fault", signing["last_fault"]),
        ("needs attention", "yes, see `requests retry`" if signing["needs_attention"] else None),
        ("serial", document["serial"]),
    ]
    pairs += [
        ("finding", f"{finding['severity']}: {finding['text']}") for finding in document["findings"]
    ]
    pairs += [(decision["verdict"], _decision_text(decision)) for decision in document["decisions"]]
    return facts(pairs)


def _fingerprints(review: Review) -> dict[str, str]:
    return {
        "public_key_sha256": review.fingerprints.public_key,
        "signer_certificate_sha256": review.fingerprints.signer_certificate,
        "csr_sha256": review.fingerprints.csr,
    }


def _would_issue(review: Review) -> dict[str, Any]:
    would = review.would_issue
    return {
        "subject": would.subject,
        "names": list(would.names),
        "validity_days": would.validity_days,
        "validity_minutes": would.validity_minutes,
        "key_usages": list(would.key_usages),
        "extended_key_usages": list(would.extended_key_usages),
        "certificate_profile": would.profile,
        "certificate_profile_version": would.profile_version,
    }


def _signing(request: EnrollmentRequest) -> dict[str, Any]:
    return {
        "attempts": request.attempts,
        "next_attempt_at": iso(request.next_attempt_at),
        "needs_attention": request.quarantined_at is not None,
        "last_fault": request.last_fault,
    }


def _validity(would: dict[str, Any]) -> str:
    minutes = would["validity_minutes"]
    return f"{minutes} minutes" if minutes else f"{would['validity_days']} days"


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "id": str(decision.pk),
        "verdict": str(decision.get_verdict_display()),
        "officer": decision.officer.username if decision.officer else None,
        "evidence": str(decision.get_evidence_display()),
        "asserted_by": decision.asserted_by or None,
        "account_changes": [sentence(change) for change in decision.account_changes],
        "comment": decision.comment,
        "comment_erased": is_comment_erased(decision),
        "decided_at": iso(decision.decided_at),
        "round": decision.round,
    }


def _decision_text(decision: dict[str, Any]) -> str:
    who = f"by {decision['officer']}" if decision["officer"] else "by policy"
    by = f" through {decision['asserted_by']}" if decision["asserted_by"] else ""
    words = "(comment erased)" if decision["comment_erased"] else decision["comment"]
    comment = f": {words}" if words else ""
    changes = "".join(
        f"; account changed shortly before: {change}" for change in decision["account_changes"]
    )
    known = f"{decision['evidence']}, decision {decision['id']}"
    return f"{who}{by} at {decision['decided_at']} ({known}){changes}{comment}"
