"""The words by which a certificate is found."""

from collections.abc import Iterable, Sequence

from ca.models.certificates import Certificate, CertificateTerm
from database.statements import insert

LAST_CHARACTER = "\U0010ffff"
MAX_TERM = 255


def normalized_terms(words: Iterable[str]) -> list[str]:
    """Return search words as they are kept: lower case, cut, without repeats."""
    return sorted({normalize_term(word) for word in words} - {""})


def normalize_term(word: str) -> str:
    """Return one search word as it is kept.

    Grouped hexadecimal (`AB:CD EF`) loses its separators.
    """
    text = word.strip().lower().replace("\x00", "")
    plain = text.replace(":", "").replace(" ", "")
    is_hex = len(plain) >= 8 and all(character in "0123456789abcdef" for character in plain)
    is_address = ":" in text and len(plain) < 16
    return (plain if is_hex and not is_address else text)[:MAX_TERM]


def add_certificate_terms(certificate: Certificate, words: Sequence[str]) -> None:
    """Make a certificate findable by these words."""
    insert(
        *(CertificateTerm(certificate=certificate, term=term) for term in normalized_terms(words))
    )
