"""What is wrong with a file that people write: key, what stands there, what is allowed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from edge.errors import Text

_SHOWN = 5
_BOUND_ZH = {"ge": "不小于 {}", "gt": "大于 {}", "le": "不大于 {}", "lt": "小于 {}"}

_KIND_ZH = {
    "int_type": "要写整数",
    "int_parsing": "要写整数",
    "int_from_float": "要写整数",
    "float_type": "要写数字",
    "float_parsing": "要写数字",
    "bool_type": "要写 true 或 false",
    "bool_parsing": "要写 true 或 false",
    "string_type": "要写带引号的文字",
    "string_pattern_mismatch": "要符合 {pattern}",
    "string_too_short": "至少 {min_length} 个字符",
    "string_too_long": "至多 {max_length} 个字符",
    "literal_error": "只能是 {expected}",
    "list_type": "要写列表 [...]",
    "tuple_type": "要写列表 [...]",
    "too_short": "至少 {min_length} 项，现有 {actual_length} 项",
    "too_long": "至多 {max_length} 项，现有 {actual_length} 项",
    "dict_type": "要写表 {{...}}",
    "model_type": "要写表 {{...}}",
    "model_attributes_type": "要写表 {{...}}",
    "path_type": "要写文件路径",
    "finite_number": "要写有限的数字",
    "date_type": "要写日期，如 2026-01-31",
    "date_from_datetime_parsing": "要写日期，如 2026-01-31",
}
_RAISED = "Value error, "
"""What pydantic puts before the words of a check of our own."""


class Wrong(ValueError):
    """What a check of our own finds, in both languages."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.text = Text(zh, en)


def read_toml(raw: bytes) -> dict[str, Any]:
    """The tree of a TOML file.

    Raises
    ------
    ValueError
        No UTF-8, no TOML, or nested beyond all sense.
    """
    try:
        return tomllib.loads(raw.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def problems(error: ValidationError) -> Text:
    """The first few problems in plain words; list entries are counted from 1."""
    said = [_problem(item) for item in error.errors(include_url=False)[:_SHOWN]]
    return Text("；".join(text.zh for text in said), "; ".join(text.en for text in said))


def _problem(item: Any) -> Text:
    key = _key(item["loc"])
    if item["type"] == "extra_forbidden":
        return Text(f"{key}：没有这个配置项", f"{key}: unknown key")
    if item["type"] == "missing":
        return Text(f"{key}：缺少", f"{key}: is missing")
    given = "" if isinstance(item["input"], dict | list) else f" = {item['input']!r}"
    return Text(f"{key}{given}：不允许（{_allowed_zh(item)}）", f"{key}{given}: {_told(item)}")


def _key(location: Iterable[int | str]) -> str:
    parts = (f"[{p + 1}]" if isinstance(p, int) else f".{p}" for p in location)
    return "".join(parts).lstrip(".") or "file"


def _allowed_zh(item: Any) -> str:
    context = item.get("ctx", {})
    if isinstance(own := context.get("error"), Wrong):
        return own.text.zh
    bounds = [text.format(context[key]) for key, text in _BOUND_ZH.items() if key in context]
    kind = _KIND_ZH.get(item["type"], "").format(**context).replace("' or '", "' 或 '")
    return "，".join(bounds) or kind or f"技术细节：{_told(item)}"


def _told(item: Any) -> str:
    return str(item["msg"]).removeprefix(_RAISED)
