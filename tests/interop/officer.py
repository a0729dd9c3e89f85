"""Alice the officer: she signs in with a browser, opens the queue, opens a request and decides."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS

_MILLISECONDS: Final = 15_000
T = TypeVar("T")


#: The field of text that belongs to each verb.
_FIELDS: Final = {"Approve": "Comment on the approval", "Reject": "Reason of the rejection"}


class Officer:
    """One browser with one page. It lives in a thread of its own, as each playwright must."""

    def __init__(self, address: str, *, name: str, password: str, executable: str) -> None:
        self._address = address
        self._name = name
        self._password = password
        self._executable = executable
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="officer")
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._page: Page | None = None

    def approve(self, common_name: str, comment: str = "") -> None:
        """Approve the one waiting request for this name, and see it issued."""
        self._do(lambda: self._decide(common_name, comment, button="Approve", then="issued"))

    def reject(self, common_name: str, reason: str) -> None:
        """Reject the one waiting request for this name."""
        self._do(lambda: self._decide(common_name, reason, button="Reject", then="rejected"))

    def close(self) -> None:
        """Close the browser."""
        self._do(self._close)
        self._thread.shutdown()

    def _do(self, what: Callable[[], T]) -> T:
        return self._thread.submit(what).result(timeout=90)

    def _decide(self, common_name: str, text: str, *, button: str, then: str) -> None:
        page = self._page or self._sign_in()
        page.goto(f"{self._address}/")
        expect(page.get_by_role("heading", name="Queue")).to_be_visible()
        page.get_by_role("link", name=common_name, exact=True).click()
        expect(page.get_by_role("heading", name=common_name, exact=True)).to_be_visible()
        page.get_by_label(_FIELDS[button]).fill(text)
        page.get_by_role("button", name=re.compile(rf"^{button} ")).click()
        expect(page.locator("#state .state")).to_have_text(then)

    def _sign_in(self) -> Page:
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=self._executable, headless=True, args=ARGUMENTS
        )
        expect.set_options(timeout=_MILLISECONDS)
        page = self._browser.new_page()
        page.set_default_timeout(_MILLISECONDS)
        page.goto(f"{self._address}/")
        page.get_by_label("Username").fill(self._name)
        page.get_by_label("Password").fill(self._password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Queue")).to_be_visible()
        self._page = page
        return page

    def _close(self) -> None:
        if self._browser is not None:
            self._browser.close()
        if self._playwright is not None:
            self._playwright.stop()
