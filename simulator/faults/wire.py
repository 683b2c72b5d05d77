"""What went over the broker: who said which record, and every receipt, by a listener of its own.

It reads the messages with nothing but JSON and SHA-256, so that a mistake in the codecs of the
station and the case system does not hide itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import defaultdict
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge.uplink.topics import ROOT


class Wiretap:
    """Listens to all stations; ``with`` keeps it listening, also over restarts of the broker."""

    def __init__(self, broker: str) -> None:
        self.ids: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        """Ids by station and number, as they were sent."""
        self.notes: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        """What the centre said to a station: last part of the topic, payload."""
        self.damaged = 0
        parts = urlsplit(broker)
        self._address = parts.hostname or "", parts.port or 1883
        self._listening = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._listening.set()
        self._client.on_message = self._take

    def _subscribe(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([(f"{ROOT}/+/up/#", 1), (f"{ROOT}/+/down/#", 1)])

    def _take(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        _, _, station, way, *what = message.topic.split("/")
        if way == "down":
            self.notes[station].append((what[0], bytes(message.payload)))
        elif what[0] in ("record", "records"):
            try:
                self._note_records(station, json.loads(message.payload))
            except (ValueError, KeyError, TypeError, RecursionError):
                self.damaged += 1

    def _note_records(self, station: str, tree: dict[str, Any]) -> None:
        for entry in tree.get("records", [tree]):
            data = base64.b64decode(entry["record"])
            index = json.loads(data)["index"]
            self.ids[station][index].add(hashlib.sha256(b"\0" + data).hexdigest())

    def doubled(self, station: str) -> list[int]:
        """Numbers that were sent under more than one id."""
        return [index for index, ids in self.ids[station].items() if len(ids) > 1]

    def __enter__(self) -> Self:
        self._client.connect(*self._address)
        self._client.loop_start()
        self._listening.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
