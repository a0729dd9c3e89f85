"""Private keys in files: encrypted PKCS#8 PEM (RFC 5958; PBES2 with PBKDF2 and AES-256, RFC 8018).

A key is written once and never overwritten. `load` keeps the parsed key for the life of the
process, because parsing a checked RSA key and stretching its passphrase cost far more than a
signature.
"""

import base64
import hashlib
import hmac
import os
import secrets
import stat
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Final, Literal

from asn1crypto.algos import EncryptionAlgorithm
from asn1crypto.core import OctetString
from asn1crypto.keys import EncryptedPrivateKeyInfo
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from database.caches import Cache
from keys.errors import KeyStoreError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_GENERATORS: Final[dict[str, Callable[[], PrivateKey]]] = {
    "rsa:2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa:3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa:4096": lambda: rsa.generate_private_key(65537, 4096),
    "ec:p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ec:p384": lambda: ec.generate_private_key(ec.SECP384R1()),
}

_RSA_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "rsa-sha256": hashes.SHA256(),
    "rsa-sha384": hashes.SHA384(),
    "rsa-sha512": hashes.SHA512(),
}
_ECDSA_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "ecdsa-sha256": hashes.SHA256(),
    "ecdsa-sha384": hashes.SHA384(),
}
_OAEP_HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    "sha1": hashes.SHA1,  # RFC 8017's default; Windows clients send it
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}

