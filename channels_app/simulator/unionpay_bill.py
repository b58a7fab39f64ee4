"""UnionPay's settlement file of one clearing day, which ends at 23:00: fixed columns in GBK, in a ZIP."""

import io
import zipfile
from datetime import date, datetime, time, timedelta

from channels_app.simulator import formats
from channels_app.simulator.rows import Merchant, Payment, Refund
from channels_app.simulator.store import Store
from channels_app.simulator.unionpay_voice import begun_as, full_time

# The columns, by their numbers in the file's description.
_WIDTHS = (
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15, 32, 13,
    13, 8, 32, 13, 13, 12, 2, 1, 32, 98,
)  # fmt: skip
_ENDS_AT = time(23)
_FEE_PER_THOUSAND = 6


def clearing_day(at: float) -> date:
    """The day whose file a transaction of this moment is in."""
    local = datetime.fromtimestamp(at, formats.CHINA)
    return local.date() + timedelta(days=1 if local.time() >= _ENDS_AT else 0)


def settlement_zip(store: Store, merchant: Merchant, day: date) -> bytes | None:
    """The file, or nothing when nothing was cleared that day."""
    end = datetime.combine(day, _ENDS_AT, tzinfo=formats.CHINA)
    start = end - timedelta(days=1)
    payments = store.payments_between(merchant, start.timestamp(), end.timestamp())
    refunds = store.refunds_between(merchant, start.timestamp(), end.timestamp())
    lines = [_line(merchant, _payment_columns(store, payment)) for payment in payments]
    lines += [_line(merchant, _refund_columns(store, refund)) for refund in refunds if refund.state == "SUCCESS"]
    if not lines:
        return None
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"INN{day:%y%m%d}88ZM_{merchant.number}", b"".join(lines))
        archive.writestr(f"INN{day:%y%m%d}88ZME_{merchant.number}", b"")
        archive.writestr(f"RD{day:%Y%m%d}01_{merchant.number}", f"交易笔数：{len(lines)}\r\n".encode("gbk"))
    return packed.getvalue()


def _payment_columns(store: Store, payment: Payment) -> dict[int, str]:
    fee = _fee(payment.amount)
    return {
        1: "S56", 4: payment.transaction_id[-6:], 5: full_time(payment.paid_at)[4:], 7: f"{payment.amount:012d}",
        10: payment.transaction_id, 12: store.trade(payment.trade_id).out_trade_no[:32], 16: f"D{fee:012d}",
        17: f"C{payment.amount - fee:012d}", 20: "01", 21: "01",
    }  # fmt: skip


def _refund_columns(store: Store, refund: Refund) -> dict[int, str]:
    fee, (kind, _asked_at) = _fee(refund.amount), begun_as(refund)
    return {
        1: "S30", 4: refund.refund_id[-6:], 5: full_time(refund.created_at)[4:], 7: f"{refund.amount:012d}",
        10: refund.refund_id, 12: refund.number[:32], 16: f"C{fee:012d}", 17: f"D{refund.amount - fee:012d}",
        20: kind, 21: "00", 27: store.payment(refund.payment_id).transaction_id,
    }  # fmt: skip


def _line(merchant: Merchant, columns: dict[int, str]) -> bytes:
    told = {6: "6226********0048", 9: "07", 13: "01", 22: "000201", 28: merchant.number, 31: "模拟商户", **columns}
    cells = (told.get(at, "").encode("gbk").ljust(width) for at, width in enumerate(_WIDTHS, start=1))
    return b" ".join(cells) + b"\r\n"


def _fee(amount: int) -> int:
    return (amount * _FEE_PER_THOUSAND + 500) // 1000
