"""Words for what becomes of a device's program: steps of an update, refusals, its identity."""

from __future__ import annotations

from edge.errors import Text

__all__ = ["ACCEPT", "BROKEN", "IDENTITIES", "REFUSALS", "UNPROVEN", "UPDATES", "step_text"]

UPDATES: dict[str, Text] = {
    "ordered": Text("固件更新已下达", "update ordered"),
    "offered": Text("开始传送固件", "transfer begins"),
    "resumed": Text("继续传送固件", "transfer goes on"),
    "received": Text("固件已全部送到", "all of it is there"),
    "switching": Text("设备检查固件后重新启动", "the device checks it and starts anew"),
    "trial": Text("新固件试运行", "the new program is on trial"),
    "damaged": Text("固件送到时已损坏，重新传送", "it arrived damaged and is sent again"),
    "confirmed": Text("新固件已确认", "the new program is kept"),
    "refused": Text("设备拒绝了固件", "the image was refused"),
    "rolled-back": Text(
        "新固件没有按时确认，设备已退回原固件",
        "not confirmed in time: the device went back to the program before it",
    ),
    "unsupported": Text("设备不支持固件更新", "the device knows nothing of updates"),
}

REFUSALS: dict[str, Text] = {
    "": Text("", ""),
    "form": Text("不是固件文件", "it is no image"),
    "signature": Text("不是可信的密钥签名", "no trusted key signed it"),
    "hardware": Text("用于另一种硬件", "it is for other hardware"),
    "downgrade": Text("低于设备允许的防回退编号", "its anti-rollback number is too low"),
    "size": Text("超过设备的存储空间", "the device has no room for it"),
    "digest": Text("内容与签名不符", "its contents are not what was signed"),
    "rolled_back": Text("试运行没有通过", "it did not pass its trial"),
    "busy": Text("另一固件正在试运行", "another program is on trial"),
}

IDENTITIES: dict[str, Text] = {
    "first": Text("首次登记", "first seen"),
    "updated": Text("更新后的身份", "identity after an update"),
    "changed": Text("封印破坏：未经更新而改变", "seal broken: changed without an update"),
    "accepted": Text("负责人已接受", "accepted by a person"),
}

BROKEN = Text(
    "封印破坏：设备或固件未经更新而改变，称重结果不作依据",
    "seal broken: device or program changed without an update; no legal result",
)
UNPROVEN = Text(
    "设备还没有报出固件，称重结果暂不作依据",
    "the device has not named its program yet: no legal result until then",
)
ACCEPT = Text(
    "不要用它的结果定案；叫维护查清，再由负责人运行 steelyard firmware accept",
    "decide nothing with it; have it cleared up, then accept it: steelyard firmware accept",
)


def step_text(step: str, reason: str) -> Text:
    """A step of an update, and why where it was refused."""
    what, why = UPDATES.get(step, Text(step, step)), REFUSALS.get(reason, Text(reason, reason))
    return Text(f"{what.zh}：{why.zh}", f"{what.en}: {why.en}") if reason else what
