"""The command ``steelyard``: its groups, and how errors reach the shell."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from edge import __version__
from edge.commands import (
    bench,
    calibrate,
    centre,
    doctor,
    evidence,
    faults,
    firmware,
    recordings,
    scale,
    simulated,
    station,
    storage,
    tap,
    tiles,
)
from edge.errors import InputError, SteelyardError

_MISUSES: dict[type[click.UsageError], str] = {
    click.MissingParameter: "缺少参数",
    click.BadParameter: "参数的值不对",
    click.NoSuchOption: "没有这个选项",
}


class _Commands(click.Group):
    """Errors made on purpose become one plain line and the exit code of their class."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            _fail(_misused(error))
        except SteelyardError as error:
            _fail(error)
        except BaseExceptionGroup as group:
            known = _first_known(group)
            if known is None:
                raise
            _fail(known)


def _first_known(group: BaseExceptionGroup[BaseException]) -> SteelyardError | None:
    for error in group.exceptions:
        if isinstance(error, SteelyardError):
            return error
        if isinstance(error, BaseExceptionGroup) and (inner := _first_known(error)):
            return inner
    return None


def _misused(error: click.UsageError) -> InputError:
    """A wrong call of a command, as every other error is told."""
    zh = next((zh for kind, zh in _MISUSES.items() if isinstance(error, kind)), "用法不对")
    if isinstance(error, click.NoSuchOption):
        zh += f" {error.option_name}"
    elif isinstance(error, click.BadParameter) and error.param and error.ctx:
        zh += f" {error.param.get_error_hint(error.ctx)}"
    command = error.ctx.command_path if error.ctx else "steelyard"
    return InputError(
        zh, error.format_message(), next_zh=f"见 {command} --help", next_en=f"see {command} --help"
    )


def _fail(error: SteelyardError) -> None:
    click.echo(f"steelyard: {error.line()}", err=True)
    sys.exit(error.exit_code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="steelyard")
@click.option("--verbose", is_flag=True, help="More in the log.")
def main(*, verbose: bool) -> None:
    """Steelyard: the edge service of a weigh-in-motion station (治超站边缘称重服务).

    Exit codes: 2 input file or argument, 3 configuration, 4 line or host away, 5 device,
    6 evidence does not verify, 7 disk.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("pymodbus", "asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


for command in (
    simulated.demo,
    station.run,
    station.check,
    doctor.doctor,
    tap.tap,
    simulated.simulate,
    centre.case_system,
    recordings.record,
    recordings.replay,
    recordings.learn,
    evidence.export,
    evidence.verify,
    evidence.recompute,
    evidence.version,
    storage.backup,
    firmware.firmware,
    scale.scale,
    tiles.tiles,
    calibrate.calibrate,
    bench.bench,
    faults.faults,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
