"""A program with a token, for tests of the REST door."""

import json
from typing import Any

from django.test import Client

from accounts.models.people import ApiToken, User
from accounts.principals import PORTAL
from accounts.roles import Verb
from accounts.tokens import API_VERBS, TokenOrder, create_token
from tests.world import now

URL = "/api/v1"


class Program:
    """Speaks JSON with a person's token."""

    def __init__(self, owner: User, *scopes: Verb, **limits: Any) -> None:
        order = TokenOrder(owner, "mdm sync", scopes or API_VERBS, **limits)
        self.token, self.text = create_token(order, principal=PORTAL, now=now())

    def call(self, method: str, path: str, body: object = None, **extra: Any) -> Any:
        """Return the answer; its `body` is the JSON document."""
        extra.setdefault("HTTP_AUTHORIZATION", f"Bearer {self.text}")
        return call(method, path, body, **extra)

    def order(self, key: str = "", **members: object) -> Any:
        """Order challenges for the profile `phones`."""
        extra = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
        return self.call("POST", "/challenges", {"profile": "phones", **members}, **extra)

    def again(self) -> ApiToken:
        """The row as it is now."""
        return ApiToken.objects.get(pk=self.token.pk)


def call(method: str, path: str, body: object = None, **extra: Any) -> Any:
    """Send JSON, or a body as it is given in bytes, and take the JSON of the answer apart."""
    extra.setdefault("content_type", "application/json")
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    answer: Any = Client(enforce_csrf_checks=True).generic(method, f"{URL}{path}", raw, **extra)
    assert not answer.cookies
    answer.body = json.loads(answer.content) if answer.content and method != "HEAD" else None
    return answer
