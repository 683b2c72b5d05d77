"""How to reach the centre's broker: address, TLS and password, read from the station file."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from edge.config import UplinkSection
from edge.errors import ConfigError, why_zh
from edge.uplink.certificates import Validity, own_validity, root_validity

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Access:
    """Where the broker is and by what it knows us. The password appears in no text."""

    host: str
    port: int
    tls: Tls | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    certificates: tuple[Validity, ...] = ()
    """Of this station and of its authorities, where a file names them."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def read_access(section: UplinkSection, resolve: Callable[[Path], Path]) -> Access:
    """Access by ``[uplink]``; files are read anew each time, so a renewed one is taken at once.

    Raises
    ------
    ConfigError
        A file is missing, unreadable, not what it should be, or a secret others can read.
    """
    parts = urlsplit(section.broker)
    is_tls = parts.scheme == "mqtts"
    return Access(
        host=parts.hostname or "",
        port=parts.port or _PORTS[parts.scheme],
        tls=_tls(section, resolve) if is_tls else None,
        username=section.username,
        password=_password(resolve(section.password_file)) if section.password_file else None,
        certificates=_certificates(section, resolve) if is_tls else (),
    )


def _password(path: Path) -> str:
    _refuse_shared(path, "password_file")
    return path.read_text(encoding="utf-8").rstrip("\r\n")


class Tls(ssl.SSLContext):
    """A context that remembers why the other end hung up.

    In TLS 1.3 a broker refuses a client's certificate after the handshake (RFC 8446, 4.4.2), by
    an alert that comes with the first read, where paho makes a lost connection of it.
    """

    alert: str = ""
    """OpenSSL's name of it; the error itself would keep paho's client alive."""


class _Socket(ssl.SSLSocket):
    """paho leaves the socket of a failed handshake open; this one closes itself."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if isinstance(self.context, Tls):
                self.context.alert = str(error.reason or error)
            raise


def _tls(section: UplinkSection, resolve: Callable[[Path], Path]) -> Tls:
    try:
        context = Tls(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = _Socket
        if section.ca_file:
            context.load_verify_locations(resolve(section.ca_file))
        else:
            context.load_default_certs()
        if section.cert_file and section.key_file:
            _refuse_shared(resolve(section.key_file), "key_file")
            context.load_cert_chain(resolve(section.cert_file), resolve(section.key_file))
    except OSError as error:  # ssl.SSLError is one
        raise _useless(error) from error
    return context


def _certificates(section: UplinkSection, resolve: Callable[[Path], Path]) -> tuple[Validity, ...]:
    files = ((section.cert_file, own_validity), (section.ca_file, root_validity))
    try:
        return tuple(read(resolve(path)) for path, read in files if path)
    except (OSError, ValueError) as error:
        raise _useless(error) from error


def _useless(error: Exception) -> ConfigError:
    return ConfigError(
        f"[uplink] 的证书或私钥用不了{why_zh(error)}",
        f"a certificate or key of [uplink] cannot be used: {error}",
        next_zh="检查 ca_file、cert_file、key_file（PEM 格式）",
        next_en="check ca_file, cert_file and key_file (PEM)",
    )


def _refuse_shared(path: Path, key: str) -> None:
    """A secret that others on this machine can read is none."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(
            f"读不到 [uplink] {key} {path}{why_zh(error)}",
            f"cannot read [uplink] {key} {path}: {error.strerror}",
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"[uplink] {key} {path} 其他用户也能读写",
            f"[uplink] {key} {path} is open to other users",
            next_zh=f"运行 chmod 600 {path}",
            next_en=f"run chmod 600 {path}",
        )
