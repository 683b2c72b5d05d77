"""Real lines: a pseudo-terminal pair and TCP on loopback, pulled and put back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from edge.config import DigitiserSection
from edge.errors import ConfigError, DeviceFault, LinkDown, SteelyardError, Text
from edge.health import Health, Level
from edge.records import InputEdge, SampleBlock
from edge.sources import digitiser as digitiser_module
from edge.sources.digitiser import DigitiserSource
from edge.sources.ports import DeviceHello, SourceItem, link_down
from edge.supervise import supervise
from firmware_bridge import lines, ports, transports
from firmware_bridge.stream import Hello, Inputs, Samples, Start, StreamDecoder, Time, encode
from firmware_bridge.transports import BadLine, PortLost, PortReader
from tests.standstill import stand_still


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    threads, descriptors = set(threading.enumerate()), _descriptors()
    yield
    assert set(threading.enumerate()) <= threads
    assert _descriptors() <= descriptors


class Pty:
    """The device's end of a pseudo-terminal; closing it is pulling the cable."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self.master, False)

    def send(self, data: bytes) -> None:
        assert os.write(self.master, data) == len(data)

    def heard(self) -> bytes:
        with contextlib.suppress(BlockingIOError, OSError):
            return os.read(self.master, 65_536)
        return b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pull()

    def pull(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.master)
        self.master = -1


@pytest.fixture
def pty_line() -> Iterator[Pty]:
    with Pty() as line:
        yield line


