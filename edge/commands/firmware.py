"""Programs of the digitisers: ``firmware status``, ``update``, ``accept``, ``key``, ``sign``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from edge.commands.tools import ANY_PATH, EXISTING, EXISTING_FILE, write_out
from edge.config import StationConfig, load_station
from edge.errors import DeviceFault, InputError, why_zh

_POLL_S = 0.5
_TAKEN_S = 3.0
"""A running station takes an order within this time."""

BY = click.option("--by", required=True, help="Who answers for it; stands in the log.")


@click.group()
def firmware() -> None:
    """Programs of the digitisers (固件): what runs, updates, seals."""


@firmware.command()
@click.argument("station_file", type=EXISTING)
def status(*, station_file: Path) -> None:
    """What each digitiser runs, whether its seal is whole, and how far an update is."""
    from edge.firmware_orders import Mailbox

    config = load_station(station_file)
    for section in config.model.digitiser:
        told = Mailbox(config.data_dir, section.id).status()
        click.echo(f"{section.id}: {_seal_line(told)}")
        for word, key in (("现在 / now", "seen"), ("封存 / accepted", "accepted")):
            if told.get(key):
                click.echo(f"    {word}: {_identity_line(told[key])}")
        if told.get("update"):
            click.echo(f"    {_update_line(told['update'])}")


@firmware.command()
@click.argument("station_file", type=EXISTING)
@click.argument("device")
@click.argument("image", type=EXISTING_FILE)
@BY
@click.option("--no-wait", is_flag=True, help="Do not wait for its end.")
def update(*, station_file: Path, device: str, image: Path, by: str, no_wait: bool) -> None:
    """Have the station give DEVICE the program in IMAGE; the station goes on weighing.

    The order stays until it has ended, also over a new start of the station. Its end is an exit
    code: 0 when the new program is kept, 5 when it was refused or the device went back.
    """
    from edge.firmware_orders import Mailbox, Order

    config = load_station(station_file)
    mailbox = Mailbox(config.data_dir, _known(config, device))
    order = Order(_vouched(config, device, image), by, time.time_ns() // 1000)
    mailbox.put_order(order)
    if not no_wait:
        _follow(mailbox, order.ordered_us)


@firmware.command()
@click.argument("station_file", type=EXISTING)
@click.argument("device")
@BY
@click.option("--reason", required=True, help="Why it may be trusted; stands in the log.")
def accept(*, station_file: Path, device: str, by: str, reason: str) -> None:
    """Accept DEVICE as it is now, after it was changed without an update (seal broken)."""
    from edge.firmware_orders import Acceptance, Mailbox
    from edge.seals import Identity

    config = load_station(station_file)
    mailbox = Mailbox(config.data_dir, _known(config, device))
    seen = mailbox.status().get("seen")
    if not seen:
        raise InputError(
            f"站点还没有见过 {device}",
            f"the station has not seen {device}",
            next_zh="先启动站点",
            next_en="start the station first",
        )
    mailbox.put_acceptance(Acceptance(Identity.from_body(seen), by, reason))
    click.echo(f"{device}: {_identity_line(seen)}")
    until_s = time.monotonic() + _TAKEN_S
    while time.monotonic() < until_s:
        if mailbox.status().get("seal") == "whole":
            click.echo("已接受 / accepted")
            return
        time.sleep(_POLL_S)
    click.echo("站点没有运行，启动后接受 / accepted when the station starts", err=True)


@firmware.command()
@click.argument("key_file", type=ANY_PATH)
@click.option("--name", required=True, help="Name of whoever signs programs.")
def key(*, key_file: Path, name: str) -> None:
    """Make KEY_FILE, or read it, and print the verifier key for ``firmware_keys``."""
    from edge.evidence.note import NoteSigner

    click.echo(NoteSigner.load_or_create(key_file, name).verifier_key)


@firmware.command()
@click.argument("program", type=EXISTING_FILE)
@click.option(
    "--key", "key_file", type=EXISTING_FILE, required=True, help="As `firmware key` made it."
)
@click.option("--hardware", required=True, help="Hardware that it is for.")
@click.option("--version", required=True, help="As HELLO will say it.")
@click.option("--rollback", type=click.IntRange(0, 2**32 - 1), required=True)
@click.option("--out", type=ANY_PATH, required=True)
def sign(
    *, program: Path, key_file: Path, hardware: str, version: str, rollback: int, out: Path
) -> None:
    """Write the signed image of PROGRAM.

    ROLLBACK is the anti-rollback number: raise it when older programs must never run again.
    """
    from edge.evidence.note import NoteSigner
    from firmware_bridge.update_image import build_image, image_digest

    signer = NoteSigner.load(key_file).key
    try:
        image = build_image(
            program.read_bytes(), hardware, version, rollback, signer.public, signer.sign
        )
    except ValueError as error:
        raise InputError(
            f"做不成固件{why_zh(error)}",
            f"no image can be made: {error}",
            next_zh="核对程序文件和各参数",
            next_en="check the program's file and the arguments",
        ) from error
    write_out(out, image)
    click.echo(f"{out} ({len(image):,} bytes) sha256 {image_digest(image).hex()}")


def _known(config: StationConfig, device: str) -> str:
    names = [section.id for section in config.model.digitiser]
    if device not in names:
        raise InputError(
            f"站点文件里没有数字化仪 {device}，有 {'、'.join(names)}",
            f"the station file has no digitiser {device}; it has {', '.join(names)}",
        )
    return device


def _vouched(config: StationConfig, device: str, path: Path) -> bytes:
    """The image, if one of the keys of the station file signed it."""
    from edge.firmware_orders import vouched_image
    from edge.firmware_words import REFUSALS
    from firmware_bridge.update_image import BadImage

    section = next(d for d in config.model.digitiser if d.id == device)
    image = path.read_bytes()
    try:
        head = vouched_image(image, section)
    except BadImage as error:
        why = REFUSALS[error.refusal.name.lower()]
        raise InputError(
            f"{path}：{why.zh}",
            f"{path}: {why.en}",
            next_zh="向固件厂家要正确的文件；核对站点文件的 firmware_keys",
            next_en="ask its maker for the right file; check firmware_keys in the station file",
        ) from error
    click.echo(f"{device} ← {head.version} ({head.hardware}, #{head.rollback})", err=True)
    return image


def _follow(mailbox: Any, ordered_us: int) -> None:
    """Show each step until the order has ended."""
    shown, until_s = "", time.monotonic() + _TAKEN_S
    while True:
        told = mailbox.status().get("update") or {}
        if told.get("ordered_us") == ordered_us:
            if (line := _update_line(told)) != shown:
                click.echo(line)
                shown = line
            if told["ended"]:
                return _end(told)
        elif time.monotonic() > until_s:
            click.echo(
                "站点没有运行，启动后更新 / the update begins when the station starts", err=True
            )
            return None
        time.sleep(_POLL_S)


def _end(told: dict[str, Any]) -> None:
    if told["ended"] != "confirmed":
        from edge.firmware_words import step_text

        what = step_text(told["step"], told["reason"])
        raise DeviceFault(what.zh, what.en)


def _seal_line(told: dict[str, Any]) -> str:
    words = {
        "whole": "封印完好 / seal whole",
        "trial": "试运行 / on trial",
        "broken": "封印破坏 / seal broken",
        "unproven": "未报出固件 / has not named its program",
    }
    return words.get(told.get("seal", ""), "还没有报到 / not heard yet")


def _identity_line(identity: dict[str, Any]) -> str:
    hashed = identity["image_sha256"] or "–"
    return f"{identity['model']} {identity['serial']}, {identity['firmware']}, sha256 {hashed}"


def _update_line(told: dict[str, Any]) -> str:
    from edge.firmware_words import step_text

    share = f" {told['block']}/{told['blocks']}" if told["blocks"] else ""
    return f"{step_text(told['step'], told['reason'])}{share}"
