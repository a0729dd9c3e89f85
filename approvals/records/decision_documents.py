"""Decisions as documents: the facts in canonical form, written once, verified before signing."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from django.conf import settings

from accounts.people.changes import recent_changes, sentence
from accounts.principals import POLICY, Evidence, Principal
from approvals.models.decisions import Decision, DecisionComment, Verdict
from approvals.models.devices import ExpectedDevice
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.records.barred_keys import key_fault
from approvals.records.decision_content import (
    Basis,
    DocumentUnreadable,
    comment_on,
    decided_facts,
    document_of,
    is_comment_of,
)
from approvals.records.name_conflicts import conflict_facts, earlier_conflicts
from approvals.records.transitions import advance
from approvals.records.validation_gate import missing_validation
from approvals.rules.errors import NotPermitted
from approvals.rules.policy import UNIFORM_TEXT
from approvals.rules.states import Step
from audit.canonical import CanonicalValue
from audit.events import Personal
from ca.certificates.admission import review_csr
from ca.certificates.profile_versions import resolve_version
from ca.models.certificates import CertificateStatus
from ca.x509.csr import read_stored_csr
from database.statements import insert


class DecisionInvalid(Exception):
    """A stored decision does not cover the certificate to be signed; names the fault."""


def approve_by_policy(request: EnrollmentRequest, *, now: datetime) -> None:
    """Approve a request without an officer, with a Decision row of its own, in the caller's
    transaction.
    """
    write_decision(
        request,
        Verdict.APPROVE,
        principal=POLICY,
        comment="",
        basis=Basis(facts=findings_of(request)),
        now=now,
    )
    advance(
        request,
        Step.APPROVE,
        actor=POLICY.actor,
        now=now,
        data={"evidence": Evidence.POLICY.value},
        decided_at=now,
        effective_at=now,
        next_attempt_at=now,
    )


def reject_by_policy(
    request: EnrollmentRequest, *, data: Mapping[str, object], now: datetime
) -> None:
    """Reject a request without an officer, with its own Decision row, in the caller's transaction.

    The device gets the uniform text; `data` of the audit entry has the real reason.
    """
    write_decision(
        request,
        Verdict.REJECT,
        principal=POLICY,
        comment="",
        basis=Basis(facts=findings_of(request)),
        now=now,
    )
    advance(
        request,
        Step.REJECT,
        actor=POLICY.actor,
        now=now,
        data={"evidence": Evidence.POLICY.value, **data},
        reason=UNIFORM_TEXT,
        decided_at=now,
        effective_at=now,
        next_attempt_at=None,  # settled, also for the exchange that waits for it and began before
    )


def write_decision(
    request: EnrollmentRequest,
    verdict: Verdict,
    *,
    principal: Principal,
    comment: str,
    basis: Basis,
    now: datetime,
) -> Decision:
    """Insert one decision with its document and its comment; unique per officer and round."""
    decision = Decision(
        request=request,
        round=request.round,
        verdict=verdict,
        officer=principal.user,
        evidence=principal.evidence,
        asserted_by=principal.name if principal.evidence == Evidence.ASSERTED else "",
        account_changes=recent_changes(principal.user, now=now) if principal.user else [],
        decided_at=now,
        effective_at=now + _window(request, verdict, principal),
    )
    written = comment_on(decision, comment)
    decision.document = document_of(decision, principal=principal, basis=basis, comment=written)
    decision.document_sha256 = sha256(decision.document).hexdigest()
    insert(decision)
    if written is not None:
        insert(written)
    return decision


def _window(request: EnrollmentRequest, verdict: Verdict, principal: Principal) -> timedelta:
    """How long a decision can be taken back: that of the policy, and an undo, count at once."""
    is_final = verdict == Verdict.UNDO or principal.evidence == Evidence.POLICY
    return timedelta(0) if is_final else request.profile.undo_window


def facts_seen(
    request: EnrollmentRequest, barred: str, *, now: datetime
) -> tuple[Mapping[str, CanonicalValue], ...]:
    """Return the findings and conflicts on the page of a request, in the form of a document.

    `barred` is why its key cannot be certified (`key_fault`), "" if it can.
    """
    conflicts = conflict_facts(request, now=now)
    codes = {fact["code"] for fact in conflicts}
    findings = [fact for fact in findings_of(request) if fact["code"] not in codes]
    key = [_fact("key-barred", barred, "refuse")] if barred else []
    return (*key, *conflicts, *findings)


def findings_of(request: EnrollmentRequest) -> tuple[Mapping[str, CanonicalValue], ...]:
    """Return the findings on record since the request came, as a document names them."""
    return tuple(
        _fact(str(item["code"]), str(item["text"]), str(item["severity"]))
        for item in request.findings
    )


def _fact(code: str, text: str, severity: str) -> dict[str, CanonicalValue]:
    return {"code": code, "text": text, "severity": severity, "evidence": None}


def decision_facts(decision: Decision) -> dict[str, object]:
    """Return the audit facts of a decision."""
    return {
        "decision": str(decision.pk),
        "document_sha256": decision.document_sha256,
        "evidence": decision.evidence,
        "comment": json.loads(bytes(decision.document))[
            "comment"
        ],  # the text stays in DecisionComment
        **change_facts(decision.account_changes),
    }


def change_facts(changes: Sequence[Mapping[str, str]]) -> dict[str, object]:
    """Return the audit facts of recent changes by others to the officer's account."""
    return {"account_changes": Personal("; ".join(map(sentence, changes)))} if changes else {}


