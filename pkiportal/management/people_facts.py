"""Texts of commands about password links."""

from typing import Any

from accounts.people.password_links import IssuedLink
from pkiportal.management.output import iso


def link_document(link: IssuedLink) -> dict[str, Any]:
    """Return a link for scripts; without its address if it was mailed."""
    return {
        "password_link": link.url or None,
        "mailed_to": link.mailed_to or None,
        "expires_at": iso(link.expires_at),
    }


def link_text(link: IssuedLink) -> str:
    """Return a link for people, with a warning if the reader sees it."""
    until = f"It works once, until {iso(link.expires_at)}."
    if link.mailed_to:
        return f"The password link went to {link.mailed_to}. {until}"
    return (
        f"Password link, shown once: {link.url}\n{until} You see it: hand it over by a way that "
        "only its owner reads. "
        "Your name stays with the password, and on the decisions made soon after."
    )