_PBKDF2_ITERATIONS: Final = 600_000
_MAX_FILE_BYTES: Final = 65536
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class LoadedKey:
    """A private key that can be used but not read."""

    spki_der: bytes
    algorithm: Literal["rsa", "ec"]
    signature_algorithm: str
    """The signature algorithm for certificates: `rsa-sha256`, `ecdsa-sha256` or `ecdsa-sha384`."""
    _private: PrivateKey = field(repr=False, compare=False)

    @classmethod
    def of(cls, private: PrivateKey) -> "LoadedKey":
        spki_der = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        if isinstance(private, rsa.RSAPrivateKey):
            return cls(spki_der, "rsa", "rsa-sha256", private)
        return cls(
            spki_der, "ec", "ecdsa-sha256" if private.key_size <= 256 else "ecdsa-sha384", private
        )

    def sign(self, tbs: bytes, signature_algorithm: str) -> bytes:
        """Sign `tbs`. Equal bytes give equal signatures (PKCS#1 v1.5; ECDSA as in RFC 6979)."""
        private = self._private
        if isinstance(private, rsa.RSAPrivateKey) and signature_algorithm in _RSA_HASHES:
            return private.sign(tbs, padding.PKCS1v15(), _RSA_HASHES[signature_algorithm])
        if isinstance(private, ec.EllipticCurvePrivateKey) and signature_algorithm in _ECDSA_HASHES:
            return private.sign(
                tbs, ec.ECDSA(_ECDSA_HASHES[signature_algorithm], deterministic_signing=True)
            )
        raise KeyStoreError(
            f"signature algorithm {signature_algorithm!r}: not possible with this {self.algorithm} "
            "key"
        )

    def sign_legacy(self, data: bytes) -> bytes:
        """Sign with RSA, PKCS#1 v1.5 and SHA-1.

        Only for messages to devices that know nothing newer, never for a certificate.
        """
        if not isinstance(self._private, rsa.RSAPrivateKey):
            raise KeyStoreError("signature with SHA-1: the key is not RSA")
        return self._private.sign(data, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - see above

    def decrypt_rsa(self, ciphertext: bytes, oaep_hash: str | None) -> bytes:
        """Decrypt with PKCS#1 v1.5 (`oaep_hash` None) or OAEP.

        `oaep_hash` is "sha1", "sha256", "sha384" or "sha512", also for MGF1. With PKCS#1 v1.5 a
        wrong padding gives pseudo-random bytes and no error (implicit rejection). Raises ValueError
        for a ciphertext of the wrong length, one that is not below the modulus, and an OAEP block
        that does not open.
        """
        if not isinstance(self._private, rsa.RSAPrivateKey):
            raise KeyStoreError(
                "decryption: the key is not RSA; an RA certificate needs an RSA key"
            )
        if oaep_hash is None:
            return self._private.decrypt(ciphertext, padding.PKCS1v15())
        if oaep_hash not in _OAEP_HASHES:
            raise ValueError(f"OAEP hash {oaep_hash!r}: allowed are {', '.join(_OAEP_HASHES)}")
        algorithm = _OAEP_HASHES[oaep_hash]()
        return self._private.decrypt(
            ciphertext, padding.OAEP(padding.MGF1(algorithm), algorithm, None)
        )


def generate(spec: str) -> PrivateKey:
    """Make a key: `rsa:2048`, `rsa:3072`, `rsa:4096`, `ec:p256` or `ec:p384`.

    Raises KeyStoreError for anything else.
    """
    try:
        generator = _GENERATORS[spec]
    except KeyError:
        raise KeyStoreError(f"key type {spec!r}: allowed are {', '.join(_GENERATORS)}") from None
    return generator()


def write(path: Path, key: PrivateKey, passphrase: bytes) -> None:
    """Write `key` encrypted to `path`, synced to disk; never over another file.

    The file has mode 0600, its folder 0700.
    """
    if not passphrase:
        raise KeyStoreError(f"{path}: a private key is not written without a passphrase")
    _ensure_private_folder(path.parent)
    partial = path.with_name(f".new-{secrets.token_hex(8)}")
    try:
        _write_new(partial, _encrypted_pem(key, passphrase))
        # A hard link fails when the name is taken, so two writers cannot both win.
        os.link(partial, path)
    except FileExistsError:
        raise KeyStoreError(
            f"{path}: a file is already there, and keys are never overwritten"
        ) from None
    except OSError as error:
        raise KeyStoreError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


@dataclass(frozen=True, slots=True)
class _Cached:
    stamp: tuple[int, int, int, bytes]
    key: LoadedKey


_cache: Cache[str, _Cached] = Cache(most=256)
_CACHE_SALT: Final = secrets.token_bytes(32)


def load(path: Path, passphrase: bytes) -> LoadedKey:
    """Read the key at `path`, once per process as long as file and passphrase stay the same.

    Raises KeyStoreError for a missing file, one that group or others may read, a file without an
    encrypted key, and a wrong passphrase.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & _OTHERS:
                mode = stat.S_IMODE(status.st_mode)
                raise KeyStoreError(
                    f"{path}: mode {mode:04o} lets others read the private key; run chmod 600 "
                    f"{quote(str(path))}"
                )
            digest = hmac.digest(_CACHE_SALT, passphrase, "sha256")
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size, digest)
            cached = _cache.get(str(path))
            if cached is not None and cached.stamp == stamp:
                return cached.key
            pem = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeyStoreError(f"{path}: cannot be read: {error.strerror}") from error
    key = LoadedKey.of(_decrypt_pem(path, pem, passphrase))
    return _cache.put(str(path), _Cached(stamp, key)).key


def check_implicit_rejection(key: LoadedKey) -> None:
    """Prove that a wrong PKCS#1 v1.5 padding raises no error, else raise KeyStoreError.

    A library that raises tells an attacker which ciphertexts are well padded (Bleichenbacher 1998),
    so SCEP requests must not be decrypted with it. The probe is 2^e mod n: a block that starts with
    zeros and no type byte.
    """
    public = serialization.load_der_public_key(key.spki_der)
    if not isinstance(public, rsa.RSAPublicKey):
        raise KeyStoreError("decryption self-test: the key is not RSA")
    numbers = public.public_numbers()
    probe = pow(2, numbers.e, numbers.n).to_bytes((public.key_size + 7) // 8, "big")
    try:
        key.decrypt_rsa(probe, None)
    except ValueError as error:
        raise KeyStoreError(
            "decryption self-test: a wrong padding raises an error, which would let an attacker "
            "decrypt requests; "
            "use a cryptography package with OpenSSL 3.2 or newer"
        ) from error


def _encrypted_pem(key: PrivateKey, passphrase: bytes) -> bytes:
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    salt, iv = secrets.token_bytes(16), secrets.token_bytes(16)
    secret = hashlib.pbkdf2_hmac("sha256", passphrase, salt, _PBKDF2_ITERATIONS, 32)
    padder = block_padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(secret), modes.CBC(iv)).encryptor()
    encrypted = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    kdf = {
        "algorithm": "pbkdf2",
        "parameters": {
            "salt": OctetString(salt),
            "iteration_count": _PBKDF2_ITERATIONS,
            "prf": {"algorithm": "sha256"},
        },
    }
    scheme = EncryptionAlgorithm(
        {
            "algorithm": "pbes2",
            "parameters": {
                "key_derivation_func": kdf,
                "encryption_scheme": {"algorithm": "aes256_cbc", "parameters": iv},
            },
        }
    )
    der: bytes = EncryptedPrivateKeyInfo(
        {"encryption_algorithm": scheme, "encrypted_data": encrypted}
    ).dump()
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    label = "ENCRYPTED PRIVATE KEY"
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def _decrypt_pem(path: Path, pem: bytes, passphrase: bytes) -> PrivateKey:
    if len(pem) > _MAX_FILE_BYTES or b"-----BEGIN" not in pem:
        raise KeyStoreError(f"{path}: not a private key in PEM form")
    if b"-----BEGIN ENCRYPTED PRIVATE KEY-----" not in pem:
        raise KeyStoreError(
            f"{path}: the private key is not encrypted; encrypt it with openssl pkcs8 -topk8 -iter "
            "600000"
        )
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # A damaged file mostly ends in an invalid padding, which the library reports as a wrong
        # password. A wrong password ends once in 256 times in a valid padding, and then in bytes
        # that are no key.
        fault = "wrong passphrase"
        if "password" not in str(error).lower():
            causes = "wrong passphrase, damaged file, or a scheme that the library lacks"
            fault = f"cannot be opened ({causes}): {error}"
        raise KeyStoreError(f"{path}: {fault}") from error
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise KeyStoreError(f"{path}: neither an RSA nor an EC key")
    return key


def _ensure_private_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        raise KeyStoreError(f"{folder}: cannot be made: {error.strerror}") from error
    if mode & _OTHERS:
        raise KeyStoreError(
            f"{folder}: mode {mode:04o} lets others into the key folder; run chmod 700 "
            f"{quote(str(folder))}"
        )


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
