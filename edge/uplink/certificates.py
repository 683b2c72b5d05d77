"""How long the certificates of the line hold, and the warning 60, 30 and 7 days before they end."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from edge.errors import Text
from edge.health import Level

_DAY_S = 86_400
WARN_DAYS = (7, 30, 60)


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a certificate holds; seconds since 1970-01-01 UTC."""

    whose: Text
    begins_s: float
    ends_s: float
    renew: Text
    """What to do before it ends."""

    def days_left(self, now_s: float) -> float:
        """Days until it ends, negative afterwards."""
        return (self.ends_s - now_s) / _DAY_S


_OWN = Text("本站的证书", "this station's certificate")
_ROOT = Text("ca_file 中的根证书", "the authority's certificate in ca_file")
_BROKER = Text("中心平台的证书", "the broker's certificate")
_RENEW_OWN = Text(
    "向中心申请新证书，换掉 [uplink] cert_file 和 key_file；不用重启",
    "ask the centre for a new one and replace [uplink] cert_file and key_file; no restart needed",
)
_RENEW_ROOT = Text(
    "向中心索取新的根证书，换掉 [uplink] ca_file；不用重启",
    "ask the centre for the new one and replace [uplink] ca_file; no restart needed",
)
_RENEW_BROKER = Text("通知中心的平台管理员", "tell the administrator of the centre's broker")


def own_validity(path: Path) -> Validity:
    """Of the station's certificate, the first in the file.

    Raises
    ------
    OSError, ValueError
        The file can't be read, or holds no certificate.
    """
    return _validity(_OWN, _RENEW_OWN, x509.load_pem_x509_certificates(path.read_bytes())[:1])


def root_validity(path: Path) -> Validity:
    """Of the authorities, until the first of them ends; raises as ``own_validity``."""
    return _validity(_ROOT, _RENEW_ROOT, x509.load_pem_x509_certificates(path.read_bytes()))


def broker_validity(peer: Mapping[str, object]) -> Validity:
    """Of the broker's certificate, as ``ssl.SSLSocket.getpeercert`` gives it."""
    begins, ends = (ssl.cert_time_to_seconds(str(peer[key])) for key in ("notBefore", "notAfter"))
    return Validity(_BROKER, begins, ends, _RENEW_BROKER)


def _validity(whose: Text, renew: Text, certificates: list[x509.Certificate]) -> Validity:
    return Validity(
        whose,
        max(c.not_valid_before_utc.timestamp() for c in certificates),
        min(c.not_valid_after_utc.timestamp() for c in certificates),
        renew,
    )


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be said of the certificates today."""

    level: Level
    text: Text
    next_step: Text
    days_left: float
    stage: int
    """Days of the warning that holds, 0 after the end, -1 where there is nothing to warn of."""


def outlook(validities: Iterable[Validity], now_s: float) -> Outlook | None:
    """The state of the certificate that ends first; None where there are none."""
    first = min(validities, key=lambda v: v.ends_s, default=None)
    if first is None:
        return None
    days = first.days_left(now_s)
    whose = first.whose
    if days <= 0:
        text = Text(f"{whose.zh}已过期", f"{whose.en} has expired")
        return Outlook(Level.DOWN, text, first.renew, days, 0)
    stage = next((stage for stage in WARN_DAYS if days <= stage), -1)
    text = Text(f"{whose.zh}还有 {int(days)} 天到期", f"{whose.en} ends in {int(days)} days")
    if stage < 0:
        return Outlook(Level.OK, text, Text("", ""), days, stage)
    if stage == WARN_DAYS[0]:
        text = Text(f"紧急：{text.zh}，到期后无法上传", f"urgent: {text.en}, then nothing is sent")
    return Outlook(Level.WARNING, text, first.renew, days, stage)
