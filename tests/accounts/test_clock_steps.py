"""A clock that was set forward and back: counts, pauses and mail of the time ahead do no harm."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail

from accounts.models.changes import AccountNotice
from accounts.models.people import Tries
from accounts.people.notices import MAX_ATTEMPTS, WAITS, deliver_account_notices
from accounts.sign_in.sign_in_limits import PERSON, PERSON_AND_NETWORK
from accounts.sign_in.throttle import BackOff, Limit, forget_old

#: How far the clock was ahead, before it was set back.
STEPS = [
    timedelta(minutes=20),
    timedelta(minutes=53),
    timedelta(hours=1),
    timedelta(hours=30),
    timedelta(days=800),
]
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [timedelta(0), timedelta(minutes=10)])
def test_wrong_passwords_of_a_time_ahead_lock_no_one_out(step: timedelta, after: timedelta) -> None:
    taken = [PERSON_AND_NETWORK.take("olga", "192.0.2.1", now=NOW + step) for _ in range(6)]
    assert taken == [True] * 5 + [False]
    again = [PERSON_AND_NETWORK.take("olga", "192.0.2.1", now=NOW + after) for _ in range(6)]
    assert again == [True] * 5 + [False]


@pytest.mark.parametrize("step", STEPS)
def test_a_pause_of_a_time_ahead_is_over(step: timedelta) -> None:
    while PERSON.take("olga", now=NOW + step):
        pass
    assert PERSON.take("olga", now=NOW)


@pytest.mark.parametrize("step", STEPS)
def test_a_pause_longer_than_pauses_are_is_over_though_its_window_began_before(
    step: timedelta,
) -> None:
    back_off = BackOff("person", 1, timedelta(days=1), timedelta(minutes=15))
    assert back_off.take("olga", now=NOW)
    assert back_off.take("olga", now=NOW)
    Tries.objects.update(free_at=NOW + step)
    assert back_off.take("olga", now=NOW)


@pytest.mark.parametrize("seconds", [-300, -10, -1, 0, 2])
def test_clocks_that_differ_a_little_share_one_count(seconds: int) -> None:
    limit = Limit("door", 1, timedelta(minutes=10))
    assert limit.take("olga", now=NOW + timedelta(seconds=seconds))
    assert not limit.take("olga", now=NOW)


@pytest.mark.parametrize("step", STEPS)
def test_counts_of_a_time_ahead_are_forgotten_and_those_of_now_are_kept(step: timedelta) -> None:
    limit = Limit("door", 1, timedelta(minutes=1))
    limit.take("olga", now=NOW + step)
    limit.take("nadia", now=NOW)
    assert forget_old(now=NOW) == 1
    assert Tries.objects.get().since == NOW


def _notice(*, attempts: int, at: datetime) -> None:
    AccountNotice.objects.create(
        address="olga@example.org",
        subject="s",
        text="t",
        created_at=NOW,
        next_attempt_at=at,
        attempts=attempts,
    )


@pytest.mark.parametrize("step", STEPS)
def test_a_notice_written_under_a_clock_ahead_is_sent_under_the_right_one(step: timedelta) -> None:
    _notice(attempts=0, at=NOW + step)
    assert deliver_account_notices(now=NOW) == 1
    assert [letter.to for letter in mail.outbox] == [["olga@example.org"]]
    assert not AccountNotice.objects.exists()


@pytest.mark.parametrize("attempts", range(1, MAX_ATTEMPTS))
def test_a_notice_that_is_put_off_waits_for_its_time_and_no_longer(attempts: int) -> None:
    _notice(attempts=attempts, at=NOW + WAITS[attempts])
    assert deliver_account_notices(now=NOW) == 0
    AccountNotice.objects.update(next_attempt_at=NOW + WAITS[attempts] + timedelta(minutes=1))
    assert deliver_account_notices(now=NOW) == 1
