"""Self-refreshing pages: a fragment with a validator, and 304 while nothing has changed."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.template.loader import render_to_string


def live(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, every: int
) -> HttpResponse:
    """Return `template` as out-of-band swaps, with a poller that asks again after `every` seconds.

    The poller sends the validator of its content (RFC 9110 §13.1.2); an unchanged page costs the
    browser nothing, and nothing on it moves.
    """
    fragment = render_to_string(template, dict(context), request=request)
    validator = f'"{sha256(fragment.encode()).hexdigest()[:32]}"'
    headers = {"ETag": validator, "Cache-Control": "private, no-cache"}
    if request.headers.get("If-None-Match") == validator:
        return HttpResponseNotModified(headers=headers)
    poller = {
        "url": request.get_full_path(),
        "every": every,
        "validator": validator.strip('"'),
        "fragment": fragment,
    }
    return HttpResponse(render_to_string("partials/poller.html", poller), headers=headers)
