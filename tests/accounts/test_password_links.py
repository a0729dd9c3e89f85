"""Passwords are set by their owners through links; changes by others are told and marked."""

from collections.abc import Callable
from datetime import timedelta
from smtplib import SMTPServerDisconnected
from typing import Any
from unittest import mock

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings, strategies

from accounts.models.changes import AccountChange, AccountNotice, PasswordLink
from accounts.models.people import User
from accounts.people.changes import recent_changes
from accounts.people.notices import MAX_ATTEMPTS, deliver_account_notices
from accounts.people.password_links import (
    IssuedLink,
    LinkNotIssued,
    PasswordLinkInvalid,
    check_link,
    issue_link,
    redeem_link,
)
from accounts.principals import Principal, PrincipalKind, person_principal
from accounts.roles import Role
from audit.models import AuditEntry
from tests.pages import signed_in
from tests.world import create_person, now

PASSWORD = "a password of Olga 17"
ROOT = Principal(PrincipalKind.COMMAND, name="root")


@pytest.fixture
def olga(db: None) -> User:
    return create_person("olga", Role.OFFICER)


@pytest.fixture
def charlie(db: None) -> User:
    return create_person("charlie", Role.ADMINISTRATOR)


def token_of(link: IssuedLink) -> str:
    return link.url.rpartition("/")[2]


