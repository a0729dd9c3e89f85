"""Tags for other pages: names of numbers on the wire, and running recordings."""

from datetime import datetime

from django import template
from django.utils import timezone

from exchanges.recordings import running
from inspector.words import wire_name

register = template.Library()
register.filter("wire_name", wire_name)


@register.simple_tag
def recordings() -> dict[str, datetime]:
    """The ends of running recordings, by the slug of the profile."""
    return running(now=timezone.now())


@register.filter
def entry(values: dict[str, datetime], key: str) -> datetime | None:
    """The value of a key."""
    return values.get(key)
