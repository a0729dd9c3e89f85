"""`./portal up`: the whole portal in one terminal."""

import io
import os
import shlex
import signal
import socket
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from django.db import connections
from django.utils import timezone

from accounts.people.setup import create_setup_link
from approvals.rules.errors import ApprovalsError
from ca.x509.errors import CaError
from keys.errors import KeyStoreError
from pkiportal.health import broker_answers
from pkiportal.management.arguments import command_principal
from pkiportal.management.reach import Reach
from pkiportal.management.self_test_profile import ensure_self_test_profile
from pkiportal.runtime import parts
from pkiportal.runtime.supervisor import AlreadyRunning, FolderLock, Supervisor

_READY_WITHIN: Final = 60.0
DEMO: Final = "demo"


class Command(BaseCommand):
    """Starts all parts, prints their addresses, and supervises them until Ctrl-C."""

    help = "Run the portal: web server, workers, broker. Ctrl-C stops all of it."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options; manage.py turned them into settings before loading this command."""
        parser.add_argument("--bind", metavar="HOST:PORT", help="where to listen (127.0.0.1:8000)")
        parser.add_argument("--data", metavar="DIR", help="the folder that holds the state (var)")
        parser.add_argument(
            "--http-bind", metavar="HOST:PORT", help="with TLS: where SCEP is served without it"
        )
        parser.add_argument("--tls-cert", metavar="FILE", help="certificate chain, PEM")
        parser.add_argument("--tls-key", metavar="FILE", help="its key, PKCS #8 PEM")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP."""
        os.umask(0o077)
        self._stopping = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        lock = _lock()
        _check_addresses()
        reach = _reach()
        settings.PORTAL_DATA.address.write_text(
            f"{reach.public_url}\n{reach.nearby}\n", encoding="utf-8"
        )
        supervisor = Supervisor(logs=settings.PORTAL_DATA.logs, say=self._say, lock=lock)
        try:
            self._start(supervisor)
            if not self._stopping:
                self._welcome(reach)
            supervisor.watch(until=lambda: self._stopping)
        finally:
            self._say("Stopping ...")
            supervisor.stop()
            lock.release()
        self._say("Stopped.")

    def _start(self, supervisor: Supervisor) -> None:
        """Start the parts: the web server once there is a database, the others while it loads."""
        settings.PORTAL_DATA.broker.mkdir(mode=0o700, exist_ok=True)
        if settings.PORTAL_EMBEDS_BROKER:
            supervisor.start(parts.broker())
        self._say(f"  preparing the database in {settings.PORTAL_DATA.root} ...")
        call_command("migrate", verbosity=0, interactive=False)
        self._say("  collecting style sheets and scripts ...")
        call_command("collectstatic", verbosity=0, interactive=False)
        self._say("  starting the web server ...")
        web = [part for part in parts.portal_parts() if part.name.startswith("web")]
        for part in web:
            supervisor.start(part)
        self._create_profiles()
        self._wait_for(supervisor, _web_answers, what="the web server", seconds=_READY_WITHIN)
        self._say("  starting the workers ...")
        self._wait_for(supervisor, broker_answers, what="the broker", seconds=10)
        for part in parts.portal_parts():
            if part.name not in {started.name for started in web}:
                supervisor.start(part)

    def _create_profiles(self) -> None:
        """Create the demo's authorities and profile in an empty portal, and the self-test's."""
        if _wants_demo():
            self._say("  making the keys of the demo authorities ...")
            _create_demo()
        self._create_self_test()
        connections.close_all()

    def _create_self_test(self) -> None:
        """Create the profile of the self-test, if this user may; the portal works without it."""
        try:
            ensure_self_test_profile(principal=command_principal(), now=timezone.now())
        except (CaError, ApprovalsError, KeyStoreError, ImproperlyConfigured, OSError) as error:
            self._say(f"There is no profile for self-tests: {error}")

    def _wait_for(
        self, supervisor: Supervisor, is_there: Any, *, what: str, seconds: float
    ) -> None:
        deadline = time.monotonic() + seconds
        supervisor.watch(until=lambda: self._stopping or time.monotonic() > deadline or is_there())
        if not self._stopping and time.monotonic() > deadline:
            self._say(f"{what} does not answer yet, see the logs in {settings.PORTAL_DATA.logs}")

    def _welcome(self, reach: Reach) -> None:
        address = reach.pages or reach.public_url
        lines = ["", f"The portal is running: {address}/"]
        token = create_setup_link(timezone.now())
        if token:
            lines += [
                (
                    "There is no administrator yet. This link creates the first one; it works "
                    "once, "
                    "for a day:"
                )
            ]
            lines += [f"    {address}/account/setup/{token}"]
        else:
            lines += [f"Sign in: {address}/account/login/"]
        if _has_demo_profile():
            lines += [
                (
                    "SCEP address of the demo profile (an officer approves): "
                    f"{reach.devices}/scep/{DEMO}/"
                )
            ]
            lines += ["Enroll a demo device, in another terminal:", f"    {_demo_command()}"]
        lines += reach.advice()
        lines += [f"State: {settings.PORTAL_DATA.root}   Ctrl-C stops everything.", ""]
        self._say("\n".join(lines))
        connections.close_all()

    def _ask_to_stop(self, *_: object) -> None:
        self._stopping = True

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _lock() -> FolderLock:
    lock = FolderLock(settings.PORTAL_DATA.lock)
    try:
        lock.take()
    except AlreadyRunning as error:
        raise CommandError(
            f"{settings.PORTAL_DATA.root} is in use by another portal (process {error}): stop it, "
            "or choose another "
            "folder with --data DIR"
        ) from error
    return lock


