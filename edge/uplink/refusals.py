"""Why a broker cannot be reached or says no, in plain words.

Reason codes as in MQTT 5.0 (OASIS Standard, 2019), section 2.4; paho maps those of 3.1.1 to them.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from typing import TypeVar

from edge.errors import LinkDown, Text, why_zh
from edge.uplink.certificates import Validity

UNSPECIFIED = 128
UNSUPPORTED_PROTOCOL = 132
NOT_AUTHORISED = 135
TOO_MANY_AT_ONCE = 147
TOO_LARGE = 149
TOO_FAST = 150
QUOTA_EXCEEDED = 151
QOS_NOT_SUPPORTED = 155
NO_SUBSCRIBER = 16
"""A success by its number: the broker took the message, and nobody is there to get it."""

FULL = frozenset({TOO_MANY_AT_ONCE, TOO_FAST, QUOTA_EXCEEDED})
"""The broker can't take more now; what waits is not at fault."""

R = TypeVar("R", bound=LinkDown)

_ASK_CENTRE = Text("请联系中心的平台管理员", "ask the administrator of the centre's broker")
_WAIT = Text("程序会自动重试，无需操作", "it is tried again by itself")
_CHECK_LOGIN = Text(
    "检查 [uplink] username 和 password_file", "check [uplink] username and password_file"
)
_CHECK_ADDRESS = Text("检查 [uplink] broker 和网络", "check [uplink] broker and the network")
_CHECK_CLOCK = Text("检查本机时钟", "check this machine's clock")
_ELSEWHERE = Text(
    "向中心询问新地址，改 [uplink] broker", "ask the centre for its address and set [uplink] broker"
)

_REASONS: dict[int, tuple[Text, Text]] = {
    UNSPECIFIED: (
        Text("中心平台拒绝，没有说明原因", "the broker refuses and does not say why"),
        _ASK_CENTRE,
    ),
    131: (Text("中心平台不接受这种消息", "the broker does not take such a message"), _ASK_CENTRE),
    UNSUPPORTED_PROTOCOL: (
        Text("中心平台不支持 MQTT 5 和 3.1.1", "the broker speaks neither MQTT 5 nor 3.1.1"),
        _ASK_CENTRE,
    ),
    133: (
        Text("中心平台不接受本站的客户端名称", "the broker refuses this station's client id"),
        _ASK_CENTRE,
    ),
    134: (Text("用户名或密码错误", "wrong user name or password"), _CHECK_LOGIN),
    NOT_AUTHORISED: (
        Text("中心平台没有给本站授权", "the broker does not authorise this station"),
        _ASK_CENTRE,
    ),
    136: (Text("中心平台暂时不可用", "the broker is not available now"), _WAIT),
    137: (Text("中心平台正忙", "the broker is busy"), _WAIT),
    138: (Text("本站已被中心平台禁用", "the broker has banned this station"), _ASK_CENTRE),
    139: (Text("中心平台正在关机", "the broker is shutting down"), _WAIT),
    141: (Text("中心平台长时间没有收到本站的消息", "the broker heard nothing for too long"), _WAIT),
    142: (
        Text("另一台机器用了同一个站点编号", "another machine uses the same station id"),
        Text("检查两台机器的 [station] id", "check [station] id on both machines"),
    ),
    144: (Text("中心平台不接受这个主题", "the broker does not take this topic"), _ASK_CENTRE),
    TOO_MANY_AT_ONCE: (
        Text("中心平台已满：一次收不下这么多", "the broker is full: too much at once"),
        Text("调小 [uplink] window；程序会自动重试", "lower [uplink] window; it is tried again"),
    ),
    TOO_LARGE: (
        Text("消息超过中心平台的上限", "a message is too large for the broker"),
        _ASK_CENTRE,
    ),
    TOO_FAST: (
        Text("中心平台已满：消息太频繁", "the broker is full: messages come too fast"),
        _WAIT,
    ),
    QUOTA_EXCEEDED: (
        Text("中心平台已满：配额用完", "the broker is full: its quota is used up"),
        _ASK_CENTRE,
    ),
    152: (Text("中心平台的管理员断开了本站", "the broker's administrator cut us off"), _ASK_CENTRE),
    153: (Text("中心平台不接受这种内容", "the broker does not take this content"), _ASK_CENTRE),
    154: (Text("中心平台不保留消息", "the broker retains no messages"), _ASK_CENTRE),
    QOS_NOT_SUPPORTED: (
        Text(
            "中心平台不提供确认送达（QoS 1）", "the broker offers no acknowledged delivery (QoS 1)"
        ),
        _ASK_CENTRE,
    ),
    156: (Text("中心平台暂时换了地址", "the broker is at another address for now"), _ELSEWHERE),
    157: (Text("中心平台搬到了别的地址", "the broker has moved"), _ELSEWHERE),
    159: (Text("连接中心平台太频繁", "connections come too fast for the broker"), _WAIT),
    160: (Text("中心平台限定的连接时间到了", "the broker ends connections after a time"), _WAIT),
}


