"""The page for answers with 400; for a wrong host it tells how to reach the portal."""

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400. The requested host is not repeated: the client chose it."""
    context = {
        "is_other_name": isinstance(exception, DisallowedHost),
        "names": [
            name
            for name in dict.fromkeys(settings.ALLOWED_HOSTS)
            if name not in {"127.0.0.1", "[::1]"}
        ],
        "public_url": settings.PORTAL_PUBLIC_URL,
        "has_tls": settings.PORTAL_IS_HTTPS,
        "port": settings.PORTAL_BIND[1],
    }
    return HttpResponse(render_to_string("400.html", context), status=400)
