"""Asks Microsoft Intune whether a challenge belongs to a request, and reports the outcome."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from django.conf import settings

from approvals.validation import intune_messages as messages
from approvals.validation.messages import Outcome, Question, ServiceAnswer
from database.caches import Cache, registered
from outbound.errors import NoAnswer
from outbound.http import HttpReply, call
from outbound.url_rules import CallRules, read_allowed_host

SECONDS: Final = 5.0  # for all calls of one question together
_EARLY: Final = 300.0  # seconds before its end a token is renewed
_DISCOVERED: Final = 6 * 3600.0


@dataclass(slots=True)
class _Known:
    """The cache of one process about a tenant; everything can be requested again."""

    tokens: dict[str, tuple[str, float]] = field(default_factory=dict, repr=False)
    address: str = ""
    found_at: float = 0.0


_known: Cache[str, _Known] = registered("Intune tenants", Cache(most=256))


class IntuneClient:
    """One tenant, with the credentials of an application in it. Each method raises NoAnswer."""

    def __init__(self, tenant: str, client_id: str, secret: str) -> None:
        self._tenant = tenant
        self._client_id = client_id
        self._secret = secret
        digest = sha256("\0".join((tenant, client_id, secret)).encode()).hexdigest()
        self._known = _known.get(digest) or _known.put(digest, _Known())
        self._deadline = 0.0

    def validate(self, question: Question, *, now: datetime) -> ServiceAnswer:
        """Ask about one request."""
        body = messages.validate_body(question, settings.PORTAL_CALLER)
        return self._post(messages.VALIDATE, body, question)

    def report(self, question: Question, outcome: Outcome, *, now: datetime) -> None:
        """Report the outcome of a request; Intune's console shows it."""
        path, body = messages.notification_body(question, outcome, settings.PORTAL_CALLER)
        answer = self._post(path, body, question)
        if answer.code != "Success":
            raise NoAnswer(f"{messages.OF}: does not take the notice: {answer.code}")

    def probe(self, profile: str, *, now: datetime) -> str:
        """Sign in and look the service up again; returns a sentence."""
        self._forget()
        self._deadline = time.monotonic() + SECONDS
        address = self._service_address()
        self._token(
            messages.scopes(settings.PORTAL_INTUNE_GRAPH_URL, settings.PORTAL_INTUNE_API_URL)[1]
        )
        return f"signed in, and found the validation service at {urlsplit(address).hostname}"

    def _post(self, path: str, body: bytes, question: Question) -> ServiceAnswer:
        """Send one action; after a failure the next call looks the service up again.

        It also gets a new token then.
        """
        self._deadline = time.monotonic() + SECONDS
        try:
            address = messages.joined(self._service_address(), path)
            token = self._token(
                messages.scopes(settings.PORTAL_INTUNE_GRAPH_URL, settings.PORTAL_INTUNE_API_URL)[1]
            )
            headers = messages.headers(token, str(uuid4()), settings.PORTAL_CALLER)
            reply = self._call(address, body=body, headers=headers)
            return messages.read_answer(reply.status, reply.body, challenge=question.challenge)
        except NoAnswer:
            self._forget()
            raise

    def _service_address(self) -> str:
        if self._known.address and time.monotonic() - self._known.found_at < _DISCOVERED:
            return self._known.address
        graph = settings.PORTAL_INTUNE_GRAPH_URL
        token = self._token(messages.scopes(graph, settings.PORTAL_INTUNE_API_URL)[0])
        address = messages.joined(graph, messages.DISCOVERY)
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "client-request-id": str(uuid4()),
        }
        reply = self._call(address, method="GET", headers=headers)
        self._known.address = messages.read_service_address(reply.status, reply.body)
        self._known.found_at = time.monotonic()
        return self._known.address

    def _token(self, scope: str) -> str:
        token, until = self._known.tokens.get(scope, ("", 0.0))
        if token and time.monotonic() < until:
            return token
        address = messages.joined(
            settings.PORTAL_INTUNE_LOGIN_URL, messages.token_path(self._tenant)
        )
        form = messages.token_form(self._client_id, self._secret, scope)
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        reply = self._call(address, body=form, headers=headers)
        token, seconds = messages.read_token(reply.status, reply.body)
        self._known.tokens[scope] = (token, time.monotonic() + seconds - _EARLY)
        return token

    def _call(
        self, url: str, *, headers: dict[str, str], body: bytes | None = None, method: str = "POST"
    ) -> HttpReply:
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise NoAnswer(f"{messages.OF}: no answer within {SECONDS:g} s")
        return call(url, rules=rules(), method=method, body=body, headers=headers, seconds=seconds)

    def _forget(self) -> None:
        self._known.tokens.clear()
        self._known.address = ""


def rules() -> CallRules:
    """Return the allowed targets for Intune: its three addresses, and the one named by Graph."""
    urls = (settings.PORTAL_INTUNE_LOGIN_URL, settings.PORTAL_INTUNE_GRAPH_URL)
    own = tuple(read_allowed_host(url.removeprefix("https://")) for url in urls)
    return CallRules(
        hosts=(*own, *settings.PORTAL_INTUNE_HOSTS), networks=settings.PORTAL_WEBHOOK_NETWORKS
    )
