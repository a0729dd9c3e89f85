"""Alice and Bob approve, on pages and by command; after any fault they try again."""

import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.client import HTTPException
from http.cookiejar import CookieJar
from random import Random
from typing import Any, Final

from tests.chaos.services import REPOSITORY, Site, instrumented

PASSWORD: Final = "kill-test-1-correct-horse"
_TOKEN: Final = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_VIEW: Final = re.compile(r'name="view_sha256" value="([0-9a-f]{64})"')
_ROW: Final = re.compile(r'href="/requests/([0-9a-f-]{36})/')
_TIMEOUT: Final = 15
_chance: Final = Random()  # noqa: S311 - spreads the load


class _NotNow(Exception):
    """The page was missing or not the expected one; the person tries again."""


class Officer(threading.Thread):
    """Repeats one action until told to stop; `outcomes` counts its results."""

    def __init__(self, name: str, work: Callable[["Officer"], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self.stopped = threading.Event()

    def run(self) -> None:
        """Work; a broken page or command is counted and done again."""
        while not self.stopped.wait(_chance.uniform(0.2, 0.6)):
            try:
                self._work(self)
            except (_NotNow, OSError, HTTPException, urllib.error.URLError) as error:
                self.outcomes[
                    f"again: {type(error).__name__} {getattr(error, 'code', '')}".strip()
                ] += 1


class Pages:
    """A signed-in browser that approves the requests in the queue of one profile."""

    def __init__(self, site: Site, name: str, profile: str) -> None:
        self._address = site.address
        self._name = name
        self._profile = profile
        self._open = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar())
        ).open

    def __call__(self, officer: Officer) -> None:
        """Approve the requests on the first page of the queue, one by one."""
        page = self._get(f"/queue/?profile={self._profile}")
        if 'name="password"' in page:
            self._sign_in(page)
            officer.outcomes["signed in"] += 1
            return
        rows = list(dict.fromkeys(_ROW.findall(page)))
        _chance.shuffle(rows)
        for row in rows[:10]:
            if officer.stopped.is_set():
                return
            self._approve(row, officer)

    def _approve(self, row: str, officer: Officer) -> None:
        page = self._get(f"/requests/{row}/")
        token, view = _TOKEN.search(page), _VIEW.search(page)
        if view is None or token is None:
            officer.outcomes["decided meanwhile"] += 1
            return
        form = {
            "csrfmiddlewaretoken": token[1],
            "view_sha256": view[1],
            "comment": "seen on the page",
        }
        started = time.monotonic()
        try:
            self._post(f"/requests/{row}/approve", form)
            officer.outcomes["approved"] += 1
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
            officer.outcomes["another officer was faster"] += 1
        finally:
            officer.slowest = max(officer.slowest, time.monotonic() - started)

    def _sign_in(self, page: str) -> None:
        token = _TOKEN.search(page)
        if token is None:
            raise _NotNow("no form")
        self._post(
            "/account/login/",
            {"csrfmiddlewaretoken": token[1], "login": self._name, "password": PASSWORD},
        )

    def _get(self, path: str) -> str:
        with self._open(self._address + path, timeout=_TIMEOUT) as answer:
            content: bytes = answer.read()
            return content.decode()

    def _post(self, path: str, form: dict[str, str]) -> None:
        body = urllib.parse.urlencode(form).encode()
        with self._open(self._address + path, data=body, timeout=_TIMEOUT) as answer:
            answer.read()


class Terminal:
    """Approves the pending requests of one profile by command, each in its own process."""

    def __init__(self, site: Site, name: str, profile: str) -> None:
        self._site = site
        self._arguments = [
            "requests",
            "approve",
            "--all-pending",
            "--profile",
            profile,
            "--officer",
            name,
        ]
        self._arguments += ["--comment", "asserted in the kill test"]
        self._shell: subprocess.Popen[str] | None = None

    def __call__(self, officer: Officer) -> None:
        """Run the command once."""
        if self._shell is None:
            self._shell = subprocess.Popen(
                instrumented("commands"),
                env=self._site.environment("command"),
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        stdin, stdout = self._shell.stdin, self._shell.stdout
        if stdin is None or stdout is None:
            raise _NotNow("no terminal")
        stdin.write(json.dumps(self._arguments) + "\n")
        stdin.flush()
        self._note(json.loads(stdout.readline()), officer)

    @staticmethod
    def _note(answer: dict[str, Any], officer: Officer) -> None:
        status, output = answer["status"], str(answer["output"])
        if status == 0:
            officer.outcomes["approved"] += output.count("  approved")
        elif status < 0:
            officer.outcomes["killed"] += 1
        else:
            officer.outcomes[
                f"again: status {status} {(output.strip().splitlines() or [''])[-1][:70]}"
            ] += 1
