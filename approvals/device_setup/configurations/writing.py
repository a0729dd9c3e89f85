"""Values in other languages: quoted where quoting is safe, else refused.

Consoles of network devices differ in their treatment of quotes, backslashes, `$` and `?`, and
publish no grammar. So a console gets letters, digits and a few signs without special meaning; the
rest is refused with a sentence.
"""

import re
import shlex
from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import escape

from approvals.device_setup.configurations.facts import (
    Comparison,
    ConfigurationFacts,
    Digest,
    Names,
    NotExpressible,
)

_WORD: Final = re.compile(r"[A-Za-z0-9._@:/+=*~&-]+")
_LINE: Final = re.compile(r"[A-Za-z0-9._@:/+=*~&(),' -]*")
_NAME: Final = re.compile(
    r"[A-Za-z0-9._@:*~&()'-](?:[A-Za-z0-9._@:*~&()' -]*[A-Za-z0-9._@:*~&()'-])?"
)
#: Special characters in the text form of a distinguished name, in at least one client.
_DN_SIGNS: Final = frozenset(',+="<>;\\/#')
#: PowerShell takes typographic quotes for plain ones.
_CURLY: Final = frozenset("\u2018\u2019\u201a\u201b\u201c\u201d\u201e")


def word(value: str, subject: str) -> str:
    """Return a value as one word for a console. Raises NotExpressible."""
    if not _WORD.fullmatch(value):
        raise NotExpressible(
            subject, value, "characters that a device console may take for commands; use plain ones"
        )
    return value


def quoted(value: str, subject: str) -> str:
    """Return a value in double quotes for a console. Raises NotExpressible."""
    if not _LINE.fullmatch(value):
        raise NotExpressible(
            subject, value, "characters that a device console may take for commands; use plain ones"
        )
    return f'"{value}"'


def console_name(names: Names) -> str:
    """Return the subject as `CN=…,O=…` for a console. Raises NotExpressible."""
    for attribute, value in names.subject:
        if not _NAME.fullmatch(value):
            raise NotExpressible(
                attribute,
                value,
                "characters that a device console may take for commands; use plain ones",
            )
    return ",".join(f"{attribute}={value}" for attribute, value in names.subject)


def plain_name(names: Names, separator: str = ",") -> str:
    """Return the subject as text for clients without escapes. Raises NotExpressible."""
    for attribute, value in names.subject:
        printable(value, attribute)
        if _DN_SIGNS & set(value) or value != value.strip():
            raise NotExpressible(
                attribute, value, 'this client cannot be given , + = " < > ; \\ / # in a name'
            )
    return separator.join(f"{attribute}={value}" for attribute, value in names.subject)


def listed(values: Iterable[tuple[str, str]], separator: str) -> str:
    """Return prefixed values in one text.

    Raises NotExpressible for a value that would be read as two.
    """
    entries = []
    for prefix, value in values:
        if separator in printable(value, "alternative name"):
            raise NotExpressible(
                "alternative name",
                value,
                f"this client takes '{separator}' for the start of the next name",
            )
        entries.append(prefix + value)
    return separator.join(entries)


def printable(value: str, subject: str) -> str:
    """Return a value of one line.

    Raises NotExpressible for control and other invisible characters.
    """
    if not value.isprintable():
        raise NotExpressible(subject, value, "line breaks and control characters cannot be pasted")
    return value


def shell(value: str, subject: str) -> str:
    """Return one argument of a POSIX shell command. Raises NotExpressible."""
    return shlex.quote(printable(value, subject))


def command(*arguments: str) -> str:
    """Return a shell command over several lines, options with their values; already quoted."""
    lines: list[str] = []
    for argument in arguments:
        if lines and len(lines[-1]) + len(argument) < 96:
            lines[-1] += f" {argument}"
        else:
            lines.append(argument)
    return " \\\n    ".join(lines)


def openssl(value: str, subject: str) -> str:
    """Return a value of an OpenSSL configuration file (config(5)) without special characters."""
    return re.sub(r"""([\\$"'#])""", r"\\\1", printable(value, subject))


def powershell(value: str, subject: str) -> str:
    """Return a verbatim string of PowerShell.

    Raises NotExpressible for typographic quotes, which end it too.
    """
    if _CURLY & set(value):
        raise NotExpressible(
            subject, value, "PowerShell takes typographic quotes for the end of a text"
        )
    return "'" + printable(value, subject).replace("'", "''") + "'"


def xml(value: str, subject: str) -> str:
    """Return character data of an XML document."""
    return escape(printable(value, subject))


def cannot_ask(facts: ConfigurationFacts, client: str, *kinds: str) -> tuple[str, ...]:
    """Return a warning about alternative names that this client cannot request.

    `kinds` are those it can.
    """
    others = [f"{kind}:{value}" for kind, value in facts.names.sans if kind not in kinds]
    if not others:
        return ()
    return (f"{client} cannot ask for {', '.join(others)}: leave it out, or use another client.",)


def fingerprints(
    facts: ConfigurationFacts, formats: Iterable[tuple[str, Digest, str]], *, root: bool = False
) -> tuple[Comparison, ...]:
    """Return fingerprints of the issuing CA (or the root).

    `formats` are label, digest and grouping of each.
    """
    authority = facts.root if root else facts.issuing
    return tuple(
        Comparison(
            f"{label}: {authority.name}", digest, grouped(authority.digests[digest], grouping)
        )
        for label, digest, grouping in formats
    )


def grouped(digest: str, grouping: str) -> str:
    """Return a hexadecimal digest as `plain`, `PLAIN`, `colons`, `COLONS` or `WORDS`.

    WORDS are groups of eight, as Cisco shows them.
    """
    text = digest.upper() if grouping.isupper() else digest
    size = {"plain": len(text), "colons": 2, "words": 8}[grouping.lower()]
    separator = ":" if size == 2 else " "
    return separator.join(text[start : start + size] for start in range(0, len(text), size))