async def _until(happened: Callable[[], object], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not happened():
            await asyncio.sleep(0.002)


async def _read_bytes(port: PortReader, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(60):
        while len(data) < size:
            data += (await port.read()).data
    return data


# ----------------------------------------------------------------------------------------------
# PortReader


def test_bytes_go_both_ways_over_a_pty(pty_line: Pty) -> None:
    async def talk() -> None:
        async with PortReader(pty_line.path, baud=921_600, name="both-ways") as port:
            assert "both-ways" in {t.name for t in threading.enumerate()}
            pty_line.send(bytes(range(256)))
            assert await _read_bytes(port, 256) == bytes(range(256))
            port.write(b"\x00\x11\x13\r\n\xff")
            heard = b""
            while len(heard) < 6:
                await asyncio.sleep(0.002)
                heard += pty_line.heard()
            assert heard == b"\x00\x11\x13\r\n\xff"

    asyncio.run(talk())


def test_a_byte_is_stamped_and_handed_over_within_ten_milliseconds(pty_line: Pty) -> None:
    async def talk() -> None:
        waits, stamps = [], []
        async with PortReader(pty_line.path) as port:
            for _ in range(50):
                sent_ns = time.time_ns()
                pty_line.send(b"x")
                chunk = await port.read()
                waits.append(time.time_ns() - sent_ns)
                stamps.append(chunk.received_ns - sent_ns)
        # Whoever looks in every so often hands none over so soon; the machine may delay many.
        assert min(waits) < 10e6
        assert all(0 <= stamp <= wait for stamp, wait in zip(stamps, waits, strict=True))

    asyncio.run(talk())


def test_what_came_before_the_cable_was_pulled_is_given_first(pty_line: Pty) -> None:
    async def talk() -> None:
        async with PortReader(pty_line.path) as port:
            pty_line.send(b"last words")
            await _until(lambda: port._held_bytes == 10)
            pty_line.pull()
            await _until(lambda: port._lost)
            assert (await port.read()).data == b"last words"
            with pytest.raises(PortLost) as lost:
                await port.read()
            assert lost.value.reason == "lost"

    asyncio.run(talk())


def test_a_port_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PortLost) as lost:
        asyncio.run(_open_and_close(str(tmp_path / "ttyNONE")))
    assert lost.value.reason == "missing"


def test_a_port_that_is_held_is_taken(pty_line: Pty) -> None:
    async def twice() -> None:
        async with PortReader(pty_line.path):
            with pytest.raises(PortLost) as lost:
                await _open_and_close(pty_line.path)
            assert lost.value.reason == "taken"

    asyncio.run(twice())


def test_a_file_is_no_port(tmp_path: Path) -> None:
    file = tmp_path / "plain"
    file.touch()
    with pytest.raises(PortLost) as lost:
        asyncio.run(_open_and_close(str(file)))
    assert lost.value.reason == "refused"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_port_without_rights_says_so(tmp_path: Path) -> None:
    file = tmp_path / "locked"
    file.touch(mode=0)
    with pytest.raises(PortLost) as lost:
        asyncio.run(_open_and_close(str(file)))
    assert lost.value.reason == "permission"


@pytest.mark.parametrize("url", ["", "COM3", "socket://", "socket://host:99999", "http://h:1"])
def test_what_is_no_line_is_refused(url: str) -> None:
    with pytest.raises(BadLine):
        asyncio.run(_open_and_close(url))


async def _open_and_close(url: str) -> None:
    async with PortReader(url):
        pass


def test_tcp_both_ways_and_its_end() -> None:
    async def talk() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"socket://127.0.0.1:{server.getsockname()[1]}"
            async with PortReader(url) as port:
                peer, _ = server.accept()
                with peer:
                    port.write(b"hello")
                    assert await asyncio.to_thread(peer.recv, 5) == b"hello"
                    peer.sendall(b"abc")
                    assert await _read_bytes(port, 3) == b"abc"
                with pytest.raises(PortLost) as lost:
                    await port.read()
                assert lost.value.reason == "lost"

    asyncio.run(talk())


def test_tcp_without_a_listener_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(PortLost) as lost:
        asyncio.run(_open_and_close(f"socket://127.0.0.1:{port}"))
    assert lost.value.reason == "refused"


def test_a_stalled_reader_costs_chunks_and_never_memory(
    pty_line: Pty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports, "QUEUE_BYTES", 1_000)

    async def stall() -> None:
        async with PortReader(pty_line.path) as port:
            while not port.overflows:
                pty_line.send(bytes(100))
                time.sleep(0.004)  # the loop is what stalls here
            kept = await _read_bytes(port, 1)
            while port._chunks:
                kept += (await port.read()).data
            assert len(kept) <= 1_000
            assert port.overflows > 0
            pty_line.send(b"again")
            assert await _read_bytes(port, 5) == b"again"

    asyncio.run(stall())


def test_cancelled_while_reading_leaves_nothing_open(pty_line: Pty) -> None:
    async def cancel() -> None:
        async def read() -> None:
            async with PortReader(pty_line.path) as port:
                await port.read()

        task = asyncio.create_task(read())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


def test_cancelled_while_connecting_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CONNECT_TIMEOUT_S", 0.3)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        host, port = full.getsockname()
        with socket.create_connection((host, port)):

            async def cancel() -> None:
                task = asyncio.create_task(_open_and_close(f"socket://{host}:{port}"))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises((asyncio.CancelledError, PortLost)):
                    await task

            asyncio.run(cancel())


# ----------------------------------------------------------------------------------------------
# DigitiserSource on a pty


CHANNELS = ["A", "B"]
RATE_HZ = 1_000.0


class Device:
    """The far end: real frames, written when the test says so."""

    def __init__(self, line: Pty, *, boot_id: int = 7, channels: int = 2, number: int = 1) -> None:
        self.line = line
        self.boot_id = boot_id
        self.channels = channels
        self.number = number
        self.sequence = 0
        self.sample = 0

    def _head(self) -> tuple[int, int, int]:
        self.sequence += 1
        return self.number, self.sequence, self.sample

    def hello(self) -> None:
        facts = ("S1", "Test", "1.0", self.channels, RATE_HZ, 0.5, self.boot_id)
        self.line.send(encode(Hello(*self._head(), *facts)))

    def block(self, n: int = 20) -> None:
        counts = np.arange(n * self.channels, dtype=np.int32).reshape(n, self.channels)
        self.line.send(encode(Samples(*self._head(), counts)))
        self.sample += n


class Bench:
    """A source in its task, with what it delivered and what ended it."""

    def __init__(self, url: str, **section: object) -> None:
        self.health = Health(time.monotonic_ns)
        self.section = DigitiserSection(
            **{"id": "D1", "url": url, "channels": CHANNELS, **section}  # type: ignore[arg-type]
        )
        self.source = DigitiserSource(self.section, self.health, time.time_ns)
        self.items: list[SourceItem] = []

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.source.run(self.items.append))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, SteelyardError):
            await self.task

    def blocks(self) -> list[SampleBlock]:
        return [item for item in self.items if isinstance(item, SampleBlock)]

    def counter(self, name: str) -> int:
        return self.health.snapshot().counters.get(f"digitiser.D1.{name}", 0)

    def level(self) -> Level:
        return self.health.snapshot().states["digitiser.D1"].level

    async def error(self) -> SteelyardError:
        with pytest.raises(SteelyardError) as ended:
            await asyncio.wait_for(self.task, 60)
        return ended.value


async def _greeted(line: Pty) -> None:
    """Wait until the host has said TIME and START, as a device does before it streams."""
    decoder, messages = StreamDecoder(), []
    async with asyncio.timeout(60):
        while not any(isinstance(m, Start) for m in messages):
            messages += decoder.feed(line.heard())
            await asyncio.sleep(0.002)
    assert [type(m) for m in messages[:2]] == [Time, Start]


