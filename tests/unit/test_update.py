"""An update between host and device: whole, interrupted, refused, rolled back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_bridge.messages import Hello
from firmware_bridge.update import HEALTHY_S, UNSUPPORTED_S, UpdateHost
from firmware_bridge.update_image import BadImage, check_image, image_digest, read_head
from firmware_bridge.update_messages import (
    HEAD_BYTES,
    Confirm,
    Firmware,
    ImageBlock,
    Offer,
    Refusal,
    Stage,
    UpdateWord,
)
from simulator.firmware_flash import Flash, PowerCut
from simulator.firmware_maker import HARDWARE, PUBLIC, make_image
from simulator.firmware_slots import Slots
from simulator.firmware_update import TRIAL_S, TRIAL_STARTS, Loader

BLOCK, BLOCKS = 64, 8
OLD = make_image("1.0", rollback=3, size_bytes=200)
NEW = make_image("1.1", rollback=4, size_bytes=300)
TICK_S = 0.25


@dataclass
class Bench:
    """A device with its flash, and a line that may lose words; both share one clock."""

    image: bytes = NEW
    healthy: bool = True
    streams: bool = True
    now_s: float = 0.0
    lose: set[int] = field(default_factory=set)
    told: int = 0
    starts: int = 0
    ran: list[bytes | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slots = Slots(
            Flash(Slots.flash_bytes(BLOCK, BLOCKS)), BLOCK, BLOCKS, HARDWARE, [PUBLIC]
        )
        self.slots.install(OLD)
        self.power_up()
        self.host = self.new_host()

    def new_host(self, *, switched: bool = False) -> UpdateHost:
        self.token = getattr(self, "token", 0)

        def token() -> int:
            self.token += 1
            return self.token

        return UpdateHost(self.image, token, switched=switched)

    def power_up(self) -> None:
        """Start the device, as often as the power fails in its start."""
        while True:
            try:
                self.device = Loader(self.slots, lambda: self.now_s)
            except PowerCut:
                continue
            self.starts += 1
            self.ran.append(self.device.image)
            return

    def hello(self) -> Hello:
        about = self.device.about
        version = about.version if about else "loader"
        return Hello(1, 0, 0, "S", "M", version, 4, 1e3, 1.0, self.starts)

    def tick(self) -> None:
        """A quarter of a second of both."""
        self.now_s += TICK_S
        try:
            self.device.tick()
            if self.device.restarts:
                self.restart()
            self.host.hello(self.hello(), self.now_s)
            if self.streams:
                self.host.samples(TICK_S, whole=self.healthy)
            self.report()
            for word in self.host.words(self.now_s):
                self.told += 1
                if self.told not in self.lose:
                    self.device.obey(word)
                    self.report()
        except PowerCut:
            self.restart()

    def restart(self) -> None:
        self.power_up()
        self.host.restarted()

    def report(self) -> None:
        self.host.firmware(self.device.report(1, 0, 0), self.now_s)

    def run(self, most_s: float = 120.0) -> list[str]:
        """Until it has ended; the names of all steps."""
        end_s, steps = self.now_s + most_s, []
        while self.host.ended is None and self.now_s < end_s:
            self.tick()
            steps += [step.name for step in self.host.take_steps()]
        return steps

    @property
    def report_now(self) -> Firmware:
        return self.device.report(1, 0, 0)


WHOLE = ["offered", "received", "switching", "trial", "confirmed"]


def test_an_update_goes_through_and_raises_the_floor_only_at_its_end() -> None:
    bench = Bench()
    assert bench.run() == WHOLE
    assert bench.report_now.stage is Stage.IDLE
    assert bench.report_now.image_sha256 == hashlib.sha256(NEW).digest()
    assert bench.report_now.rollback == 4
    assert bench.now_s >= HEALTHY_S


def test_words_that_are_lost_are_said_again() -> None:
    bench = Bench(lose={1, 3, 4, 8, 9, 10})
    assert bench.run() == WHOLE


def test_the_host_may_be_killed_at_any_moment() -> None:
    for ticks in range(1, 40):
        bench = Bench()
        for _ in range(ticks):
            bench.tick()
        switched = "switching" in [step.name for step in bench.host.take_steps()]
        bench.host = bench.new_host(switched=switched)
        assert bench.run()[-1] == "confirmed"
        assert bench.device.image == NEW


def test_after_a_break_only_what_is_missing_is_sent() -> None:
    bench = Bench()
    while bench.report_now.next_block < 3:
        bench.tick()
    before = bench.report_now.next_block
    bench.restart()
    bench.host = bench.new_host()
    sent: list[int] = []
    obey = bench.device.obey

    def listen(word: UpdateWord) -> None:
        if isinstance(word, ImageBlock):
            sent.append(word.number)
        obey(word)

    bench.device.obey = listen  # type: ignore[method-assign]
    while not bench.device.restarts:
        bench.tick()
    assert sent == list(range(before, -(-(len(NEW) - HEAD_BYTES) // BLOCK)))


def test_a_program_whose_samples_end_soon_is_not_kept_for_those_that_came() -> None:
    bench = Bench()
    while bench.report_now.stage is not Stage.TRIAL:
        bench.tick()
    for _ in range(round(0.5 * HEALTHY_S / TICK_S)):
        bench.tick()
    bench.streams = False
    assert bench.run()[-1] == "rolled-back"


def test_a_program_that_is_not_healthy_goes_back() -> None:
    bench = Bench(healthy=False)
    assert bench.run() == [*WHOLE[:-1], "rolled-back"]
    assert bench.device.image == OLD
    assert bench.report_now.rollback == 3
    assert bench.now_s >= TRIAL_S


def test_the_same_image_can_be_tried_again() -> None:
    bench = Bench(healthy=False)
    bench.run()
    bench.healthy, bench.host = True, bench.new_host()
    assert bench.run() == ["resumed", *WHOLE[1:]]


def test_a_program_that_falls_over_goes_back_after_its_starts() -> None:
    bench = Bench(healthy=False)
    while bench.device.image != NEW:
        bench.tick()
    for _ in range(TRIAL_STARTS - 1):
        bench.restart()
        assert bench.device.image == NEW
    bench.restart()
    assert bench.device.image == OLD


@pytest.mark.parametrize(
    ("image", "refusal"),
    [
        (make_image("0.9", rollback=2), Refusal.DOWNGRADE),
        (make_image("1.1", rollback=3, hardware="OTHER"), Refusal.HARDWARE),
        (make_image("1.1", rollback=3, size_bytes=BLOCK * BLOCKS + 1), Refusal.SIZE),
        (make_image("1.1", rollback=3, key=Ed25519PrivateKey.generate()), Refusal.SIGNATURE),
    ],
    ids=lambda value: value.name if isinstance(value, Refusal) else "",
)
def test_what_must_not_run_is_refused_before_a_byte_is_sent(image: bytes, refusal: Refusal) -> None:
    bench = Bench(image=image)
    before = bytes(bench.slots.flash.data)
    while bench.host.ended is None:
        bench.tick()
    (step,) = bench.host.take_steps()
    assert (step.name, step.refusal) == ("refused", refusal)
    assert bytes(bench.slots.flash.data) == before


def test_an_older_image_is_refused_once_a_newer_one_is_kept() -> None:
    bench = Bench()
    bench.run()
    bench.image = OLD
    bench.host = bench.new_host()
    assert bench.run() == ["refused"]
    assert bench.device.image == NEW


def test_a_program_changed_on_its_way_never_runs() -> None:
    broken = bytearray(NEW)
    broken[HEAD_BYTES + 70] ^= 1
    bench = Bench(image=bytes(broken))
    assert bench.run() == ["offered", "received", "switching", "damaged"] * 3 + ["refused"]
    assert bench.starts == 1


def test_a_running_program_that_rots_gives_way_to_the_one_before() -> None:
    bench = Bench(image=make_image("1.1", rollback=3, size_bytes=300))
    bench.run()
    at = bytes(bench.slots.flash.data).index(bench.image)
    bench.slots.flash.write(at + HEAD_BYTES + 10, b"\0\0\0")
    bench.restart()
    assert bench.device.image == OLD


def test_a_device_without_any_program_takes_one() -> None:
    bench = Bench()
    at = bytes(bench.slots.flash.data).index(OLD)
    bench.slots.flash.write(at + HEAD_BYTES + 10, b"\0\0\0")
    bench.restart()
    assert bench.report_now.stage is Stage.EMPTY
    assert bench.run() == WHOLE


def test_nothing_is_confirmed_that_does_not_run() -> None:
    bench = Bench(healthy=False)
    while bench.device.image != NEW:
        bench.tick()
    bench.device.obey(Confirm(0, 0, 0, image_digest(OLD)))
    assert bench.report_now.stage is Stage.TRIAL
    bench.device.obey(Offer(0, 0, 0, 9, OLD[:HEAD_BYTES]))
    assert bench.report_now.refusal is Refusal.BUSY


def test_a_device_that_knows_no_updates_is_found_out() -> None:
    host = UpdateHost(NEW, lambda: 1)
    hello = Hello(1, 0, 0, "S", "M", "1", 4, 1e3, 1.0, 0)
    host.hello(hello, 0.0)
    host.hello(hello, UNSUPPORTED_S)
    assert host.ended == "unsupported"
    assert host.words(UNSUPPORTED_S) == []


def test_every_byte_of_an_image_counts() -> None:
    assert check_image(NEW, [PUBLIC]).version == "1.1"
    for at in range(0, len(NEW), 3):
        spoilt = bytearray(NEW)
        spoilt[at] ^= 0x10
        with pytest.raises(BadImage):
            check_image(bytes(spoilt), [PUBLIC])
    for length in (0, 10, HEAD_BYTES, len(NEW) - 1):
        with pytest.raises(BadImage):
            check_image(NEW[:length], [PUBLIC])
    with pytest.raises(BadImage):
        check_image(NEW + b"\0", [PUBLIC])


def test_a_signature_holds_for_one_key_alone() -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(BadImage) as caught:
        check_image(NEW, [other])
    assert caught.value.refusal is Refusal.SIGNATURE
    assert check_image(NEW, [other, PUBLIC]) == read_head(NEW)


def test_a_program_that_misnames_itself_is_not_kept() -> None:
    bench = Bench()
    hello = bench.hello
    bench.hello = lambda: replace(hello(), firmware="1.0")  # type: ignore[method-assign]
    assert bench.run()[-1] == "rolled-back"
