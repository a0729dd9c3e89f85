"""Django settings: one file, from the environment.

Wrong values fail at start, named, in one sentence. `PORTAL_PROCESS` names the kind of this process,
which gets only the settings it needs (docs/operations.md).
"""

import os
import shlex
import socket
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pkiportal import __version__
from pkiportal.environment import connections, variables
from pkiportal.environment.datafolder import DataFolder
from pkiportal.environment.fixed_settings import (  # noqa: F401 - read by Django
    AUTH_PASSWORD_VALIDATORS,
    CELERY_TASK_QUEUES,
    CELERY_TASK_ROUTES,
    CONTENT_SECURITY_POLICY,
    PASSWORD_HASHERS,
    REST_FRAMEWORK,
)
from pkiportal.environment.variables import (
    Network,
    ProcessKind,
    Secret,
    SettingsError,
    is_set,
    read,
    read_text,
)
from pkiportal.logs import logging_config

PORTAL_VERSION: Final = __version__
BASE_DIR: Final = Path(__file__).resolve().parent.parent
_COMMAND: Final[ProcessKind] = "command"

PORTAL_PROCESS = read("PORTAL_PROCESS", variables.process_kind, default=_COMMAND)
PORTAL_DATA = DataFolder(read("PORTAL_DATA", Path, default=BASE_DIR / "var").absolute())
#: Settings that a command for this portal needs in order to use the same folder.
PORTAL_DATA_OPTION: Final = (
    "" if PORTAL_DATA.root == BASE_DIR / "var" else f" --data {shlex.quote(str(PORTAL_DATA.root))}"
)
PORTAL_BIND = read("PORTAL_BIND", variables.host_port, default=("127.0.0.1", 8000))
PORTAL_TLS_CERT = read("PORTAL_TLS_CERT", variables.existing_file, default=None)
PORTAL_TLS_KEY = read("PORTAL_TLS_KEY", variables.tls_key, default=None)
PORTAL_TRUSTED_PROXIES: tuple[Network, ...] = read(
    "PORTAL_TRUSTED_PROXIES", variables.networks, default=()
)
#: Maximum number of proxies of a request, and of entries read from PORTAL_PROXY_HEADER.
PORTAL_PROXY_HOPS: int = read("PORTAL_PROXY_HOPS", variables.proxy_hops, default=1)
#: The only header that is read. A proxy passes the other one on exactly as a client wrote it.
PORTAL_PROXY_HEADER: str = read(
    "PORTAL_PROXY_HEADER", variables.proxy_header, default="X-Forwarded-For"
)
for _name in ("PORTAL_PROXY_HOPS", "PORTAL_PROXY_HEADER"):
    if is_set(_name) and not PORTAL_TRUSTED_PROXIES:
        raise SettingsError(
            f"{_name}: without PORTAL_TRUSTED_PROXIES no proxy is believed, name the proxies too"
        )
if (PORTAL_TLS_CERT is None) != (PORTAL_TLS_KEY is None):
    raise SettingsError(
        "PORTAL_TLS_CERT and PORTAL_TLS_KEY: one of them is missing, set both or none"
    )
#: A second address, without TLS, for SCEP, certificates and CRLs; pages are refused there.
PORTAL_HTTP_BIND = read("PORTAL_HTTP_BIND", variables.host_port, default=None)
if PORTAL_HTTP_BIND is not None and PORTAL_TLS_CERT is None:
    raise SettingsError(
        "PORTAL_HTTP_BIND: without PORTAL_TLS_CERT the address of PORTAL_BIND has no TLS already"
    )


def _own_address() -> str:
    """Return the default address: localhost, since browsers allow passkeys there without TLS.

    A command for a running portal uses the one that `up` recorded.
    """
    recorded = PORTAL_DATA.recorded_address()
    if recorded and not is_set("PORTAL_BIND"):
        return recorded
    host, port = PORTAL_BIND
    display_host = "localhost" if host in {"127.0.0.1", "::1"} else host
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared with, not bound to
        display_host = "localhost" if PORTAL_TLS_CERT is None else socket.getfqdn()
    scheme = "http" if PORTAL_TLS_CERT is None else "https"
    return f"{scheme}://{f'[{display_host}]' if ':' in display_host else display_host}:{port}"


