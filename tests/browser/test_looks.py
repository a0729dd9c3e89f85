"""Every page as a picture, light and dark, phone and wide screen, without a violation of axe."""

import os
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from playwright.sync_api import Page

from accounts.models.people import User
from tests.browser.conftest import Open
from tests.browser.scene import Scene

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
]

OUTPUT = Path(__file__).parent.parent / "output"
PICTURES = Path(__file__).parent.parent.parent / "docs" / "pictures"
#: Set to write the README's picture again.
WRITE_PICTURES = "PORTAL_TEST_WRITE_PICTURES"

Scheme = Literal["light", "dark"]


def pages(scene: Scene) -> dict[str, tuple[str, User | None]]:
    """Return every page and the person who opens it, by the name of its picture."""
    certificate = reverse("certificate", args=[scene.certificate.pk])
    return {
        "sign-in": (reverse("account_login"), None),
        "queue": (reverse("queue"), scene.alice),
        "queue-attention": (reverse("queue") + "?attention=true", scene.alice),
        "queue-empty": (reverse("queue") + "?q=unknown", scene.alice),
        "request-pending": (reverse("request", args=[scene.pending.pk]), scene.alice),
        "request-issued": (reverse("request", args=[scene.issued.pk]), scene.alice),
        "request-rejected": (reverse("request", args=[scene.rejected.pk]), scene.alice),
        "request-faulty": (reverse("request", args=[scene.faulty.pk]), scene.alice),
        "request-odd": (reverse("request", args=[scene.odd.pk]), scene.bob),
        "request-silent": (reverse("request", args=[scene.silent.pk]), scene.alice),
        "request-denied": (reverse("request", args=[scene.denied.pk]), scene.alice),
        "history-requests": (reverse("history_requests"), scene.bob),
        "history-certificates": (reverse("history_certificates"), scene.bob),
        "certificate": (certificate, scene.bob),
        "certificate-officer": (certificate, scene.alice),
        "revoke": (reverse("certificate_revoke", args=[scene.certificate.pk]), scene.alice),
        "audit": (reverse("history_audit"), scene.bob),
        "profiles": (reverse("profiles"), scene.charlie),
        "clients": (reverse("working_clients"), scene.bob),
        "devices": (reverse("device_setup", args=["vpn"]), scene.alice),
        "devices-apple": (
            reverse("device_setup_client", args=["vpn", "apple"]) + "?cn=mac-7.example",
            scene.alice,
        ),
        "devices-cisco": (
            reverse("device_setup_client", args=["vpn", "cisco-ios"]) + "?cn=a%22b",
            scene.alice,
        ),
        "devices-windows": (
            reverse("device_setup_client", args=["printers", "windows"]),
            scene.bob,
        ),
        "devices-jamf": (reverse("device_setup_client", args=["routers", "jamf"]), scene.charlie),
        "ndes-accounts": (reverse("ndes_accounts"), scene.charlie),
        "api-tokens": (reverse("api_tokens"), scene.charlie),
        "authorities": (reverse("authorities"), scene.charlie),
        "self-tests": (reverse("self_tests"), scene.alice),
        "self-tests-administrator": (reverse("self_tests"), scene.charlie),
        "self-test": (reverse("self_test", args=[scene.run.pk]), scene.alice),
        "self-test-reading": (reverse("self_test", args=[scene.refused_run.pk]), scene.charlie),
        "inspector": (reverse("inspector"), scene.alice),
        "messages": (reverse("exchanges"), scene.charlie),
        "message": (reverse("exchange", args=[scene.exchange.pk]), scene.alice),
        "message-refused": (reverse("exchange", args=[scene.refused.pk]), scene.alice),
        "refusal": (reverse("refusal", args=[scene.refused.number]), scene.alice),
        "queue-refusal": (reverse("queue") + f"?q={scene.refused.number}", scene.alice),
        "walk": (reverse("walk", args=[scene.run.request_id]) + "?step=5", scene.alice),
        "walk-log-only": (reverse("walk", args=[scene.issued.pk]), scene.bob),
        "password": (reverse("account_change_password"), scene.alice),
        "sign-out": (reverse("account_logout"), scene.alice),
        "not-allowed": (reverse("history_audit"), scene.alice),
        "nothing-here": ("/nothing/", scene.alice),
    }


#: Both widths and both schemes with two passes; all four where pictures are wanted.
LOOKS = [
    (1440, "light"),
    (390, "dark"),
    *([(1440, "dark"), (390, "light")] if WRITE_PICTURES in os.environ else []),
]
#: The pages are looked at in so many tests for each look, which workers share.
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_no_page_overflows_or_violates_what_axe_knows(
    visit: Open, scene: Scene, scheme: Scheme, width: int, part: int
) -> None:
    OUTPUT.mkdir(exist_ok=True)
    faults: dict[str, Any] = {}
    opened: dict[User | None, Page] = {}
    for name, (path, user) in list(pages(scene).items())[part::PARTS]:
        if user in opened:
            opened[user].goto(path)
        else:
            opened[user] = visit(
                path, user, viewport={"width": width, "height": 900}, color_scheme=scheme
            )
        page = opened[user]
        if WRITE_PICTURES in os.environ:
            whole = width == 390 and "queue" not in name
            page.screenshot(path=OUTPUT / f"{name}-{width}-{scheme}.png", full_page=whole)
        violations = [
            f"{item['id']}: {item['nodes'][0]['html'][:200]}"
            for item in Axe().run(page).response["violations"]
        ]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            violations.append("wider than the screen")
        if violations:
            faults[name] = violations
    assert faults == {}


def test_the_pictures_of_the_readme(visit: Open, scene: Scene) -> None:
    folder = PICTURES if WRITE_PICTURES in os.environ else OUTPUT
    folder.mkdir(parents=True, exist_ok=True)
    page = visit(
        reverse("queue"),
        scene.alice,
        viewport={"width": 1440, "height": 860},
        device_scale_factor=1.5,
    )
    page.screenshot(path=folder / "queue.png")
    page.goto(reverse("request", args=[scene.pending.pk]))
    page.screenshot(path=folder / "request.png")


def test_the_admin_works_under_the_content_security_policy(visit: Open, scene: Scene) -> None:
    page = visit(reverse("admin:index"), scene.charlie, viewport={"width": 1440, "height": 900})
    for name, arguments in (
        ("accounts_user_add", []),
        ("accounts_user_change", [scene.bob.pk]),
        ("ca_certificateprofile_change", [scene.profile.certificate_profile_id]),
        ("approvals_enrollmentprofile_change", [scene.profile.pk]),
        ("approvals_enrollmentrequest_changelist", []),
    ):
        page.goto(reverse(f"admin:{name}", args=arguments))
        page.screenshot(path=OUTPUT / f"admin-{name}.png")
        assert page.locator("#content h1").count() == 1
