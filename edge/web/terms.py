"""Words of the trade for people: flags, verdicts, selections, parts, and what to do about each."""

from __future__ import annotations

import re

from edge.errors import Text
from edge.health import Level

FLAGS: dict[str, Text] = {
    "GAP": Text("称重时丢了一段信号", "part of the signal was lost while weighing"),
    "SATURATED": Text("传感器信号超出量程", "a sensor's signal went off the scale"),
    "SPEED_OUT_OF_RANGE": Text("车速超出标定范围", "speed outside the calibrated range"),
    "SPEED_CHANGE": Text("过秤时刹车或加速", "braked or accelerated on the scale"),
    "WHEEL_OFF": Text("有一侧车轮没压到传感器", "a wheel missed the sensors on one side"),
    "ROW_MISSING": Text("有一排传感器没有信号", "a row of sensors saw nothing of an axle"),
    "AMBIGUOUS": Text("车轴分不清属于哪辆车", "axles could belong to another vehicle"),
    "UNCALIBRATED": Text("没有有效的标定证书", "no valid calibration certificate"),
    "INCOMPLETE": Text("车辆没有完整通过", "the vehicle did not pass completely"),
    "LOAD_OUT_OF_RANGE": Text("轴重超出标定范围", "an axle load outside the calibrated range"),
    "CLOCK_UNSURE": Text("时间可能不准", "the time may be inexact"),
    "SEPARATOR_FAULT": Text("车辆分离器异常", "the vehicle separator misbehaves"),
    "STRADDLING": Text("跨车道行驶", "drove across two lanes"),
    "REVERSED": Text("逆行或倒车", "drove against the direction, or reversed"),
    "STOPPED": Text("在秤上停车或太慢", "stopped on the scale, or crawled"),
    "SEAL_BROKEN": Text("称重仪的封印破坏", "the seal of the digitiser is broken"),
}

JOIN_REASONS: dict[str, Text] = {
    "": Text("车牌与车辆对应明确。", "The plate clearly belongs to this vehicle."),
    "no-read": Text(
        "相机在这辆车经过时没有读到车牌。", "The camera read no plate when this vehicle passed."
    ),
    "unread": Text(
        "相机拍到了车辆，但认不出车牌。", "The camera saw it but could not read its plate."
    ),
    "fits-two-vehicles": Text(
        "这个车牌也可能属于另一辆车，所以不采用。",
        "This plate could also belong to another vehicle, so it is not used.",
    ),
    "different-texts": Text(
        "几次读数的车牌不一样，所以不采用。", "Several reads differ, so none of them is used."
    ),
    "no-camera": Text("这条车道没有车牌相机。", "This lane has no plate camera."),
    "erased": Text(
        "保存期满，车牌已按规定删除；记录的其余部分没有改变。",
        "Its time was over and the plate was erased by rule; the rest of the record is unchanged.",
    ),
}
"""Why a plate and a vehicle came together or not."""

GRAMMARS: dict[str, Text] = {
    "": Text("不符合任何种类", "fits no kind"),
    "cn-ordinary": Text("普通号牌", "ordinary"),
    "cn-trailer": Text("挂车号牌", "trailer"),
    "cn-energy-small": Text("小型新能源号牌", "new energy, small"),
    "cn-energy-large": Text("大型新能源号牌", "new energy, large"),
    "cn-learner": Text("教练车号牌", "driving school"),
    "cn-police": Text("警车号牌", "police"),
    "cn-hk-macau": Text("港澳入出境号牌", "Hong Kong, Macau"),
    "cn-consulate": Text("领馆号牌", "consulate"),
    "cn-embassy": Text("使馆号牌", "embassy"),
    "cn-rescue": Text("应急救援号牌", "emergency rescue"),
    "cn-armed-police": Text("武警号牌", "armed police"),
    "cn-army": Text("军车号牌", "army"),
}

PLATE_DOUBTS: dict[str, Text] = {
    "grammar": Text("不像任何一种号牌", "no plate looks like this"),
    "colour": Text("颜色与号牌种类不符", "its colour is not that of its kind"),
    "second-opinion": Text("第二次识别结果不同", "a second reader reads another plate"),
}

CHECKED: dict[bool, Text] = {
    True: Text("已与法规文本或其转载核对", "compared with the text of the law or a copy of it"),
    False: Text("尚未与法规文本核对", "not yet compared with the text of the law"),
}
"""What ``verified`` of a rule claims: grades A and B of a pack, never that the gazette was seen."""

FIGURES: dict[str, Text] = {
    "group": Text("第 {} 轴组", "group {}"),
    "axles": Text("{} 轴", "{} axle(s)"),
    "load_kg": Text("测得 {} kg", "measured {} kg"),
    "u_kg": Text("标准不确定度 {} kg", "standard uncertainty {} kg"),
    "limit_kg": Text("限值 {} kg", "limit {} kg"),
    "verified=true": CHECKED[True],
    "verified=false": CHECKED[False],
}
"""Figures that the rules state as ``name=value``."""

