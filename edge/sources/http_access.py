"""Who may speak at the door: a token, or HTTP digest (RFC 7616) with a password file.

Secrets are read from files at the start, compared in constant time, and never logged or shown.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qs

from edge.errors import ConfigError
from edge.sources.http_line import Answer, Request

REALM = "steelyard"
NONCE_NS = 300_000_000_000
"""A nonce is good for five minutes; then the camera is told to take a fresh one."""

NONCES_KEPT = 256
_MOST_FIELDS = 16
_PAIR = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HASHES: dict[str, Callable[[bytes], hashlib._Hash]] = {
    "SHA-256": hashlib.sha256,
    "MD5": hashlib.md5,
}
"""The stronger first. Most cameras know MD5 only."""


def digest_response(given: Mapping[str, str], method: str, user: str, password: str) -> str:
    """The proof of knowing a password (RFC 7616 3.4.1), with or without ``qop``."""

    def digest(*parts: str) -> str:
        return _HASHES[given["algorithm"]](":".join(parts).encode()).hexdigest()

    counted = ("nonce", "nc", "cnonce", "qop") if given.get("qop") else ("nonce",)
    return digest(
        digest(user, given["realm"], password),
        *(given.get(name, "") for name in counted),
        digest(method, given["uri"]),
    )


def digest_parts(text: str) -> dict[str, str]:
    """The parts of a challenge or an answer, names in lower case."""
    return {m[1].lower(): m[2] if m[2] is not None else m[3] for m in _PAIR.finditer(text)}


class TokenAccess:
    """A secret in the address (``?token=``), or as ``Authorization: Bearer``."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def refusal(self, request: Request) -> Answer | None:
        """None for who knows the token."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = [bearer.strip()] if scheme.lower() == "bearer" else []
        given += _tokens(request.query)[:1]
        if any(hmac.compare_digest(each.encode(), self._token) for each in given):
            return None
        return Answer(401, headers=(("WWW-Authenticate", f'Bearer realm="{REALM}"'),))


def _tokens(query: str) -> list[str]:
    try:
        return parse_qs(query, max_num_fields=_MOST_FIELDS).get("token", [])
    except ValueError:  # more of them: whoever means well sends one
        return []


class DigestAccess:
    """HTTP digest with ``qop=auth``: a password that never crosses the wire, and no replays.

    Parameters
    ----------
    user, password : str
    mono_ns : callable
        A clock that never steps: the age of nonces.
    """

    def __init__(self, user: str, password: str, mono_ns: Callable[[], int]) -> None:
        self._user = user
        self._password = password
        self._mono_ns = mono_ns
        self._nonces: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """Of each nonce: when it was given, and the highest count that was used with it."""

    def refusal(self, request: Request) -> Answer | None:
        """None for who knows the password."""
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "digest":
            return self._challenge(stale=False)
        given = digest_parts(rest)
        if not self._proves(given, request):
            return self._challenge(stale=False)
        return None if self._use(given) else self._challenge(stale=True)

    def _proves(self, given: dict[str, str], request: Request) -> bool:
        target = f"{request.path}?{request.query}" if request.query else request.path
        algorithm = given.setdefault("algorithm", "MD5").upper()
        if algorithm not in _HASHES or given.get("qop") != "auth" or given.get("uri") != target:
            return False
        whole = given | {"realm": REALM, "algorithm": algorithm}
        expected = digest_response(whole, request.method, self._user, self._password)
        right_user = hmac.compare_digest(given.get("username", "").encode(), self._user.encode())
        answer = given.get("response", "").lower().encode()
        return hmac.compare_digest(answer, expected.encode()) and right_user

    def _use(self, given: dict[str, str]) -> bool:
        """Whether this count of the nonce is fresh: each is good once."""
        nonce, count = given.get("nonce", ""), given.get("nc", "")
        if nonce not in self._nonces or re.fullmatch("[0-9a-fA-F]{8}", count) is None:
            return False
        born_ns, highest = self._nonces[nonce]
        if self._mono_ns() - born_ns > NONCE_NS or int(count, 16) <= highest:
            return False
        self._nonces[nonce] = (born_ns, int(count, 16))
        return True

    def _challenge(self, *, stale: bool) -> Answer:
        nonce = secrets.token_urlsafe(24)
        self._nonces[nonce] = (self._mono_ns(), 0)
        while len(self._nonces) > NONCES_KEPT:
            self._nonces.popitem(last=False)
        again = ", stale=true" if stale else ""
        offers = tuple(
            (
                "WWW-Authenticate",
                f'Digest realm="{REALM}", qop="auth", algorithm={name}, nonce="{nonce}"{again}',
            )
            for name in _HASHES
        )
        return Answer(401, headers=offers)


def digest_authorization(
    challenges: list[str], method: str, target: str, user: str, password: str
) -> str | None:
    """The header that answers a device's challenge; None where it asks for something else."""
    offered = [digest_parts(text[7:]) for text in challenges if text[:7].lower() == "digest "]
    for algorithm in _HASHES:
        for asked in offered:
            if asked.get("algorithm", "MD5").upper() == algorithm and "nonce" in asked:
                return _authorization(asked, algorithm, method, target, user, password)
    return None


def _authorization(
    asked: dict[str, str], algorithm: str, method: str, target: str, user: str, password: str
) -> str:
    names = ("realm", "nonce", "opaque")
    given = {name: asked[name] for name in names if name in asked} | {"uri": target}
    given.setdefault("realm", "")
    if "auth" in re.split(r"[ ,]+", asked.get("qop", "")):
        given |= {"qop": "auth", "nc": "00000001", "cnonce": secrets.token_hex(8)}
    given["algorithm"] = algorithm
    proof = digest_response(given, method, user, password)
    bare = ("qop", "nc", "algorithm")
    said = given | {"username": user, "response": proof}
    parts = (f"{k}={v}" if k in bare else f'{k}="{v}"' for k, v in said.items())
    return f"Digest {', '.join(parts)}"


def read_secret(path: Path, what: str) -> str:
    """The first line of a secret's file.

    Raises
    ------
    ConfigError
        It can't be read, is empty, or others than its owner and group may read it.
    """
    try:
        mode = path.stat().st_mode
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{what}：读不到密钥文件 {path}", f"{what}: cannot read the secret's file {path}"
        ) from error
    if not lines or not lines[0].strip() or mode & 0o007:
        raise ConfigError(
            f"{what}：密钥文件 {path} 为空，或任何人可读",
            f"{what}: the secret's file {path} is empty, or anybody may read it",
            next_zh="写入密钥，然后 chmod 640",
            next_en="write the secret into it, then chmod 640",
        )
    return lines[0].strip()
