import base64
import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from keys import file
from keys.errors import KeyStoreError
from keys.file import LoadedKey, check_implicit_rejection, generate, load, write
from tests.pki import ec_key, rsa_key

PASSPHRASE = b"correct horse"


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "alice.pem"
    write(path, ec_key(), PASSPHRASE)
    return path


def test_what_was_written_is_loaded_again(key_path: Path) -> None:
    loaded = load(key_path, PASSPHRASE)

    assert loaded.spki_der == LoadedKey.of(ec_key()).spki_der
    assert loaded.algorithm == "ec"
    assert loaded.signature_algorithm == "ecdsa-sha256"


def test_file_and_folder_are_for_their_user_only_and_nothing_else_is_left(key_path: Path) -> None:
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_path.parent.stat().st_mode) == 0o700
    assert os.listdir(key_path.parent) == ["alice.pem"]  # noqa: PTH208 - names only


@pytest.mark.usefixtures("starts_processes")
def test_openssl_opens_the_file(key_path: Path) -> None:
    command = [
        "openssl",
        "pkey",
        "-in",
        str(key_path),
        "-passin",
        f"pass:{PASSPHRASE.decode()}",
        "-noout",
        "-text",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "NIST CURVE: P-256" in done.stdout


def test_a_key_is_never_overwritten(key_path: Path) -> None:
    before = key_path.read_bytes()
    with pytest.raises(KeyStoreError, match="never overwritten"):
        write(key_path, rsa_key("bob"), PASSPHRASE)
    assert key_path.read_bytes() == before
    assert os.listdir(key_path.parent) == ["alice.pem"]  # noqa: PTH208 - names only


def test_a_key_is_not_written_without_a_passphrase(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="without a passphrase"):
        write(tmp_path / "k" / "alice.pem", ec_key(), b"")


def test_a_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(
        KeyStoreError, match="mode 0755 lets others into the key folder; run chmod 700"
    ):
        write(folder / "alice.pem", ec_key(), PASSPHRASE)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(KeyStoreError, match="cannot be made"):
        write(tmp_path / "plain" / "keys" / "alice.pem", ec_key(), PASSPHRASE)


def test_a_name_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="cannot be written"):
        write(tmp_path / "k" / ("a" * 300), ec_key(), PASSPHRASE)


def test_the_same_file_is_parsed_once(key_path: Path) -> None:
    assert load(key_path, PASSPHRASE) is load(key_path, PASSPHRASE)


def test_a_wrong_passphrase_is_told_even_when_the_key_is_cached(key_path: Path) -> None:
    load(key_path, PASSPHRASE)
    with pytest.raises(KeyStoreError, match=r"alice\.pem: .*wrong passphrase") as caught:
        load(key_path, b"something else")
    assert "something else" not in str(caught.value)


def test_a_file_open_to_others_is_refused(key_path: Path) -> None:
    key_path.chmod(0o640)
    with pytest.raises(
        KeyStoreError, match="mode 0640 lets others read the private key; run chmod 600"
    ):
        load(key_path, PASSPHRASE)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match=r"none\.pem: cannot be read: No such file"):
        load(tmp_path / "none.pem", PASSPHRASE)


def _pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, secret: bytes
) -> bytes:
    protection = (
        serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"hello", "not a private key in PEM form", id="no PEM"),
        pytest.param(b"-----BEGIN" + b"x" * 70_000, "not a private key in PEM form", id="too long"),
        pytest.param(_pem(ec_key(), b""), "is not encrypted", id="plain"),
        pytest.param(
            _pem(ed25519.Ed25519PrivateKey.generate(), PASSPHRASE),
            "neither an RSA nor an EC",
            id="Ed25519",
        ),
        pytest.param(
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "cannot be opened",
            id="damaged",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bob.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyStoreError, match=message):
        load(path, PASSPHRASE)


def test_a_scheme_that_the_library_lacks_is_told_apart(tmp_path: Path) -> None:
    pem = _pem(ec_key(), PASSPHRASE).splitlines()
    der = bytearray(base64.b64decode(b"".join(pem[1:-1])))
    aes_256_cbc = bytes.fromhex("060960864801650304012a")
    assert aes_256_cbc in der
    der[der.index(aes_256_cbc) + 10] = 0x7F
    path = tmp_path / "bob.pem"
    body = base64.encodebytes(bytes(der))
    path.write_bytes(b"\n".join([pem[0], body.strip(), pem[-1], b""]))
    path.chmod(0o600)
    with pytest.raises(
        KeyStoreError, match=r"cannot be opened .*: Unknown key encryption algorithm"
    ):
        load(path, PASSPHRASE)


@pytest.mark.parametrize("spec", ["rsa:2048", "ec:p256", "ec:p384"])
def test_keys_are_made_as_asked(spec: str) -> None:
    assert generate(spec).key_size == {"rsa:2048": 2048, "ec:p256": 256, "ec:p384": 384}[spec]


