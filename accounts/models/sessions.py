"""Stored sessions, under the digest of the key in the browser's cookie."""

from importlib import import_module

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models


class StoredSession(AbstractBaseSession):
    """A session; `session_key` is the SHA-256, hex, of the key in the cookie."""

    session_key = models.CharField(max_length=64, primary_key=True)

    class Meta(AbstractBaseSession.Meta):
        db_table = "accounts_session"

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        """Return the session engine that reads these rows."""
        store: type[SessionBase] = import_module(settings.SESSION_ENGINE).SessionStore
        return store
