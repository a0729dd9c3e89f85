"""The web application for a WSGI server."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pkiportal.settings")
os.environ.setdefault("PORTAL_PROCESS", "web")

from django.core.wsgi import get_wsgi_application

from pkiportal.runtime.lifeline import follow_the_starter


def _keep_ra_keys() -> None:
    """Start the thread that maintains RA keys, once Django is ready."""
    from pkiportal.runtime.ra_keeper import start_keeping

    start_keeping()


follow_the_starter()
application = get_wsgi_application()
_keep_ra_keys()
