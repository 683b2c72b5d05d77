"""The station's side of witnessing: checkpoints out with their proofs, cosignatures in and kept.

A checkpoint goes out at every case, every five minutes if the log grew, and on a new connection
before any record: so the centre knows which start of the machine the records come from.
A conflict is shown until the centre agrees again; the station weighs and seals on, for it can't
know who is wrong, and everything it seals is needed to find out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from edge.clock import HostClock
from edge.errors import IntegrityError, Text
from edge.evidence.cosignature import CosignatureVerifier
from edge.evidence.events import witness_draft
from edge.evidence.note import NoteVerifier, split_note
from edge.evidence.witness import Submission, WitnessAnswer
from edge.health import Health, Level
from edge.records import Draft
from edge.store.queries import Head
from edge.store.store import Store
from edge.uplink.centre_time import CentreTime
from edge.uplink.gate import Turn
from edge.uplink.line import Line
from edge.uplink.topics import Topics

PERIOD_S = 300.0
_LEAST_PAUSE_S = 1.0
_MOST_RETRIES = 3
_MOST_REMEMBERED = 64

_WORDS = {
    "fork": Text(
        "中心见过同一本日志的另一个版本", "the centre has seen another version of this log"
    ),
    "rollback": Text(
        "日志比中心见过的短：可能恢复了旧的磁盘镜像",
        "the log is shorter than the centre has seen: an old disk image may have been restored",
    ),
    "truncated": Text(
        "日志比中心见过的短：有记录被截掉",
        "the log is shorter than the centre has seen: records were cut off",
    ),
    "clone": Text("另一台机器在用本站的密钥", "another machine uses this station's key"),
}
_STEP = Text(
    "不要删除任何文件，称重照常；通知中心和维护人员",
    "delete nothing, weighing goes on; call the centre and the maintainer",
)


class Witness:
    """Lets the centre witness the log."""

    def __init__(
        self,
        store: Store,
        topics: Topics,
        health: Health,
        *,
        centre: NoteVerifier | None,
        clock: HostClock,
        centre_time: CentreTime,
        seal: Callable[[Draft], Awaitable[object]],
    ) -> None:
        self._store = store
        self._topics = topics
        self._health = health
        self._centre = centre
        self._cosignatures = CosignatureVerifier.of(centre) if centre else None
        self._clock = clock
        self._centre_time = centre_time
        self._seal = seal
        self._wake = asyncio.Event()
        self._again_from: int | None = None
        self._retries = 0
        self._last = -1
        self._conflict = ""
        self._kept = 0
        self._submitted: deque[int] = deque(maxlen=_MOST_REMEMBERED)

    def nudge(self) -> None:
        """A case was sealed: have its checkpoint witnessed now."""
        self._wake.set()

    async def begin(self) -> Submission | None:
        """What to submit before anything else over a new connection."""
        self._retries, self._last = 0, -1
        return await self._next()

    async def run(self, line: Line, submission: Submission | None) -> None:
        """Submit over one connection until cancelled; first of all what ``begin`` gave."""
        while True:
            if submission is not None:
                await line.send(Turn.CONTROL, self._topics.checkpoint, submission.encode())
                self._health.count("uplink.checkpoints_sent")
            await asyncio.sleep(_LEAST_PAUSE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await self._wake.wait()
            submission = await self._next()

    async def _next(self) -> Submission | None:
        """The newest checkpoint with its proof, unless it went out and nothing else is asked."""
        self._wake.clear()
        head = await self._store.head()
        if head is None or (head.checkpoint.size == self._last and self._again_from is None):
            return None
        self._last = head.checkpoint.size
        try:
            return await self._submission(head)
        except IntegrityError as error:  # a node of the tree is gone: records go on being sent
            self._health.state("log", Level.DOWN, *error.what, next_step=error.next_step)
            return None

    async def _submission(self, head: Head) -> Submission:
        size = head.checkpoint.size
        known, self._again_from = self._again_from, None
        old = await self._store.cosigned_size() if known is None else known
        if old > size:
            old = 0  # the centre will name what this is
        proof = await self._store.consistency(old, size) if old else []
        self._submitted.append(size)
        return Submission(self._clock.boot_id, old, tuple(proof), head.note)

    # ------------------------------------------------------------------------------------------
    # What the centre says

    async def take(self, payload: bytes) -> None:
        """Take an answer of the witness.

        Raises
        ------
        StoreError
            The store failed; the message comes again.
        """
        if self._centre is None:
            self._health.count("uplink.witness_unchecked")
            return
        try:
            answer = WitnessAnswer.decode(payload, self._centre, self._topics.station)
        except ValueError:
            self._health.count("uplink.witness_bad")
            return
        self._centre_time.heard(answer.time_us)
        if answer.size not in self._submitted:  # an old answer, perhaps replayed: says nothing now
            self._health.count("uplink.witness_stale")
        elif answer.status == "cosigned" and answer.cosignature:
            if await self.keep(answer.size, answer.cosignature):
                await self._agreed(answer)
        elif answer.status == "retry":
            self._prove_from(answer.known_size)
        else:
            await self._contradicted(answer)

    async def keep(self, size: int, line: str) -> bool:
        """Keep a cosignature of a checkpoint of ours; false if it is none."""
        if size == self._kept or self._cosignatures is None:
            return size == self._kept
        note = await self._store.checkpoint_note(size)
        try:
            if note is None:
                raise ValueError("no checkpoint of this size")
            time_s = self._cosignatures.verify(line, split_note(note)[0])
        except ValueError:
            self._health.count("uplink.cosignatures_bad")
            return False
        await self._store.keep_cosignature(size, time_s, line)
        self._kept = size
        self._health.gauge("uplink.cosigned_size", size)
        self._health.gauge("uplink.cosigned_at_s", time_s)
        return True

    def _prove_from(self, known_size: int) -> None:
        self._retries += 1
        if self._retries <= _MOST_RETRIES:
            self._again_from = known_size
            self._wake.set()

    async def _agreed(self, answer: WitnessAnswer) -> None:
        self._retries = 0
        self._health.state(
            "log",
            Level.OK,
            f"中心已见证前 {answer.size} 条记录",
            f"the centre has witnessed {answer.size} records",
        )
        if self._conflict:
            self._conflict = ""
            await self._note(answer)

    async def _contradicted(self, answer: WitnessAnswer) -> None:
        words = _WORDS[answer.name]
        self._health.count("uplink.witness_conflicts")
        self._health.state(
            "log",
            Level.DOWN,
            f"日志冲突：{words.zh}（本站 {answer.size} 条，中心 {answer.known_size} 条）",
            f"conflict of the log: {words.en}"
            f" ({answer.size} records here, {answer.known_size} at the centre)",
            next_step=_STEP,
        )
        if self._conflict != answer.name:
            self._conflict = answer.name
            await self._note(answer)

    async def _note(self, answer: WitnessAnswer) -> None:
        await self._seal(
            witness_draft(
                self._clock.utc_ns(),
                answer.status,
                answer.name,
                size=answer.size,
                known_size=answer.known_size,
                known=answer.known,
            )
        )
