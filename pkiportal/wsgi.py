"""The web application for a WSGI server."""

import os
from collections.abc import Iterable
from typing import Any, Final

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pkiportal.settings")
os.environ.setdefault("PORTAL_PROCESS", "web")

from django.core.wsgi import get_wsgi_application

from pkiportal.lifeline import follow_the_starter

_REQUEST_NAMES: Final = frozenset(
    {
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "GATEWAY_INTERFACE",
        "PATH_INFO",
        "QUERY_STRING",
        "REMOTE_ADDR",
        "REQUEST_METHOD",
        "SCRIPT_NAME",
        "SERVER_NAME",
        "SERVER_PORT",
        "SERVER_PROTOCOL",
        "SERVER_SOFTWARE",
    }
)
#: granian copies the process environment into each request: secrets, and names that look like headers (HTTP_PROXY).
_INHERITED: Final = tuple(name for name in os.environ if name not in _REQUEST_NAMES)


def _keep_ra_keys() -> None:
    """Start the thread that looks after RA keys, once Django is ready."""
    from pkiportal.ra_keeper import start_keeping

    start_keeping()


follow_the_starter()
_django = get_wsgi_application()
_keep_ra_keys()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer one request that sees nothing of the process environment."""
    for name in _INHERITED:
        environ.pop(name, None)
    return _django(environ, start_response)
