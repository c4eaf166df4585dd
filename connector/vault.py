"""Secrets at rest: sealed for one row with AES-256-GCM, under keys that can be rotated."""

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connector.errors import BadInput, NeedsAttention
from connector.settings import Settings

VERSION = b"\x01"
KEY_ID_BYTES = 8
NONCE_BYTES = 12
_HEADER_BYTES = len(VERSION) + KEY_ID_BYTES
_NONCE_END = _HEADER_BYTES + NONCE_BYTES

MAKE_A_KEY = 'python -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'


class _Key(NamedTuple):
    header: bytes
    cipher: AESGCM
    erasure: bytes


class Vault:
    """Seals and opens secrets; the first key seals, all of them open.

    A token is version (1 byte), key id (8), nonce (12), ciphertext and tag (16); header and context are authenticated.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        """Take keys as urlsafe base64 of 32 bytes each; raises BadInput for any other text, or for none."""
        if not keys:
            raise BadInput(f"There is no encryption key: make one with {MAKE_A_KEY} and set CONNECTOR_ENCRYPTION_KEYS.")
        self._keys = [_read_key(text) for text in keys]

    def seal(self, data: bytes, context: str) -> bytes:
        """Encrypt under the first key, bound to `context`, which names the one row that may hold the token."""
        header, cipher, _ = self._keys[0]
        nonce = secrets.token_bytes(NONCE_BYTES)
        return header + nonce + cipher.encrypt(nonce, data, _bound(header, context))

    def open(self, token: bytes, context: str) -> bytes:
        """Decrypt a token that was sealed for `context`.

        Raises:
            NeedsAttention: `encryption_key_missing` when its key is not here, `sealed_secret_refused` when it was
                altered, cut short, or sealed for another context.
        """
        header, nonce, body = token[:_HEADER_BYTES], token[_HEADER_BYTES:_NONCE_END], token[_NONCE_END:]
        key = next((key for key in self._keys if key.header == header), None)
        if key is None and len(header) == _HEADER_BYTES and header.startswith(VERSION):
            raise NeedsAttention(
                "encryption_key_missing",
                "A stored secret was sealed with an encryption key that is not here.",
                "Put that key back behind the current one in CONNECTOR_ENCRYPTION_KEYS, or reauthenticate.",
            )
        try:
            if key is not None and len(nonce) == NONCE_BYTES:
                return key.cipher.decrypt(nonce, body, _bound(header, context))
        except InvalidTag:
            pass
        raise NeedsAttention(
            "sealed_secret_refused",
            "A stored secret was altered or belongs to another row, so it is not used.",
            "Reauthenticate the source with fresh credentials.",
        )

    @property
    def erasure_keys(self) -> tuple[bytes, ...]:
        """Keys of 32 bytes for the tombstones of erased people, one derived from each key, the current one first."""
        return tuple(key.erasure for key in self._keys)

    def is_current(self, token: bytes) -> bool:
        """Tell whether the token is under the first key; one that is not should be opened and sealed anew."""
        return token.startswith(self._keys[0].header)


def vault_for(settings: Settings) -> Vault:
    """Return the vault of this installation: the keys of the settings, else the one generated once under `home`.

    Raises:
        BadInput: a key is malformed, or the key file cannot be made or read.
    """
    if settings.encryption_keys is not None:
        keys = settings.encryption_keys.get_secret_value().split(",")
        return Vault([key.strip() for key in keys if key.strip()])
    path = settings.home / "encryption.key"
    try:
        return Vault([_generated_key(path)])
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise BadInput(
            f"The key file {path} cannot be used ({reason}): mend it or set CONNECTOR_ENCRYPTION_KEYS."
        ) from None


def _generated_key(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _create_once(path, base64.urlsafe_b64encode(secrets.token_bytes(32)))
    return path.read_text("ascii").strip()


def _create_once(path: Path, content: bytes) -> None:
    """Put a whole, synced file at `path` unless another process has: a link neither replaces nor shows half a file."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content + b"\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
        _sync_directory(path.parent)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_key(text: str) -> _Key:
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32 or base64.urlsafe_b64encode(raw).decode() != text:
        raise BadInput(f"An encryption key is not urlsafe base64 of 32 bytes: make one with {MAKE_A_KEY}.")
    key_id = hashlib.sha256(b"connector key id" + raw).digest()[:KEY_ID_BYTES]
    return _Key(VERSION + key_id, AESGCM(raw), hashlib.sha256(b"connector erasure" + raw).digest())


def _bound(header: bytes, context: str) -> bytes:
    return header + context.encode()
