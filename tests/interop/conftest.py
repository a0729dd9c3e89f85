"""One portal for all clients of this folder, the installed clients, and Alice's browser."""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scep.client import ScepClient
from tests.browser.conftest import CHROMIUM
from tests.interop.clients import Certmonger, Chain, StrongSwan
from tests.interop.officer import Officer
from tests.interop.portal import OFFICER, PASSWORD, Portal, start, stop
from tests.interop.wire import Wire, wire_to
from tests.ports import free_port

#: The challenge of the profile `static`.
STATIC_CHALLENGE = "seven-quiet-otters"


def program(name: str, package: str) -> str:
    """Return where a program is, or skip the test."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian package {package})")
    return path


@pytest.fixture(scope="session")
def portal(starts_processes: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A portal with its demo profile, automatic `once` and `renewing`, manual `static`, and Alice
    the officer.
    """
    folder = tmp_path_factory.mktemp("portal")
    running = Portal(folder / "data", free_port())
    process = start(running, folder / "up.log")
    try:
        _furnish(running, folder / "secret")
        yield running
    finally:
        stop(process)


def _furnish(portal: Portal, secret: Path) -> None:
    secret.write_text(f"{STATIC_CHALLENGE}\n")
    profile = (
        "createprofile",
        "--ca",
        "demo",
        "--name-conflicts",
        "allow",
    )  # clients enroll the same name again
    with ThreadPoolExecutor() as pool:
        done = [
            pool.submit(
                portal.run, *profile, "once", "--approval", "automatic", "--challenge", "one-time"
            ),
            pool.submit(
                portal.run,
                *profile,
                "static",
                "--allow-asserted-decisions",
                "--approval",
                "manual",
                "--challenge",
                "static",
                "--secret-file",
                str(secret),
            ),
            pool.submit(
                portal.run,
                *profile,
                "renewing",
                "--approval",
                "automatic",
                "--challenge",
                "one-time",
                "--renewal",
                "automatic",
                "--renewal-window",
                "0",
                "--renewal-key-reuse",
            ),
            pool.submit(
                portal.run,
                "createuser",
                OFFICER,
                "--role",
                "officer",
                "--password-stdin",
                text=f"{PASSWORD}\n",
            ),
        ]
        for future in done:
            future.result()


@pytest.fixture(scope="session")
def chain(
    starts_processes: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Chain:
    """The certificates of GetCACert as files, and OpenSSL to check against them."""
    program("openssl", "openssl")
    portal: Portal = request.getfixturevalue("portal")
    folder = tmp_path_factory.mktemp("chain")
    paths = Chain(folder / "ra.pem", folder / "issuing.pem", folder / "root.pem")
    received = ScepClient(portal.scep()).get_ca_cert().certificates
    for path, der in zip((paths.ra, paths.issuing, paths.root), received, strict=True):
        path.write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
    return paths


@pytest.fixture(scope="session")
def old(portal: Portal) -> str:
    """A profile for devices that know SHA-1 and 3DES only, with one-time challenges."""
    policy = ("--approval", "automatic", "--challenge", "one-time", "--legacy-algorithms")
    portal.run("createprofile", "old", "--ca", "demo", *policy)
    return "old"


@pytest.fixture(scope="session")
def officer(starts_processes: None, request: pytest.FixtureRequest) -> Iterator[Officer]:
    """Alice with Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian package chromium)")
    portal: Portal = request.getfixturevalue("portal")
    alice = Officer(portal.address, name=OFFICER, password=PASSWORD, executable=CHROMIUM)
    yield alice
    alice.close()


@pytest.fixture(scope="session")
def strongswan(
    starts_processes: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> StrongSwan:
    """strongSwan's pki, with the certificates of this portal."""
    program(
        "pki", "strongswan-pki, with libstrongswan-standard-plugins and libstrongswan-extra-plugins"
    )
    client = StrongSwan(tmp_path_factory.mktemp("strongswan"))
    portal: Portal = request.getfixturevalue("portal")
    client.fetch_authorities(portal.scep())
    return client


@pytest.fixture(scope="session")
def certmonger(
    starts_processes: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Certmonger]:
    """A certmonger daemon that keeps nothing outside its folder."""
    program("certmonger", "certmonger")
    program("getcert", "certmonger")
    client = Certmonger(tmp_path_factory.mktemp("cm"))
    process = client.start()
    yield client
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def authority(certmonger: Certmonger, portal: Portal, chain: Chain) -> str:
    """The portal's demo profile under the name by which certmonger knows it."""
    certmonger.add_authority("portal", portal.scep(), chain)
    return "portal"


@pytest.fixture
def wire(portal: Portal) -> Iterator[Wire]:
    """A hop to the portal's profile `demo`."""
    with wire_to(portal) as hop:
        yield hop
