"""What a process remembers: bounded, aged, safe for threads, forgotten by name at once."""

import threading

import pytest

from database import caches
from database.caches import Cache


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a test sets."""
    seconds = [100.0]
    monkeypatch.setattr("database.caches.time.monotonic", lambda: seconds[0])
    return seconds


@pytest.fixture
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of this test alone."""
    monkeypatch.setattr(caches, "_forgetting", {})


def test_the_entry_that_was_used_longest_ago_goes() -> None:
    cache: Cache[str, int] = Cache(most=2)
    cache.put("one", 1)
    cache.put("two", 2)
    assert cache.get("one") == 1
    cache.put("three", 3)
    assert [cache.get(key) for key in ("one", "two", "three")] == [1, None, 3]
    assert len(cache) == 2


def test_an_old_entry_counts_as_missing(clock: list[float]) -> None:
    cache: Cache[str, int] = Cache(most=2, seconds=5)
    cache.put("one", 1)
    clock[0] += 4.9
    assert cache.get("one") == 1
    assert cache.age("one") == pytest.approx(4.9)
    clock[0] += 0.1
    assert (cache.get("one"), cache.age("two")) == (None, None)


def test_a_change_leaves_the_age_and_makes_no_entry(clock: list[float]) -> None:
    cache: Cache[str, int] = Cache(most=2, seconds=5)
    cache.put("one", 1)
    clock[0] += 3
    cache.change("one", lambda number: number + 1)
    cache.change("two", lambda number: number + 1)
    assert (cache.get("one"), cache.age("one"), cache.get("two")) == (2, 3, None)


def test_a_key_is_forgotten_or_all_of_them() -> None:
    cache: Cache[str, int] = Cache(most=3)
    for key in ("one", "two"):
        cache.put(key, 1)
    cache.discard("one")
    cache.discard("three")
    assert (cache.get("one"), cache.get("two")) == (None, 1)
    cache.clear()
    assert len(cache) == 0


def test_no_change_of_threads_at_once_is_lost() -> None:
    cache: Cache[str, int] = Cache(most=1)
    cache.put("one", 0)

    def count() -> None:
        for _ in range(500):
            cache.change("one", lambda number: number + 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("one") == 2_000


@pytest.mark.usefixtures("nothing_registered")
def test_every_registered_cache_is_forgotten_at_once() -> None:
    calls: list[int] = []

    @caches.remembered("squares", most=4)
    def square(number: int) -> int:
        calls.append(number)
        return number * number

    numbers: Cache[str, int] = caches.registered("numbers", Cache(most=2))
    numbers.put("one", 1)
    assert (square(3), square(3), calls) == (9, 9, [3])
    caches.forget_all()
    assert (numbers.get("one"), square(3), calls) == (None, 9, [3, 3])
    assert caches.names() == ("numbers", "squares")


@pytest.mark.usefixtures("nothing_registered")
def test_a_name_stands_for_one_cache() -> None:
    caches.register("numbers", lambda: None)
    with pytest.raises(ValueError, match="registered already"):
        caches.register("numbers", lambda: None)
