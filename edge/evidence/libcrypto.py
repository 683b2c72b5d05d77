"""SM2 keys through the C interface of OpenSSL 3, which Python's ``cryptography`` does not offer."""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache

from edge.errors import ConfigError

IDENTITY = b"1234567812345678"
"""The signer's identity that GB/T 35276 prescribes where none is agreed."""

POINT_BYTES = 65
SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")
"""SubjectPublicKeyInfo of an SM2 key up to its uncompressed point."""
_MAX_SIGNATURE_BYTES = 128


class Sm2Key:
    """An SM2 key inside OpenSSL; freed with the object."""

    def __init__(self, handle: int | None) -> None:
        if not handle:
            _library().ERR_clear_error()
            raise ValueError("OpenSSL takes it for no SM2 key")
        self._handle = ctypes.c_void_p(handle)
        if not _library().EVP_PKEY_is_a(self._handle, b"SM2"):
            raise ValueError("not an SM2 key")
        self.point = self._encoded_point()

    def __del__(self) -> None:
        if handle := getattr(self, "_handle", None):
            _library().EVP_PKEY_free(handle)

    @classmethod
    def generate(cls) -> Sm2Key:
        """A new key."""
        library = _library()
        context = ctypes.c_void_p(library.EVP_PKEY_CTX_new_from_name(None, b"SM2", None))
        try:
            _done(library.EVP_PKEY_keygen_init(context))
            handle = ctypes.c_void_p()
            _done(library.EVP_PKEY_generate(context, ctypes.byref(handle)))
        finally:
            library.EVP_PKEY_CTX_free(context)
        return cls(handle.value)

    @classmethod
    def of_private_pem(cls, pem: str) -> Sm2Key:
        """The key of a PKCS#8 PEM text; ValueError where it is none."""
        memory = _Memory(pem.encode())
        return cls(_library().PEM_read_bio_PrivateKey(memory.bio, None, None, None))

    @classmethod
    def of_point(cls, point: bytes) -> Sm2Key:
        """The public key of an uncompressed point; ValueError where it is none."""
        memory = _Memory(SPKI_HEAD + point)
        return cls(_library().d2i_PUBKEY_bio(memory.bio, None))

    def private_pem(self) -> str:
        """The private key as PKCS#8 in PEM."""
        memory = _Memory()
        _done(
            _library().PEM_write_bio_PKCS8PrivateKey(
                memory.bio, self._handle, None, None, 0, None, None
            )
        )
        return memory.content().decode()

    def sign(self, message: bytes) -> bytes:
        """A DER signature of r and s."""
        size = ctypes.c_size_t(_MAX_SIGNATURE_BYTES)
        signature = ctypes.create_string_buffer(_MAX_SIGNATURE_BYTES)
        with _Digest(self._handle) as digest:
            _done(digest.begin(_library().EVP_DigestSignInit))
            _done(
                _library().EVP_DigestSign(
                    digest.context, signature, ctypes.byref(size), message, len(message)
                )
            )
        return signature.raw[: size.value]

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether a DER signature holds."""
        with _Digest(self._handle) as digest:
            _done(digest.begin(_library().EVP_DigestVerifyInit))
            outcome = _library().EVP_DigestVerify(
                digest.context, signature, len(signature), message, len(message)
            )
        _library().ERR_clear_error()
        return bool(outcome == 1)

    def _encoded_point(self) -> bytes:
        place = ctypes.c_void_p()
        size = _library().EVP_PKEY_get1_encoded_public_key(self._handle, ctypes.byref(place))
        if size != POINT_BYTES or not place.value:
            raise ValueError("not an uncompressed SM2 point")
        point = ctypes.string_at(place.value, size)
        _library().CRYPTO_free(place, None, 0)
        return point


class _Digest:
    """SM3 with an SM2 key and the signer's identity."""

    def __init__(self, key: ctypes.c_void_p) -> None:
        library = _library()
        self._key = key
        self.context = ctypes.c_void_p(library.EVP_MD_CTX_new())
        self._key_context = ctypes.c_void_p(library.EVP_PKEY_CTX_new(key, None))

    def __enter__(self) -> _Digest:
        return self

    def begin(self, init: ctypes._NamedFuncPointer) -> int:
        library = _library()
        library.EVP_PKEY_CTX_set1_id(self._key_context, IDENTITY, len(IDENTITY))
        library.EVP_MD_CTX_set_pkey_ctx(self.context, self._key_context)
        return int(init(self.context, None, library.EVP_sm3(), None, self._key))

    def __exit__(self, *_: object) -> None:
        _library().EVP_MD_CTX_free(self.context)
        _library().EVP_PKEY_CTX_free(self._key_context)


