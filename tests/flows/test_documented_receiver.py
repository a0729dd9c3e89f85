"""The receiver in docs/mdm.md works as it stands there."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from approvals.validation.messages import Question, ServiceAnswer, ServiceVerdict
from approvals.validation.webhook import WebhookClient
from approvals.validation.webhook_messages import encode, validate_body
from outbound.errors import NoAnswer
from outbound.url_rules import read_allowed_host
from tests.approvals.validation.mdm import SECRET
from tests.interop.portal import wait_until
from tests.ports import free_port
from tests.world import now

DOCUMENT = Path(__file__).parents[2] / "docs" / "mdm.md"


@pytest.fixture
def address(starts_processes: None, tmp_path: Path, settings: Any) -> Iterator[str]:
    """The documented program, running."""
    (program,) = re.findall(
        r"<!-- receiver: .*? -->\n```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL
    )
    (tmp_path / "receiver.py").write_text(program)
    (tmp_path / "webhook.txt").write_text(f"{SECRET}\n")
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    settings.PORTAL_WEBHOOK_HOSTS = (read_allowed_host(origin),)
    settings.PORTAL_WEBHOOK_NETWORKS = (ip_network("127.0.0.0/8"),)
    words = [
        sys.executable,
        str(tmp_path / "receiver.py"),
        str(tmp_path / "webhook.txt"),
        str(port),
    ]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), what="the receiver")
        yield f"{origin}/scep"
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def question(
    code: str = "7Q4M-PPLS", *, request: str = "r-1", subject: str = "CN=p1.example"
) -> Question:
    return Question(
        request, "phones", "t", b"", code, "", "", subject, (), "RSA 2048", "192.0.2.7", now()
    )


def ask(
    address: str, question: Question, *, secret: str = SECRET, at: datetime | None = None
) -> ServiceAnswer:
    return WebhookClient(address, secret).validate(question, now=at or now())


def test_the_documented_receiver_knows_its_code_and_takes_it_once(address: str) -> None:
    assert ask(address, question()).verdict is ServiceVerdict.ALLOW
    assert ask(address, question()).verdict is ServiceVerdict.ALLOW  # the same question again
    again = ask(address, question(request="r-2"))
    assert (again.verdict, again.reason) == (ServiceVerdict.DENY, "the code is used up")


def test_the_documented_receiver_denies_other_codes_and_other_names(address: str) -> None:
    assert ask(address, question("guessed")).verdict is ServiceVerdict.DENY
    assert ask(address, question(subject="CN=p2.example")).verdict is ServiceVerdict.DENY


def test_the_documented_receiver_takes_nothing_unsigned_or_old(address: str) -> None:
    with pytest.raises(NoAnswer, match="HTTP 401"):
        ask(address, question(), secret="a secret that the receiver does not know")
    with pytest.raises(NoAnswer, match="HTTP 401"):
        ask(address, question(), at=now() - timedelta(minutes=6))
    assert (
        WebhookClient(address, SECRET).probe("phones", now=now()) == "took the signed test message"
    )


def test_the_document_names_every_field_of_a_message() -> None:
    data, _ = encode(validate_body(question()), identifier="1", secret=SECRET, now=now())
    text = DOCUMENT.read_text()
    message = json.loads(data)
    assert [name for name in [*message, *message["csr"]] if f"`{name}`" not in text] == []