@pytest.mark.parametrize("size", [3072, 4096])
def test_larger_rsa_keys_are_made_with_that_size(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def remember(_exponent: int, bits: int) -> rsa.RSAPrivateKey:
        asked.append(bits)
        return rsa_key("alice")

    monkeypatch.setattr(rsa, "generate_private_key", remember)
    generate(f"rsa:{size}")
    assert asked == [size]


@pytest.mark.parametrize("spec", ["rsa:1024", "rsa:2049", "ec:p521", "ed25519", ""])
def test_other_key_types_are_refused_with_the_list(spec: str) -> None:
    with pytest.raises(
        KeyStoreError, match="allowed are rsa:2048, rsa:3072, rsa:4096, ec:p256, ec:p384"
    ):
        generate(spec)


@pytest.mark.parametrize("algorithm", ["rsa-sha256", "rsa-sha384", "rsa-sha512"])
def test_rsa_signatures_are_repeatable_and_verify(algorithm: str) -> None:
    key = LoadedKey.of(rsa_key("alice"))
    signature = key.sign(b"tbs", algorithm)
    digest = {
        "rsa-sha256": hashes.SHA256(),
        "rsa-sha384": hashes.SHA384(),
        "rsa-sha512": hashes.SHA512(),
    }[algorithm]
    rsa_key("alice").public_key().verify(signature, b"tbs", padding.PKCS1v15(), digest)
    assert key.sign(b"tbs", algorithm) == signature


@pytest.mark.parametrize("algorithm", ["ecdsa-sha256", "ecdsa-sha384"])
def test_ecdsa_signatures_are_repeatable_and_verify(algorithm: str) -> None:
    key = LoadedKey.of(ec_key())
    signature = key.sign(b"tbs", algorithm)
    digest = hashes.SHA256() if algorithm == "ecdsa-sha256" else hashes.SHA384()
    ec_key().public_key().verify(signature, b"tbs", ec.ECDSA(digest))
    assert key.sign(b"tbs", algorithm) == signature


def test_a_larger_curve_signs_with_sha384() -> None:
    assert LoadedKey.of(generate("ec:p384")).signature_algorithm == "ecdsa-sha384"


@pytest.mark.parametrize("algorithm", ["rsa-sha1", "rsa-md5", "ecdsa-sha256", ""])
def test_an_algorithm_that_does_not_fit_is_refused(algorithm: str) -> None:
    with pytest.raises(KeyStoreError, match="not possible with this rsa key"):
        LoadedKey.of(rsa_key("alice")).sign(b"tbs", algorithm)


def test_a_message_to_an_old_device_is_signed_with_sha_1_by_its_own_name_only() -> None:
    signature = LoadedKey.of(rsa_key("alice")).sign_legacy(b"attributes")
    rsa_key("alice").public_key().verify(
        signature,
        b"attributes",
        padding.PKCS1v15(),
        hashes.SHA1(),  # noqa: S303 - what is tested
    )
    with pytest.raises(KeyStoreError, match="not RSA"):
        LoadedKey.of(ec_key()).sign_legacy(b"attributes")


@pytest.mark.parametrize("oaep_hash", [None, "sha1", "sha256", "sha384", "sha512"])
def test_what_was_encrypted_to_the_key_is_decrypted(oaep_hash: str | None) -> None:
    public = rsa_key("ra").public_key()
    if oaep_hash is None:
        ciphertext = public.encrypt(b"secret", padding.PKCS1v15())
    else:
        digest = file._OAEP_HASHES[oaep_hash]()
        ciphertext = public.encrypt(b"secret", padding.OAEP(padding.MGF1(digest), digest, None))
    assert LoadedKey.of(rsa_key("ra")).decrypt_rsa(ciphertext, oaep_hash) == b"secret"


def test_decryption_of_what_cannot_be_decrypted() -> None:
    key = LoadedKey.of(rsa_key("ra"))
    with pytest.raises(ValueError, match="OAEP hash 'md5'"):
        key.decrypt_rsa(bytes(256), "md5")
    with pytest.raises(ValueError, match="length"):
        key.decrypt_rsa(b"short", None)
    with pytest.raises(KeyStoreError, match="the key is not RSA"):
        LoadedKey.of(ec_key()).decrypt_rsa(b"", None)


def test_a_wrong_padding_raises_nothing() -> None:
    check_implicit_rejection(LoadedKey.of(rsa_key("ra")))


def test_the_self_test_finds_a_library_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(_key: LoadedKey, _ciphertext: bytes, _oaep_hash: str | None) -> bytes:
        raise ValueError("Decryption failed")

    monkeypatch.setattr(LoadedKey, "decrypt_rsa", raising)
    with pytest.raises(KeyStoreError, match=r"OpenSSL 3\.2 or newer"):
        check_implicit_rejection(LoadedKey.of(rsa_key("ra")))


def test_the_self_test_needs_an_rsa_key() -> None:
    with pytest.raises(KeyStoreError, match="not RSA"):
        check_implicit_rejection(LoadedKey.of(ec_key()))


def test_a_loaded_key_does_not_show_its_private_part() -> None:
    assert "private" not in repr(LoadedKey.of(ec_key()))