PORTAL_PUBLIC_URL = read("PORTAL_PUBLIC_URL", variables.public_url, default=_own_address())
PORTAL_IS_HTTPS: Final = PORTAL_PUBLIC_URL.startswith("https://")
#: Host names under which the sign-in pages may be used without TLS, by a browser on the same
#: machine.
PORTAL_PLAIN_HTTP_HOSTS: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
#: Largest SCEP message. RFC 8894 names none; the parser needs one.
PORTAL_SCEP_MAX_BYTES: Final = 65_536
#: What profiles may make the portal call: nothing unless named here (outbound.url_rules).
PORTAL_WEBHOOK_HOSTS = read("PORTAL_WEBHOOK_HOSTS", variables.call_targets, default=())
PORTAL_WEBHOOK_NETWORKS: tuple[Network, ...] = read(
    "PORTAL_WEBHOOK_NETWORKS", variables.networks, default=()
)
PORTAL_INTUNE_LOGIN_URL = read(
    "PORTAL_INTUNE_LOGIN_URL", variables.public_url, default="https://login.microsoftonline.com"
)
PORTAL_INTUNE_GRAPH_URL = read(
    "PORTAL_INTUNE_GRAPH_URL", variables.public_url, default="https://graph.microsoft.com"
)
PORTAL_INTUNE_API_URL = read(
    "PORTAL_INTUNE_API_URL", variables.public_url, default="https://api.manage.microsoft.com"
)
#: Allowed addresses of the service that Graph names.
PORTAL_INTUNE_HOSTS = read(
    "PORTAL_INTUNE_HOSTS",
    variables.call_targets,
    default=variables.call_targets("*.manage.microsoft.com"),
)
#: The portal's name for services that it calls.
PORTAL_CALLER: Final = f"pki-portal/{PORTAL_VERSION}"
#: Days after which administrators are reminded to rotate a static challenge.
PORTAL_STATIC_CHALLENGE_DAYS: Final = read(
    "PORTAL_STATIC_CHALLENGE_DAYS", variables.static_challenge_days, default=90
)
#: Lifetime of a CRL; a new one is made at half of it, and after each revocation.
PORTAL_CRL_LIFE: Final = timedelta(days=read("PORTAL_CRL_DAYS", variables.crl_days, default=7))
#: How long the bytes of a replaced CRL are kept.
PORTAL_CRL_KEEP: Final = timedelta(
    days=read("PORTAL_CRL_KEEP_DAYS", variables.days(1, 36_500), default=365)
)
#: Lifetime of an RA certificate, and time before its end for renewal: None: a third; 0: never.
PORTAL_RA_LIFE: Final = timedelta(
    days=read("PORTAL_RA_DAYS", variables.days(2, 3_650), default=730)
)
PORTAL_RA_RENEW_BEFORE: Final = read(
    "PORTAL_RA_RENEW_DAYS",
    lambda text: timedelta(days=variables.days(0, PORTAL_RA_LIFE.days - 1)(text)),
    default=None,
)
#: How long decisions are marked after another person set the officer's password or granted a role.
PORTAL_ACCOUNT_CHANGE_PERIOD: Final = timedelta(
    days=read("PORTAL_ACCOUNT_CHANGE_DAYS", variables.days(1, 365), default=7)
)


# Secrets ------------------------------------------------------------------------------------------
def _secret(variable: str, file_name: str, *readers: ProcessKind) -> Secret:
    """Return a secret from the environment or the data folder, for the given process kinds only."""

    def find() -> str:
        if PORTAL_PROCESS not in readers:
            raise SettingsError(f"{variable}: a {PORTAL_PROCESS} process has no access to it")
        return read_text(variable) or PORTAL_DATA.secret(file_name)

    return Secret(variable, find)


CA_PASSPHRASE = _secret("PORTAL_CA_PASSPHRASE", "ca-passphrase", "signing", "command")
RA_PASSPHRASE = _secret("PORTAL_RA_PASSPHRASE", "ra-passphrase", "web", "command")
CHALLENGE_KEY = _secret("PORTAL_CHALLENGE_KEY", "challenge", "web", "default", "command")
CA_KEY_FOLDER: Path = PORTAL_DATA.keys / "ca"
RA_KEY_FOLDER: Path = PORTAL_DATA.keys / "ra"
SECRET_KEY: str = read(
    "PORTAL_SECRET_KEY", variables.secret_key, default="", secret=True
) or PORTAL_DATA.secret("django")
SECRET_KEY_FALLBACKS: list[str] = []

