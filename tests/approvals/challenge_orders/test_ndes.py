"""An MDM fetches challenges as from NDES; its devices enroll; others get nothing."""

import base64
import re
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models.people import Department
from accounts.principals import PORTAL
from approvals.challenge_orders.ndes import WRONG_A_MINUTE
from approvals.challenge_orders.ndes_accounts import (
    NdesAccountOrder,
    create_ndes_account,
    disable_ndes_account,
    replace_password,
)
from approvals.models.challenges import ChallengePassword
from approvals.models.ndes import NdesAccount
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from audit.models import AuditEntry, RepeatedEvent
from scep.protocol.constants import FailInfo, PKIStatus
from tests.world import Device, World, create_profile, later, now

ADDRESS = "/certsrv/mscep_admin/"
FULL = "The password cache is full."
NO_PERMISSION = "You do not have sufficient permission to enroll with SCEP."


class Mdm:
    """An MDM with an account: a password, and the page read as Windows sends it."""

    def __init__(self, profile: EnrollmentProfile, **order: Any) -> None:
        given: dict[str, Any] = {"name": "jamf", "profile": profile, "owner": "Mobile team"} | order
        wanted = NdesAccountOrder(**given)
        self.account, secret = create_ndes_account(wanted, principal=PORTAL, now=now())
        self.password = secret.reveal()

    def get(
        self,
        password: str | None = None,
        *,
        name: str | None = None,
        path: str = ADDRESS,
        **extra: Any,
    ) -> Any:
        pair = f"{name or self.account.name}:{self.password if password is None else password}"
        header = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return Client().get(path, HTTP_AUTHORIZATION=header, **extra)

    def challenge(self) -> str:
        match = re.search(r"(?i)challenge password is: <B> (\S*)", self.page())
        assert match, self.page()
        return match[1]

    def page(self) -> str:
        answer = self.get()
        assert answer.status_code == 200
        text: str = answer.content.decode(self.account.encoding)
        return text


@pytest.fixture
def phones(world: World) -> EnrollmentProfile:
    """A profile with one-time challenges and an officer's approval."""
    return create_profile(world.ca, "phones", challenge="one-time")


@pytest.fixture
def mdm(phones: EnrollmentProfile) -> Mdm:
    return Mdm(phones)


def phone(key: str = "alice", name: str = "r1.example") -> Device:
    return Device.named(name, key, profile="phones")


def causes() -> dict[str, int]:
    """Return the refused causes with their counts."""
    counts = {}
    for entry in AuditEntry.objects.filter(event="ndes-account:refuse"):
        more = (
            RepeatedEvent.objects.filter(first_entry=entry).values_list("count", flat=True).first()
            or 0
        )
        counts[entry.data["cause"]] = 1 + more
    return counts


# -------------------------------------------------------------------------------------- who gets in


def test_without_an_account_there_is_a_401_that_asks_for_basic_and_no_cookie(mdm: Mdm) -> None:
    for path in (ADDRESS, ADDRESS.rstrip("/")):
        answer = Client().get(path)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')
        assert not answer.cookies
    assert causes() == {}, "asking first without credentials is how HTTP works, no failed sign-in"
    assert not ChallengePassword.objects.exists()


def test_with_or_without_the_slash_by_get_or_post_and_in_any_case_the_account_gets_a_challenge(
    mdm: Mdm,
) -> None:
    assert mdm.get(path=ADDRESS.rstrip("/")).status_code == 200
    assert mdm.get(name="JAMF").status_code == 200
    header = f"Basic {base64.b64encode(f'jamf:{mdm.password}'.encode()).decode()}"
    posted = Client(enforce_csrf_checks=True).post(
        ADDRESS, {"operation": "GetCACaps"}, HTTP_AUTHORIZATION=header
    )
    assert posted.status_code == 200
    assert ChallengePassword.objects.count() == 3


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_make_no_challenge(mdm: Mdm, method: str) -> None:
    header = f"Basic {base64.b64encode(f'jamf:{mdm.password}'.encode()).decode()}"
    assert Client().generic(method, ADDRESS, HTTP_AUTHORIZATION=header).status_code == 405
    assert not ChallengePassword.objects.exists()


def test_over_plain_http_nothing_is_answered_not_even_with_the_right_password(mdm: Mdm) -> None:
    answer = mdm.get(REMOTE_ADDR="192.0.2.7")
    assert (answer.status_code, b"encrypted connection" in answer.content) == (403, True)
    assert "WWW-Authenticate" not in answer.headers, (
        "no client is asked to send a password in the clear"
    )
    assert mdm.get(REMOTE_ADDR="192.0.2.7", secure=True).status_code == 200


