"""Runs the kill test: set-up, devices, kills, waiting until all are served, and judgement."""

import json
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from redis import RedisError

from tests.chaos.devices import Counts, Device, Fleet, make_keys
from tests.chaos.officers import PASSWORD, Officer, Pages, Terminal
from tests.chaos.points import POINTS, Arsenal
from tests.chaos.report import Outcome
from tests.chaos.services import (
    Keeper,
    Site,
    manage,
    start_portal,
    start_postgresql,
    start_valkey,
)
from tests.ports import free_port

WANTED: Final = 5
_PROFILES: Final = ("by-page", "by-command")
#: A process younger than this (seconds) is not worth killing.
_GROWN_UP: Final = 2.5
_QUIET_LIMIT: Final = 90.0
_TICK: Final = 0.05
#: How much of the time, and of the devices, the named points get; at most _MOST of the devices if
#: they need more.
_POINTS_SHARE: Final = 0.5
_MOST: Final = 0.9


@dataclass(frozen=True)
class Plan:
    """The plan: database, number of devices, seconds of killing, and seed."""

    database: str
    requests: int
    seconds: float
    seed: int
    keep: bool = False

    @property
    def victims(self) -> tuple[str, ...]:
        """The processes that are killed at random."""
        return (
            "web",
            "signing",
            "default",
            "broker",
            "flushall",
            *(("postgres",) * (self.database == "postgresql")),
        )


