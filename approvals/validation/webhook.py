"""Asks a webhook whether a challenge belongs to a request, and reports the outcome."""

from datetime import datetime
from typing import Final
from uuid import uuid4

from django.conf import settings

from approvals.validation import webhook_messages as messages
from approvals.validation.messages import Outcome, Question, ServiceAnswer
from outbound.errors import NoAnswer
from outbound.http import HttpReply, call
from outbound.url_rules import CallRules, read_target

SECONDS: Final = 4.0


class WebhookClient:
    """One webhook with its secret. Each method raises NoAnswer."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret

    def validate(self, question: Question, *, now: datetime) -> ServiceAnswer:
        """Ask about one request.

        The same question may come again: receivers recognize it by `request`.
        """
        reply = self._send(messages.validate_body(question), now=now)
        return messages.read_answer(reply.status, reply.body, challenge=question.challenge)

    def report(self, question: Question, outcome: Outcome, *, now: datetime) -> None:
        """Report the outcome of a request; any status from 200 to 299 is fine."""
        self._expect_taken(self._send(messages.outcome_body(question, outcome), now=now))

    def probe(self, profile: str, *, now: datetime) -> str:
        """Send a signed test message; returns a sentence about the answer."""
        self._expect_taken(self._send(messages.probe_body(profile), now=now))
        return "took the signed test message"

    def _send(self, body: messages.Body, *, now: datetime) -> HttpReply:
        data, headers = messages.encode(body, identifier=str(uuid4()), secret=self._secret, now=now)
        return call(self._url, rules=rules(), body=data, headers=headers, seconds=SECONDS)

    @staticmethod
    def _expect_taken(reply: HttpReply) -> None:
        if not 200 <= reply.status < 300:
            raise NoAnswer(f"{messages.OF}: HTTP {reply.status}")


def rules() -> CallRules:
    """Return the allowed targets of webhooks: none unless `PORTAL_WEBHOOK_HOSTS` names them."""
    return CallRules(hosts=settings.PORTAL_WEBHOOK_HOSTS, networks=settings.PORTAL_WEBHOOK_NETWORKS)


def check_url(url: str) -> str:
    """Return the host of a URL that may be called. Raises TargetRefused."""
    return read_target(url, rules()).authority
