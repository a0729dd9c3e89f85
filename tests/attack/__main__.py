"""`./portal attack URL --message-type 18 --digest md5 …`: sends one odd message, shows the answer.

For your own portal. Every flag is one deviation from a good PKCSReq; they add up. `--list` names
them with the row of the catalogue of attacks (docs/internals/attacks.md). `--timing N` measures
what a padding oracle would need: it reports, it does not judge.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from statistics import median
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from scep.client import ScepClient
from scep.protocol.requests import BadCertRep
from scep.transport import HttpAnswer, HttpError, fetch
from tests.attack.deviations import DEVIATIONS, Draft, apply, draft, named_key, query
from tests.attack.reading import Answer, Opener, read_answer

_SECONDS: Final = 15
_MAX_BYTES: Final = 1 << 20
_TIMED: Final = ("bad-padding", "short-key", "random-key", "bad-content")


class _Note(argparse.Action):
    """Keeps flags in the order they were given."""

    def __call__(
        self,
        parser: object,
        namespace: argparse.Namespace,
        values: object,
        option: str | None = None,
    ) -> None:
        taken = values if isinstance(values, str) else ""
        namespace.flags = [*namespace.flags, ((option or "").removeprefix("--"), taken)]


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.list:
        sys.stdout.write(table())
        return 0
    if not options.url:
        sys.stderr.write("attack: URL is missing, as http://127.0.0.1:8000/scep/routers/\n")
        return 2
    try:
        draft = new_draft(options.url, options.key)
        if options.timing:
            sys.stdout.write(_timing(options.url, draft, options.timing))
            return 0
        draft = apply(draft, options.flags)
        for _ in range(options.repeat):
            answer = send(options.url, draft)
            sys.stdout.write(_as_json(answer) if options.json else _as_text(answer))
    except (ValueError, HttpError, BadCertRep) as error:
        sys.stderr.write(f"attack: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./portal attack", description="One odd SCEP message to a portal of yours."
    )
    parser.add_argument(
        "url", nargs="?", metavar="URL", help="of a profile, as http://127.0.0.1:8000/scep/routers/"
    )
    parser.add_argument(
        "--list", action="store_true", help="every deviation with its row of the catalogue"
    )
    parser.add_argument(
        "--key",
        default="alice",
        help="key of the device: alice, bob, device-1 …, or a PEM file (alice)",
    )
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="send it so often")
    parser.add_argument(
        "--timing", type=int, metavar="N", help="time N messages of each kind of wrong padding"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for each answer")
    parser.set_defaults(flags=[])
    for name, deviation in DEVIATIONS.items():
        text = f"{deviation.text} [{deviation.attack}]".replace("%", "%%")
        if deviation.value:
            parser.add_argument(f"--{name}", action=_Note, metavar=deviation.value, help=text)
        else:
            parser.add_argument(f"--{name}", action=_Note, nargs=0, help=text)
    return parser


def table() -> str:
    lines = [
        f"{deviation.attack:6}{f'--{name} {deviation.value}':32}{deviation.text}"
        for name, deviation in sorted(
            DEVIATIONS.items(), key=lambda item: (item[1].attack, item[0])
        )
    ]
    return "\n".join(lines) + "\n"


def new_draft(url: str, key: str, http: object = fetch) -> Draft:
    """A good PKCSReq for the RA of this profile, as GetCACert names it.

    Raises HttpError, BadCertRep, ValueError.
    """
    client = ScepClient(url, http)  # type: ignore[arg-type]  # a Transport
    ra_certificate = client.get_ca_cert().encryption_der
    return draft(named_key(key), ra_certificate, os.urandom(20).hex().upper(), os.urandom(16))


def send(url: str, draft: Draft) -> Answer:
    """Send it and read the answer. Raises HttpError where the portal cannot be reached."""
    return read(draft, exchange(url, draft))


def read(draft: Draft, answer: HttpAnswer) -> Answer:
    certificate = draft.message.certificate or b""
    return read_answer(
        answer.status, answer.content_type, answer.body, Opener(certificate, draft.message.key)
    )


def exchange(url: str, draft: Draft) -> HttpAnswer:
    """One HTTP exchange with any method and headers, redirects not followed."""
    if urlsplit(url).scheme not in {"http", "https"}:
        raise HttpError(f"URL {url}: http:// or https:// is needed")
    method = draft.method or ("GET" if draft.spelling else "POST")
    body = None if draft.spelling else draft.encode()
    request = Request(f"{url}?{query(draft)}", data=body, method=method)  # noqa: S310 - scheme checked above
    request.add_header("Content-Type", "application/x-pki-message")
    for name, value in draft.headers:
        request.add_header(name, value)
    try:
        with build_opener(_NoRedirect).open(request, timeout=_SECONDS) as response:
            return HttpAnswer(
                response.status, response.headers.get("Content-Type", ""), response.read(_MAX_BYTES)
            )
    except HTTPError as error:
        return HttpAnswer(error.code, error.headers.get("Content-Type", ""), error.read(_MAX_BYTES))
    except (URLError, OSError, ValueError) as error:
        raise HttpError(f"{url}: {error}") from error


def _timing(url: str, draft: Draft, count: int) -> str:
    """Round trips of messages that differ only inside the envelope, one of each in turn (D-7)."""
    kinds = {name: apply(draft, [(name, "")]).encode() for name in _TIMED}
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    bodies: dict[str, set[tuple[int, int]]] = {name: set() for name in kinds}
    for _ in range(count):
        for name, message in kinds.items():
            started = time.perf_counter()
            answer = fetch(f"{url}?operation=PKIOperation", message)
            taken[name].append((time.perf_counter() - started) * 1000)
            bodies[name].add((answer.status, len(answer.body)))
    lines = [
        f"{count} of each, round trip in milliseconds",
        f"{'':16}{'least':>9}{'median':>9}  HTTP status, length",
    ]
    for name, times in taken.items():
        lines.append(f"{name:16}{min(times):>9.3f}{median(times):>9.3f}  {sorted(bodies[name])}")
    spread = max(map(median, taken.values())) - min(map(median, taken.values()))
    noise = max(
        sorted(times)[len(times) * 3 // 4] - sorted(times)[len(times) // 4]
        for times in taken.values()
    )
    lines.append(
        f"medians differ by at most {spread:.3f} ms; the middle half of one kind spans {noise:.3f} "
        "ms"
    )
    return "\n".join(lines) + "\n"


def _as_text(answer: Answer) -> str:
    head = f"HTTP {answer.http}, {answer.content_type}, {answer.size} bytes: {answer.said()}"
    return "\n".join([head, *(f"  {line}" for line in answer.lines)]) + "\n"


def _as_json(answer: Answer) -> str:
    known = {
        "http": answer.http,
        "status": answer.status,
        "fail_info": answer.fail_info,
        "text": answer.text,
    }
    return json.dumps({**known, "lines": answer.lines}) + "\n"


if __name__ == "__main__":
    sys.exit(main())
