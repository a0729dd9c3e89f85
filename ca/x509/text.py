"""Text of strangers: forbidden characters in names, and its display (Unicode UTS #39, UAX #15)."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ca.x509.findings import Finding, refuse, warn

# Controls; format characters (bidi, zero width, tags); surrogate, private, unassigned; line and
# paragraph separators.
_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that draw nothing: grapheme joiner, Hangul fillers, Braille blank, variation
# selectors.
_BLANKS: Final = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10)}
)
_EAST_ASIAN: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"})
_SHOWN_IN_TEXT: Final = 40
NO_NAME: Final = "(no name)"


@lru_cache(maxsize=4096)  # of one long text most characters repeat
def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return (
        category in _HIDDEN_CATEGORIES
        or ord(character) in _BLANKS
        or 0xE0100 <= ord(character) <= 0xE01EF
        or (category == "Zs" and character != " ")
    )


def visible(text: str) -> str:
    """Return the text with control, bidi, zero-width and odd space characters as `<U+202E>`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    return f"<U+{ord(character):04X}>" if _is_hidden(character) else character


def shortened(text: str) -> str:
    """The visible text, cut for use inside a sentence."""
    safe = visible(text[: _SHOWN_IN_TEXT + 1])
    return safe if len(text) <= _SHOWN_IN_TEXT else f"{visible(text[:_SHOWN_IN_TEXT])}…"


def display_name(*texts: str, names: Sequence[str] = ()) -> str:
    """Return the first text that is not blank, else the first alternative name.

    The alternative name is written as `dns:r1.example`; without any, "(no name)".
    """
    values = (name.partition(":")[2] for name in names)
    return next((text for text in (*texts, *values) if text.strip()), NO_NAME)


def text_findings(text: str, subject: str = "text") -> tuple[Finding, ...]:
    """Refuse hidden characters, unnormalized text and stray spaces; warn about mixed scripts."""
    findings: list[Finding] = []
    if text != text.strip(" "):
        findings.append(
            refuse("text-space", f"{subject} '{shortened(text)}': starts or ends with a space")
        )
    if text.isascii() and text.isprintable():
        return tuple(findings)
    hidden = sorted({ord(c) for c in text if _is_hidden(c)})
    if hidden:
        characters = ", ".join(f"U+{code:04X}" for code in hidden[:5])
        findings.append(
            refuse(
                "text-hidden",
                f"{subject} '{shortened(text)}': invisible or control character {characters}",
            )
        )
    if not unicodedata.is_normalized("NFC", text):
        findings.append(
            refuse("text-not-nfc", f"{subject} '{shortened(text)}': not in Unicode normal form C")
        )
    scripts = _scripts(text)
    if len(scripts) > 1:
        characters = ", ".join(sorted(scripts))
        findings.append(
            warn(
                "text-mixed-scripts",
                f"{subject} '{shortened(text)}': letters of {characters} mixed",
            )
        )
    return tuple(findings)


def _scripts(text: str) -> set[str]:
    scripts = {_script(c) for c in text if c.isalpha() and not _is_hidden(c)}
    return (
        scripts
        if len(scripts) < 2
        else {("EAST ASIAN" if s in _EAST_ASIAN else s) for s in scripts}
    )


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").split(" ", 1)[0].split("-", 1)[0]


def punycode_shown(value: str) -> str | None:
    """A DNS name with its `xn--` labels decoded and made visible, or None when it has none.

    For display only.
    """
    labels = value.split(".")
    if not any(label.startswith("xn--") for label in labels):
        return None
    return visible(".".join(map(_punycode_label, labels)))


def _punycode_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError, OverflowError):
        return "<not decodable>"
