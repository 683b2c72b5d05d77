"""A centre that does not answer: told in words by what is known of why, asked with one record."""

from __future__ import annotations

from edge.errors import LinkDown, Text
from edge.health import Health, Level

_AFTER = 3
"""Parcels in a row without a receipt."""

_KEPT = Text("证据仍保存在本站，会继续重发", "the records stay here and go again")
_ASK_CENTRE = Text("请联系中心", "call the centre")
_NOBODY = Text(
    f"中心平台已收下，但案件系统没有连接；{_KEPT.zh}",
    f"the broker takes the records, but no case system is connected to it; {_KEPT.en}",
)
_MUTE = Text(
    f"中心已连接，但没有回执；{_KEPT.zh}",
    f"connected, but the centre sends no receipts; {_KEPT.en}",
)
_DROPPED = Text(
    f"没有回执：案件系统未运行，或中心平台不允许本站发送而不说明（MQTT 3.1.1）；{_KEPT.zh}",
    "no receipts: the case system does not run, or the broker forbids this station to publish"
    f" and does not say so (MQTT 3.1.1); {_KEPT.en}",
)
_CHECK_ACL = Text(
    "请中心检查案件系统是否运行、平台的访问规则是否允许本站发送 wim/v1/<站点>/up/#",
    "ask the centre whether its case system runs and its access list lets this station publish"
    " wim/v1/<station>/up/#",
)


class Silence:
    """Counts what gets no answer, and says why as far as anybody can know."""

    def __init__(self, health: Health) -> None:
        self.nobody_there = False
        """The broker said that nobody was subscribed (MQTT 5, reason 16)."""
        self._health = health
        self._unanswered = 0

    @property
    def holds(self) -> bool:
        """Whether one record at a time goes on asking."""
        return self._unanswered >= _AFTER

    def limit(self, most: int) -> int:
        """How many may be on their way."""
        return 1 if self.holds else most

    def missed(self, *, tells_refusals: bool) -> bool:
        """One more without an answer; true if that begins the silence."""
        self._unanswered += 1
        if not self.holds:
            return False
        text, step = _MUTE, _ASK_CENTRE
        if self.nobody_there:
            text = _NOBODY
        elif not tells_refusals:
            text, step = _DROPPED, _CHECK_ACL
        self._health.state("uplink.receipts", Level.WARNING, *text, next_step=step)
        return self._unanswered == _AFTER

    def refused(self, refusal: LinkDown) -> None:
        """The broker itself says that it takes no more now."""
        self._unanswered = max(self._unanswered, _AFTER)
        text = Text(f"{refusal.what.zh}；{_KEPT.zh}", f"{refusal.what.en}; {_KEPT.en}")
        self._health.state("uplink.receipts", Level.WARNING, *text, next_step=refusal.next_step)

    def ended(self) -> bool:
        """The centre has answered; true if it had been silent."""
        was, self._unanswered = self.holds, 0
        return was
