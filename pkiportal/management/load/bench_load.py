"""Load for `./portal bench`: devices with own keys and prepared messages; answers are checked."""

import itertools
import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from scep.client import Identity, build_cert_poll, build_csr, build_pkcs_req
from scep.protocol.constants import PKIStatus
from scep.protocol.requests import ReceivedCertRep, SentRequest, decode_cert_rep

_EXPONENT = 65537


class AnswerWrong(Exception):
    """An answer is not the expected one, so the measurement is worthless."""


@dataclass(frozen=True, slots=True)
class BenchDevice:
    """A device and its messages."""

    identity: Identity
    request: SentRequest = field(repr=False)
    poll: SentRequest = field(repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """The address of the portal, the trusted certificate, and the number of connections."""

    url: str
    trusted: Sequence[bytes]
    concurrency: int


def make_keys(count: int) -> Iterator[rsa.RSAPrivateKey]:
    """Yield distinct RSA-2048 keys, cheaply: pairs from a pool of primes.

    For load only: such keys share primes.
    """
    pool: list[int] = []
    while len(pool) * (len(pool) - 1) // 2 < count:
        numbers = rsa.generate_private_key(_EXPONENT, 2048).private_numbers()
        pool += [numbers.p, numbers.q]
    for p, q in itertools.islice(itertools.combinations(pool, 2), count):
        yield _key_of(max(p, q), min(p, q))


def make_devices(count: int, ra_certificate: bytes) -> list[BenchDevice]:
    """Return devices with a PKCSReq and a CertPoll each, encrypted to the RA."""
    now = datetime.now(UTC)
    devices = []
    for number, key in enumerate(make_keys(count)):
        name = f"bench-{number:05}.example"
        identity = Identity.self_signed(key, name, now=now)
        request = build_pkcs_req(build_csr(key, name, dns_names=[name]), identity, ra_certificate)
        devices.append(BenchDevice(identity, request, build_cert_poll(identity, ra_certificate)))
    return devices


def send_all(
    messages: Sequence[tuple[BenchDevice, SentRequest]], target: Target, *, expect: PKIStatus
) -> float:
    """Send messages over keep-alive connections and check each answer.

    Returns the seconds of sending. Raises AnswerWrong for an answer of another status, or with a
    wrong signature, nonce, transactionID or key.
    """
    bodies: list[tuple[BenchDevice, SentRequest, bytes]] = []
    lock = threading.Lock()
    queue = iter(messages)

    def work() -> None:
        parts = urlsplit(target.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        while True:
            with lock:
                item = next(queue, None)
            if item is None:
                return
            connection.request("POST", f"{parts.path}?operation=PKIOperation", item[1].der)
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise AnswerWrong(f"HTTP {response.status}: {body[:200]!r}")
            with lock:
                bodies.append((*item, body))

    started = time.perf_counter()
    with ThreadPoolExecutor(target.concurrency) as pool:
        for future in [pool.submit(work) for _ in range(target.concurrency)]:
            future.result()
    seconds = time.perf_counter() - started
    for device, sent, body in bodies:
        _check(
            decode_cert_rep(body, sent=sent, recipient=device.identity, trusted=target.trusted),
            expect,
        )
    if len(bodies) != len(messages):
        raise AnswerWrong(f"{len(bodies)} answers to {len(messages)} messages")
    return seconds


def cpu_seconds(roots: Sequence[int]) -> float:
    """Return the CPU time used so far by these processes and all their descendants."""
    ticks = 100.0
    children: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
        used[int(folder.name)] = sum(int(value) for value in fields[11:15]) / ticks
    total, waiting = 0.0, list(roots)
    while waiting:
        process = waiting.pop()
        total += used.get(process, 0.0)
        waiting += children.get(process, [])
    return total


def settle(roots: Sequence[int], *, patience: float = 30.0) -> None:
    """Wait until these processes are idle, so that their start is not measured."""
    deadline = time.monotonic() + patience
    before = cpu_seconds(roots)
    while time.monotonic() < deadline:
        time.sleep(1.0)
        used = cpu_seconds(roots)
        if used - before < 0.08:
            return
        before = used


@dataclass(frozen=True, slots=True)
class BareCosts:
    """CPU seconds of one bare RSA-2048 operation through OpenSSL, on this machine, now."""

    private: float
    public: float


def bare_costs(seconds: float = 0.5) -> BareCosts:
    """Measure private and public RSA-2048 operations for about `seconds` each."""
    key = rsa.generate_private_key(_EXPONENT, 2048)
    signature = key.sign(b"x", padding.PKCS1v15(), hashes.SHA256())
    public = key.public_key()

    def cost(operation: int) -> float:
        done, started = 0, time.process_time()
        while time.process_time() - started < seconds:
            for _ in range(20):
                if operation:
                    key.sign(b"x", padding.PKCS1v15(), hashes.SHA256())
                else:
                    public.verify(signature, b"x", padding.PKCS1v15(), hashes.SHA256())
            done += 20
        return (time.process_time() - started) / done

    return BareCosts(private=cost(1), public=cost(0))


def _check(answer: ReceivedCertRep, expect: PKIStatus) -> None:
    if answer.status is not expect:
        raise AnswerWrong(f"{answer.status.name} instead of {expect.name}: {answer.fail_info_text}")


def _key_of(p: int, q: int) -> rsa.RSAPrivateKey:
    d = pow(_EXPONENT, -1, math.lcm(p - 1, q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=rsa.rsa_crt_dmp1(d, p),
        dmq1=rsa.rsa_crt_dmq1(d, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(_EXPONENT, p * q),
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)