def test_the_link_of_another_site_in_a_browser_that_knows_the_password_makes_no_challenge(
    mdm: Mdm,
) -> None:
    assert mdm.get(HTTP_SEC_FETCH_SITE="cross-site").status_code == 403
    assert mdm.get(HTTP_SEC_FETCH_SITE="none").status_code == 200
    assert ChallengePassword.objects.count() == 1


def test_a_wrong_name_a_wrong_password_and_a_wrong_network_read_the_same_and_the_log_knows_which(
    phones: EnrollmentProfile,
) -> None:
    mdm = Mdm(phones, networks=("192.0.2.0/24",))
    inside: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.7", "secure": True}
    answers = [mdm.get("wrong", **inside), mdm.get(name="unknown", **inside), mdm.get()]
    assert {
        (answer.status_code, answer.content, answer.headers["WWW-Authenticate"])
        for answer in answers
    } == {(401, answers[0].content, answers[0].headers["WWW-Authenticate"])}
    assert causes() == {"wrong password": 1, "unknown name": 1, "network not allowed": 1}
    assert mdm.get(**inside).status_code == 200


def test_an_unknown_name_costs_a_hash_too(mdm: Mdm) -> None:
    with mock.patch("approvals.challenge_orders.ndes.make_password") as hashed:
        mdm.get(name="unknown")
    hashed.assert_called_once_with(mdm.password)


@pytest.fixture
def one_moment() -> Iterator[datetime]:
    """No window ends while a test runs."""
    with mock.patch("django.utils.timezone.now", return_value=timezone.now()) as clock:
        yield clock.return_value


def statuses(mdm: Mdm, passwords: Iterable[str], **extra: Any) -> list[int]:
    return [mdm.get(password, secure=True, **extra).status_code for password in passwords]


@pytest.mark.parametrize(
    ("names", "address", "officer"),
    [
        (["jamf"], "192.0.2.1", "192.0.2.1"),
        (["jamf", "unknown"], "192.0.2.1", "192.0.2.9"),
        (["unknown"], "2001:db8:1::1", "2001:db8:1::2"),
        (["JAMF", "Jamf"], "2001:db8:1::1", "2001:db8:2::1"),
        (["a", "b", "c", "d", "jamf"], "::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_wrong_passwords_keep_no_mdm_out_that_has_the_right_one(
    mdm: Mdm, one_moment: datetime, names: list[str], address: str, officer: str
) -> None:
    tried = [
        (names[number % len(names)], f"guess {number}") for number in range(WRONG_A_MINUTE + 3)
    ]
    answers = [mdm.get(text, name=name, secure=True, REMOTE_ADDR=address) for name, text in tried]
    assert [answer.status_code for answer in answers] == [401] * WRONG_A_MINUTE + [429] * 3
    assert answers[-1].headers["Retry-After"] == "60"
    with mock.patch("approvals.challenge_orders.ndes.check_password") as looked_at:
        assert mdm.get(secure=True, REMOTE_ADDR=officer).status_code == 200
        assert mdm.get("another guess", secure=True, REMOTE_ADDR=address).status_code == 429
    looked_at.assert_not_called()
    with mock.patch("django.utils.timezone.now", return_value=one_moment + timedelta(minutes=1)):
        assert mdm.get("another guess", secure=True, REMOTE_ADDR=address).status_code == 401


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("2001:db8:1::1", "2001:db8:1::2", True),
        ("2001:db8:1::1", "2001:db8:1:0:ffff::", True),
        ("::ffff:198.51.100.7", "198.51.100.7", True),
        ("2001:db8:1::1", "2001:db8:1:1::1", False),
        ("198.51.100.7", "198.51.100.8", False),
    ],
)
@pytest.mark.usefixtures("one_moment")
def test_wrong_names_are_counted_by_network(
    mdm: Mdm, first: str, second: str, *, is_one: bool
) -> None:
    for number in range(WRONG_A_MINUTE):
        mdm.get("guess", name=f"name{number}", secure=True, REMOTE_ADDR=first)
    answer = mdm.get("guess", name="another", secure=True, REMOTE_ADDR=second)
    assert answer.status_code == (429 if is_one else 401)


@pytest.mark.parametrize("name", ["jamf", "unknown", "JAMF", "intune", "x"])
@pytest.mark.usefixtures("one_moment")
def test_wrong_passwords_of_one_name_are_counted_from_anywhere_whether_it_exists_or_not(
    mdm: Mdm, name: str
) -> None:
    answers = [
        mdm.get(
            f"guess {number}", name=name, secure=True, REMOTE_ADDR=f"203.0.113.{number}"
        ).status_code
        for number in range(WRONG_A_MINUTE + 2)
    ]
    assert answers == [401] * WRONG_A_MINUTE + [429] * 2
    assert mdm.get(secure=True, REMOTE_ADDR="203.0.113.200").status_code == 200


