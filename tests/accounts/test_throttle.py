"""Tries that may fail: counted before they are looked at, in one row, however many come at once."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts.models.people import Tries
from accounts.sign_in.throttle import BackOff, Limit, forget_old

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
#: Each example writes to the database, and the machine may be busy.
examples = settings(max_examples=20, deadline=None)


class LimitsCount(TestCase):
    """Hypothesis needs a transaction for each example."""

    @examples
    @given(st.integers(1, 12), st.integers(0, 20), st.integers(0, 20))
    def test_a_limit_lets_as_many_through_as_it_says_and_again_after_its_window(
        self, most: int, tries: int, back: int
    ) -> None:
        limit = Limit("door", most, MINUTE)
        taken = [limit.take("alice", "192.0.2.1", now=NOW) for _ in range(tries)]
        assert taken == [number < most for number in range(tries)]
        for _ in range(back):
            limit.give_back("alice", "192.0.2.1")
        left = most - max(min(tries, most) - back, 0)
        assert sum(limit.take("alice", "192.0.2.1", now=NOW) for _ in range(most + 1)) == left
        assert limit.take("alice", "192.0.2.1", now=NOW + MINUTE)

    @examples
    @given(st.integers(1, 6), st.integers(1, 12))
    def test_after_the_free_tries_each_pause_is_twice_the_one_before(
        self, free: int, further: int
    ) -> None:
        longest = timedelta(seconds=100)
        back_off = BackOff("person", free, timedelta(days=1), longest)
        assert all(back_off.take("alice", now=NOW) for _ in range(free))
        moment = NOW
        for number in range(further):
            pause = min(longest, timedelta(seconds=2**number))
            assert back_off.take("alice", now=moment)
            assert not back_off.take("alice", now=moment + pause - timedelta(milliseconds=1))
            moment += pause

    @examples
    @given(
        st.lists(st.text(max_size=5), min_size=1, max_size=3),
        st.lists(st.text(max_size=5), min_size=1, max_size=3),
    )
    def test_what_is_counted_apart_stays_apart(self, one: list[str], other: list[str]) -> None:
        limit = Limit("door", 1, MINUTE)
        assert limit.take("one", *one, now=NOW)
        assert limit.take("other", *other, now=NOW)
        assert Limit("window", 1, MINUTE).take("one", *one, now=NOW)


def test_a_success_in_a_pause_ends_the_pause(db: None) -> None:
    back_off = BackOff("person", 1, timedelta(days=1), MINUTE)
    assert [back_off.take("alice", now=NOW) for _ in range(3)] == [True, True, False]
    back_off.give_back("alice")
    assert back_off.take("alice", now=NOW)
    assert not back_off.take("alice", now=NOW)


def test_giving_back_what_was_never_taken_gives_nothing(db: None) -> None:
    limit = Limit("door", 1, MINUTE)
    limit.give_back("alice")
    assert not Tries.objects.exists()
    assert [limit.take("alice", now=NOW) for _ in range(2)] == [True, False]
    assert str(Tries.objects.get()) == "1 tries"


def test_old_counts_are_forgotten(db: None) -> None:
    Limit("door", 1, MINUTE).take("alice", now=NOW)
    assert forget_old(now=NOW + timedelta(hours=23)) == 0
    assert forget_old(now=NOW + timedelta(hours=25)) == 1


def at_once(number: int, take: "Limit | BackOff", now: datetime) -> int:
    """How many of so many threads get through."""
    gate, taken = threading.Barrier(number), list[bool]()

    def run() -> None:
        try:
            gate.wait()
            taken.append(take.take("alice", now=now))
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == number
    return sum(taken)


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.parametrize("most", [1, 2, 3, 5, 8])
def test_of_many_at_once_only_as_many_get_through_as_may(most: int) -> None:
    assert at_once(8, Limit("door", most, MINUTE), NOW) == most


@pytest.mark.usefixtures("transactional_db")
@pytest.mark.parametrize("free", [1, 2, 3, 4, 5])
def test_of_many_at_once_after_a_pause_one_gets_through(free: int) -> None:
    back_off = BackOff("person", free, timedelta(days=1), MINUTE)
    assert all(back_off.take("alice", now=NOW) for _ in range(free + 1))
    assert at_once(6, back_off, NOW + MINUTE) == 1
