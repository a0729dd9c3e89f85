"""`./portal requests`: list, show, decide on behalf of an officer, retry, erase comments."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet
from django.utils import timezone

from approvals.decisions.batch import DecisionResult, cut_short, decide_many
from approvals.decisions.erasure import erase_comment
from approvals.decisions.retry import order_retry, retry_request
from approvals.models.decisions import Verdict
from approvals.models.requests import EnrollmentRequest
from approvals.reading.queue import without_self_tests
from approvals.rules.errors import ApprovalsError
from approvals.rules.states import State
from exchanges.storage import drop_rejections
from pkiportal.management.arguments import (
    USAGE,
    command_principal,
    identifier,
    officer_principal,
    profile_named,
)
from pkiportal.management.output import table
from pkiportal.management.portal_command import PortalCommand
from pkiportal.management.request_facts import LISTED, listed, request_document, request_text


class Command(PortalCommand):
    """Decisions obey the profile's policy and are recorded as asserted, not authenticated."""

    help = (
        "List, show, approve, reject enrollment requests; retry what could not be signed; erase "
        "comments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add action and requests."""
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="list|show|approve|reject|retry|erase"
        )
        listing = actions.add_parser("list", help="every request, oldest first")
        listing.add_argument(
            "--state", choices=[state.lower() for state in State], metavar="STATE", help=_states()
        )
        listing.add_argument("--profile", metavar="SLUG")
        showing = actions.add_parser("show", help="everything about one request")
        showing.add_argument("id", metavar="ID")
        approving = actions.add_parser("approve", help="approve on behalf of an officer")
        approving.add_argument("ids", nargs="*", metavar="ID")
        approving.add_argument(
            "--all-pending", action="store_true", help="everything that waits, instead of ID…"
        )
        approving.add_argument(
            "--profile", metavar="SLUG", help="with --all-pending: of this profile only"
        )
        approving.add_argument("--officer", required=True, metavar="NAME")
        approving.add_argument("--comment", default="", metavar="TEXT")
        rejecting = actions.add_parser("reject", help="reject on behalf of an officer")
        rejecting.add_argument("ids", nargs="+", metavar="ID")
        rejecting.add_argument("--officer", required=True, metavar="NAME")
        rejecting.add_argument(
            "--comment", required=True, metavar="TEXT", help="the reason; the device is shown it"
        )
        retrying = actions.add_parser("retry", help="let the signing worker try again at once")
        retrying.add_argument("ids", nargs="+", metavar="ID")
        retrying.add_argument("--officer", metavar="NAME", help="on behalf of an officer")
        erasing = actions.add_parser("erase", help="erase the comment on a decision, for good")
        erasing.add_argument("decision", metavar="DECISION", help="as `requests show` names it")
        erasing.add_argument(
            "--because", required=True, metavar="TEXT", help="why; the log keeps it"
        )
        for action in (listing, showing, approving, rejecting, retrying, erasing):
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Run one action."""
        match options["action"]:
            case "list":
                self._list(options)
            case "show":
                self._show(options)
            case "erase":
                self._erase(options)
            case "retry":
                self._report(options, _retry(options))
            case _:
                self._report(options, _decide(options))

    def _list(self, options: dict[str, Any]) -> None:
        rows = _of_profile(options["profile"]).order_by("id")
        if options["state"]:
            rows = rows.filter(state=options["state"].upper())
        documents = [listed(row) for row in rows.values_list(*LISTED).iterator(chunk_size=5000)]
        self.say(options, documents, lambda: _as_table(documents))

    def _show(self, options: dict[str, Any]) -> None:
        request_id = identifier(options["id"], of="request")
        related = ("profile", "profile_version__profile", "ca", "certificate")
        request = EnrollmentRequest.objects.select_related(*related).filter(pk=request_id).first()
        if request is None:
            raise CommandError(f"request {request_id}: not known")
        document = request_document(request)
        self.say(options, document, request_text(document))

    def _erase(self, options: dict[str, Any]) -> None:
        erased = erase_comment(
            decision_id=identifier(
                options["decision"], of="decision", listed_by="requests show REQUEST"
            ),
            why=options["because"],
            principal=command_principal(),
            drop_answers=drop_rejections,
            now=timezone.now(),
        )
        messages = sum(item.answers for item in erased)
        document = {
            "decisions": [str(item.decision.pk) for item in erased],
            "requests": [str(item.request.pk) for item in erased],
            "messages": messages,
        }
        text = f"Erased the comment on {len(erased)} decision(s), {messages} stored message(s)."
        self.say(options, document, text)
        if not options["json"]:
            self.note("Mails, reports to a validation service and backups keep what was sent.")

    def _report(self, options: dict[str, Any], results: Sequence[DecisionResult]) -> None:
        """Print the result of each request; status 1 unless all were done."""
        document = [
            {"id": str(item.request_id), "done": item.done, "text": item.text} for item in results
        ]
        lines = [
            f"{item['id']}  {'' if item['done'] else 'not done: '}{item['text']}"
            for item in document
        ]
        self.say(options, document, "\n".join(lines) if lines else "Nothing is pending.")
        if not all(item.done for item in results):
            raise SystemExit(1)


def _as_table(documents: Sequence[dict[str, Any]]) -> str:
    lines = [
        [item["id"], item["state"], item["profile"], item["subject"], item["submitted_at"]]
        for item in documents
    ]
    return (
        table(["request", "state", "profile", "subject", "submitted"], lines)
        if lines
        else "No such request."
    )


def _states() -> str:
    return ", ".join(state.lower() for state in State)


def _ids(options: dict[str, Any]) -> list[UUID]:
    return list(dict.fromkeys(identifier(text, of="request") for text in options["ids"]))


def _chosen(options: dict[str, Any]) -> list[UUID]:
    """Return the named requests, or all pending ones."""
    everything = options.get("all_pending", False)
    if everything == bool(options["ids"]):
        raise CommandError("requests approve: give either ID… or --all-pending", returncode=USAGE)
    if options.get("profile") and not everything:
        raise CommandError("--profile: only together with --all-pending", returncode=USAGE)
    if not everything:
        return _ids(options)
    pending = _of_profile(options["profile"]).filter(state=State.PENDING).order_by("id")
    return list(pending.values_list("pk", flat=True))


def _of_profile(slug: str | None) -> QuerySet[EnrollmentRequest]:
    """Return the requests of a profile; without a name all, except those of self-tests."""
    rows = EnrollmentRequest.objects.all()
    return rows.filter(profile=profile_named(slug)) if slug else without_self_tests(rows)


def _decide(options: dict[str, Any]) -> list[DecisionResult]:
    verdict = Verdict.APPROVE if options["action"] == "approve" else Verdict.REJECT
    return decide_many(
        items=[(request_id, None) for request_id in _chosen(options)],
        verdict=verdict,
        principal=officer_principal(options["officer"]),
        comment=options["comment"],
        now=timezone.now(),
    )


def _retry(options: dict[str, Any]) -> list[DecisionResult]:
    """Order a retry. It decides nothing, so the operator may order it without an officer's name."""
    principal = officer_principal(options["officer"]) if options["officer"] else None
    results: list[DecisionResult] = []
    ids = _ids(options)
    for position, request_id in enumerate(ids):
        try:
            if principal is None:
                order_retry(
                    request_id=request_id, principal=command_principal(), now=timezone.now()
                )
            else:
                retry_request(request_id=request_id, principal=principal, now=timezone.now())
            results.append(DecisionResult(request_id, done=True, text="ordered again"))
        except ApprovalsError as error:
            results.append(DecisionResult(request_id, done=False, text=str(error)))
        except (OperationalError, InterfaceError):
            return results + cut_short(ids[position:])
    return results
