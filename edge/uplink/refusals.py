"""Why a broker cannot be reached or says no, in plain words.

Reason codes as in MQTT 5.0 (OASIS Standard, 2019), section 2.4; paho maps those of 3.1.1 to them.
"""

from __future__ import annotations

import socket
import ssl

from edge.errors import LinkDown, Text

UNSUPPORTED_PROTOCOL = 132
NOT_AUTHORISED = 135
QUOTA_EXCEEDED = 151

_ASK_CENTRE = Text("请联系中心的平台管理员", "ask the administrator of the centre's broker")
_WAIT = Text("程序会自动重试，无需操作", "it is tried again by itself")
_CHECK_LOGIN = Text(
    "检查 [uplink] username 和 password_file", "check [uplink] username and password_file"
)

_REASONS: dict[int, tuple[Text, Text]] = {
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
    149: (Text("消息超过中心平台的上限", "a message is too large for the broker"), _ASK_CENTRE),
    QUOTA_EXCEEDED: (Text("中心平台的配额用完", "the broker's quota is used up"), _ASK_CENTRE),
}


def refused(broker: str, code: int, name: str) -> LinkDown:
    """The broker answered with a reason code."""
    what, step = _REASONS.get(
        code, (Text(f"中心平台拒绝（{code}）", f"the broker refuses: {name} ({code})"), _ASK_CENTRE)
    )
    return _down(broker, what, step)


def refused_at_door(broker: str, code: int, name: str) -> LinkDown:
    """The broker answered CONNECT with a reason code; some say 135 for a wrong password too."""
    if code != NOT_AUTHORISED:
        return refused(broker, code, name)
    return _down(
        broker,
        Text("用户名或密码错误，或没有授权", "wrong user name or password, or not authorised"),
        _CHECK_LOGIN,
    )


def unreachable(broker: str, error: OSError) -> LinkDown:
    """No connection came about."""
    return _down(broker, *_explain(error))


def lost(broker: str) -> LinkDown:
    """The connection ended without a word."""
    return _down(broker, Text("连接中断", "the connection was lost"), _WAIT)


def mute(broker: str) -> LinkDown:
    """The line is open, but nothing is acknowledged on it."""
    return _down(broker, Text("中心平台不应答", "the broker does not answer"), _WAIT)


def _down(broker: str, what: Text, step: Text) -> LinkDown:
    return LinkDown(
        f"中心平台 {broker}：{what.zh}",
        f"broker {broker}: {what.en}",
        next_zh=step.zh,
        next_en=step.en,
    )


def _explain(error: OSError) -> tuple[Text, Text]:
    check_address = Text("检查 [uplink] broker 和网络", "check [uplink] broker and the network")
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error)
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or error  # OpenSSL does not always name one
        return Text(f"TLS 握手失败：{reason}", f"TLS handshake failed: {reason}"), Text(
            "检查端口是否为 TLS 端口，证书是否有效",
            "check that the port speaks TLS and the certificates are valid",
        )
    if isinstance(error, socket.gaierror):
        return Text("找不到这个主机名", "the host name is unknown"), check_address
    if isinstance(error, ConnectionRefusedError):
        return Text("端口没有打开", "the port is closed"), check_address
    if isinstance(error, TimeoutError):
        return Text("没有应答", "no answer"), check_address
    return Text(f"网络不通：{error.strerror}", f"no way there: {error.strerror}"), check_address


_CERTIFICATE_EXPIRED = 10
_NOT_YET_VALID = 9
_HOST_MISMATCH = (62, 64)


def _explain_certificate(error: ssl.SSLCertVerificationError) -> tuple[Text, Text]:
    """OpenSSL's verify codes (openssl-verification-options) that an installer can do much about."""
    if error.verify_code == _CERTIFICATE_EXPIRED:
        return Text("中心平台的证书已过期", "the broker's certificate has expired"), _ASK_CENTRE
    if error.verify_code == _NOT_YET_VALID:
        return Text("中心平台的证书尚未生效", "the broker's certificate is not valid yet"), Text(
            "检查本机时钟", "check this machine's clock"
        )
    if error.verify_code in _HOST_MISMATCH:
        return Text("证书不是这个主机的", "the certificate belongs to another host"), Text(
            "检查 [uplink] broker 的主机名", "check the host name in [uplink] broker"
        )
    return Text(
        f"不信任中心平台的证书（{error.verify_message}）",
        f"the broker's certificate is not trusted ({error.verify_message})",
    ), Text("检查 [uplink] ca_file", "check [uplink] ca_file")
