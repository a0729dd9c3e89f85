"""One back-off: the first pause, its growth, its end."""

from datetime import timedelta

import pytest

from database.moments import backoff

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("tries", "seconds"),
    [(-1, 1), (0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (40, 60), (10**9, 60)],
)
def test_each_pause_is_twice_the_one_before_up_to_its_end(tries: int, seconds: int) -> None:
    assert backoff(tries, first=SECOND, most=MINUTE) == timedelta(seconds=seconds)


def test_another_factor_and_another_first_pause() -> None:
    pauses = [backoff(n, first=5 * SECOND, most=MINUTE, factor=3) for n in (1, 2, 3, 4)]
    assert [pause.total_seconds() for pause in pauses] == [5, 15, 45, 60]
