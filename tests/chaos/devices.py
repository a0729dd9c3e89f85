"""Three hundred devices that enroll over HTTP, retry as devices do, and check the result."""

import heapq
import os
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from random import Random
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from scep.client import Identity, ScepClient, build_csr
from scep.protocol.constants import PKIStatus
from scep.protocol.requests import BadCertRep, ReceivedCertRep
from scep.transport import HttpAnswer, HttpError, Transport

_THREADS: Final = 6
_RETRY: Final = 1.0
_POLL_EVERY: Final = 3.0
_REPEAT_SHARE: Final = 0.2
_TIMEOUT: Final = 20
_chance: Final = Random()  # noqa: S311 - spreads the load


@dataclass
class Counts:
    """Counts of exchanges and of unexpected answers."""

    answers: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str) -> None:
        """Count an answer."""
        with self.lock:
            self.answers[what] += 1

    def accuse(self, text: str) -> None:
        """Keep a violation."""
        with self.lock:
            self.violations.append(text)


@dataclass(frozen=True)
class Device:
    """One device: its key, the profile it asks at, its challenge."""

    name: str
    key: rsa.RSAPrivateKey
    profile: str
    challenge: str


class Fleet:
    """Takes devices through enrollment: each starts on `release`, and polls until it is served."""

    def __init__(self, devices: list[Device], *, address: str, counts: Counts) -> None:
        self._counts = counts
        self._waiting = [_Errand(device, address, counts) for device in devices]
        self._heap: list[tuple[float, int, _Errand]] = []
        self._ready = threading.Condition()
        self._stopped = False
        self.total = len(devices)
        self.released = 0
        self.served = 0
        self.gave_up = 0
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_THREADS)]

    def start(self) -> None:
        """Begin; nothing happens before `release`."""
        for thread in self._threads:
            thread.start()

    def release(self, upto: int) -> None:
        """Let the first `upto` devices enroll."""
        with self._ready:
            while self.released < min(upto, self.total):
                heapq.heappush(
                    self._heap, (time.monotonic(), self.released, self._waiting[self.released])
                )
                self.released += 1
            self._ready.notify_all()

    def stop(self) -> None:
        """End the threads."""
        with self._ready:
            self._stopped = True
            self._ready.notify_all()
        for thread in self._threads:
            thread.join(_TIMEOUT + 5)

    @property
    def is_done(self) -> bool:
        """Whether each device is served, or was told a final no."""
        return self.served + self.gave_up == self.total

    def _next(self) -> "tuple[int, _Errand] | None":
        with self._ready:
            while not self._stopped:
                pause = self._heap[0][0] - time.monotonic() if self._heap else 1.0
                if pause <= 0:
                    _, number, errand = heapq.heappop(self._heap)
                    return number, errand
                self._ready.wait(min(pause, 1.0))
        return None

    def _work(self) -> None:
        while (device := self._next()) is not None:
            number, errand = device
            pause = errand.step()
            with self._ready:
                if pause is not None:
                    heapq.heappush(self._heap, (time.monotonic() + pause, number, errand))
                elif errand.is_served:
                    self.served += 1
                else:
                    self.gave_up += 1


class _Errand:
    """The next action of one device."""

    def __init__(self, device: Device, address: str, counts: Counts) -> None:
        self._device = device
        self._counts = counts
        self._identity: Identity | None = None
        self._csr = b""
        self._knows_pending = False
        self._scep = ScepClient(f"{address}/scep/{device.profile}/", _transport(counts))
        self.is_served = False

    def step(self) -> float | None:
        """Send one message. Returns the seconds until the next one, None when there is none."""
        try:
            answer = self._send()
        except HttpError:
            self._counts.note("no answer")
            return _RETRY * _chance.uniform(0.5, 2)
        except BadCertRep as error:
            self._counts.accuse(f"{self._device.name}: an answer not to be believed: {error}")
            return None
        self._counts.note(answer.status.name)
        match answer.status:
            case PKIStatus.PENDING:
                self._knows_pending = True
                return _POLL_EVERY * _chance.uniform(0.7, 1.3)
            case PKIStatus.SUCCESS:
                self.is_served = self._is_right(answer)
            case _:
                self._counts.accuse(
                    f"{self._device.name}: FAILURE {answer.fail_info} {answer.fail_info_text}"
                )
        return None

    def _send(self) -> ReceivedCertRep:
        if self._identity is None:
            device = self._device
            self._csr = build_csr(
                device.key,
                device.name,
                dns_names=[device.name],
                challenge_password=device.challenge,
            )
            self._identity = Identity.self_signed(device.key, device.name, now=datetime.now(UTC))
        if not self._knows_pending or _chance.random() < _REPEAT_SHARE:
            return self._scep.enroll(self._csr, self._identity)
        return self._scep.poll(self._identity)

    def _is_right(self, answer: ReceivedCertRep) -> bool:
        certificate = x509.load_der_x509_certificate(answer.certificates[0])
        authority = _authority(self._scep)
        try:
            certificate.verify_directly_issued_by(authority)
        except (InvalidSignature, ValueError, TypeError):
            self._counts.accuse(f"{self._device.name}: the certificate is not signed by the CA")
            return False
        if certificate.public_key() != self._device.key.public_key():
            self._counts.accuse(f"{self._device.name}: the certificate has another key")
            return False
        return True


def _authority(scep: ScepClient) -> x509.Certificate:
    loaded = [x509.load_der_x509_certificate(der) for der in scep.get_ca_cert().certificates]
    return next(
        item
        for item in loaded
        if item.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    )


def _transport(counts: Counts) -> Transport:
    """HTTP that also checks the answer to a refused device: a server fault needs Retry-After."""

    def fetch(url: str, body: bytes | None) -> HttpAnswer:
        parts = urlsplit(url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
        try:
            headers = {} if body is None else {"Content-Type": "application/x-pki-message"}
            connection.request(
                "GET" if body is None else "POST", f"{parts.path}?{parts.query}", body, headers
            )
            response = connection.getresponse()
            content = response.read()
        except (OSError, HTTPException) as error:
            raise HttpError(str(error)) from error
        finally:
            connection.close()
        if response.status != 200:
            counts.note(f"HTTP {response.status}")
            if response.status < 500 or "Retry-After" not in response.headers:
                counts.accuse(f"HTTP {response.status} without Retry-After: {content[:80]!r}")
        return HttpAnswer(response.status, response.headers.get("Content-Type", ""), content)

    return fetch


def make_keys(number: int) -> list[rsa.RSAPrivateKey]:
    """RSA-2048 keys, made by all processors."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        encoded = list(pool.map(_make_key, range(number), chunksize=5))
    keys = [
        serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
        for der in encoded
    ]
    return [key for key in keys if isinstance(key, rsa.RSAPrivateKey)]


def _make_key(_: int) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