# Applications -------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "csp",
    "django_filters",
    "django_htmx",
    "lucide",
    "accounts",
    "audit",
    "ca",
    "approvals",
    "exchanges",
    "scep",
    "history",
    "inspector",
    "selftest",
    "pkiportal",
]
MIDDLEWARE = [
    "pkiportal.web.middleware.name_request",
    "pkiportal.web.middleware.bound_body",
    "pkiportal.web.middleware.trusted_proxy",
    "pkiportal.web.middleware.open_doors",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "pkiportal.web.middleware.refuse_plain_http",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "pkiportal.web.middleware.session_age",
    "accounts.sign_in.browsers.remember_browser",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "pkiportal.urls"
WSGI_APPLICATION = "pkiportal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DEBUG = False

# Database -----------------------------------------------------------------------------------------
_DATABASE: Final = connections.database_connection(
    read("DATABASE_URL", variables.database, default=None, secret=True),
    process=PORTAL_PROCESS,
    file=PORTAL_DATA.database,
)
DATABASES = {"default": _DATABASE | {"ATOMIC_REQUESTS": False}}
#: Threads of each of the two web processes; a request holds one from the end of its body to its
#: answer. Each thread keeps a connection, and PostgreSQL allows 100 unless its settings say
#: otherwise.
PORTAL_WEB_THREADS: Final = 64 if DATABASES["default"]["ENGINE"].endswith("sqlite3") else 32
#: In the database, not in the broker: who signs in must not depend on Valkey, and limits are shared
#: by all processes.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "pkiportal_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# Time, language, mail, files ----------------------------------------------------------------------
USE_TZ = True
TIME_ZONE = read("PORTAL_TIME_ZONE", variables.time_zone, default="UTC")
LANGUAGE_CODE = "en-us"
USE_I18N = False
_EMAIL = read("EMAIL_URL", variables.email, default=None, secret=True)
PORTAL_SENDS_MAIL: Final = _EMAIL is not None
globals().update(_EMAIL or {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"})
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = read(
    "PORTAL_MAIL_FROM", str, default=f"pki-portal@{urlsplit(PORTAL_PUBLIC_URL).hostname}"
)
STATIC_URL = "/static/"
STATIC_ROOT = PORTAL_DATA.static
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = False

# Sign-in ------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "accounts.sign_in.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_NOTIFICATIONS = False
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_PREVENT_ENUMERATION = True
#: Sign-ins are counted by `accounts.sign_in.sign_in_limits`, which knows the browsers of a person.
ACCOUNT_RATE_LIMITS = {"login": None, "login_failed": None, "reauthenticate": "10/m/user"}
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300

# Browser ------------------------------------------------------------------------------------------
_LOCAL_HOSTS: Final = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = [
    *_LOCAL_HOSTS,
    *filter(None, [urlsplit(PORTAL_PUBLIC_URL).hostname]),
    *read("PORTAL_ALLOWED_HOSTS", variables.names, default=()),
]
CSRF_TRUSTED_ORIGINS = [PORTAL_PUBLIC_URL]
APPEND_SLASH = True
#: Of a form without its files; how large a whole body may be is a matter of its path
#: (pkiportal.web.bodies).
DATA_UPLOAD_MAX_MEMORY_SIZE = 262_144
#: Files are kept in memory, from people who are signed in, on the pages that take lists; never on
#: the disk.
FILE_UPLOAD_HANDLERS = ["pkiportal.web.uploads.ListUploadHandler"]
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1_000
DATA_UPLOAD_MAX_NUMBER_FILES = 1
SESSION_ENGINE = "accounts.sign_in.sessions"
SESSION_COOKIE_AGE = 8 * 3600
#: Seconds without a request after which a session ends.
PORTAL_SESSION_IDLE = 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PORTAL_IS_HTTPS
SESSION_COOKIE_NAME = "__Host-session" if PORTAL_IS_HTTPS else "portal_session"
CSRF_COOKIE_NAME = "__Host-csrf" if PORTAL_IS_HTTPS else "portal_csrf"
PORTAL_BROWSER_COOKIE_NAME = "__Host-browser" if PORTAL_IS_HTTPS else "portal_browser"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SECURE_HSTS_SECONDS = 31_536_000 if PORTAL_IS_HTTPS else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"


# Celery: the broker is a doorbell, the database the truth -----------------------------------------
def _broker_url() -> str:
    return (
        read("REDIS_URL", variables.redis_url, default="", secret=True)
        or f"redis+socket://{PORTAL_DATA.broker_socket}"
    )


#: Whether the supervisor runs a broker of its own.
PORTAL_EMBEDS_BROKER: Final = not is_set("REDIS_URL")
CELERY_BROKER_URL = _broker_url()
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = CELERY_EVENT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_ACKS_ON_FAILURE = CELERY_TASK_ACKS_ON_TIMEOUT = (
    True  # the sweep tries again, not the broker
)
CELERY_TASK_TIME_LIMIT = 30
CELERY_TASK_SOFT_TIME_LIMIT = 20
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 5_000
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_TRANSPORT_OPTIONS = connections.broker_options(
    PORTAL_PROCESS, is_embedded=PORTAL_EMBEDS_BROKER
)
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = str(PORTAL_DATA.root / "beat-schedule")
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
#: The sweep only, which rings for the rest: see approvals.issuance.sweep.CHORES.
CELERY_BEAT_SCHEDULE = {
    "sweep": {
        "task": "approvals.sweep",
        "schedule": 5.0,
        "options": {"queue": "default", "expires": 5},
    },
}

# Logs ---------------------------------------------------------------------------------------------
PORTAL_LOG_LEVEL = read("PORTAL_LOG_LEVEL", variables.log_level, default="INFO")
#: Whether the web server writes a line for each request.
PORTAL_ACCESS_LOG: bool = read("PORTAL_ACCESS_LOG", variables.switch, default=False)
LOGGING = logging_config(PORTAL_LOG_LEVEL, process=PORTAL_PROCESS)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pkiportal.settings")
