"""What a process remembers between messages: bounded, safe for threads, and forgotten at once.

A cache that depends on rows or settings is registered under a name, so that a test that changes
them makes its process forget all of it. What only depends on its arguments (a decoded name, the
facts of a certificate) needs no registration: `functools.lru_cache` serves.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Generic, ParamSpec, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")
P = ParamSpec("P")

_forgetting: Final[dict[str, Callable[[], object]]] = {}


class Cache(Generic[K, V]):
    """Entries of one process. Beyond `most`, the one that was used longest ago goes; an entry older
    than `seconds` counts as missing.

    Threads may share it. Of two that miss the same key at once both compute it, and the later value
    stays.
    """

    def __init__(self, *, most: int, seconds: float = math.inf) -> None:
        self._most = most
        self._seconds = seconds
        self._lock = threading.Lock()
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the value, None where there is none that is fresh."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or time.monotonic() - entry[0] >= self._seconds:
                return None
            self._entries.move_to_end(key)
            return entry[1]

    def put(self, key: K, value: V) -> V:
        """Remember a value from now on, and return it."""
        with self._lock:
            self._entries[key] = (time.monotonic(), value)
            self._entries.move_to_end(key)
            if len(self._entries) > self._most:
                self._entries.popitem(last=False)
            return value

    def change(self, key: K, by: Callable[[V], V]) -> None:
        """Replace the value of a key that is there; it stays as old as it was."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries[key] = (entry[0], by(entry[1]))

    def age(self, key: K) -> float | None:
        """Return the seconds since the value was put here, None where there is none."""
        with self._lock:
            entry = self._entries.get(key)
            return None if entry is None else time.monotonic() - entry[0]

    def discard(self, key: K) -> None:
        """Forget one key."""
        with self._lock:
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget every key."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


def register(name: str, forget: Callable[[], object]) -> None:
    """Let `forget_all` call this too. Raises ValueError for a name that is taken."""
    if name in _forgetting:
        raise ValueError(f"cache {name!r}: registered already")
    _forgetting[name] = forget


def registered(name: str, cache: Cache[K, V]) -> Cache[K, V]:
    """Register a cache under this name, and return it."""
    register(name, cache.clear)
    return cache


def remembered(name: str, *, most: int) -> Callable[[Callable[P, V]], Callable[P, V]]:
    """Decorate a function whose results a process keeps, and register them under this name."""

    def decorate(function: Callable[P, V]) -> Callable[P, V]:
        cached = lru_cache(maxsize=most)(function)
        register(name, cached.cache_clear)
        return cast("Callable[P, V]", cached)

    return decorate


def names() -> tuple[str, ...]:
    """Return the names of all registered caches."""
    return tuple(sorted(_forgetting))


def forget_all() -> None:
    """Forget every registered cache, as in a new process."""
    for forget in _forgetting.values():
        forget()
