"""Every sentence of the pages, in both languages, and the speaker that picks one.

Keys are dotted: what they belong to, then what they say. Words of the trade (flags, verdicts,
reasons) stand in ``edge.web.terms``.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import Text

LANGUAGES = ("zh", "en")

TEXTS: dict[str, Text] = {
    "nav.live": Text("现场", "Live"),
    "nav.records": Text("记录", "Records"),
    "nav.log": Text("日志与发送", "Log"),
    "nav.devices": Text("设备", "Devices"),
    "nav.language": Text("English", "中文"),
    "lost.title": Text("与站点失去联系", "The station does not answer"),
    "lost.text": Text(
        "下面是最后看到的内容，可能已经过时。页面会自动重连；一分钟后仍不恢复，请打电话叫维护。",
        "What you see below is the last that was heard and may be old. The page reconnects by "
        "itself; if it has not after one minute, call maintenance.",
    ),
    "head.ok": Text("一切正常", "Everything works"),
    "head.ok.more": Text("车辆正在称重，记录正在保存。", "Vehicles are weighed, records are kept."),
    "head.waiting": Text("正在启动", "Starting"),
    "head.waiting.more": Text("还在等待设备应答：", "Still waiting for devices:"),
    "head.warning": Text("能用，但需要有人看看", "Works, but somebody should look"),
    "head.down": Text("有设备不工作", "Something does not work"),
    "head.store": Text("读不到记录", "Records cannot be read"),
    "todo.title": Text("现在要做的事", "What to do now"),
    "todo.none": Text("没有要处理的事。", "Nothing to do."),
    "todo.guide": Text("引导到精检秤", "Guide to the precise scale"),
    "todo.guided": Text("已引导", "Guided"),
    "todo.waited": Text("已等 {minutes} 分钟", "waiting {minutes} min"),
    "todo.just": Text("刚刚通过", "just passed"),
    "todo.no_plate": Text("车牌未识别", "plate not read"),
    "todo.more": Text("还有 {count} 辆车在等待引导", "{count} more vehicles wait to be guided"),
    "lane.empty": Text("还没有车辆通过", "No vehicle has passed yet"),
    "lane.number": Text("第 {number} 辆", "No. {number}"),
    "lane.details": Text("查看详情", "Details"),
    "recent.title": Text("最近通过的车辆", "Last vehicles"),
    "recent.none": Text("还没有车辆。", "No vehicles yet."),
    "recent.today": Text("今日车辆", "Today"),
    "recent.over": Text("超限", "over"),
    "recent.indeterminate": Text("不能判定", "cannot tell"),
    "recent.all": Text("全部记录", "All records"),
    "gross": Text("总重", "Gross weight"),
    "gross.u": Text("扩展不确定度 U，k = 2", "expanded uncertainty U, k = 2"),
    "limit": Text("限值", "Limit"),
    "limit.none": Text("没有适用的限值", "No limit applies"),
    "speed": Text("车速", "Speed"),
    "axles": Text("轴", "Axles"),
    "axle.number": Text("第 {number} 轴", "Axle {number}"),
    "axle.load": Text("轴重", "Axle load"),
    "axle.left": Text("左", "Left"),
    "axle.right": Text("右", "Right"),
    "axle.rows": Text("各排传感器", "Rows of sensors"),
    "axle.spacing": Text("到下一轴", "To next axle"),
    "axle.configuration": Text("轴组", "Axle groups"),
    "plate": Text("车牌", "Plate"),
    "plate.none": Text("未识别", "Not read"),
    "plate.ambiguous": Text("不能确定", "Not certain"),
    "plate.erased": Text("已按期删除", "Erased by rule"),
    "plate.offset": Text("与预计时间相差", "Off the expected time"),
    "plate.confidence": Text("置信度", "Confidence"),
    "plate.grammar": Text("号牌种类", "Kind of plate"),
    "plate.doubts": Text("存疑", "Doubt"),
    "plate.could_be": Text("也可能是", "Could also be"),
    "plate.camera": Text("相机", "Camera"),
    "picture": Text("抓拍照片", "Picture"),
    "picture.none": Text("没有照片。", "No picture."),
    "verdict.title": Text("判定", "Verdict"),
    "verdict.why": Text("原因", "Why"),
    "verdict.lower": Text("可信下限", "Lower bound"),
    "verdict.level": Text("单侧置信水平 {percent} %", "one-sided coverage {percent} %"),
    "verdict.article": Text("依据", "Article"),
    "verdict.limits": Text("可能适用的限值", "Limits that may apply"),
    "verdict.pack": Text("规则包", "Rule pack"),
    "verdict.information": Text("供参考", "For information"),
    "verdict.screening": Text(
        "动态称重只用于筛查；处罚以精检秤的结果为准。",
        "Weighing in motion selects; a penalty rests on the precise scale.",
    ),
    "flags.title": Text("需要注意", "Please note"),
    "flags.perhaps_with": Text(
        "可能与 {lane} 同一时刻的另一条记录是同一辆车：不要重复计数，到精检秤整车称重",
        "may be one vehicle with the record of {lane} of the same moment: do not count it twice, "
        "weigh it as a whole on the precise scale",
    ),
    "flags.none": Text("测量没有异常。", "Nothing unusual about the measurement."),
    "wave.title": Text("传感器波形", "Sensor waveforms"),
    "wave.hint": Text(
        "横向拖动可放大，双击还原。", "Drag sideways to zoom in, double-click to go back."
    ),
    "wave.row": Text("第 {number} 排 · {position} m", "Row {number} · {position} m"),
    "wave.left": Text("左轮", "left wheel"),
    "wave.right": Text("右轮", "right wheel"),
    "wave.counts": Text("转换器计数", "converter counts"),
    "wave.none": Text("这条记录没有保存波形。", "No waveform is kept with this record."),
    "wave.failed": Text("波形读不出来。", "The waveform cannot be read."),
    "wave.reset": Text("还原", "Reset"),
    "wave.download": Text("下载原始信号（FLAC）", "Download raw signal (FLAC)"),
    "proof.title": Text("证据", "Evidence"),
    "proof.index": Text("日志序号", "Log index"),
    "proof.passage": Text("车道内编号", "Number in lane"),
    "proof.id": Text("记录标识", "Record id"),
    "proof.certificate": Text("标定证书", "Calibration certificate"),
    "proof.certificate.none": Text("无（使用标称灵敏度）", "none (nominal sensitivity)"),
    "proof.dynamics": Text("动态参数", "Dynamics"),
    "proof.software": Text("软件", "Software"),
    "proof.configuration": Text("站点文件", "Station file"),
    "proof.clock": Text("时间误差不超过", "Time is good to"),
    "proof.clock.unsure": Text(
        "当时没有对时，时间未核准", "nothing vouched for the clock when it was made"
    ),
    "proof.clock.right": Text(
        "当时没有对时；第 {index} 号记录把时间补正为 {time}",
        "nothing vouched for the clock; record {index} sets the time right: {time}",
    ),
    "proof.download": Text("下载记录原文", "Download the record, byte for byte"),
    "proof.signal": Text("信号", "Signal"),
    "delivery.title": Text("送往中心", "Delivery to the centre"),
    "delivery.receipted": Text("中心已签收", "receipted by the centre"),
    "delivery.waiting": Text(
        "等待发送，已保存在本站", "waits to be sent; it is safe at this station"
    ),
    "delivery.sent": Text("已发送，等待回执", "sent, receipt awaited"),
    "delivery.poisoned": Text("中心拒收，需要人工处理", "refused by the centre; needs a person"),
    "delivery.attempts": Text("发送次数", "attempts"),
    "case.title": Text("引导", "Guidance"),
    "health.title": Text("设备状态", "Devices"),
    "health.since": Text("持续", "For"),
    "health.counters": Text("计数器", "Counters"),
    "health.gauges": Text("当前值", "Present values"),
    "outbox.title": Text("发往中心", "To the centre"),
    "outbox.waiting": Text("等待发送", "Waiting to be sent"),
    "outbox.oldest": Text("最早一条已等", "Oldest waits for"),
    "outbox.hours": Text("断网还能坚持", "Room if the line stays down"),
    "outbox.hours.unknown": Text("车流量还不够估算", "not enough traffic to tell"),
    "outbox.hours.long": Text("99 天以上", "more than 99 days"),
    "outbox.free": Text("磁盘剩余", "Free disk"),
    "outbox.poisoned": Text("被拒收", "Refused"),
    "outbox.all": Text("全部已签收", "all receipted"),
    "outbox.records": Text("{count} 条", "{count} records"),
    "outbox.bytes": Text("等待发送的数据量", "Data waiting"),
    "outbox.written": Text("今天写入磁盘", "Written to disk today"),
    "outbox.refused": Text("被中心拒收的记录", "Records that the centre refused"),
    "outbox.refused.step": Text(
        "这些记录仍完好保存在本站，其余记录照常发送。打电话给中心，报出序号和原因；"
        "中心改正后会让它们重新发送。",
        "They are kept here unharmed, and all others are sent as usual. Call the centre and read "
        "them number and reason; once it is mended there they are sent again.",
    ),
    "log.title": Text("记录日志", "Record log"),
    "log.more": Text("日志与见证", "Log and witness"),
    "log.note": Text("最新检查点原文", "Newest checkpoint as signed"),
    "log.newest": Text("最新检查点", "Newest checkpoint"),
    "log.statements": Text("站点自己的记录", "What the station says of itself"),
    "log.cosigned.size": Text("{size} 条", "{size} records"),
    "log.cosigned.behind": Text("还差 {count} 条", "{count} to go"),
    "clock.title": Text("时钟", "Clock"),
    "message.title": Text("中心消息", "Messages from the centre"),
    "message.none": Text("没有消息。", "No messages."),
    "message.read": Text("已读", "Read"),
    "message.unread": Text("未读", "not read yet"),
    "message.seen": Text("已读 {time}", "read {time}"),
    "software.title": Text("软件标识", "Software identity"),
    "software.part": Text("法定相关部分的散列", "Hash of the legally relevant part"),
    "comma": Text("、", ", "),
    "gist.correction": Text(
        "更正第 {index} 号记录的车牌", "sets right the plate of record {index}"
    ),
    "gist.changed": Text("已更改：", "changed: "),
    "gist.away": Text("中断 {time}，共 {times} 次", "away for {time}, {times} time(s)"),
    "gist.restarted": Text("设备重新启动", "the device started anew"),
    "gist.lost": Text(
        "丢失 {count} 个采样（{gaps} 处）", "{count} samples lost in {gaps} place(s)"
    ),
    "gist.lanes": Text("车道 {lanes}", "lane {lanes}"),
    "gist.boot": Text("计算机重新启动", "the computer started anew"),
    "gist.behind": Text("时间比上一条记录早 {time}", "its time is {time} before the last record"),
    "gist.ahead": Text("时钟被拨快 {time}", "clock set forward by {time}"),
    "gist.back": Text("时钟被拨慢 {time}", "clock set back by {time}"),
    "gist.synchronised": Text("已对时", "synchronised"),
    "gist.unsynchronised": Text("失去对时", "nothing vouches for it any more"),
    "gist.right": Text(
        "第 {first} 至 {last} 号记录的时间已补正", "sets right times of records {first} to {last}"
    ),
    "gist.read": Text("中心消息 #{index} 已读", "message #{index} read"),
    "gist.agreed": Text("中心与本站日志一致", "the centre agrees with this log again"),
    "gist.sizes": Text("本站 {here} 条，中心 {there} 条", "{here} here, {there} at the centre"),
    "gist.removed": Text("清理 {count} 项", "{count} removed"),
    "gist.recovered": Text(
        "数据库损坏后修复：{records} 条完好，{lost} 条内容丢失",
        "recovered from a damaged database: {records} whole, contents of {lost} lost",
    ),
    "gist.salvaged": Text("旧日志第 {index} 号记录", "record {index} of the log before"),
    "log.size": Text("记录数", "Records"),
    "log.root": Text("树根", "Root"),
    "log.cosigned": Text("中心见证副署", "Co-signed by the centre"),
    "log.cosigned.no": Text("还没有", "not yet"),
    "log.empty": Text("日志还是空的。", "The log is empty."),
    "log.key": Text("本站验证公钥", "Verifier key of this station"),
    "records.title": Text("站点日志", "Station log"),
    "records.newer": Text("较新", "Newer"),
    "records.older": Text("较早", "Older"),
    "records.none": Text("没有更早的记录。", "No earlier records."),
    "record.title": Text("第 {index} 号记录", "Record {index}"),
    "vehicle.title": Text("车辆 · 第 {index} 号记录", "Vehicle · record {index}"),
    "devices.title": Text("设备与计数", "Devices and counters"),
    "devices.system": Text("系统", "System"),
    "error.title": Text("打不开", "This cannot be shown"),
    "error.broken": Text("程序出错，这一页没有做出来", "the program failed to make this page"),
    "error.broken.next": Text(
        "称重不受影响；请把时间和网址告诉维护人员",
        "weighing goes on; tell the maintainer the time and the address",
    ),
    "error.missing": Text("没有这个页面或记录", "There is no such page or record"),
    "error.back": Text("回到现场", "Back to the live page"),
    "error.next": Text("怎么办", "What to do"),
    "age.seconds": Text("{n} 秒", "{n} s"),
    "age.minutes": Text("{n} 分钟", "{n} min"),
    "age.hours": Text("{n} 小时", "{n} h"),
    "age.days": Text("{n} 天", "{n} days"),
}


@dataclass(frozen=True, slots=True)
class Speaker:
    """Says texts in one language; templates call it ``t``."""

    lang: str

    def __call__(self, key: str, **values: object) -> str:
        """The sentence of a key, its places filled."""
        return TEXTS[key].lang(self.lang).format(**values)

    def pick(self, text: Text) -> str:
        """A bilingual text of another room, in this language."""
        return text.lang(self.lang)

    def half(self, sentence: str) -> str:
        """This language's half of a sentence that was sealed as ``中文 / English``."""
        zh, slash, en = sentence.partition(" / ")
        return en if slash and self.lang == "en" else zh

    def age(self, seconds: float) -> str:
        """A duration in the one unit that matters."""
        for limit_s, unit_s, key in (
            (60, 1, "age.seconds"),
            (2 * 3600, 60, "age.minutes"),
            (48 * 3600, 3600, "age.hours"),
        ):
            if seconds < limit_s:
                return self(key, n=int(seconds // unit_s))
        return self("age.days", n=int(seconds // 86_400))


def language(code: str | None) -> str:
    """A language of the station: what was asked for if we speak it, Chinese otherwise."""
    return code if code in LANGUAGES else LANGUAGES[0]
