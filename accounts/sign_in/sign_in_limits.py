"""Limits on wrong passwords: per person and network, per network, and per person from anywhere.

A browser in which the person has signed in before has a limit of its own: wrong passwords from
elsewhere never lock it out. A name that does not exist is counted like any other, so that no answer
tells whether it exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.http import HttpRequest

from accounts.network.addresses import client_address, network_of
from accounts.sign_in.browsers import folded_name, known_browser
from accounts.sign_in.throttle import BackOff, Limit

#: Wrong passwords for one name from one network.
PERSON_AND_NETWORK: Final = Limit("sign-in", 5, timedelta(minutes=5))
#: Wrong names or passwords from one network, and sign-ins from it: each costs a slow hash.
NETWORK: Final = Limit("sign-in from", 10, timedelta(minutes=1))
NETWORK_ALL: Final = Limit("any sign-in from", 30, timedelta(minutes=1))
#: Wrong passwords for one name from anywhere, in browsers that are not known.
PERSON: Final = BackOff("sign-in as", 100, timedelta(days=1), timedelta(minutes=15))
#: Wrong passwords for one name in one known browser; above the limit it counts like any other
#: browser.
BROWSER: Final = Limit("sign-in in", 10, timedelta(minutes=5))

_Counter = Limit | BackOff


@dataclass(frozen=True, slots=True)
class Attempt:
    """A counted sign-in; call `give_back` once it has succeeded."""

    counts: Sequence[tuple[_Counter, tuple[str, ...]]]

    def give_back(self) -> None:
        """Take the attempt out of the counts of failures."""
        for counter, of in self.counts:
            counter.give_back(*of)


def begin_sign_in(request: HttpRequest, name: str, *, now: datetime) -> Attempt | None:
    """Count a sign-in before its password is checked; None if the limits refuse it."""
    person, network = folded_name(name), network_of(client_address(request))
    browser = known_browser(request, name)
    if browser is not None and BROWSER.take(browser, person, now=now):
        return Attempt([(BROWSER, (browser, person))])
    if not NETWORK_ALL.take(network, now=now):
        return None
    counted: list[tuple[_Counter, tuple[str, ...]]] = []
    limits = ((NETWORK, (network,)), (PERSON_AND_NETWORK, (person, network)), (PERSON, (person,)))
    for counter, of in limits:
        if not counter.take(*of, now=now):
            Attempt(counted).give_back()
            return None
        counted.append((counter, of))
    return Attempt(counted)
