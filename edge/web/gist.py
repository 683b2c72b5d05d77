"""A record of the log in a few words, for the list of the log: every kind of statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edge.errors import Text
from edge.firmware_words import IDENTITIES, REFUSALS, UPDATES
from edge.records import Record
from edge.web.present import plate_text
from edge.web.terms import CASES, VERDICTS, part_name
from edge.web.texts import Speaker

_Body = Mapping[str, Any]

PARTS_OF_SETTINGS: dict[str, Text] = {
    "station_file": Text("站点文件", "station file"),
    "certificate": Text("标定证书", "certificate"),
    "rule_pack": Text("规则包", "rule pack"),
    "dynamics": Text("动态参数", "dynamics"),
    "software": Text("软件", "software"),
}

REMOVED: dict[str, Text] = {
    "lawful.signal": Text("合法车辆的原始信号", "raw signals of lawful vehicles"),
    "lawful.picture": Text("合法车辆的照片", "pictures of lawful vehicles"),
    "lawful.plate": Text("合法车辆的车牌", "plates of lawful vehicles"),
    "case.signal": Text("案件的原始信号", "raw signals of cases"),
    "case.picture": Text("案件的照片", "pictures of cases"),
}

WHY_REMOVED: dict[str, Text] = {
    "age": Text("保存期满", "their time was over"),
    "bound": Text("超过容量上限", "their bound was reached"),
    "space": Text("磁盘空间不足", "the disk was short of room"),
}

SCALE_COMMANDS: dict[str, Text] = {
    "zero": Text("置零", "zero"),
    "tare": Text("去皮", "tare"),
    "clear_tare": Text("清除皮重", "clear tare"),
}
SCALE_OUTCOMES: dict[str, Text] = {
    "ordered": Text("已下达", "ordered"),
    "done": Text("已完成", "done"),
    "not-done": Text("未证实完成", "not proven done"),
}
OUTCOMES: dict[str, Text] = {
    "taken": Text("已执行", "carried out"),
    "expired": Text("已过期，未执行", "expired, not carried out"),
    "replayed": Text("重复的命令，未执行", "replayed, not carried out"),
    "other-station": Text("发给别的站点，未执行", "for another station, not carried out"),
    "unknown-action": Text("不认识的命令，未执行", "unknown, not carried out"),
    "clock-unsure": Text("时钟未对时，未执行", "not carried out: nothing vouches for the clock"),
    "bad-signature": Text("签名不对，未执行", "wrong signature, not carried out"),
}

ACTIONS: dict[str, Text] = {
    "message": Text("消息", "message"),
    "resend": Text("重新发送", "send again"),
    "retry_poisoned": Text("重新发送被拒收的记录", "send refused records again"),
    "checkpoint": Text("提交检查点", "submit a checkpoint"),
    "rule_pack": Text("新规则包", "new rule pack"),
}

CONFLICTS: dict[str, Text] = {
    "fork": Text("日志分叉", "the log has forked"),
    "rollback": Text("日志退回到旧状态", "the log was set back to an older state"),
    "truncated": Text("日志被截短", "the log was cut short"),
    "clone": Text("两台机器用同一把密钥", "two machines use one key"),
}

_ENDINGS: dict[str, Text] = {
    "first": Text("第一次启动", "first start"),
    "stop": Text("上次正常停机", "the run before ended in order"),
    "no-stop": Text("上次没有正常停机（断电或中断）", "the run before was torn off (power, crash)"),
}

_EVENTS: dict[str, Text] = {
    "fault": Text("故障", "fault"),
    "recovered": Text("恢复", "recovered"),
    "flapping": Text("时好时坏", "comes and goes"),
}


def gist(record: Record, t: Speaker) -> str:
    """What a record says, as short as the list needs it; empty where there is nothing to add."""
    words = _GISTS.get(record.kind)
    try:
        return words(record.body, t) if words else ""
    except (KeyError, TypeError, AttributeError):
        return ""  # written by another version of the program: the record itself can be opened


def _known(words: Mapping[str, Text], key: str, t: Speaker) -> str:
    return t.pick(words[key]) if key in words else key


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _vehicle(body: _Body, t: Speaker) -> str:
    verdict = body["verdict"]
    return _joined(
        plate_text(body["plate"], t),
        f"{verdict['measured_kg']:,} kg",
        t.pick(VERDICTS[verdict["kind"]]),
    )


def _case(body: _Body, t: Speaker) -> str:
    plate = body.get("plate") or t("plate.none")
    return _joined(plate, f"#{body['vehicle_index']}", t.pick(CASES[body["state"]]))


def _correction(body: _Body, t: Speaker) -> str:
    return t("gist.correction", index=body["corrects"])


def _start(body: _Body, t: Speaker) -> str:
    return _joined(_known(_ENDINGS, body.get("after", ""), t), body["software"]["version"])


def _configuration(body: _Body, t: Speaker) -> str:
    names = (_known(PARTS_OF_SETTINGS, name, t) for name in body["changed"])
    return t("gist.changed") + t("comma").join(names)


def _software(body: _Body, t: Speaker) -> str:
    before = body["before"]["version"] if body["before"] else "–"
    now = body["software"]
    return f"{before} → {now['version']} ({now['sha256'][:8]})"


def _device(body: _Body, t: Speaker) -> str:
    name = t.pick(part_name(body["part"]))
    told = body["text"][t.lang]
    parts = [name, _known(_EVENTS, body["event"], t), told]
    if body["event"] == "recovered":
        parts[2] = t("gist.away", time=t.age(body["bad_us"] / 1e6), times=body["outages"])
        if body["level"] != "ok":
            parts.append(told)
    return _joined(*parts)


def _gap(body: _Body, t: Speaker) -> str:
    lanes = t("comma").join(body["lanes"])
    if body["restarted"]:
        return _joined(body["device"], t("gist.restarted"), t("gist.lanes", lanes=lanes))
    lost = t("gist.lost", count=f"{body['lost']:,}", gaps=body["gaps"])
    return _joined(body["device"], lost, t("gist.lanes", lanes=lanes))


def _clock(body: _Body, t: Speaker) -> str:
    event = body["event"]
    if event == "boot":
        behind = body.get("behind_us")
        return _joined(t("gist.boot"), t("gist.behind", time=t.age(behind / 1e6)) if behind else "")
    if event == "stepped":
        ahead = body["step_us"] > 0
        size = abs(body["step_us"]) / 1e6
        shown = t.age(size) if size >= 60 else f"{size:.3g} s"
        return t("gist.ahead" if ahead else "gist.back", time=shown)
    if event == "synchronised":
        ranged = body.get("sets_right")
        right = t("gist.right", first=ranged["first"], last=ranged["last"]) if ranged else ""
        return _joined(t("gist.synchronised"), body["clock_host"]["source"], right)
    return t("gist.unsynchronised")


def _identity(body: _Body, t: Speaker) -> str:
    now, hashed = body["now"], body["now"]["image_sha256"]
    who = f"{body['device']}: {now['serial']}, {now['firmware']}, {(hashed or '–')[:12]}"
    return _joined(_known(IDENTITIES, body["event"], t), who, body["by"])


def _firmware(body: _Body, t: Speaker) -> str:
    image = f"{body['device']}: {body['image']['version']}, {body['image']['sha256'][:12]}"
    why = _known(REFUSALS, body["reason"], t)
    return _joined(_known(UPDATES, body["event"], t), image, why, body["by"])


def _operator(body: _Body, t: Speaker) -> str:
    if body["action"] == "message-read":
        return t("gist.read", index=body["about"]["index"])
    if body["action"] == "scale-command":
        about = body["about"]
        what = f"{about['device']}: {_known(SCALE_COMMANDS, about['command'], t)}"
        return _joined(what, _known(SCALE_OUTCOMES, about["outcome"], t), about["by"])
    return str(body["action"])


def _command(body: _Body, t: Speaker) -> str:
    said = body.get("arguments", {}).get(t.lang, "") if body["action"] == "message" else ""
    action = _known(ACTIONS, str(body["action"]), t)
    return _joined(action, _known(OUTCOMES, body["outcome"], t), str(said)[:120])


def _witness(body: _Body, t: Speaker) -> str:
    if body["status"] != "conflict":
        return t("gist.agreed")
    sizes = t("gist.sizes", here=f"{body['size']:,}", there=f"{body['known_size']:,}")
    return _joined(_known(CONFLICTS, body["name"], t), sizes)


def _retention(body: _Body, t: Speaker) -> str:
    size = f"{body['bytes'] / 1e9:,.2f} GB"
    removed = t("gist.removed", count=f"{body['count']:,}")
    why = _known(WHY_REMOVED, body["reason"], t)
    return _joined(_known(REMOVED, body["class"], t), removed, size, why)


def _recovered(body: _Body, t: Speaker) -> str:
    return t("gist.recovered", records=f"{body['records']:,}", lost=f"{body['lost_count']:,}")


def _salvaged(body: _Body, t: Speaker) -> str:
    return t("gist.salvaged", index=f"{body['of_index']:,}")


_GISTS: dict[str, Callable[[_Body, Speaker], str]] = {
    "vehicle": _vehicle,
    "case": _case,
    "correction": _correction,
    "start": _start,
    "configuration": _configuration,
    "software": _software,
    "device": _device,
    "identity": _identity,
    "firmware": _firmware,
    "gap": _gap,
    "clock": _clock,
    "operator": _operator,
    "command": _command,
    "witness": _witness,
    "retention": _retention,
    "recovered": _recovered,
    "salvaged": _salvaged,
}
