"""What other pages show of the inspector: names of numbers on the wire, and which profiles
record.
"""

from datetime import datetime

from django import template
from django.utils import timezone

from exchanges.recordings import running
from inspector.words import wire_name

register = template.Library()
register.filter("wire_name", wire_name)


@register.simple_tag
def recordings() -> dict[str, datetime]:
    """Until when which profiles record every message, by slug."""
    return running(now=timezone.now())


@register.filter
def entry(found: dict[str, datetime], key: str) -> datetime | None:
    """The value of a key."""
    return found.get(key)