@dataclass
class Run:
    """One run, from an empty folder to a judgment."""

    plan: Plan
    random_kills: Counter[str] = field(default_factory=Counter)
    counts: Counts = field(default_factory=Counts)
    took: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        root = Path(tempfile.mkdtemp(prefix="portal-chaos-"))
        root.chmod(0o711)
        self.site = Site(root, free_port(), self.plan.database)
        self.keeper = Keeper(root / "logs")
        self.random = random.Random(self.plan.seed)  # noqa: S311 - chooses victims, not keys
        (root / "logs").mkdir()

    def execute(self) -> Outcome:
        """Do it all. The folder stays when there is something to look at."""
        try:
            outcome = self._execute()
        finally:
            self.keeper.stop()
        if outcome.is_good and not self.plan.keep:
            shutil.rmtree(self.site.root, ignore_errors=True)
        return outcome

    def _execute(self) -> Outcome:
        keys = make_keys(self.plan.requests)
        arsenal = self._set_up()
        challenges = {profile: self._challenges(profile) for profile in _PROFILES}
        devices = [
            Device(
                f"device-{number}.example",
                key,
                _PROFILES[number % 2],
                challenges[_PROFILES[number % 2]].pop(),
            )
            for number, key in enumerate(keys)
        ]
        start_portal(self.site, self.keeper)
        fleet = Fleet(devices, address=self.site.address, counts=self.counts)
        officers = [
            Officer("alice on pages", Pages(self.site, "alice", "by-page")),
            Officer("bob on pages", Pages(self.site, "bob", "by-page")),
            Officer("alice by command", Terminal(self.site, "alice", "by-command")),
        ]
        self._note("set up")
        fleet.start()
        for officer in officers:
            officer.start()
        try:
            self._kill_at_points(fleet, arsenal)
            self._note("points")
            self._kill_at_random(fleet)
            self._note("random")
            self._wait_until_served(fleet)
            self._note("quiet")
        finally:
            for officer in officers:
                officer.stopped.set()
            fleet.stop()
        for officer in officers:
            officer.join(60)
        return self._judge(fleet, officers, arsenal)

    def _set_up(self) -> Arsenal:
        self.site.data.mkdir(mode=0o700)
        arsenal = Arsenal(self.site.chaos)
        if self.plan.database == "postgresql":
            start_postgresql(self.site, self.keeper)
        start_valkey(self.site, self.keeper)
        manage(self.site, "migrate", "--verbosity", "0")
        manage(self.site, "collectstatic", "--verbosity", "0", "--no-input")
        subject = ("--subject", "CN=Kill Test CA,O=Example")
        manage(self.site, "createca", "issuing", "--key", "ec:p256", *subject, "--test")
        for profile in _PROFILES:
            arguments = (
                "--ca",
                "issuing",
                "--approval",
                "manual",
                "--challenge",
                "one-time",
                "--name-conflicts",
                "allow",
            )
            manage(self.site, "createprofile", profile, *arguments, "--allow-asserted-decisions")
        for officer in ("alice", "bob"):
            manage(
                self.site,
                "createuser",
                officer,
                "--role",
                "officer",
                "--password-stdin",
                stdin=PASSWORD + "\n",
            )
        return arsenal

    def _challenges(self, profile: str) -> list[str]:
        arguments = ("--count", str(self.plan.requests // 2 + 1), "--expires", "1h", "--json")
        return [
            item["challenge"]
            for item in json.loads(manage(self.site, "createchallenge", profile, *arguments))
        ]

    def _kill_at_points(self, fleet: Fleet, arsenal: Arsenal) -> None:
        """Release devices evenly and arm the points one by one, until enough died at each."""
        seconds = self.plan.seconds * _POINTS_SHARE
        begun = time.monotonic()
        while (elapsed := time.monotonic() - begun) < 3 * seconds:
            share = elapsed / seconds
            fleet.release(
                min(int(share * _POINTS_SHARE * fleet.total) + 1, int(_MOST * fleet.total))
            )
            for point in POINTS:
                arsenal.arm(point, count=min(int(share * WANTED) + 1, WANTED))
            if all(arsenal.killed(point).total() >= WANTED for point in POINTS):
                break
            self._let_pass()

    def _kill_at_random(self, fleet: Fleet) -> None:
        """Release the other devices, with random kills in between."""
        deck = [*self.plan.victims] * WANTED
        self.random.shuffle(deck)
        seconds = self.plan.seconds * (1 - _POINTS_SHARE)
        pause = seconds / len(deck)
        before = fleet.released
        begun = next_kill = time.monotonic()
        while (deck or fleet.released < fleet.total) and time.monotonic() < begun + 3 * seconds:
            now = time.monotonic()
            share = (now - begun) / seconds
            fleet.release(before + int(share * (fleet.total - before)) + 1)
            if deck and now >= next_kill:
                victim = next((name for name in deck if self._strike(name)), None)
                if victim is not None:
                    deck.remove(victim)
                    next_kill = now + pause * self.random.uniform(0.6, 1.4)
            self._let_pass()

    def _let_pass(self) -> None:
        """Wait a moment, in which dead processes are restarted."""
        self.keeper.tick()
        time.sleep(_TICK)

    def _strike(self, victim: str) -> bool:
        """Kill one at random; False when it is not up to be killed."""
        process = "broker" if victim == "flushall" else victim
        if self.keeper.age(process) < _GROWN_UP:
            return False
        if victim == "flushall":
            try:
                with self.site.broker as client:
                    client.flushall()
            except (RedisError, OSError):
                return False
        else:
            stays_down = victim in ("broker", "postgres")
            self.keeper.kill(victim, down=self.random.uniform(0.2, 2) if stays_down else 0)
        self.random_kills[victim] += 1
        return True

    def _wait_until_served(self, fleet: Fleet) -> None:
        """No more than the armed points kill from here on; wait until all devices are served."""
        deadline = time.monotonic() + _QUIET_LIMIT
        while not fleet.is_done and time.monotonic() < deadline:
            self._let_pass()

    def _judge(self, fleet: Fleet, officers: list[Officer], arsenal: Arsenal) -> Outcome:
        arsenal.disarm()
        self._wait_until_settled()
        report = self._check_invariants()
        self._note("judgment")
        return Outcome(
            plan=f"{self.plan.database}, {self.plan.requests} requests, seed {self.plan.seed}",
            folder=self.site.root,
            point_kills={point: arsenal.killed(point) for point in POINTS},
            random_kills={victim: self.random_kills[victim] for victim in self.plan.victims},
            wanted=WANTED,
            served=(fleet.served, fleet.total),
            answers=dict(self.counts.answers),
            officers={officer.name: dict(officer.outcomes) for officer in officers},
            slowest_click=max(officer.slowest for officer in officers),
            restarts=dict(self.keeper.restarts),
            violations=[
                *self.counts.violations,
                *report["violations"],
                *self._journal_faults(report),
            ],
            checked=report["checked"],
            took=self.took,
        )

    def _wait_until_settled(self) -> None:
        """A request is issued before its device asks; still, tasks may run: let them end."""
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            self._let_pass()

    def _check_invariants(self) -> dict[str, Any]:
        journal = self.site.chaos / "journal"
        journal.touch()
        command = ("check_invariants", "--json", "--at-rest", "--journal", str(journal))
        try:
            text = manage(self.site, *command)
        except subprocess.CalledProcessError as error:
            if not error.stdout:
                raise
            text = error.stdout
        report: dict[str, Any] = json.loads(text)
        report["violations"] = [
            f"{item['invariant']} {item['subject']}: {item['text']}"
            for item in report["violations"]
        ]
        return report

    def _journal_faults(self, report: dict[str, Any]) -> list[str]:
        """The journal must hold each certificate (else it proves nothing), one signature each."""
        signatures: dict[str, set[str]] = {}
        for line in (self.site.chaos / "journal").read_text().splitlines():
            tbs, _, signature = line.partition(" ")
            signatures.setdefault(tbs, set()).update({signature} - {""})
        faults = [
            f"journal: {tbs} has {len(count)} signatures"
            for tbs, count in signatures.items()
            if len(count) > 1
        ]
        issued = report["checked"].get("issued", 0)
        if issued != self.plan.requests:
            faults.append(f"{issued} certificates for {self.plan.requests} devices")
        if len(signatures) < self.plan.requests:
            faults.append(
                f"journal: only {len(signatures)} signatures for {self.plan.requests} devices"
            )
        return faults

    def _note(self, phase: str) -> None:
        self.took[phase] = time.monotonic() - self.started - sum(self.took.values())