class MessageTooLarge(LinkDown):
    """The broker does not take a message of this size."""


class PublishRefused(LinkDown):
    """The broker answered a PUBLISH with a reason code; the line itself works."""

    code = 0


def refused(broker: str, code: int, name: str) -> LinkDown:
    """The broker answered with a reason code."""
    return _down(LinkDown, broker, *_reason(code, name))


def refused_at_door(broker: str, code: int, name: str) -> LinkDown:
    """The broker answered CONNECT with a reason code; some say 135 for a wrong password too."""
    if code != NOT_AUTHORISED:
        return refused(broker, code, name)
    return _down(
        LinkDown,
        broker,
        Text("用户名或密码错误，或没有授权", "wrong user name or password, or not authorised"),
        _CHECK_LOGIN,
    )


def publish_refused(broker: str, code: int, topic: str) -> PublishRefused:
    """The broker answered PUBLISH with a reason code."""
    what, step = _reason(code, "publish")
    if code == NOT_AUTHORISED:
        what = Text(
            f"中心平台没有授权本站发送 {topic}",
            f"the broker does not authorise this station to publish {topic}",
        )
    error = _down(PublishRefused, broker, what, step)
    error.code = code
    return error


def subscription_refused(broker: str, code: int, topic: str) -> LinkDown:
    """The broker answered SUBSCRIBE with a reason code; 3.1.1 knows but one."""
    if code not in (UNSPECIFIED, NOT_AUTHORISED):
        return refused(broker, code, "subscribe")
    what = Text(
        f"中心平台没有授权本站接收 {topic}",
        f"the broker does not authorise this station to receive {topic}",
    )
    return _down(LinkDown, broker, what, _ASK_CENTRE)


def too_large(size_bytes: int, most_bytes: int) -> MessageTooLarge:
    """A message would not fit; it is not sent."""
    return MessageTooLarge(
        f"消息 {size_bytes} 字节，中心平台最多收 {most_bytes} 字节",
        f"message of {size_bytes} bytes, the broker takes {most_bytes}",
    )


def unreachable(
    broker: str, error: OSError | UnicodeError, certificates: Sequence[Validity] = ()
) -> LinkDown:
    """No connection came about; a `UnicodeError` is of a host name that can't be one."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _down(LinkDown, broker, *_explain_certificate(error))
    if isinstance(error, ssl.SSLError):
        # OpenSSL does not always name a reason.
        return alerted(broker, str(getattr(error, "reason", None) or error), certificates)
    return _down(LinkDown, broker, *_explain(error))


def alerted(
    broker: str, reason: str, certificates: Sequence[Validity], now_s: float | None = None
) -> LinkDown:
    """The broker hung up with an alert of TLS, by OpenSSL's name for it."""
    now_s = time.time() if now_s is None else now_s
    return _down(LinkDown, broker, *_explain_alert(reason, certificates, now_s))


def lost(broker: str) -> LinkDown:
    """The connection ended without a word."""
    return _down(LinkDown, broker, Text("连接中断", "the connection was lost"), _WAIT)


def mute(broker: str) -> LinkDown:
    """The line is open, but nothing is acknowledged on it."""
    return _down(LinkDown, broker, Text("中心平台不应答", "the broker does not answer"), _WAIT)


def _reason(code: int, name: str) -> tuple[Text, Text]:
    unknown = Text(f"中心平台拒绝（{code}）", f"the broker refuses: {name} ({code})")
    return _REASONS.get(code, (unknown, _ASK_CENTRE))