VERDICTS: dict[str, Text] = {
    "within": Text("未超限", "Within limit"),
    "over": Text("超限", "Over limit"),
    "indeterminate": Text("不能判定", "Cannot tell"),
}

SELECTIONS: dict[str, Text] = {
    "over": Text("超限", "over the limit"),
    "may_be_over": Text("可能超限", "may be over the limit"),
    "no_legal_weight": Text("称重异常，重量不能作依据", "its weight is no ground for a verdict"),
}

CASES: dict[str, Text] = {
    "waiting": Text("等待引导到精检秤", "waits to be guided to the precise scale"),
    "guided": Text("已引导到精检秤", "guided to the precise scale"),
    "expired": Text("超时，没有人按“已引导”", "time ran out, nobody said that it was guided"),
}

_FIGURE = re.compile(r"\b([a-z_]+)=([\w.]+)")

LEVELS: dict[Level, Text] = {
    Level.OK: Text("正常", "works"),
    Level.WAITING: Text("等待", "waiting"),
    Level.WARNING: Text("注意", "needs a look"),
    Level.DOWN: Text("故障", "down"),
}

KINDS: dict[str, Text] = {
    "vehicle": Text("车辆", "vehicle"),
    "case": Text("引导", "guidance"),
    "start": Text("启动", "start"),
    "stop": Text("停止", "stop"),
    "configuration": Text("配置", "settings"),
    "software": Text("软件", "software"),
    "device": Text("设备", "device"),
    "identity": Text("设备身份", "identity of a device"),
    "firmware": Text("设备固件", "firmware of a device"),
    "gap": Text("数据缺失", "lost samples"),
    "clock": Text("时钟", "clock"),
    "correction": Text("更正", "correction"),
    "operator": Text("操作", "operator"),
    "command": Text("中心命令", "command"),
    "witness": Text("见证", "witness"),
    "retention": Text("清理", "clearing"),
    "recovered": Text("修复", "recovery"),
    "salvaged": Text("抢救的记录", "salvaged record"),
}

PARTS: dict[str, Text] = {
    "digitiser": Text("称重仪 {id}", "Digitiser {id}"),
    "firmware": Text("称重仪 {id} 的固件封印", "Firmware seal of digitiser {id}"),
    "camera": Text("车牌相机 {id}", "Plate camera {id}"),
    "modbus": Text("机柜监测 {id}", "Cabinet sensors {id}"),
    "scale": Text("衡器 {id}", "Scale {id}"),
    "uplink": Text("中心连接", "Line to the centre"),
    "uplink.receipts": Text("中心回执", "Receipts of the centre"),
    "uplink.poisoned": Text("被拒收的记录", "Refused records"),
    "uplink.access": Text("中心的登录与权限", "Login and rights at the centre"),
    "uplink.certificate": Text("连接中心用的证书", "Certificates of the line to the centre"),
    "store": Text("记录库", "Record store"),
    "storage": Text("磁盘空间", "Room on the disk"),
    "recovery": Text("记录库修复", "Recovery of the records"),
    "clock": Text("时钟", "Clock"),
    "floor": Text("引导台账", "Guidance"),
    "web": Text("网页", "Web page"),
    "calibration": Text("标定 {id}", "Calibration {id}"),
    "rows": Text("车道 {id} 的传感器排", "Sensor rows of lane {id}"),
    "lessons": Text("学习数据", "What was learned"),
    "updating": Text("称重仪固件更新", "Firmware updates of digitisers"),
    "ports": Text("端口检查", "Watch over the ports"),
    "taps": Text("本机服务口（抄录、指令）", "Local door (tapping, orders)"),
    "log": Text("日志见证", "Log and witness"),
    "chronicle": Text("站点日记", "Diary of the station"),
    "clerk": Text("封存", "Sealing"),
    "recording": Text("录制", "Recording"),
}