class _Memory:
    """A buffer that OpenSSL reads from or writes to."""

    def __init__(self, content: bytes | None = None) -> None:
        library = _library()
        self._kept = content
        self.bio = ctypes.c_void_p(
            library.BIO_new(library.BIO_s_mem())
            if content is None
            else library.BIO_new_mem_buf(content, len(content))
        )

    def content(self) -> bytes:
        buffer = ctypes.create_string_buffer(4096)
        size = _library().BIO_read(self.bio, buffer, len(buffer))
        return buffer.raw[: max(size, 0)]

    def __del__(self) -> None:
        _library().BIO_free(self.bio)


def _done(outcome: int) -> None:
    if outcome != 1:
        _library().ERR_clear_error()
        raise ValueError("OpenSSL refuses")


_POINTER = ctypes.c_void_p
_BYTES = ctypes.c_char_p
_SIZE = ctypes.c_size_t
_INT = ctypes.c_int
_FUNCTIONS: dict[str, tuple[object, list[object]]] = {
    "BIO_new": (_POINTER, [_POINTER]),
    "BIO_new_mem_buf": (_POINTER, [_BYTES, _INT]),
    "BIO_s_mem": (_POINTER, []),
    "BIO_read": (_INT, [_POINTER, _BYTES, _INT]),
    "BIO_free": (_INT, [_POINTER]),
    "CRYPTO_free": (None, [_POINTER, _BYTES, _INT]),
    "ERR_clear_error": (None, []),
    "EVP_DigestSign": (_INT, [_POINTER, _BYTES, _POINTER, _BYTES, _SIZE]),
    "EVP_DigestSignInit": (_INT, [_POINTER] * 5),
    "EVP_DigestVerify": (_INT, [_POINTER, _BYTES, _SIZE, _BYTES, _SIZE]),
    "EVP_DigestVerifyInit": (_INT, [_POINTER] * 5),
    "EVP_MD_CTX_free": (None, [_POINTER]),
    "EVP_MD_CTX_new": (_POINTER, []),
    "EVP_MD_CTX_set_pkey_ctx": (None, [_POINTER, _POINTER]),
    "EVP_PKEY_CTX_free": (None, [_POINTER]),
    "EVP_PKEY_CTX_new": (_POINTER, [_POINTER, _POINTER]),
    "EVP_PKEY_CTX_new_from_name": (_POINTER, [_POINTER, _BYTES, _BYTES]),
    "EVP_PKEY_CTX_set1_id": (_INT, [_POINTER, _BYTES, _INT]),
    "EVP_PKEY_free": (None, [_POINTER]),
    "EVP_PKEY_generate": (_INT, [_POINTER, _POINTER]),
    "EVP_PKEY_get1_encoded_public_key": (_SIZE, [_POINTER, _POINTER]),
    "EVP_PKEY_is_a": (_INT, [_POINTER, _BYTES]),
    "EVP_PKEY_keygen_init": (_INT, [_POINTER]),
    "EVP_sm3": (_POINTER, []),
    "PEM_read_bio_PrivateKey": (_POINTER, [_POINTER] * 4),
    "PEM_write_bio_PKCS8PrivateKey": (_INT, [*[_POINTER] * 3, _BYTES, _INT, *[_POINTER] * 2]),
    "d2i_PUBKEY_bio": (_POINTER, [_POINTER, _POINTER]),
}  # fmt: skip


@cache
def _library() -> ctypes.CDLL:
    """OpenSSL 3 of this machine with the functions that SM2 needs."""
    name = ctypes.util.find_library("crypto") or "libcrypto.so.3"
    try:
        library = ctypes.CDLL(name)
        for function, (result, arguments) in _FUNCTIONS.items():
            entry = getattr(library, function)
            entry.restype, entry.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise _without_sm2(str(error)) from error
    if not library.EVP_sm3():
        raise _without_sm2(f"{name} has no SM3")
    return library


def _without_sm2(reason: str) -> ConfigError:
    return ConfigError(
        f"本机的 OpenSSL 不支持国密 SM2/SM3（技术细节：{reason}）",
        f"OpenSSL on this machine has no SM2 with SM3: {reason}",
        next_zh="安装 OpenSSL 3（libssl3），或从站点文件删除 sm2_key",
        next_en="install OpenSSL 3 (libssl3), or remove sm2_key from the station file",
    )