def _check_addresses() -> None:
    for host, port in filter(None, (settings.PORTAL_BIND, settings.PORTAL_HTTP_BIND)):
        _check_address(host, port)


def _check_address(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another address with "
            "--bind HOST:PORT"
        ) from error


def _web_answers() -> bool:
    """Whether the health page answers; the TLS certificate of this own process is not checked."""
    host, port = settings.PORTAL_BIND
    try:
        with socket.create_connection((_reachable(host), port), timeout=1):
            pass
        if settings.PORTAL_TLS_CERT is not None:
            return True
        target = f"[{_reachable(host)}]" if ":" in host else _reachable(host)
        with urllib.request.urlopen(f"http://{target}:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound to


def _reach() -> Reach:
    return Reach(
        bind=settings.PORTAL_BIND,
        public_url=settings.PORTAL_PUBLIC_URL,
        host_name=socket.gethostname(),
        has_tls=settings.PORTAL_TLS_CERT is not None,
        http_bind=settings.PORTAL_HTTP_BIND,
    )


def _wants_demo() -> bool:
    """Whether this is an embedded portal without any authority."""
    if settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3":
        return False
    return not apps.get_model("ca", "CertificateAuthority").objects.exists()


def _create_demo() -> None:
    """Create a demo authority and profile."""
    quiet: dict[str, Any] = {"stdout": io.StringIO(), "verbosity": 0}
    for name, key, title, parent in (
        ("demo-root", "ec:p384", "Demo Root CA", []),
        (DEMO, "rsa:3072", "Demo Issuing CA", ["--parent", "demo-root"]),
    ):
        call_command(
            "createca",
            name,
            "--key",
            key,
            "--subject",
            f"CN={title},O=PKI portal demo",
            "--test",
            *parent,
            **quiet,
        )
    policy = ("--approval", "manual", "--challenge", "none", "--allow-asserted-decisions")
    call_command("createprofile", DEMO, "--ca", DEMO, *policy, **quiet)


def _has_demo_profile() -> bool:
    model = apps.get_model("approvals", "EnrollmentProfile")
    return bool(model.objects.filter(slug=DEMO).exists())


def _demo_command() -> str:
    return f"{shlex.quote(str(settings.BASE_DIR / 'portal'))} demo{settings.PORTAL_DATA_OPTION}"