def test_blocks_edges_and_hello_arrive_in_order(pty_line: Pty) -> None:
    async def weigh() -> None:
        async with Bench(pty_line.path) as bench:
            await _greeted(pty_line)
            assert bench.level() is Level.WAITING
            device = Device(pty_line)
            device.hello()
            device.block()
            pty_line.send(encode(Inputs(*device._head(), ((25, 3, True),))))
            device.block()
            await _until(lambda: len(bench.blocks()) == 2)
            kinds = [type(item) for item in bench.items]
            assert kinds == [DeviceHello, SampleBlock, InputEdge, SampleBlock]
            assert bench.items[2] == InputEdge("D1", 25, 3, True)
            assert [b.first_sample for b in bench.blocks()] == [0, 20]
            assert bench.blocks()[1].rate_hz == RATE_HZ
            assert not bench.blocks()[0].counts.flags.writeable
            assert bench.level() is Level.OK
            assert bench.counter("frames") == 4
            clock = bench.source.clock()
            assert abs(clock.utc_ns(40) - time.time_ns()) < 1e9
            assert clock.bound_ns >= digitiser_module.HIDDEN_DELAY_NS

    asyncio.run(weigh())


def test_after_the_cable_was_put_back_the_gap_is_known_to_the_sample(tmp_path: Path) -> None:
    async def replug() -> None:
        link = tmp_path / "ttyD1"
        with Pty() as first:
            link.symlink_to(first.path)
            async with Bench(str(link)) as bench:
                await _greeted(first)
                device = Device(first)
                device.hello()
                device.block(20)
                await _until(bench.blocks)
                first.pull()
                error = await bench.error()
                assert isinstance(error, LinkDown)
                assert str(link) in error.what.zh
                assert error.next_step.zh
                with Pty() as second:
                    link.unlink()
                    link.symlink_to(second.path)
                    device.line = second
                    device.sample += 300
                    async with bench:
                        await _greeted(second)
                        device.hello()
                        device.block(20)
                        await _until(lambda: len(bench.blocks()) == 2)
                    last = bench.blocks()[-1]
                    assert (last.first_sample, last.lost_before) == (320, 300)
                    assert not last.restarted
                    assert bench.counter("lost_samples") == 300

    asyncio.run(replug())


def test_a_device_that_starts_anew_is_greeted_again_and_flagged(pty_line: Pty) -> None:
    async def restart() -> None:
        async with Bench(pty_line.path) as bench:
            await _greeted(pty_line)
            device = Device(pty_line)
            device.hello()
            device.block()
            await _until(bench.blocks)
            await _greeted(pty_line)
            anew = Device(pty_line, boot_id=8)
            anew.hello()
            await _greeted(pty_line)
            anew.block()
            await _until(lambda: len(bench.blocks()) == 2)
            assert [b.restarted for b in bench.blocks()] == [False, True]
            assert bench.counter("restarts") == 1

    asyncio.run(restart())


def test_another_number_of_channels_is_the_devices_fault(pty_line: Pty) -> None:
    async def mismatch() -> None:
        async with Bench(pty_line.path) as bench:
            await _greeted(pty_line)
            device = Device(pty_line, channels=4)
            device.hello()
            device.block()
            error = await bench.error()
            assert isinstance(error, DeviceFault)
            assert "4" in error.what.zh
            assert bench.items == []

    asyncio.run(mismatch())


def _nothing(line: Pty) -> None:
    pass


def _noise(line: Pty) -> None:
    line.send(bytes(range(1, 200)) * 5)


def _stranger(line: Pty) -> None:
    Device(line, number=9).hello()


def _hello_only(line: Pty) -> None:
    Device(line).hello()


@pytest.mark.parametrize(
    ("say", "kind", "word"),
    [
        (_nothing, LinkDown, "power"),
        (_noise, LinkDown, "baud"),
        (_stranger, DeviceFault, "device_id"),
        (_hello_only, DeviceFault, "restart"),
    ],
)
def test_silence_is_explained_by_what_was_heard(
    pty_line: Pty,
    monkeypatch: pytest.MonkeyPatch,
    say: Callable[[Pty], None],
    kind: type[SteelyardError],
    word: str,
) -> None:
    monkeypatch.setattr(digitiser_module, "SILENCE_S", 1.5)

    async def wait() -> None:
        async with Bench(pty_line.path) as bench:
            await _greeted(pty_line)
            say(pty_line)
            error = await bench.error()
            assert type(error) is kind
            assert word in error.next_step.en

    asyncio.run(wait())