def _down(kind: type[R], broker: str, what: Text, step: Text) -> R:
    return kind(
        f"中心平台 {broker}：{what.zh}",
        f"broker {broker}: {what.en}",
        next_zh=step.zh,
        next_en=step.en,
    )


def _explain(error: OSError | UnicodeError) -> tuple[Text, Text]:
    if isinstance(error, socket.gaierror | UnicodeError):
        return Text("找不到这个主机名", "the host name is unknown"), _CHECK_ADDRESS
    if isinstance(error, ConnectionRefusedError):
        return Text("端口没有打开", "the port is closed"), _CHECK_ADDRESS
    if isinstance(error, TimeoutError):
        return Text("没有应答", "no answer"), _CHECK_ADDRESS
    return Text(f"网络不通{why_zh(error)}", f"no way there: {error.strerror}"), _CHECK_ADDRESS


# ----------------------------------------------------------------------------------------------
# TLS

_CERTIFICATE_EXPIRED = 10
_NOT_YET_VALID = 9
_HOST_MISMATCH = (62, 64)

_ALERTS: dict[str, tuple[Text, Text]] = {
    "CERTIFICATE_EXPIRED": (
        Text(
            "中心平台说本站的证书已过期", "the broker says this station's certificate has expired"
        ),
        Text("向中心申请新证书；检查本机时钟", "ask the centre for a new one; check the clock"),
    ),
    "CERTIFICATE_REVOKED": (
        Text("本站的证书已被吊销", "this station's certificate was revoked"),
        Text("向中心申请新证书", "ask the centre for a new certificate"),
    ),
    "CERTIFICATE_REQUIRED": (
        Text("中心平台要求本站出示证书", "the broker demands a certificate of this station"),
        Text("设置 [uplink] cert_file 和 key_file", "set [uplink] cert_file and key_file"),
    ),
    "UNKNOWN_CA": (
        Text(
            "中心平台不信任签发本站证书的机构", "the broker does not trust our certificate's issuer"
        ),
        Text("检查 [uplink] cert_file 是否由中心签发", "check that the centre issued cert_file"),
    ),
    "BAD_CERTIFICATE": (
        Text("中心平台不接受本站的证书", "the broker does not take this station's certificate"),
        Text("向中心申请新证书；检查本机时钟", "ask the centre for a new one; check the clock"),
    ),
    "PROTOCOL_VERSION": (
        Text("中心平台的 TLS 版本太旧", "the broker's TLS is too old"),
        _ASK_CENTRE,
    ),
}
"""Alerts of RFC 8446, 6.2, by the end of OpenSSL's name for them."""


def _explain_alert(
    reason: str, certificates: Sequence[Validity], now_s: float
) -> tuple[Text, Text]:
    for own in certificates:  # what we can see ourselves says more than an alert
        if own.ends_s <= now_s:
            return Text(f"{own.whose.zh}已过期", f"{own.whose.en} has expired"), own.renew
        if own.begins_s > now_s:
            text = Text(f"{own.whose.zh}尚未生效", f"{own.whose.en} is not valid yet")
            return text, _CHECK_CLOCK
    for name, words in _ALERTS.items():
        if reason.endswith(name):
            return words
    return Text(f"TLS 握手失败（技术细节：{reason}）", f"TLS handshake failed: {reason}"), Text(
        "检查端口是否为 TLS 端口，证书是否有效",
        "check that the port speaks TLS and the certificates are valid",
    )


def _explain_certificate(error: ssl.SSLCertVerificationError) -> tuple[Text, Text]:
    """OpenSSL's verify codes (openssl-verification-options) that an installer can do much about."""
    if error.verify_code == _CERTIFICATE_EXPIRED:
        return Text("中心平台的证书已过期", "the broker's certificate has expired"), _ASK_CENTRE
    if error.verify_code == _NOT_YET_VALID:
        return Text("中心平台的证书尚未生效", "the broker's certificate is not valid yet"), (
            _CHECK_CLOCK
        )
    if error.verify_code in _HOST_MISMATCH:
        return Text("证书不是这个主机的", "the certificate belongs to another host"), Text(
            "检查 [uplink] broker 的主机名", "check the host name in [uplink] broker"
        )
    return Text(
        f"不信任中心平台的证书（技术细节：{error.verify_message}）",
        f"the broker's certificate is not trusted ({error.verify_message})",
    ), Text("检查 [uplink] ca_file", "check [uplink] ca_file")
