"""The web application for granian: the front around Django, in each worker process."""

import asyncio
import gc
from importlib import import_module
from typing import Final

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.wsgi import WSGIRequest
from django.db import DatabaseError, close_old_connections
from django.http import HttpResponse

from pkiportal.web.access import note_answer
from pkiportal.web.front import Front, Refused
from pkiportal.web.gateway import Environ
from pkiportal.web.sockets import cut_clients_that_never_read
from pkiportal.wsgi import application

_session: Final = SessionMiddleware(lambda request: HttpResponse())


def is_signed_in(environ: Environ) -> bool:
    """Whether a signed-in person sent the request.

    Raises Refused while the database does not answer.
    """
    request = WSGIRequest(dict(environ))
    close_old_connections()
    try:
        _session.process_request(request)
        return get_user(request).is_authenticated
    except DatabaseError:
        raise Refused(503, "the database does not answer, try again") from None


def start(loop: asyncio.AbstractEventLoop) -> None:
    """Prepare a worker process for its first request.

    Everything that requests need is loaded now, and the garbage collector never walks it again:
    each full pass over it stopped all requests of the process for 130 to 290 ms.
    """
    import_module(settings.ROOT_URLCONF)
    gc.collect()
    gc.freeze()
    cut_clients_that_never_read(loop, port=settings.PORTAL_BIND[1])


front: Final = Front(
    application,
    threads=settings.PORTAL_WEB_THREADS,
    may_send_much=is_signed_in,
    note=note_answer,
    on_start=start,
)