def test_what_came_while_the_machine_stood_still_is_no_silence(
    pty_line: Pty, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stall() -> None:
        async with Bench(pty_line.path) as bench:
            await _greeted(pty_line)
            device = Device(pty_line)
            device.hello()
            device.block()
            await _until(bench.blocks)
            monkeypatch.setattr(digitiser_module, "SILENCE_S", 0.5)
            device.block()
            await _until(lambda: len(bench.blocks()) == 2)
            for _ in range(2):
                device.block()
                stand_still(1.0)
            await _until(lambda: bench.task.done() or len(bench.blocks()) == 4)
            assert not bench.task.done()

    asyncio.run(stall())


def test_a_wrong_url_is_the_installers_to_mend() -> None:
    async def wrong() -> None:
        async with Bench("COM3") as bench:
            assert isinstance(await bench.error(), ConfigError)

    asyncio.run(wrong())


def test_a_port_that_is_taken_tells_who_to_look_for(pty_line: Pty) -> None:
    async def taken() -> None:
        async with PortReader(pty_line.path), Bench(pty_line.path) as bench:
            error = await bench.error()
            assert isinstance(error, LinkDown)
            assert "占用" in error.what.zh

    asyncio.run(taken())


# ----------------------------------------------------------------------------------------------
# Lines


def test_an_empty_read_is_an_unplug_or_another_reader(pty_line: Pty) -> None:
    """pyserial says the same of both; the hang-up and the other's descriptor tell them apart."""
    path = Path(pty_line.path)
    with subprocess.Popen(["/bin/cat", path], stdout=subprocess.DEVNULL) as other:
        try:
            _wait_for(lambda: any(ports.holders(path)))
            line = lines.SerialLine(pty_line.path, 9_600, lines.EIGHT_BITS)
            with pytest.raises(PortLost) as shared:
                line.read(99)
        finally:
            other.kill()
    assert shared.value.reason == "shared"
    assert [holder.pid for holder in shared.value.holders] == [other.pid]
    with contextlib.closing(line):
        assert line.read(99) == b""
        pty_line.pull()
        with pytest.raises(OSError, match=r"gone|Input/output") as gone:
            line.read(99)
        assert not isinstance(gone.value, PortLost)


def _wait_for(happened: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_who_holds_a_port_is_named(pty_line: Pty) -> None:
    program = (
        "import serial, sys; held = serial.Serial(sys.argv[1], exclusive=True);"
        "print(1, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, pty_line.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        try:
            assert other.stdout is not None
            other.stdout.readline()
            with pytest.raises(PortLost) as taken:
                lines.open_line(pty_line.path, 9_600, lines.EIGHT_BITS)
        finally:
            other.kill()
    assert taken.value.reason == "taken"
    assert [holder.pid for holder in taken.value.holders] == [other.pid]


def test_a_setting_that_the_driver_refuses_is_told(pty_line: Pty) -> None:
    """A pty knows no parity; termios raises what is no OSError."""

    async def talk() -> None:
        async with PortReader(pty_line.path):  # so that parity is all that is left to be set
            pass
        with pytest.raises(PortLost) as lost:
            async with PortReader(pty_line.path, bits=lines.Bits(8, "even")):
                pass
        assert lost.value.reason == "refused"

    asyncio.run(talk())


def test_a_defect_in_the_thread_leaves_nobody_waiting(
    pty_line: Pty, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> lines.Line:
        raise ZeroDivisionError

    monkeypatch.setattr(transports, "open_line", broken)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    async def talk() -> None:
        with pytest.raises(PortLost):
            async with asyncio.timeout(60), PortReader(pty_line.path):
                pass

    asyncio.run(talk())


def test_a_tcp_peer_that_is_gone_without_a_word_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server's socket is made to forget the connection, as a power cut does."""
    monkeypatch.setattr(lines, "KEEP_ALIVE_S", 1)
    monkeypatch.setattr(lines, "KEEP_ALIVE_AGAIN_S", 1)
    tcp_repair = 19

    async def talk() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"socket://127.0.0.1:{server.getsockname()[1]}"
            async with PortReader(url) as port:
                peer, _ = server.accept()
                try:
                    peer.setsockopt(socket.IPPROTO_TCP, tcp_repair, 1)
                except OSError:
                    pytest.skip("only root may make a connection vanish")
                finally:
                    peer.close()  # in repair mode: no FIN, no RST
                with pytest.raises(PortLost):
                    async with asyncio.timeout(60):
                        await port.read()

    asyncio.run(talk())


def test_a_port_that_comes_back_is_opened_at_once(tmp_path: Path) -> None:
    """The supervisor's wait has grown long; the path's coming back ends it."""
    link = tmp_path / "by-id"

    async def scenario() -> None:
        health, opened = Health(time.monotonic_ns), asyncio.Event()

        async def run() -> None:
            try:
                async with PortReader(str(link)):
                    opened.set()
                    await asyncio.sleep(60)
            except PortLost as error:
                raise link_down(Text("端口", "port"), error) from error

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("edge.supervise._wait_s", lambda *_: 3_600.0)
            task = asyncio.create_task(supervise("x", run, health))
            await _until(lambda: "x" in health.snapshot().states)
            with Pty() as line:
                link.symlink_to(line.path)
                async with asyncio.timeout(60):
                    await opened.wait()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