@pytest.mark.usefixtures("one_moment")
def test_an_account_of_before_is_known_by_its_digest_once_its_password_was_right(mdm: Mdm) -> None:
    NdesAccount.objects.update(digest="")
    guesses = [f"guess {number}" for number in range(WRONG_A_MINUTE)]
    assert statuses(mdm, guesses, REMOTE_ADDR="192.0.2.1")[-1] == 401
    assert mdm.get(secure=True, REMOTE_ADDR="192.0.2.1").status_code == 429
    with mock.patch("django.utils.timezone.now", return_value=later(minutes=2)):
        assert mdm.get(secure=True, REMOTE_ADDR="192.0.2.1").status_code == 200
        assert statuses(mdm, guesses, REMOTE_ADDR="192.0.2.1") == [401] * WRONG_A_MINUTE
        assert mdm.get(secure=True, REMOTE_ADDR="192.0.2.1").status_code == 200
    assert NdesAccount.objects.get().digest == mdm.account.digest_of(mdm.password)


def test_a_digest_is_of_one_account_and_one_password(mdm: Mdm, phones: EnrollmentProfile) -> None:
    other = Mdm(phones, name="fleet")
    digests = {
        account.digest_of(text)
        for account in (mdm.account, other.account)
        for text in ("a", "b", mdm.password)
    }
    assert len(digests) == 6
    assert mdm.password not in digests
    new = replace_password(mdm.account, principal=PORTAL, now=now()).reveal()
    assert mdm.get(secure=True).status_code == 401
    assert mdm.get(new, secure=True).status_code == 200


@pytest.mark.usefixtures("one_moment")
def test_a_right_password_from_a_foreign_network_is_counted_and_reads_like_a_wrong_one(
    mdm: Mdm, phones: EnrollmentProfile
) -> None:
    fleet = Mdm(phones, name="fleet", networks=["192.0.2.0/24"])
    right, wrong = (
        statuses(fleet, [text] * 12, REMOTE_ADDR=where)
        for text, where in ((fleet.password, "203.0.113.1"), ("x", "203.0.113.2"))
    )
    assert right == [401] * 10 + [429] * 2
    assert wrong == [429] * 12
    assert fleet.get(secure=True, REMOTE_ADDR="192.0.2.1").status_code == 200


def test_a_disabled_account_and_a_profile_of_another_kind_get_no_permission(
    mdm: Mdm, phones: EnrollmentProfile
) -> None:
    EnrollmentProfile.objects.filter(pk=phones.pk).update(challenge="none")
    assert NO_PERMISSION in mdm.page()
    EnrollmentProfile.objects.filter(pk=phones.pk).update(challenge="one-time")
    assert disable_ndes_account(mdm.account, principal=PORTAL, now=now())
    assert NO_PERMISSION in mdm.page()
    assert not disable_ndes_account(mdm.account, principal=PORTAL, now=now())
    assert mdm.get("wrong").status_code == 401
    assert causes() == {
        "profile takes no one-time challenges": 1,
        "account disabled": 1,
        "wrong password": 1,
    }


def test_a_new_password_replaces_the_old_one(mdm: Mdm) -> None:
    fresh = replace_password(mdm.account, principal=PORTAL, now=now()).reveal()
    assert mdm.get().status_code == 401
    assert mdm.get(fresh).status_code == 200


@pytest.mark.parametrize(
    ("change", "cause"),
    [(disable_ndes_account, "account disabled"), (replace_password, "wrong password")],
)
def test_what_an_administrator_does_while_the_password_is_hashed_holds_at_once(
    mdm: Mdm, change: Any, cause: str
) -> None:
    def slow(*_: object) -> bool:
        change(NdesAccount.objects.get(), principal=PORTAL, now=now())
        return True

    NdesAccount.objects.update(digest="")
    with mock.patch("approvals.challenge_orders.ndes.check_password", side_effect=slow):
        mdm.get()
    assert causes() == {cause: 1}
    assert not ChallengePassword.objects.exists()


# --------------------------------------------------------------------------------------- the
# answers


def test_the_page_comes_as_windows_sends_it_or_in_utf_8_by_switch(
    mdm: Mdm, phones: EnrollmentProfile
) -> None:
    answer = mdm.get()
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.content.startswith(b"<\x00H\x00")
    other = Mdm(phones, name="fleet", encoding="utf-8")
    assert other.get().headers["Content-Type"] == "text/html; charset=utf-8"
    assert re.search(rb"<B> [0-9A-F]{16} </B>", other.get().content)


