"""A backup is one state of a running store, verified; killed on the way it harms nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.errors import InputError, IntegrityError, StoreError
from edge.store.backup import BackedUp, back_up
from edge.store.verify import verify_store
from tests.evidence.sample import opened, station_signer, vehicle

ROOT = Path(__file__).parents[2]


def quiet(_doing: str, _done: int, _total: int) -> None:
    """Nobody listens."""


async def fill(store: Any, count: int) -> None:
    for _ in range(count):
        blob = await store.put_blob(os.urandom(5_000), "picture", "image/jpeg")
        await store.append(vehicle(verdict="over", blobs=(blob,)))


def made(live: Path, count: int = 20) -> None:
    async def scenario() -> None:
        async with opened(live) as store:
            await fill(store, count)

    asyncio.run(scenario())


def proven(to: Path, key: str) -> None:
    assert all(step.ok for step in verify_store(to, key, lambda _step: None))


def test_a_backup_of_a_running_store_is_whole_and_brought_up_to_date(tmp_path: Path) -> None:
    live, to = tmp_path / "live", tmp_path / "to"

    async def scenario() -> list[BackedUp]:
        async with opened(live) as store:
            await fill(store, 10)
            writing = asyncio.create_task(fill(store, 60))
            done = [await asyncio.to_thread(back_up, live, to, quiet)]
            await writing
            done.append(await asyncio.to_thread(back_up, live, to, quiet))
            return done

    first, second = asyncio.run(scenario())
    assert 10 <= first.records <= second.records == 70
    assert second.copied == 70 - first.files
    proven(to, station_signer(live).verifier_key)
    assert not (to / "station.key").exists()


def test_a_backup_can_be_gone_on_from(tmp_path: Path) -> None:
    live, to = tmp_path / "live", tmp_path / "to"
    made(live)
    back_up(live, to, quiet, with_key=True)
    assert (to / "station.key").stat().st_mode & 0o077 == 0

    async def go_on() -> int:
        async with opened(to) as store:
            return (await store.append(vehicle())).index

    assert asyncio.run(go_on()) == 20


def test_copies_are_made_where_links_are_not_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_source: Path, _target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    live, to = tmp_path / "live", tmp_path / "to"
    made(live, 3)
    monkeypatch.setattr(os, "link", refuse)
    back_up(live, to, quiet)
    proven(to, station_signer(live).verifier_key)
    assert all(p.stat().st_nlink == 1 for p in (to / "blobs").glob("??/*"))


BACKUP_THAT_DIES = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from edge.store.backup import back_up

    def midway(doing, done, _total):
        if doing == sys.argv[3] and done:
            os.kill(os.getpid(), signal.SIGKILL)

    back_up(Path(sys.argv[1]), Path(sys.argv[2]), midway)
    """
)


def test_killed_backups_leave_the_copy_before_them(tmp_path: Path) -> None:
    live, to = tmp_path / "live", tmp_path / "to"
    made(live, 30)
    back_up(live, to, quiet)
    key = station_signer(live).verifier_key
    command = [sys.executable, "-c", BACKUP_THAT_DIES, str(live), str(to)]

    async def scenario() -> None:
        async with opened(live) as store:
            for doing in ("database", "files", "verify"):
                writing = asyncio.create_task(fill(store, 20))
                done = await asyncio.to_thread(subprocess.run, [*command, doing], cwd=ROOT)
                assert done.returncode == -signal.SIGKILL
                proven(to, key)
                await writing

    asyncio.run(scenario())
    back_up(live, to, quiet)
    proven(to, key)
    assert not (to / "station.db.part").exists()


def test_what_is_not_whole_is_not_called_a_backup(tmp_path: Path) -> None:
    live, to = tmp_path / "live", tmp_path / "to"
    made(live, 3)
    victim = next((live / "blobs").glob("??/*"))
    victim.chmod(0o600)
    victim.write_bytes(bytes(5_000))
    with pytest.raises(IntegrityError, match="verifying the backup"):
        back_up(live, to, quiet)
    assert not (to / "backup.json").exists()
    victim.unlink()
    with pytest.raises(IntegrityError, match="incomplete"):
        back_up(live, tmp_path / "other", quiet)


def test_places_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    live = tmp_path / "live"
    with pytest.raises(InputError, match="no store"):
        back_up(live, tmp_path / "to", quiet)
    made(live, 1)
    with pytest.raises(InputError, match="inside"):
        back_up(live, live / "backup", quiet)

    async def onto_a_running_one() -> None:
        async with opened(tmp_path / "to"):
            with pytest.raises(StoreError, match="in use"):
                await asyncio.to_thread(back_up, live, tmp_path / "to", quiet)

    asyncio.run(onto_a_running_one())


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    station = (ROOT / "examples" / "station.toml").read_text()
    assert 'id = "' in station
    file = tmp_path / "station.toml"
    lines = [
        'id = "S1"' if line.startswith("id = ") and at < 12 else line
        for at, line in enumerate(station.splitlines())
    ]
    file.write_text("\n".join(lines))
    from edge.config import load_station

    made(load_station(file).data_dir, 2)
    result = CliRunner().invoke(main, ["backup", str(file), "--to", str(tmp_path / "to")])
    assert result.exit_code == 0, result.output
    assert "2 条记录" in result.output
