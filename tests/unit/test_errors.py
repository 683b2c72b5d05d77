"""Errors cross processes: a worker's plain line is the command's."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.commands.tools import write_out
from edge.config import load_station
from edge.errors import ConfigError, InputError, IntegrityError, SteelyardError, why_zh
from edge.validation import Wrong, read_toml


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("坏", "bad", next_zh="改", next_en="mend"),
        InputError("坏", "bad"),
        IntegrityError("断", "broken", step="3", next_zh="停", next_en="stop"),
    ],
)
def test_an_error_of_another_process_arrives_whole(error: SteelyardError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert arrived.line() == error.line()
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_the_systems_reason_is_told_in_chinese_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_station(tmp_path / "none.toml")
    assert "没有这个文件或目录" in caught.value.what.zh
    assert "No such file" not in caught.value.what.zh
    assert "No such file" in caught.value.what.en


def test_a_place_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        write_out(tmp_path, b"")
    assert caught.value.what.zh == f"写不了 {tmp_path}：它是目录，不是文件"
    assert all(caught.value.next_step)


def test_why_is_told_in_chinese_as_far_as_it_is_known() -> None:
    with pytest.raises(ValueError, match="line 3") as wrong:
        read_toml(b"a = 1\nb = [1,\nc")
    said = why_zh(wrong.value)
    assert said.startswith("：第 3 行第 ")
    assert said.endswith(f"（技术细节：{wrong.value}）")
    assert why_zh(ConfigError("坏", "bad")) == "：坏"
    assert why_zh(Wrong("坏", "bad")) == "：坏"
    assert why_zh(PermissionError(13, "Permission denied", "/x")) == "：没有权限"
    bind = "error while attempting to bind on address ('::1', 80): address already in use"
    assert why_zh(OSError(98, bind)) == "：地址已被占用"
    assert why_zh(OSError(40, "Too many levels")) == "（技术细节：[Errno 40] Too many levels）"
    assert why_zh(KeyError()) == "（技术细节：KeyError）"
    wrapped = ValueError("x.json: Permission denied")
    wrapped.__cause__ = PermissionError(13, "Permission denied")
    assert why_zh(wrapped) == "：没有权限（技术细节：x.json: Permission denied）"


ROOT = Path(__file__).parents[2]
ERRORS = {"error", "cause", "caught", "problem", "reason", "why", "detail"}


def _quoted(text: ast.JoinedStr) -> Iterator[tuple[str, str]]:
    """What stands before each error that a Chinese text quotes, and the error."""
    before = ""
    for part in text.values:
        if isinstance(part, ast.Constant):
            before = str(part.value)
        elif isinstance(part, ast.FormattedValue):
            source = ast.unparse(part.value)
            if re.sub(r"^str\((.+)\)$|\.(strerror|verify_message)$", r"\1", source) in ERRORS:
                yield before, source
            before = ""


def test_no_chinese_sentence_quotes_english_without_saying_so() -> None:
    found = []
    for path in [
        p for room in ("edge", "calibration", "simulator") for p in (ROOT / room).rglob("*.py")
    ]:
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if re.search("[\u4e00-\u9fff].*{", text) else ():
            if isinstance(node, ast.JoinedStr) and re.search("[\u4e00-\u9fff]", ast.unparse(node)):
                quoted = [error for before, error in _quoted(node) if "技术细节" not in before]
                found += [f"{path}:{node.lineno}: {error}" for error in quoted]
    assert found == []
