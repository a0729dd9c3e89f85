"""Record messages of real clients: `python -m tests.vectors.record FOLDER`.

A stand-in server with the recorded RA key answers GetCACaps and GetCACert, stores each PKIOperation
message, and answers PENDING. The clients use the recorded keys, so every message can be opened
again.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca.x509.cms import encode_degenerate
from scep.protocol.capabilities import capabilities
from scep.protocol.codec import decode_pki_message, encode_cert_rep
from scep.protocol.constants import PKIStatus
from scep.protocol.errors import Refused
from scep.protocol.messages import CertRep, ReplyContext
from scep.query import decode_message, parse_query
from tests.interop.clients import Certmonger
from tests.interop.portal import wait_until
from tests.pki import FOLDER as KEYS
from tests.pki import RaKeys, certificate_der, rsa_key
from tests.scep.forge import random_bytes


class Recorder:
    """A SCEP server that stores its messages."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.url = ""

    def answer(self, query: str, body: bytes | None) -> tuple[str, bytes]:
        """Return Content-Type and body."""
        asked = parse_query(query)
        if asked.operation == "GetCACaps":
            return "text/plain", capabilities(renewal=True, next_ca=False, legacy=False)
        if asked.operation != "PKIOperation":
            certificates = [certificate_der("ra"), certificate_der("ca")]
            return "application/x-x509-ca-ra-cert", encode_degenerate(certificates)
        message = body if body is not None else decode_message(asked.message or b"")
        self.messages.append(message)
        rep = CertRep(reply=_reply_to(message), status=PKIStatus.PENDING)
        return "application/x-pki-message", encode_cert_rep(
            rep, signer=RaKeys(), entropy=random_bytes
        )


def _reply_to(message: bytes) -> ReplyContext:
    try:
        return decode_pki_message(message).reply
    except (
        Refused
    ) as refused:  # the client's algorithms are refused; its message is stored all the same
        if refused.reply is None:
            raise
        return refused.reply


@contextmanager
def recorder() -> Iterator[Recorder]:
    """Listen on a free port of the loopback interface."""
    vectors = Recorder()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in the base class
            """Print nothing."""

        def _answer(self, body: bytes | None) -> None:
            content_type, answer = vectors.answer(self.path.partition("?")[2], body)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        vectors.url = f"http://127.0.0.1:{server.server_port}/"
        yield vectors
        server.shutdown()


def strongswan_renewal(server: Recorder, folder: Path) -> bytes:
    """`pki --scep --cert alice --key alice --in device-1`: a RenewalReq."""
    for name in ("ra", "ca"):
        (folder / f"{name}.der").write_bytes(certificate_der(name))
    command = [
        "pki",
        "--scep",
        "--url",
        server.url,
        "--in",
        str(KEYS / "device-1.key.pem"),
        "--dn",
        "CN=alice.example",
    ]
    command += ["--cert", str(KEYS / "alice.crt.pem"), "--key", str(KEYS / "alice.key.pem")]
    command += ["--cacert-enc", "ra.der", "--cacert-sig", "ra.der", "--cacert", "ca.der"]
    return _first_message(server, command, folder, "strongSwan")


def certmonger_request(server: Recorder, folder: Path) -> bytes:
    """`getcert request -N CN=alice.example -D alice.example -L secret`, by GET, Alice's key."""
    client = Certmonger(folder)
    daemon = client.start()
    try:
        (folder / "alice.key").write_bytes((KEYS / "alice.key.pem").read_bytes())
        for name in ("ra", "ca"):
            (folder / f"{name}.pem").write_bytes((KEYS / f"{name}.crt.pem").read_bytes())
        files = ["-N", str(folder / "ca.pem"), "-r", str(folder / "ra.pem")]
        client.getcert("add-scep-ca", "-c", "recorder", "-u", server.url, *files)
        client.request("recorder", "alice", "-L", "secret")
        wait_until(lambda: server.messages, what="a message of certmonger")
    finally:
        daemon.terminate()
        daemon.wait()
    return server.messages[0]


def scepclient_request(server: Recorder, folder: Path) -> bytes:
    """`scepclient -cn alice.example -challenge secret` with Alice's key, DES and SHA-1.

    It reads no other format.
    """
    pem = rsa_key("alice").private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    (folder / "alice.key").write_bytes(pem)
    command = [
        "scepclient",
        "-server-url",
        server.url,
        "-cn",
        "alice.example",
        "-challenge",
        "secret",
    ]
    command += ["-private-key", "alice.key", "-certificate", "alice.crt"]
    command += ["-ca-fingerprint", hashlib.sha256(certificate_der("ra")).hexdigest()]
    return _first_message(server, command, folder, "scepclient")


