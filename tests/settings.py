"""Settings of the tests: no machine environment, a data folder per process, fast passwords.

PORTAL_TEST_DATABASE_URL names a PostgreSQL server to use instead of SQLite.
"""

import os
import tempfile
from pathlib import Path

for _name in [
    name
    for name in os.environ
    if name.startswith("PORTAL_") and not name.startswith("PORTAL_TEST_")
]:
    del os.environ[_name]
for _name in ("DATABASE_URL", "REDIS_URL", "EMAIL_URL"):
    os.environ.pop(_name, None)
    os.environ.pop(f"{_name}_FILE", None)

#: Made by tests/conftest.py for the session, and removed after it.
_FOLDER = Path(tempfile.gettempdir()) / f"portal-tests-{os.getuid()}-{os.getpid()}"
os.environ |= {
    "PORTAL_DATA": str(_FOLDER),
    "PORTAL_SECRET_KEY": "a key for tests, which everybody may know",
    "PORTAL_CA_PASSPHRASE": "a passphrase for the authorities of the tests",
    "PORTAL_RA_PASSPHRASE": "a passphrase for the registration authorities of the tests",
    "PORTAL_CHALLENGE_KEY": "a key for the challenges of the tests",
}
if _database := os.environ.get("PORTAL_TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = _database

from pkiportal.settings import *  # noqa: E402, F403 - the environment comes first
from pkiportal.settings import DATABASES, PORTAL_PLAIN_HTTP_HOSTS, STORAGES  # noqa: E402 - as above

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
PORTAL_PLAIN_HTTP_HOSTS = (*PORTAL_PLAIN_HTTP_HOSTS, "testserver")
STORAGES = STORAGES | {
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
}
CELERY_BROKER_URL = "memory://"
if _database is None:
    # A file, not memory: connections of several threads behave as in the product. Without waiting
    # for the disk.
    DATABASES["default"]["OPTIONS"]["init_command"] += "; PRAGMA synchronous=OFF"
    DATABASES["default"]["TEST"] = {"NAME": str(_FOLDER) + ".sqlite3"}
