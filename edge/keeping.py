"""Keeps one digitiser's program: hears the device, carries out orders, states every step.

Thin: ``firmware_bridge.update`` knows how an image gets into a device, ``edge.seals`` whether a
device is the one that was accepted. Here they meet the log and the page.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from edge.config import DigitiserSection
from edge.errors import NO_STEP, Text
from edge.evidence.events import firmware_draft, identity_draft, operator_draft
from edge.firmware_orders import Acceptance, Order, trusted_keys
from edge.firmware_words import ACCEPT, BROKEN, UNPROVEN, step_text
from edge.health import Health, Level
from edge.records import Draft
from edge.seals import Identity, Seal, SealState
from firmware_bridge.messages import Hello
from firmware_bridge.session import BlockSeen, Event, FirmwareSeen, HelloSeen
from firmware_bridge.update import Step, StepName, UpdateHost
from firmware_bridge.update_image import BadImage, check_image, signer_of
from firmware_bridge.update_messages import HEAD_BYTES, Refusal, UpdateWord

__all__ = ["DeviceKeeper"]


class DeviceKeeper:
    """Watches one digitiser's program, and changes it where a person ordered that.

    Parameters
    ----------
    section : DigitiserSection
    lanes : sequence of str
        Those that it weighs for.
    health : Health
        Gets the state ``firmware.<id>``.
    say : callable
        Takes statements for the log.
    utc_ns, steady_ns : callable
        Time of statements; time by which vehicles are timed.
    """

    def __init__(
        self,
        section: DigitiserSection,
        lanes: Sequence[str],
        health: Health,
        say: Callable[[Draft], None],
        utc_ns: Callable[[], int],
        steady_ns: Callable[[], int],
    ) -> None:
        self.device, self.keys = section.id, trusted_keys(section)
        self._lanes, self._health, self._say = ", ".join(lanes), health, say
        self._utc_ns, self._steady_ns = utc_ns, steady_ns
        self._seal = Seal()
        self._hello: Hello | None = None
        self._image_sha256: str | None = None
        self._heard_from_s = 0.0
        self._host: UpdateHost | None = None
        self._barred_until_ns = 0
        self.order: Order | None = None
        self.ended: StepName | None = None
        self._last_step = self._reason = ""
        self._show(Level.WAITING, Text("等待设备报到", "waiting for the device"))

    # ------------------------------------------------------------------------------ the device

    def hear(self, events: Sequence[Event]) -> list[UpdateWord]:
        """What the device said; what it is to be told about an update."""
        now_s = self._steady_ns() / 1e9
        for event in events:
            match event:
                case HelloSeen(hello, first):
                    self._greeted(hello, first, now_s)
                case FirmwareSeen(told):
                    self._image_sha256 = told.image_sha256.hex()
                    if self._host:
                        self._host.firmware(told, now_s)
                case BlockSeen() if self._host and self._hello:
                    whole = not (event.lost_before or event.restarted)
                    self._host.samples(len(event.counts) / self._hello.rate_hz, whole=whole)
        words = self._host.words(now_s) if self._host else []
        self._tell_steps()
        if any(isinstance(event, HelloSeen | FirmwareSeen) for event in events):
            self._look(now_s)
        return words

    def _greeted(self, hello: Hello, first: bool, now_s: float) -> None:
        self._hello = hello
        if first:
            self._image_sha256, self._heard_from_s = None, now_s
        if self._host:
            if first:
                self._host.restarted()
            self._host.hello(hello, now_s)

    def bars(self, time_ns: int) -> bool:
        """Whether a vehicle of this steady time was weighed under a seal that is in question."""
        return self._seal.bars or time_ns <= self._barred_until_ns

    # -------------------------------------------------------------------------------- the seal

    def load(self, newest: Mapping[str, Any] | None) -> None:
        """What the log said last of this device's identity."""
        self._seal.load(newest)

    def _look(self, now_s: float) -> None:
        if self._hello is None:
            return
        hello, host = self._hello, self._host
        seen = Identity(hello.serial, hello.model, hello.firmware, self._image_sha256)
        ordered = host.image_sha256.hex() if host else None
        before, barred = self._seal.accepted, self._seal.bars
        event = self._seal.look(seen, now_s - self._heard_from_s, ordered)
        if event:
            self._state_identity(event, seen, before)
        if barred or self._seal.bars:
            self._barred_until_ns = self._steady_ns()
        self._show_state()

    def accept(self, acceptance: Acceptance) -> None:
        """A person answers for the device, as long as it is still the one that he saw."""
        seen, before = self._seal.seen, self._seal.accepted
        if seen != acceptance.identity:
            self._health.count(f"firmware.{self.device}.acceptances_refused")
            return
        about = {"device": self.device, "by": acceptance.by, "reason": acceptance.reason}
        self._say(operator_draft(self._utc_ns(), "device-accepted", about))
        self._barred_until_ns = self._steady_ns()
        self._seal.accept(acceptance.identity)
        self._state_identity(
            "accepted", acceptance.identity, before, acceptance.by, acceptance.reason
        )
        self._show_state()

    def _state_identity(
        self, event: str, now: Identity, before: Identity | None, by: str = "", reason: str = ""
    ) -> None:
        self._say(
            identity_draft(
                self._utc_ns(),
                self.device,
                event,
                now=now.to_body(),
                before=before.to_body() if before else None,
                by=by,
                reason=reason,
            )
        )

    # ------------------------------------------------------------------------------ the update

    def take_order(self, order: Order) -> None:
        """Begin with an order, or go on with it after a new start of the station."""
        self.order, self.ended = order, None
        if not order.begun:
            self.order = replace(order, begun=True)
            self._state_step("ordered")
        try:
            check_image(order.image, list(self.keys.values()))
        except BadImage as error:
            self._end("refused", error.refusal)
        else:
            self._host = UpdateHost(order.image, _token, switched=order.switched)

    def _tell_steps(self) -> None:
        if self._host is None or self.order is None:
            return
        for step in self._host.take_steps():
            if step.name == "switching":
                self.order = replace(self.order, switched=True)
            if step.name == self._host.ended:
                self._end(step.name, step.refusal, step)
            else:
                self._state_step(step.name, step.refusal, step)

    def _end(self, name: StepName, refusal: Refusal, step: Step | None = None) -> None:
        self._state_step(name, refusal, step)
        self._host, self.ended = None, name
        if name == "confirmed" and self._hello is not None and self._image_sha256 is not None:
            hello, before = self._hello, self._seal.accepted
            seen = Identity(hello.serial, hello.model, hello.firmware, self._image_sha256)
            by = self.order.by if self.order else ""
            if seen != before and self._seal.state is not SealState.BROKEN:
                self._seal.accept(seen)
                self._state_identity("updated", seen, before, by)

    def _state_step(
        self, name: str, refusal: Refusal = Refusal.NONE, step: Step | None = None
    ) -> None:
        assert self.order is not None
        reason = "" if refusal is Refusal.NONE else refusal.name.lower()
        self._say(
            firmware_draft(
                self._utc_ns(),
                self.device,
                name,
                image=self.order.about,
                signer=self._signer(self.order.image),
                by=self.order.by,
                block=step.block if step else 0,
                blocks=step.blocks if step else 0,
                reason=reason,
            )
        )
        self._last_step, self._reason = name, reason

    def _signer(self, image: bytes) -> str:
        try:
            public = signer_of(image[:HEAD_BYTES], list(self.keys.values()))
        except BadImage:
            return ""
        return next(name for name, key in self.keys.items() if key == public)

    # ------------------------------------------------------------------------------- for people

    def _show_state(self) -> None:
        firmware = self._hello.firmware if self._hello else ""
        match self._seal.state:
            case SealState.BROKEN:
                self._show(Level.DOWN, BROKEN, ACCEPT)
            case SealState.UNPROVEN:
                self._show(Level.WARNING, UNPROVEN)
            case SealState.TRIAL:
                zh, en = f"新固件 {firmware} 试运行", f"firmware {firmware} is on trial"
                self._show(Level.WARNING, self._not_legal(zh, en))
            case SealState.WHOLE if self._host is not None:
                self._show(Level.WARNING, self._going())
            case SealState.WHOLE if self.ended not in (None, "confirmed"):
                self._show(Level.WARNING, step_text(self._last_step, self._reason))
            case SealState.WHOLE:
                self._show(
                    Level.OK,
                    Text(f"封印完好，固件 {firmware}", f"seal whole, firmware {firmware}"),
                )

    def _not_legal(self, zh: str, en: str) -> Text:
        return Text(
            f"{zh}：车道 {self._lanes} 的结果暂不作依据",
            f"{en}: no legal result on lane {self._lanes} until it is kept",
        )

    def _going(self) -> Text:
        assert self._host is not None
        share = self._host.received * 100 // self._host.blocks if self._host.blocks else 0
        return Text(
            f"正在传送固件 {share} %，称重照常", f"an update is on its way, {share} %; it weighs on"
        )

    def _show(self, level: Level, text: Text, step: Text = NO_STEP) -> None:
        self._health.state(f"firmware.{self.device}", level, *text, next_step=step)

    def status(self) -> dict[str, Any]:
        """For the command line."""
        seen, accepted = self._seal.seen, self._seal.accepted
        return {
            "seal": self._seal.state.value,
            "seen": seen.to_body() if seen else None,
            "accepted": accepted.to_body() if accepted else None,
            "update": self._update() if self.order else None,
        }

    def _update(self) -> dict[str, Any]:
        assert self.order is not None
        return {
            "sha256": self.order.sha256,
            "ordered_us": self.order.ordered_us,
            "step": self._last_step,
            "reason": self._reason,
            "block": self._host.received if self._host else 0,
            "blocks": self._host.blocks if self._host else 0,
            "ended": self.ended,
        }


def _token() -> int:
    return secrets.randbelow((1 << 32) - 1) + 1
