"""Drafts: the fields of a form that was sent after the session ended, kept during the new sign-in.

A draft never appears in an address or a log. The sign-in page carries it in a hidden field, so that
anonymous visitors store nothing here; the session keeps it from the sign-in until the page takes
it. A draft decides nothing: the page fills its fields and waits.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from allauth.account.forms import LoginForm
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import format_html

_KEY: Final = "draft"
#: Maximum length of a draft in characters: 200 ticked rows and two texts. `pkiportal.web.bodies`
#: limits the body of a form too.
MAX_LENGTH: Final = 40_000


@dataclass(frozen=True, slots=True)
class Draft:
    """The path of a page (with its query), and the texts of its fields."""

    page: str
    fields: Mapping[str, str | list[str]]

    def text(self, name: str) -> str:
        """Return the text of one field; empty where there is none."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    def values(self, name: str) -> list[str]:
        """Return the values of a field with several."""
        value = self.fields.get(name)
        return value if isinstance(value, list) else []


def keep_draft(request: HttpRequest, draft: Draft) -> None:
    """Keep a draft in the session until its page is opened."""
    request.session[_KEY] = asdict(draft)


def take_draft(request: HttpRequest) -> Draft | None:
    """Return and remove the draft of the page that is being opened; drafts of other pages stay."""
    draft = _checked(request.session.get(_KEY))
    if draft is None or urlsplit(draft.page).path != request.path:
        return None
    del request.session[_KEY]
    return draft


def sign_in_page(request: HttpRequest, draft: Draft) -> HttpResponse:
    """Answer a form sent after the session ended with the sign-in page, which leads back."""
    context = {
        "form": LoginForm(request=request),
        "draft": json.dumps(asdict(draft), ensure_ascii=False),
        "redirect_field": format_html(
            '<input type="hidden" name="{}" value="{}">', REDIRECT_FIELD_NAME, draft.page
        ),
    }
    answer = render(request, "account/login.html", context, status=403)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@receiver(user_logged_in, dispatch_uid="accounts.draft")
def bring_draft(*, request: HttpRequest | None, **_: Any) -> None:
    """Move the draft from the sign-in page into the new session."""
    text = request.POST.get(_KEY, "") if request is not None and request.method == "POST" else ""
    if request is None or not 0 < len(text) <= MAX_LENGTH:
        return
    try:
        draft = _checked(json.loads(text))
    except (ValueError, RecursionError):
        return
    if draft is not None:
        keep_draft(request, draft)


def _checked(document: object) -> Draft | None:
    """Return the draft in a document that a browser sent, or None."""
    if not isinstance(document, dict) or not isinstance(document.get("page"), str):
        return None
    fields = document.get("fields")
    if not isinstance(fields, dict):
        return None
    return Draft(
        document["page"], {name: value for name, value in fields.items() if _is_value(value)}
    )


def _is_value(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    )
