"""The session engine (SESSION_ENGINE): Django's, storing sessions under the digest of the key.

The key is in the cookie only: a copy of the database, such as a backup, opens no session. The key
has 165 random bits, so a plain SHA-256 suffices.
"""

from hashlib import sha256
from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models.sessions import StoredSession


def digest(session_key: str) -> str:
    """Return the name under which the database stores the session of this key."""
    return sha256(session_key.encode()).hexdigest()


class SessionStore(DatabaseSessionStore):
    """Django's store. `session_key` is the key in the cookie; the row has its digest."""

    @classmethod
    def get_model_class(cls) -> type[StoredSession]:
        """Return the model of the sessions."""
        return StoredSession

    def create_model_instance(self, data: dict[str, Any]) -> StoredSession:
        """Return the row to save."""
        row = super().create_model_instance(data)
        row.session_key = digest(row.session_key)
        return row  # type: ignore[return-value]  # as above

    async def acreate_model_instance(self, data: dict[str, Any]) -> StoredSession:
        """Return the row to save."""
        row = await super().acreate_model_instance(data)
        row.session_key = digest(row.session_key)
        return row  # type: ignore[return-value]  # as above

    def exists(self, session_key: str) -> bool:
        """Whether there is a session of this key."""
        return super().exists(digest(session_key))

    async def aexists(self, session_key: str) -> bool:
        """Whether there is a session of this key."""
        return await super().aexists(digest(session_key))

    def delete(self, session_key: str | None = None) -> None:
        """End the session of this key, or this one."""
        key = session_key or self.session_key
        if key is not None:
            super().delete(digest(key))

    async def adelete(self, session_key: str | None = None) -> None:
        """End the session of this key, or this one."""
        key = session_key or self.session_key
        if key is not None:
            await super().adelete(digest(key))

    def _get_session_from_db(self) -> StoredSession | None:
        """Return the row of this session.

        A key without a row is dropped, so that a browser cannot choose its own key.
        """
        row = self._rows().first()
        self._session_key = self._session_key if row else None
        return row

    async def _aget_session_from_db(self) -> StoredSession | None:
        """As `_get_session_from_db`."""
        row = await self._rows().afirst()
        self._session_key = self._session_key if row else None
        return row

    def _rows(self) -> QuerySet[StoredSession]:
        key = digest(self.session_key or "")
        return StoredSession.objects.filter(session_key=key, expire_date__gt=timezone.now())
