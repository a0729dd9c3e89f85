"""The self-test over real HTTP with real workers: by command and by the page's button."""

import json
import re
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.interop.portal import PASSWORD, Portal, start, stop, wait_until
from tests.ports import free_port

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(240)]


@pytest.fixture
def portal(starts_processes: None, tmp_path: Path) -> Iterator[Portal]:
    """A portal of its own, with Alice the officer."""
    running = Portal(tmp_path / "data", free_port())
    process = start(running, tmp_path / "up.log")
    try:
        running.run(
            "createuser", "alice", "--role", "officer", "--password-stdin", text=f"{PASSWORD}\n"
        )
        yield running
    finally:
        stop(process)


class Browser:
    """Cookies and forms, nothing else."""

    def __init__(self, portal: Portal) -> None:
        self.address = portal.address.replace(
            "localhost", "127.0.0.1"
        )  # not every machine resolves names
        self._open = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar())
        ).open

    def get(self, path: str) -> str:
        with self._open(f"{self.address}{path}", timeout=60) as answer:
            return str(answer.read().decode())

    def submit(self, page: str, path: str, **fields: str) -> tuple[str, str]:
        """Fill the form on `page`, send it to `path`; returns address and text of the next page."""
        token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.get(page))[-1]
        body = urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
        headers = {"Referer": f"{self.address}{page}"}
        submission = urllib.request.Request(f"{self.address}{path}", body, headers)  # noqa: S310 - http, of our own
        with self._open(submission, timeout=60) as answer:
            return str(answer.url), str(answer.read().decode())


def test_the_self_test_passes_by_command_and_by_button(portal: Portal) -> None:
    run = json.loads(portal.run("selftest", "--officer", "alice", "--json"))
    assert (run["kind"], run["passed"], run["fault"]) == ("loop", True, None)
    assert [step["name"] for step in run["steps"]][-1] == "CertPoll after"
    assert all(step["milliseconds"] > 0 for step in run["steps"])
    reading = json.loads(portal.run("selftest", "demo", "--json"))
    assert (reading["kind"], reading["passed"], len(reading["steps"])) == ("reading", True, 6)
    assert json.loads(portal.run("requests", "list", "--json")) == []
    assert json.loads(portal.run("certificates", "list", "--json")) == []

    browser = Browser(portal)
    browser.submit("/account/login/", "/account/login/", login="alice", password=PASSWORD)
    address, _ = browser.submit("/selftest/", "/selftest/start", profile="selftest")
    path = address.removeprefix(browser.address)
    wait_until(
        lambda: 'id="poll"' not in browser.get(path),
        what="the end of the run",
        within=180,
        every=0.5,
    )
    page = browser.get(path)
    assert ">passed<" in page
    assert "signed in" in page
    walk = browser.get(re.findall(r'href="(/inspector/walk/[^"]+)"', page)[0])
    assert "Device → Portal" in walk
    assert "Approved" in walk