@pytest.mark.usefixtures("within_a_minute")
def test_five_challenges_may_wait_and_the_sixth_time_the_cache_is_full(
    mdm: Mdm, phones: EnrollmentProfile
) -> None:
    fetched = [mdm.challenge() for _ in range(5)]
    assert len(set(fetched)) == 5
    assert FULL in mdm.page()
    assert FULL not in Mdm(phones, name="fleet").page(), "each account has its own"
    assert phone().enroll(challenge=fetched[0]).status is PKIStatus.PENDING
    mdm.challenge()
    assert FULL in mdm.page()
    ChallengePassword.objects.filter(redeemed_at__isnull=True).update(expires_at=now())
    mdm.challenge()
    assert causes() == {"too many unused challenges": 2}


def test_a_challenge_is_good_once_for_one_key_and_for_sixty_minutes(mdm: Mdm) -> None:
    used, late = mdm.challenge(), mdm.challenge()
    assert phone().enroll(challenge=used).status is PKIStatus.PENDING
    again = phone("bob", "r2.example").enroll(challenge=used)
    assert (again.status, again.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)
    challenge = ChallengePassword.objects.get(redeemed_at__isnull=True)
    assert challenge.expires_at - challenge.created_at == timedelta(minutes=60)
    with mock.patch("scep.views.timezone.now", return_value=challenge.expires_at):
        expired = phone("bob", "r2.example").enroll(challenge=late)
    assert (expired.status, expired.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert (
        ChallengePassword.objects.get(redeemed_at__isnull=False).redeemed_by
        == EnrollmentRequest.objects.get()
    )


def test_a_challenge_serves_only_the_profile_of_its_account(world: World, mdm: Mdm) -> None:
    create_profile(world.ca, "tablets", challenge="one-time")
    elsewhere = Device.named("r1.example", profile="tablets").enroll(challenge=mdm.challenge())
    assert (elsewhere.status, elsewhere.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)


def test_the_lifetime_of_the_account_is_that_of_the_challenge_and_of_the_sentence(
    phones: EnrollmentProfile,
) -> None:
    mdm = Mdm(phones, lifetime=timedelta(minutes=15))
    assert "will expire within 15 minutes." in mdm.page()
    challenge = ChallengePassword.objects.get()
    assert challenge.expires_at - challenge.created_at == timedelta(minutes=15)


def test_who_fetched_a_challenge_is_on_record(phones: EnrollmentProfile) -> None:
    here = Department.objects.create(slug="here", name="Here")
    EnrollmentProfile.objects.filter(pk=phones.pk).update(department=here)
    mdm = Mdm(EnrollmentProfile.objects.get(pk=phones.pk))
    mdm.challenge()
    entry = AuditEntry.objects.get(event="challenge:create")
    assert (entry.actor_kind, entry.actor_id, entry.department) == (
        "ndes-account",
        str(mdm.account.pk),
        "here",
    )
    private = dict(entry.private_values.values_list("path", "value"))
    assert (private["actor.name"], private["actor.address"]) == ("jamf", "127.0.0.1")
    challenge = ChallengePassword.objects.get()
    assert (challenge.ndes_challenge.account, challenge.created_by, challenge.created_by_name) == (
        mdm.account,
        None,
        "jamf",
    )
    assert challenge.origin == "ndes"


def test_nothing_is_made_when_the_log_cannot_be_written(mdm: Mdm) -> None:
    with (
        mock.patch("audit.log.insert", side_effect=OSError("disk full")),
        pytest.raises(OSError, match="disk full"),
    ):
        mdm.get()
    assert not ChallengePassword.objects.exists()


def test_neither_password_nor_challenge_is_in_any_row_or_representation(
    mdm: Mdm, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    secrets = [mdm.password, mdm.challenge(), "canary-guess"]
    mdm.get("canary-guess")
    mdm.get("canary-guess", name="unknown")
    printed = capfd.readouterr()
    everywhere = [printed.out, printed.err, caplog.text]
    for model in apps.get_models():
        for row in model._default_manager.all():
            everywhere.append(repr(row))
            for value in row.__dict__.values():
                shown = (
                    bytes(value).decode("latin-1")
                    if isinstance(value, (bytes, memoryview))
                    else str(value)
                )
                everywhere.append(shown)
    for secret in secrets:
        assert not [text for text in everywhere if secret in text]
    assert NdesAccount.objects.get().password.startswith("md5$"), (
        "hashed by the first of PASSWORD_HASHERS"
    )


@pytest.mark.usefixtures("transactional_db")
def test_of_many_at_once_no_more_than_five_get_a_challenge(world: World) -> None:
    mdm = Mdm(create_profile(world.ca, "phones", challenge="one-time"))
    gate, pages = threading.Barrier(8), []

    def fetch() -> None:
        try:
            gate.wait()
            pages.append(mdm.page())
        finally:
            connection.close()

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(FULL in page for page in pages) == 3
    assert ChallengePassword.objects.count() == 5