NEXT_STEPS: dict[str, Text] = {
    "digitiser": Text(
        "看称重仪 {id} 的电源灯和数据线；5 分钟不恢复就打电话叫维护。这期间该车道不称重。",
        "Look at the power light and cable of digitiser {id}; if it is not back in 5 minutes, "
        "call maintenance. Its lanes do not weigh meanwhile.",
    ),
    "firmware": Text(
        "不要用称重仪 {id} 的称重结果定案。马上打电话叫维护，报出这一行；查清以后由负责人接受。",
        "Decide nothing with the weights of digitiser {id}. Call maintenance at once and read "
        "them this line; when it is cleared up, the person in charge accepts the device.",
    ),
    "camera": Text(
        "看相机 {id} 的电源和镜头；称重照常，但没有车牌。10 分钟不恢复就打电话叫维护。",
        "Look at power and lens of camera {id}. Weighing goes on, without plates. If it is not "
        "back in 10 minutes, call maintenance.",
    ),
    "modbus": Text(
        "称重不受影响。当班期间告诉维护：机柜监测 {id} 没有应答。",
        "Weighing is not affected. Tell maintenance during the shift that {id} does not answer.",
    ),
    "scale": Text(
        "看衡器 {id} 的仪表：有没有显示、是否超载。不要用它定案；5 分钟不恢复就打电话叫维护。",
        "Look at the indicator of scale {id}: is it on, is it overloaded? Decide nothing with this "
        "scale. If it is not back in 5 minutes, call maintenance.",
    ),
    "uplink": Text(
        "不用担心：记录都保存在本站，线路恢复后自动补发。断开超过 1 小时请打电话给网络维护。",
        "No record is lost: all are kept here and sent when the line is back. If it is down for "
        "more than an hour, call the network people.",
    ),
    "store": Text(
        "不要关机，不要删文件。马上打电话叫维护。",
        "Do not switch off, do not delete files. Call maintenance at once.",
    ),
    "uplink.access": Text(
        "记录都保存在本站。打电话给中心，报出这一行；由中心检查本站的账号和权限。",
        "No record is lost. Call the centre and read them this line: they check the station's "
        "account and rights.",
    ),
    "uplink.certificate": Text(
        "记录都保存在本站。打电话叫网络维护换证书，报出这一行。",
        "No record is lost. Call the network people to renew the certificate; read them this line.",
    ),
    "storage": Text(
        "照常称重，案件照常保存。打电话叫维护扩充磁盘，不要自己删文件。",
        "Go on weighing, cases are kept. Call maintenance for a larger disk; delete nothing.",
    ),
    "recovery": Text(
        "照常称重。不要关机，不要删文件，特别是 damaged 开头的目录。马上打电话叫维护。",
        "Go on weighing. Do not switch off, delete nothing, least of all the directories that "
        "begin with damaged. Call maintenance at once.",
    ),
    "uplink.poisoned": Text(
        "记录仍在本站。打电话给中心，报出被拒收的记录序号。",
        "The records are still here. Call the centre and read them the numbers of the records.",
    ),
    "calibration": Text(
        "仍可筛查，但不能作出判定。打电话给计量工程师，安排标定。",
        "Vehicles are still selected, but none is judged. Call the metrology engineer.",
    ),
    "log": Text(
        "照常称重。不要重装系统、不要恢复备份、不要换机器。马上打电话给中心，报出这一行。",
        "Go on weighing. Do not reinstall, restore a backup or change the machine. Call the centre "
        "at once and read them this line.",
    ),
    "lessons": Text(
        "称重不受影响。当班期间告诉维护这一行。",
        "Weighing is not affected. Tell maintenance this line during the shift.",
    ),
}

NEXT_STEP = Text("打电话叫维护，报出这一行。", "Call maintenance and read them this line.")


def part_name(part: str) -> Text:
    """What people call a part of the station; its own name where it has none here."""
    device, port, _ = part.partition(".port")
    family, _, ident = device.partition(".")
    text = PARTS.get(device) or PARTS.get(family)
    if text is None:
        return Text(part, part)
    zh, en = (half.format(id=ident).strip() for half in text)
    return Text(f"{zh} 的端口", f"{en}, its port") if port else Text(zh, en)


def next_step(part: str) -> Text:
    """What an operator does when a part is down or needs a look."""
    family, _, ident = part.partition(".")
    text = NEXT_STEPS.get(part) or NEXT_STEPS.get(family, NEXT_STEP)
    return Text(text.zh.format(id=ident), text.en.format(id=ident))


def grammar_text(name: str) -> Text:
    """A kind of plate in words; its name where we have none (plates of other countries)."""
    return GRAMMARS.get(name, Text(name, name))


def doubt_text(name: str) -> Text:
    """What speaks against a plate, in words; its name where it is a newer one."""
    return PLATE_DOUBTS.get(name, Text(name, name))


def join_text(reason: str) -> Text:
    """Why a plate was taken or not; the reason itself where it is a newer one."""
    return JOIN_REASONS.get(reason, Text(reason, reason))


def figures_text(statement: str) -> Text:
    """A statement with ``name=value`` in words; anything else in it stays as it is."""

    def said(found: re.Match[str]) -> Text:
        name, value = found.groups()
        text = FIGURES.get(found[0]) or FIGURES.get(name)
        shown = f"{int(value):,}" if value.isdigit() else value
        return Text(text.zh.format(shown), text.en.format(shown)) if text else Text(*2 * [found[0]])

    zh = _FIGURE.sub(lambda found: said(found).zh + "，", statement)
    en = _FIGURE.sub(lambda found: said(found).en + ", ", statement)
    return Text(zh.replace("， ", "，").strip("， "), en.replace(",  ", ", ").strip(", "))


def flag_text(name: str) -> Text:
    """A flag in words; its name where a newer record carries one that we don't know."""
    return FLAGS.get(name, Text(name, name))
