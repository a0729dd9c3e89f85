"""granian with the web application: `python -m pkiportal.webserver`."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pkiportal.settings")
os.environ.setdefault("PORTAL_PROCESS", "web")

import django
from django.conf import settings
from django.db import connections
from django.utils import timezone
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer

from pkiportal.runtime.lifeline import be_followed
from pkiportal.web.sockets import BACKLOG, connections_within, raise_descriptor_limit


def server() -> MPServer:
    """Return the server as configured; `serve()` runs it until SIGTERM.

    HTTP/1 also with TLS: with both versions on offer, a connection that stays silent after the
    handshake has no time limit. granian's back-pressure counts connections before they are
    accepted, silent ones included.
    """
    host, port = settings.PORTAL_BIND
    return MPServer(
        "pkiportal.web.rsgi:front",
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=2,
        backlog=BACKLOG,
        backpressure=connections_within(raise_descriptor_limit()),
        http1_settings=HTTP1Settings(header_read_timeout=10_000),
        respawn_failed_workers=True,
        workers_kill_timeout=5,
        log_level=LogLevels(settings.PORTAL_LOG_LEVEL.lower()),
        log_dictconfig=settings.LOGGING,
        ssl_cert=settings.PORTAL_TLS_CERT,
        ssl_key=settings.PORTAL_TLS_KEY,
        ssl_protocol_min=SSLProtocols.tls12,
    )


if __name__ == "__main__":
    django.setup()
    from pkiportal.runtime.ra_keeper import SERVING
    from pkiportal.runtime.starts import note_start, refuse_readable_ca_keys

    refuse_readable_ca_keys()
    os.environ[SERVING] = "1"
    note_start("web", now=timezone.now())
    connections.close_all()
    be_followed()
    server().serve()
