"""A stranger's text stays one value: no name or challenge breaks out of its language."""

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from approvals.device_setup.configurations.clients import CLIENTS
from approvals.device_setup.configurations.facts import Configuration, NotExpressible
from tests.approvals.device_setup.configurations.material import named

NASTY: Final = "\"'`$\\;|&<>(){}[]?!#%*~^,=+/:@- \n\r\t\x00\x1b\u2019\u202eéaZ0."
WORDS: Final = st.text(alphabet=NASTY, min_size=1, max_size=16)
CONSOLES: Final = ("cisco-ios", "cisco-asa", "junos", "fortigate", "routeros")
SHELLS: Final = ("strongswan", "certmonger", "demo")
MARK: Final = ("MARKCN", "MARKSECRET", "marksan")
#: Would end a word, a string or a line, or be expanded, on one console or another.
MEANINGFUL: Final = set("`$\\;|<>{}[]?!#%^\n\r\t")


def console_tokens(text: str) -> list[str]:
    """Split lines into words and quoted texts; anything else fails the test."""
    tokens = []
    for line in text.splitlines():
        assert re.fullmatch(r'(?: |"[^"]*"|[^\s"])*', line), line
        tokens += ["\n", *re.findall(r'(?:"[^"]*"|[^\s"])+', line)]
    assert not MEANINGFUL & set("".join(token for token in tokens if token != "\n"))
    return [token.replace('"', "") for token in tokens]


def shell_tokens(text: str) -> list[str]:
    return shlex.split(text.replace(" \\\n    ", " "), comments=False)


def powershell_tokens(text: str) -> list[str]:
    """Return verbatim strings, and the code between them line by line."""
    matches = re.findall(
        r"'((?:[^']|'')*)'|([^']+)", text.replace("machine's", "").replace("user's", "")
    )
    return [code or string.replace("''", "'") for string, code in matches]


def xml_tokens(text: str) -> list[str]:
    return [f"{element.tag}={element.text}" for element in ET.fromstring(text).iter()]  # noqa: S314 - our own document


def openssl_tokens(text: str) -> list[str]:
    """Return the lines of the here-document, backslashes resolved as config(5) does."""
    lines = text.split("<<'END'\n")[1].removesuffix("\nEND").split("\n")
    assert "END" not in lines
    for line in lines:
        assert not re.search(r"(?<!\\)(?:\\\\)*[$\"'#]", line), line
    return [re.sub(r"\\(.)", r"\1", line) for line in lines]


def blocks(configuration: Configuration) -> list[str]:
    return [step.text for step in configuration.steps if step.text]


LANGUAGES: Final[dict[str, list[Callable[[str], list[str]]]]] = {
    **{slug: [console_tokens] * 9 for slug in CONSOLES},
    **{slug: [shell_tokens] * 9 for slug in SHELLS},
    "windows": [powershell_tokens, xml_tokens],
    "sscep": [openssl_tokens, shell_tokens, shell_tokens, shell_tokens],
}


#: These write values elsewhere: into a signed file, forms of an MDM, fields of a page.
NO_COMMANDS: Final = {"apple", "intune", "jamf", "pan-os"}


def test_every_client_with_command_lines_is_read_back() -> None:
    assert set(CLIENTS) - set(LANGUAGES) == NO_COMMANDS


def tokens(slug: str, name: str, secret: str, san: str) -> Iterator[list[str]]:
    facts = named(
        ("O", "Example"), ("CN", name), sans=(("dns", san),), challenge=secret, renews=True
    )
    for reader, text in zip(LANGUAGES[slug], blocks(CLIENTS[slug].render(facts)), strict=False):
        yield reader(text)


@pytest.mark.parametrize("slug", sorted(LANGUAGES))
@given(name=WORDS, secret=WORDS, san=WORDS)
@example(name='a"b', secret="x", san="y")
@example(name="a\nb", secret="x", san="y")
@example(name="a", secret="x\n no shutdown", san="y")
@example(name="$(reboot)", secret="'; reboot #", san="a b")
@example(name="END", secret="END", san="a,DNS:b")
@example(name="a b", secret="$ENV::HOME", san="a;3+b")
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_value_stays_one_value_or_is_refused(slug: str, name: str, secret: str, san: str) -> None:
    try:
        written = list(tokens(slug, name, secret, san))
    except NotExpressible:
        return
    expected = [
        [_put_in(token, zip(MARK, (name, secret, san), strict=True)) for token in block]
        for block in tokens(slug, *MARK)
    ]
    assert written == expected


def _put_in(token: str, values: Iterator[tuple[str, str]]) -> str:
    for mark, value in values:
        token = token.replace(mark, value)
    return token


@pytest.mark.parametrize("slug", sorted(CLIENTS))
@pytest.mark.parametrize("value", ["a\nb", "a\x00b", "a\u202eb", "a\x1b[2Jb"])
def test_line_breaks_and_control_characters_are_refused_by_every_client_that_writes_names(
    slug: str, value: str
) -> None:
    facts = named(("CN", value))
    if slug in {"intune", "jamf"}:  # their names are variables of the MDM
        assert value not in CLIENTS[slug].render(facts).as_text()
        return
    with pytest.raises(NotExpressible, match=r"^(CN|common-name) "):
        CLIENTS[slug].render(facts)


@pytest.mark.usefixtures("starts_processes")
def test_a_shell_gets_the_very_words(tmp_path: Path) -> None:
    """The real shell, with a program that prints its arguments in place of the client."""
    name, secret = "a $(touch pwned) `id` 'b'", "x'; touch pwned; '\"$HOME"
    for program in ("pki", "getcert", "portal"):
        (tmp_path / program).write_text('#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done\n')
        (tmp_path / program).chmod(0o700)
    facts = named(("CN", name), challenge=secret)
    for slug in SHELLS:
        text = "\n".join(blocks(CLIENTS[slug].render(facts)))
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
        done = subprocess.run(
            ["sh", "-e", "-c", text], cwd=tmp_path, env=environment, capture_output=True, check=True
        )
        arguments_seen = (
            (done.stdout + (tmp_path / "device.crt").read_bytes())
            if slug == "strongswan"
            else done.stdout
        )
        words = arguments_seen.decode().split("\0")
        assert any(word.endswith(facts.names.common_name) for word in words), slug
        challenge_file = (tmp_path / "challenge.txt").read_text() if slug == "demo" else ""
        assert secret in words or challenge_file == f"{secret}\n", slug
    assert not (tmp_path / "pwned").exists()


@pytest.mark.usefixtures("starts_processes")
def test_openssl_reads_the_names_and_the_challenge_as_they_were_typed(tmp_path: Path) -> None:
    facts = named(
        ("O", 'Büro "Ost" & $HOME'), ("CN", "#1; a\\b = 'c'"), challenge='p$ENV::PATH"\\#'
    )
    config = CLIENTS["sscep"].render(facts).steps[:2]
    script = "\n".join(step.text for step in config)
    subprocess.run(["sh", "-e", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    show = [
        "openssl",
        "req",
        "-in",
        "device.csr",
        "-noout",
        "-subject",
        "-nameopt",
        "utf8,sep_multiline",
        "-text",
    ]
    output = subprocess.run(show, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert 'O=Büro "Ost" & $HOME' in output
    assert "CN=#1; a\\b = 'c'" in output
    assert 'challengePassword        :p$ENV::PATH"\\#' in output
    assert (tmp_path / "device.cnf").stat().st_mode & 0o077 == 0