NO_ROLES = {"role_assignments-TOTAL_FORMS": "0", "role_assignments-INITIAL_FORMS": "0"}
FORMS: dict[str, Callable[[User], tuple[str, dict[str, str]]]] = {
    "the page where Django sets a password": lambda user: (
        f"/admin/accounts/user/{user.pk}/password/",
        {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"},
    ),
    "the page where Django sets a password, called 'set'": lambda user: (
        f"/admin/accounts/user/{user.pk}/password/",
        {"password1": PASSWORD, "password2": PASSWORD, "set-password": "1"},
    ),
    "the form of a person": lambda user: (
        f"/admin/accounts/user/{user.pk}/change/",
        {"username": "olga", "is_active": "on", "password": PASSWORD} | NO_ROLES,
    ),
    "the form of a person, with both fields": lambda user: (
        f"/admin/accounts/user/{user.pk}/change/",
        {"username": "olga", "is_active": "on", "password1": PASSWORD, "password2": PASSWORD}
        | NO_ROLES,
    ),
    "the list of people": lambda user: (
        "/admin/accounts/user/",
        {"form-0-id": str(user.pk), "form-0-password": PASSWORD, "_save": "Save"},
    ),
    "the own page of the admin": lambda _: (
        "/admin/password_change/",
        {"old_password": "charliecharlie", "new_password1": PASSWORD, "new_password2": PASSWORD},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_the_admin_sets_a_password(olga: User, charlie: User, form: str) -> None:
    path, data = FORMS[form](olga)
    signed_in(charlie).post(path, data)
    assert not [user.username for user in User.objects.all() if user.check_password(PASSWORD)]


def test_a_new_person_has_no_password_whatever_the_form_says(charlie: User) -> None:
    form = {
        "username": "dora",
        "password1": PASSWORD,
        "password2": PASSWORD,
        "password": PASSWORD,
        "email": "",
    }
    answer = signed_in(charlie).post("/admin/accounts/user/add/", form | NO_ROLES)
    assert answer.status_code == 302
    assert not User.objects.get(username="dora").has_usable_password()


def test_a_link_is_shown_to_the_issuer_once_and_redeemed_once(olga: User, charlie: User) -> None:
    administrator = signed_in(charlie)
    page = administrator.get(f"/admin/accounts/user/{olga.pk}/password/").content.decode()
    assert "No mail server is set up" in page
    page = administrator.post(f"/admin/accounts/user/{olga.pk}/password/").content.decode()
    link = page.partition("<code>")[2].partition("</code>")[0]
    path = link.removeprefix("http://localhost:8000")
    assert (
        link not in administrator.get(f"/admin/accounts/user/{olga.pk}/password/").content.decode()
    )
    assert (
        "a link is open"
        in administrator.get(f"/admin/accounts/user/{olga.pk}/change/").content.decode()
    )

    browser = Client(REMOTE_ADDR="192.0.2.77")
    shown = browser.get(path, secure=True)
    assert "charlie issued it" in shown.content.decode()
    assert "no-store" in shown.headers["Cache-Control"]
    typed = {"password": PASSWORD, "password_again": PASSWORD}
    assert browser.post(path, typed, secure=True).status_code == 302
    olga.refresh_from_db()
    assert olga.check_password(PASSWORD)
    for again in (browser.get(path, secure=True), browser.post(path, typed, secure=True)):
        assert again.status_code == 410
        assert "Ask an administrator for a new link" in again.content.decode()

    create, use = AuditEntry.objects.filter(event__startswith="password-link:").order_by("id")
    assert (create.actor_id, use.actor_id) == (str(charlie.pk), str(olga.pk))
    values = dict(use.private_values.values_list("path", "value"))
    assert values == {
        "actor.name": "olga",
        "actor.address": "192.0.2.77",
        "data.issued_by": "charlie",
    }
    assert use.data["delivery"] == "shown"
    assert PASSWORD not in repr(list(AuditEntry.objects.values()))
    assert path.rpartition("/")[2] not in repr(
        [*AuditEntry.objects.values(), *PasswordLink.objects.values()]
    )


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({}, "required"),
        ({"password": PASSWORD, "password_again": "another"}, "The two passwords differ"),
        ({"password": "short", "password_again": "short"}, "too short"),
        ({"password": "olga@example.org", "password_again": "olga@example.org"}, "too similar"),
        ({"password": "password1234", "password_again": "password1234"}, "too common"),
        ({"password": "172938475610", "password_again": "172938475610"}, "entirely numeric"),
    ],
)
def test_a_weak_password_is_named_and_the_link_stays_good(
    olga: User, typed: dict[str, str], sentence: str
) -> None:
    link = issue_link(olga, principal=ROOT, now=now())
    answer = Client().post(f"/account/password/link/{token_of(link)}", typed, secure=True)
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert check_link(token_of(link), now=now()).user == olga


def test_a_link_ends_by_time_by_a_newer_one_and_with_the_account(olga: User) -> None:
    first = issue_link(olga, principal=ROOT, now=now())
    with pytest.raises(PasswordLinkInvalid):
        check_link(token_of(first), now=now() + timedelta(hours=24, seconds=1))
    second = issue_link(olga, principal=ROOT, now=now())
    with pytest.raises(PasswordLinkInvalid):
        redeem_link(token_of(first), PASSWORD, address="192.0.2.1", now=now())
    User.objects.filter(pk=olga.pk).update(is_active=False)
    with pytest.raises(PasswordLinkInvalid):
        redeem_link(token_of(second), PASSWORD, address="192.0.2.1", now=now())
    olga.refresh_from_db()
    with pytest.raises(LinkNotIssued, match="switched off"):
        issue_link(olga, principal=ROOT, now=now())
    assert olga.check_password("olgaolga")


@given(
    token=strategies.one_of(
        strategies.just(""), strategies.text("0123456789abcdef", min_size=48, max_size=48)
    )
)
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_token_that_was_never_issued_opens_nothing(olga: User, token: str) -> None:
    if not PasswordLink.objects.exists():
        issue_link(olga, principal=ROOT, now=now())
    with pytest.raises(PasswordLinkInvalid):
        redeem_link(token, PASSWORD, address="192.0.2.1", now=now())


def test_of_two_who_redeem_a_link_at_once_one_wins(olga: User) -> None:
    token = token_of(issue_link(olga, principal=ROOT, now=now()))
    stale = check_link(token, now=now())
    redeem_link(token, PASSWORD, address="192.0.2.1", now=now())
    with (
        mock.patch("accounts.people.password_links.check_link", return_value=stale),
        pytest.raises(PasswordLinkInvalid),
    ):
        redeem_link(token, "another password 99", address="192.0.2.2", now=now())
    olga.refresh_from_db()
    assert olga.check_password(PASSWORD)


def test_a_redeemed_link_ends_every_session_of_the_person(olga: User) -> None:
    browser = signed_in(olga)
    assert browser.get("/queue/").status_code == 200
    redeem_link(
        token_of(issue_link(olga, principal=ROOT, now=now())),
        PASSWORD,
        address="192.0.2.1",
        now=now(),
    )
    assert browser.get("/queue/").status_code == 302


def test_links_and_changes_are_records(olga: User) -> None:
    redeem_link(
        token_of(issue_link(olga, principal=ROOT, now=now())),
        PASSWORD,
        address="192.0.2.1",
        now=now(),
    )
    for step in (
        lambda: AccountChange.objects.update(by="another"),
        lambda: AccountChange.objects.all().delete(),
        lambda: PasswordLink.objects.update(issued_by="another"),
        lambda: PasswordLink.objects.update(used_at=None),
        lambda: PasswordLink.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            step()


class TestMail:
    """With a mail server the link goes to the person, notices to the person and the auditors."""

    @pytest.fixture(autouse=True)
    def sends_mail(self, settings: Any) -> None:
        settings.PORTAL_SENDS_MAIL = True

    def test_a_link_goes_to_the_person_and_is_not_shown_to_the_issuer(
        self, olga: User, charlie: User
    ) -> None:
        page = signed_in(charlie).post(f"/admin/accounts/user/{olga.pk}/password/").content.decode()
        (letter,) = mail.outbox
        assert letter.to == ["olga@example.org"]
        link = next(line for line in letter.body.splitlines() if line.startswith("http"))
        assert link.rpartition("/")[2] not in page
        assert "charlie issued this link" in letter.body
        user = redeem_link(link.rpartition("/")[2], PASSWORD, address="192.0.2.1", now=now())
        (change,) = recent_changes(user, now=now())
        assert (change["by"], change["detail"]) == ("charlie", "mail")

    def test_a_link_that_the_server_does_not_take_is_withdrawn(self, olga: User) -> None:
        fault = SMTPServerDisconnected("no greeting")
        with (
            mock.patch("accounts.people.password_links.send_mail", side_effect=fault) as send,
            pytest.raises(LinkNotIssued, match=r"olga.*no greeting"),
        ):
            issue_link(olga, principal=ROOT, now=now())
        token = send.call_args.args[1].partition("/link/")[2].split()[0]
        with pytest.raises(PasswordLinkInvalid):
            check_link(token, now=now())

    def test_a_password_that_was_set_is_told_to_the_person_and_to_auditors(
        self, olga: User
    ) -> None:
        create_person("bob", Role.AUDITOR)
        User.objects.filter(pk=create_person("nadia", Role.AUDITOR).pk).update(is_active=False)
        token = mail_token(olga)
        redeem_link(token, PASSWORD, address="192.0.2.1", now=now())
        assert deliver_account_notices(now=now()) == 2
        assert sorted(address for letter in mail.outbox[1:] for address in letter.to) == [
            "bob@example.org",
            "olga@example.org",
        ]
        assert (
            "Password set through a link that root, by command issued, sent to the person's address"
            in (mail.outbox[-1].body)
        )
        assert not AccountNotice.objects.exists()

    def test_a_link_that_the_issuer_sees_is_told_to_auditors_at_once(self, olga: User) -> None:
        create_person("bob", Role.AUDITOR)
        User.objects.filter(pk=olga.pk).update(email="")
        olga.refresh_from_db()
        link = issue_link(olga, principal=ROOT, now=now())
        notice = AccountNotice.objects.get()
        assert notice.address == "bob@example.org"
        assert (
            "root, by command issued a link that sets the password of olga, and saw it"
            in notice.text
        )
        assert token_of(link) not in notice.text

    def test_a_changed_address_is_told_to_the_old_and_to_the_new_one(
        self, olga: User, charlie: User
    ) -> None:
        form = {"username": "olga", "email": "thief@example.net", "is_active": "on"} | NO_ROLES
        assert (
            signed_in(charlie).post(f"/admin/accounts/user/{olga.pk}/change/", form).status_code
            == 302
        )
        assert {"olga@example.org", "thief@example.net"} <= set(
            AccountNotice.objects.values_list("address", flat=True)
        )
        assert recent_changes(olga, now=now()) == []  # an address alone lets no one in
        olga.refresh_from_db()
        redeem_link(mail_token(olga), PASSWORD, address="192.0.2.1", now=now())
        assert [change["kind"] for change in recent_changes(olga, now=now())] == [
            "address",
            "password",
        ]

    def test_a_notice_is_tried_again_and_given_up_in_the_end(self, olga: User) -> None:
        redeem_link(mail_token(olga), PASSWORD, address="192.0.2.1", now=now())
        moment = now()
        with mock.patch(
            "accounts.people.notices.send_mail", side_effect=ConnectionRefusedError("away")
        ):
            for _ in range(MAX_ATTEMPTS):
                moment += timedelta(hours=2)
                assert deliver_account_notices(now=moment) == 1
        notice = AccountNotice.objects.get()
        assert (notice.next_attempt_at, notice.outcome) == (None, "not sent: away")
        assert deliver_account_notices(now=moment + timedelta(days=1)) == 0


def mail_token(user: User) -> str:
    """Issue a link by mail and return its token."""
    issue_link(user, principal=ROOT, now=now())
    body = str(mail.outbox[-1].body)
    return body.partition("/link/")[2].split()[0]


def test_changes_by_others_stand_on_every_page_after_the_next_sign_in(
    olga: User, charlie: User
) -> None:
    roles = {"role_assignments-TOTAL_FORMS": "1", "role_assignments-INITIAL_FORMS": "0"}
    granted = {"role_assignments-0-role": "auditor", "role_assignments-0-user": str(olga.pk)}
    form = {"username": "olga", "email": "olga@example.org", "is_active": "on"}
    signed_in(charlie).post(f"/admin/accounts/user/{olga.pk}/change/", form | roles | granted)
    redeem_link(
        token_of(
            issue_link(olga, principal=person_principal(charlie, address="192.0.2.9"), now=now())
        ),
        PASSWORD,
        address="",
        now=now(),
    )
    olga.refresh_from_db()
    browser = Client()
    browser.post("/account/login/", {"login": "olga", "password": PASSWORD}, secure=True)
    page = browser.get("/queue/", secure=True).content.decode()
    assert "Role auditor granted by charlie" in page
    assert "Password set through a link that charlie issued, seen by the issuer" in page
    assert "Your account was changed" not in signed_in(charlie).get("/profiles/").content.decode()


@pytest.mark.parametrize("days", [0, 6, 8, 30, 400])
def test_a_change_is_shown_after_the_next_sign_in_however_late_and_all_through_the_period(
    olga: User, settings: Any, days: int
) -> None:
    settings.PORTAL_ACCOUNT_CHANGE_PERIOD = timedelta(days=7)
    redeem_link(
        token_of(issue_link(olga, principal=ROOT, now=now())),
        PASSWORD,
        address="",
        now=now() - timedelta(days=0),
    )
    with mock.patch("django.utils.timezone.now", return_value=now() + timedelta(days=days)):
        first, second = (
            signed_in(User.objects.get(pk=olga.pk)),
            signed_in(User.objects.get(pk=olga.pk)),
        )
    assert len(first.session["account_changes"]) == 1
    assert len(second.session.get("account_changes", [])) == (1 if days < 7 else 0)


def test_the_redeemed_password_is_checked_against_the_rules(olga: User) -> None:
    with pytest.raises(ValidationError):
        redeem_link(
            token_of(issue_link(olga, principal=ROOT, now=now())), "short", address="", now=now()
        )


def test_the_own_password_is_changed_on_one_page_which_writes_an_entry(charlie: User) -> None:
    answer = signed_in(charlie).get("/admin/password_change/")
    assert answer.status_code == 302
    assert answer.headers["Location"] == reverse("account_change_password")


def test_an_unknown_person_has_no_page_and_others_issue_no_link(olga: User, charlie: User) -> None:
    assert signed_in(olga).post(f"/admin/accounts/user/{charlie.pk}/password/").status_code == 302
    assert not PasswordLink.objects.exists()
    unknown = "/admin/accounts/user/01a22a8c-2797-7dbb-a053-fefc18a4cb31/password/"
    assert signed_in(charlie).get(unknown).status_code == 404


def test_an_account_that_is_switched_off_gets_no_link(olga: User, charlie: User) -> None:
    User.objects.filter(pk=olga.pk).update(is_active=False)
    page = signed_in(charlie).post(f"/admin/accounts/user/{olga.pk}/password/").content.decode()
    assert "switch it on first" in page
    assert not PasswordLink.objects.exists()
