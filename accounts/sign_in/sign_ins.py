"""Audit entries for signing in and out and for new passwords, whichever page or library does it."""

from typing import Any, Final

from allauth.account.signals import password_changed
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts.models.people import User
from accounts.network.addresses import client_address, network_of
from accounts.people.changes import changes_to_show
from audit.events import Actor, Event, Personal, Subject
from audit.log import Data, record, record_repeated

#: Session key of the sentences about changes that others made to the account; every page shows
#: them.
CHANGES_KEY: Final = "account_changes"


@receiver(user_logged_in, dispatch_uid="accounts.sign_in")
def note_sign_in(*, request: HttpRequest | None, user: User, **_: Any) -> None:
    """Record a sign-in; the session keeps the sentences to show to the person.

    The sign-in fails if it cannot be recorded.
    """
    _note(Event.USER_SIGN_IN, request, user)
    if request is not None:
        changes = changes_to_show(user, now=timezone.now())
        if changes:
            request.session[CHANGES_KEY] = changes


@receiver(user_logged_out, dispatch_uid="accounts.sign_out")
def note_sign_out(*, request: HttpRequest | None, user: User | None, **_: Any) -> None:
    """Record a sign-out of a signed-in person."""
    if user is not None:
        _note(Event.USER_SIGN_OUT, request, user)


@receiver(user_login_failed, dispatch_uid="accounts.sign_in_fail")
def note_failure(
    *, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any
) -> None:
    """Record a failed sign-in with the name that was tried; one entry a minute per address."""
    name = str(credentials.get("username") or credentials.get("login") or "")[:150]
    address = client_address(request) if request else ""
    with transaction.atomic():
        record_repeated(
            Event.USER_SIGN_IN_FAIL,
            actor=Actor(kind="user", address=address),
            now=timezone.now(),
            cause="wrong name or password",
            data={"tried": Personal(name)},
        )


def note_refused(request: HttpRequest, name: str) -> None:
    """Record a sign-in that the limits refused; one network makes one entry a minute."""
    with transaction.atomic():
        record_repeated(
            Event.USER_SIGN_IN_FAIL,
            actor=Actor(kind="user", address=network_of(client_address(request))),
            now=timezone.now(),
            cause="too many wrong names or passwords",
            data={"tried": Personal(name[:150])},
        )


@receiver(password_changed, dispatch_uid="accounts.password_change")
def note_password_change(*, request: HttpRequest | None, user: User, **_: Any) -> None:
    """Record that a person changed their own password; the page holds the transaction of both."""
    _note(Event.USER_CHANGE, request, user, data={"changed": ["password"]})


def _note(event: Event, request: HttpRequest | None, user: User, data: Data | None = None) -> None:
    address = client_address(request) if request else ""
    with transaction.atomic():
        record(
            event,
            actor=Actor(kind="user", identifier=str(user.pk), name=user.username, address=address),
            now=timezone.now(),
            subject=Subject.of("user", user.pk),
            data=data,
        )
