"""A browser, the portal in a thread of the same process, and a furnished organization."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from accounts.models.people import User
from accounts.roles import Role
from tests.browser.scene import Scene, furnish
from tests.conftest import drop_triggers
from tests.pages import signed_in
from tests.world import World, create_person

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]

#: Opens a page as this person (None: a stranger) with the options of a browser context.
Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def public_name(settings: LazySettings) -> None:
    """Devices are told a name that leads to the portal."""
    settings.PORTAL_PUBLIC_URL = "http://pki.example:8000"


@pytest.fixture(scope="session")
def chromium(starts_processes: None) -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = (
        "true"  # playwright keeps an event loop in the thread of the test
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=ARGUMENTS
        )
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def portal(live_server: Any, world: World) -> Iterator[str]:
    """The address of a portal in a thread; afterwards tables are emptied, without triggers."""
    yield live_server.url.replace("127.0.0.1", "localhost")
    drop_triggers()


@pytest.fixture
def scene(portal: str, world: World) -> Scene:
    """Requests in every state, people of every role."""
    return furnish(
        world,
        bob=create_person("bob", Role.AUDITOR),
        charlie=create_person("charlie", Role.ADMINISTRATOR),
    )


@pytest.fixture
def visit(chromium: Browser, portal: str) -> Iterator[Open]:
    """Open the portal's pages; a logged error, or a violation of the CSP, fails the test."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def start(path: str, user: User | None = None, **options: Any) -> Page:
        context = chromium.new_context(base_url=portal, **options)
        contexts.append(context)
        if user is not None:
            context.add_cookies([_session_cookie(signed_in(user), portal)])
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on(
            "console",
            lambda message: faults.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(path)
        return page

    yield start
    for context in contexts:
        context.close()
    assert [fault for fault in faults if "status of 4" not in fault] == []


def _session_cookie(client: Client, portal: str) -> Any:
    return {
        "name": "portal_session",
        "value": client.cookies["portal_session"].value,
        "url": portal,
    }
