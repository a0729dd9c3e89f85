"""A recorded key is checked once, and every other key each time."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from keys.errors import KeyStoreError
from keys.file import load
from tests.pki import FOLDER, ec_key, rsa_key
from tests.recorded_keys import load_checked_once

PASSPHRASE = b"correct horse"
ENCRYPTED = PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE)


def spoiled(name: str) -> RSAPrivateKey:
    """Return a recorded key with another private exponent, as no library would make it."""
    numbers = rsa_key(name).private_numbers()
    return RSAPrivateNumbers(
        p=numbers.p,
        q=numbers.q,
        d=numbers.d ^ 4,
        dmp1=numbers.dmp1,
        dmq1=numbers.dmq1,
        iqmp=numbers.iqmp,
        public_numbers=numbers.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)


def test_the_same_bytes_give_the_key_that_was_checked() -> None:
    plain = (FOLDER / "bob.key.pem").read_bytes()
    sealed = rsa_key("bob").private_bytes(Encoding.PEM, *ENCRYPTED)
    assert load_checked_once(sealed, PASSPHRASE) is load_checked_once(plain, None)


def test_numbers_that_do_not_fit_are_refused_each_time(tmp_path: Path) -> None:
    load_checked_once((FOLDER / "bob.key.pem").read_bytes(), None)
    path = tmp_path / "bob.pem"
    path.write_bytes(spoiled("bob").private_bytes(Encoding.PEM, *ENCRYPTED))
    path.chmod(0o600)
    for _ in range(2):
        with pytest.raises(KeyStoreError, match="cannot be opened"):
            load(path, PASSPHRASE)


def test_the_product_refuses_numbers_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the cache of the tests."""
    monkeypatch.setattr(
        "cryptography.hazmat.primitives.serialization.load_pem_private_key", load_pem_private_key
    )
    path = tmp_path / "bob.pem"
    path.write_bytes(spoiled("bob").private_bytes(Encoding.PEM, *ENCRYPTED))
    path.chmod(0o600)
    with pytest.raises(KeyStoreError, match="cannot be opened"):
        load(path, PASSPHRASE)


def test_a_wrong_passphrase_is_refused_for_a_key_that_was_checked() -> None:
    sealed = rsa_key("bob").private_bytes(Encoding.PEM, *ENCRYPTED)
    load_checked_once(sealed, PASSPHRASE)
    with pytest.raises(ValueError, match="password"):
        load_checked_once(sealed, b"something else")


def test_a_damaged_file_of_a_key_that_was_checked_is_refused() -> None:
    plain = (FOLDER / "bob.key.pem").read_bytes()
    load_checked_once(plain, None)
    with pytest.raises(ValueError, match=r"Could not deserialize|Unable to load|ASN\.1"):
        load_checked_once(plain[:600] + plain[700:], None)


def test_keys_of_other_kinds_are_loaded_as_ever() -> None:
    pem = ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert load_checked_once(pem, None).private_numbers() == ec_key().private_numbers()