def sscep_request(server: Recorder, folder: Path) -> bytes:
    """`sscep enroll -c ra -k alice -r alice`, with a certificate request of OpenSSL."""
    command = [
        "sscep",
        "enroll",
        *_sscep(server, folder, "alice"),
        "-r",
        "alice.csr",
        "-l",
        "out.crt",
    ]
    return _first_message(server, command, folder, "sscep")


def sscep_poll(server: Recorder, folder: Path) -> bytes:
    """The same with `-R`, as after an interruption: a CertPoll at once."""
    command = [
        "sscep",
        "enroll",
        *_sscep(server, folder, "alice"),
        "-r",
        "alice.csr",
        "-l",
        "out.crt",
        "-R",
    ]
    return _first_message(server, command, folder, "sscep")


def sscep_renewal(server: Recorder, folder: Path) -> bytes:
    """`sscep enroll -c ra -k device-1 -r device-1 -K alice -O alice`.

    A PKCSReq signed with Alice's certificate.
    """
    command = [
        "sscep",
        "enroll",
        *_sscep(server, folder, "device-1"),
        "-r",
        "device-1.csr",
        "-l",
        "out.crt",
    ]
    command += ["-K", str(KEYS / "alice.key.pem"), "-O", str(KEYS / "alice.crt.pem")]
    return _first_message(server, command, folder, "sscep")


def sscep_get_cert(server: Recorder, folder: Path) -> bytes:
    """`sscep getcert -c ra -k alice -l alice -s 4099`: the issuer it names is the RA."""
    command = [
        "sscep",
        "getcert",
        *_sscep(server, folder, "alice"),
        "-l",
        str(KEYS / "alice.crt.pem"),
        "-s",
        "4099",
    ]
    return _first_message(server, [*command, "-w", "out.crt"], folder, "sscep")


def sscep_get_crl(server: Recorder, folder: Path) -> bytes:
    """`sscep getcrl -c ra -k alice -l alice`: the RA's subject and serial number."""
    command = [
        "sscep",
        "getcrl",
        *_sscep(server, folder, "alice"),
        "-l",
        str(KEYS / "alice.crt.pem"),
    ]
    return _first_message(server, [*command, "-w", "out.crl"], folder, "sscep")


def _sscep(server: Recorder, folder: Path, key: str) -> list[str]:
    """Make a certificate request of this key, and return the common arguments of sscep."""
    lines = [
        "[req]",
        "prompt = no",
        "string_mask = utf8only",
        "distinguished_name = subject",
        "attributes = attributes",
    ]
    lines += ["req_extensions = extensions", "[subject]", "O = Example", "CN = alice.example"]
    lines += [
        "[attributes]",
        "challengePassword = secret",
        "[extensions]",
        "subjectAltName = DNS:alice.example",
    ]
    (folder / "request.cnf").write_text("\n".join([*lines, ""]))
    pem = str(KEYS / f"{key}.key.pem")
    make = [
        "openssl",
        "req",
        "-new",
        "-sha256",
        "-config",
        "request.cnf",
        "-key",
        pem,
        "-out",
        f"{key}.csr",
    ]
    subprocess.run(make, cwd=folder, check=True)
    return ["-u", server.url, "-c", str(KEYS / "ra.crt.pem"), "-k", pem]


def _first_message(server: Recorder, command: list[str], folder: Path, what: str) -> bytes:
    """Run a client until it has sent something."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: server.messages, what=f"a message of {what}")
    finally:
        process.kill()
        process.wait()
    return server.messages[0]


#: The program that a recording needs, by the first word of its name.
PROGRAMS = {
    "strongswan": "pki",
    "certmonger": "certmonger",
    "scepclient": "scepclient",
    "sscep": "sscep",
}
RECORDINGS: dict[str, Callable[[Recorder, Path], bytes]] = {
    "strongswan-5.9.8-renewalreq": strongswan_renewal,
    "certmonger-0.79.17-pkcsreq": certmonger_request,
    "scepclient-2.1.0-pkcsreq-des": scepclient_request,
    "sscep-0.10.0-pkcsreq": sscep_request,
    "sscep-0.10.0-certpoll": sscep_poll,
    "sscep-0.10.0-renewal": sscep_renewal,
    "sscep-0.10.0-getcert": sscep_get_cert,
    "sscep-0.10.0-getcrl": sscep_get_crl,
}


def main(target: Path) -> None:
    """Record the messages of each client that is installed."""
    for name, record in RECORDINGS.items():
        program = PROGRAMS[name.partition("-")[0]]
        if shutil.which(program) is None:
            sys.stdout.write(f"{name}: {program} is not installed\n")
            continue
        with tempfile.TemporaryDirectory() as folder, recorder() as server:
            message = record(server, Path(folder))
        (target / f"{name}.der").write_bytes(message)
        sys.stdout.write(f"{name}: {len(message)} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