def refuse_changed_account(
    profile: EnrollmentProfile, principal: Principal, *, now: datetime
) -> None:
    """Raise NotPermitted where the profile refuses an officer whose account another person changed
    shortly before.
    """
    if not profile.refuse_after_account_change or principal.user is None:
        return
    changes = recent_changes(principal.user, now=now)
    if changes:
        raise NotPermitted(
            f"Profile {profile.slug} refuses decisions for "
            f"{settings.PORTAL_ACCOUNT_CHANGE_PERIOD.days} days after a "
            f"change of the officer's account. {'; '.join(map(sentence, changes))}. Ask another "
            "officer."
        )


def open_questions(request: EnrollmentRequest) -> tuple[str, ...]:
    """Return findings for an officer: those of submission, and those of the CA's records now."""
    review = review_csr(
        read_stored_csr(request.csr_der), resolve_version(request.profile_version_id)
    )
    remarked = [str(item["text"]) for item in request.findings if item["severity"] == "officer"]
    return tuple(dict.fromkeys((*remarked, *review.needs_officer, *earlier_conflicts(request))))


def verify_decisions(request: EnrollmentRequest) -> None:
    """Check that stored decisions approve exactly this request. Raises DecisionInvalid.

    The signing worker checks the stored documents, so that a changed row cannot get something else
    signed. The error names the first fault.
    """
    if fault := missing_validation(request):
        raise DecisionInvalid(f"the challenge is not confirmed: {fault}")
    if fault := key_fault(request):
        raise DecisionInvalid(fault)
    decisions = [
        decision
        for decision in request.decisions.all()  # all of a batch are fetched at once
        if decision.round == request.round and decision.verdict == Verdict.APPROVE
    ]
    for decision in decisions:
        verify_decision(decision, request)
    if any(decision.evidence == Evidence.POLICY for decision in decisions):
        _verify_policy(request)
        return
    officers = {decision.officer_id for decision in decisions}
    if len(officers) < request.profile.required_approvals:
        raise DecisionInvalid(
            f"{len(officers)} of {request.profile.required_approvals} needed approvals on record"
        )


def verify_comment(decision: Decision) -> None:
    """Check that the comment of a decision, unless it was erased, is the one of its document;
    raises DecisionInvalid.
    """
    written: DecisionComment | None = getattr(decision, "written", None)
    if written is not None and not is_comment_of(written, bytes(decision.document)):
        raise DecisionInvalid(f"decision {decision.pk}: it was made with another comment")


def _verify_policy(request: EnrollmentRequest) -> None:
    """Check that the policy may still decide alone: the profile and renewed certificate as now."""
    renewed = request.renews
    mode = request.profile.renewal_mode if renewed else request.profile.approval
    if mode != "automatic":
        raise DecisionInvalid("decided by policy, but the profile asks an officer now")
    if questions := open_questions(request):
        raise DecisionInvalid(
            f"decided by policy, but an officer has to look at it: {questions[0]}"
        )
    if renewed is None:
        if (
            request.profile.eligibility_id
            and not ExpectedDevice.objects.filter(used_by=request.pk).exists()
        ):
            raise DecisionInvalid(
                "decided by policy, but no expected device of a list stands behind the request"
            )
        return
    if renewed.status != CertificateStatus.ISSUED:
        raise DecisionInvalid(f"the renewed certificate is {renewed.get_status_display()} now")
    if sha256(bytes(request.signer_certificate)).hexdigest() != renewed.der_sha256:
        raise DecisionInvalid("the renewed certificate did not sign the request")


def verify_decision(decision: Decision, request: EnrollmentRequest) -> None:
    """Check that one stored decision approves exactly this request. Raises DecisionInvalid."""
    document = bytes(decision.document)
    if sha256(document).hexdigest() != decision.document_sha256:
        raise DecisionInvalid(f"decision {decision.pk}: the document does not have its digest")
    if sha256(request.csr_der).hexdigest() != request.csr_sha256:
        raise DecisionInvalid("the certificate request on record does not have its digest")
    expected: dict[str, object] = {
        "decision": Verdict.APPROVE.value,
        "request": str(request.pk),
        "round": request.round,
        "csr_sha256": request.csr_sha256,
        "spki_sha256": request.csr_spki_sha256,
        "subject": request.subject,
        "names": list(request.names),
        "ca": request.ca.name,
        "profile": request.profile.slug,
        "profile_sha256": request.profile_version.spec_sha256,
        "officer": str(decision.officer_id or ""),
        "renews": request.renews.der_sha256 if request.renews else None,
    }
    try:
        decided = decided_facts(document)
    except DocumentUnreadable as error:
        raise DecisionInvalid(f"decision {decision.pk}: {error}") from error
    for fact, value in expected.items():
        if decided.get(fact) != value:
            raise DecisionInvalid(f"decision {decision.pk}: it was made on another {fact}")
