"""The second signature of a checkpoint: SM2 over SM3 (GB/T 32918.2, GB/T 32905) by OpenSSL 3.

A site that must have 国密 names a key file ``sm2_key``; checkpoints then bear one line more, of a
kind of its own. ``openssl pkeyutl -verify -rawin -digest sm3`` with the usual identity checks it
by hand.
"""

from __future__ import annotations

import base64
from pathlib import Path

from edge.errors import ConfigError, why_zh
from edge.evidence.keys import SM2_SM3, check_name, decode_key, encode_key, key_id
from edge.evidence.libcrypto import POINT_BYTES, SPKI_HEAD, Sm2Key
from edge.evidence.note import signature_line, signatures_of, split_note
from edge.evidence.signer import create_private_file, damaged_key, name_in, read_private_file


class Sm2Signer:
    """Adds SM2 signature lines under a name, with the key of a file."""

    def __init__(self, name: str, key: Sm2Key) -> None:
        check_name(name)
        self._name, self._key = name, key
        self._id = key_id(name, SM2_SM3, key.point)

    @classmethod
    def load_or_create(cls, path: Path, name: str) -> Sm2Signer:
        """The key in ``path`` (PKCS#8 in PEM); made there (mode 0600) if there is none yet.

        Raises
        ------
        ConfigError
            OpenSSL lacks SM2, or the file can't be read or written, may be read by others, holds
            no SM2 key, or holds the key of another name.
        """
        try:
            if not path.exists():
                create_private_file(path, f"Name: {name}\n{Sm2Key.generate().private_pem()}")
            text = read_private_file(path)
        except OSError as error:
            raise ConfigError(
                f"国密密钥文件 {path} 无法读写{why_zh(error)}",
                f"cannot read or write the SM2 key file {path}: {error.strerror}",
            ) from error
        head, begin, rest = text.partition("-----BEGIN ")
        try:
            key = Sm2Key.of_private_pem(begin + rest)
            found = name_in(head)
        except ValueError as error:
            raise damaged_key(path, error) from error
        if found not in (None, name):
            raise ConfigError(
                f"国密密钥文件 {path} 属于 {found}，不属于 {name}",
                f"the SM2 key file {path} belongs to {found}, not to {name}",
            )
        return cls(name, key)

    @property
    def verifier_key(self) -> str:
        """``name+key id+base64`` of the kind of SM2 signatures."""
        return encode_key(self._name, SM2_SM3, self._key.point)

    def line(self, text: str) -> str:
        """The signature line under a text, with the final newline."""
        return signature_line(self._name, self._id + self._key.sign(text.encode()))


class Sm2Verifier:
    """Checks SM2 lines of notes with a verifier key of their kind.

    Raises
    ------
    ValueError
        The verifier key is malformed, of another kind, or its id does not fit.
    ConfigError
        OpenSSL lacks SM2.
    """

    def __init__(self, verifier_key: str) -> None:
        self.name, point = decode_key(verifier_key, SM2_SM3, POINT_BYTES)
        self.key_id = key_id(self.name, SM2_SM3, point)
        self._key = Sm2Key.of_point(point)

    def verify(self, note: str) -> str:
        """The text of a note that this key signed.

        Raises
        ------
        ValueError
            Malformed, not signed by this key, or the signature is wrong.
        """
        text, signatures = split_note(note)
        for signature in signatures_of(signatures, self.name, self.key_id):
            if not self._key.verify(signature.value, text.encode()):
                raise ValueError(f"the SM2 signature of {self.name} is wrong")
        return text


def sm2_public_pem(verifier_key: str) -> str:
    """The public key of a verifier key as ``openssl`` reads it.

    Raises
    ------
    ValueError
        The verifier key is malformed or of another kind.
    """
    _, point = decode_key(verifier_key, SM2_SM3, POINT_BYTES)
    encoded = base64.encodebytes(SPKI_HEAD + point).decode().replace("\n", "")
    lines = "\n".join(encoded[i : i + 64] for i in range(0, len(encoded), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"
