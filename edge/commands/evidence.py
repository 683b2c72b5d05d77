"""What a store proves: ``verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge.commands.tools import EXISTING
from edge.errors import IntegrityError, SteelyardError


@click.command()
@click.argument("store", type=EXISTING)
@click.option("--key", help="Verifier key of the station (name+id+key), from another source.")
def verify(*, store: Path, key: str | None) -> None:
    """Verify a station's store offline: numbered steps, the failing one is named."""
    from edge.store.verify import verify_store

    steps = verify_store(store, key, lambda _done: None)
    for step in steps:
        click.echo(f"{'✓' if step.ok else '✗'} {step.number}. {step.title}  {step.detail}")
    failed = next((step for step in steps if not step.ok), None)
    if failed is not None:
        raise _integrity(failed)
    click.echo("全部通过 / every step passed")


def _integrity(step: Any) -> SteelyardError:
    return IntegrityError(
        f"第 {step.number} 步不通过：{step.title.zh}",
        f"step {step.number} failed: {step.title.en}",
        step=str(step.number),
        next_zh="保留现场，不要改动任何文件，联系维护人员",
        next_en="keep everything as it is and call the maintainer",
    )
