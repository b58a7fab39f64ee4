"""The table of the revenue page as a file: for finance staff with a spreadsheet, or for programs.

The same two profiles as the exports of orders (orders.exporting.profiles): finance in Chinese, yuan, with a foot that
says what the file is; machine in snake_case and minor units, and nothing but rows.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from django.http import HttpResponse
from django.utils import translation
from django.utils.text import slugify

from orders.exporting.cells import harmless, line, major, on_clock
from orders.exporting.profiles import BYTE_ORDER_MARK, END_MARK, Profile
from orders.revenue.report import Figures, Group, Report
from payments_site.console.revenue.asking import Question, group_in_words
from payments_site.console.revenue.table import Teller

_FINANCE = (
    "币种", "下单数", "其中已付", "付款订单数", "流水", "退款笔数", "退款金额", "净收入", "付费玩家数", "ARPPU",
    "首充玩家数", "流水占比", "对比期流水",
)  # fmt: skip
_MEANING = (
    "流水按付款时间（支付方时钟），退款按退款时间，下单数按下单时间", "净收入 = 流水 − 退款，未扣手续费与渠道分成",
)  # fmt: skip
_MACHINE = (
    "currency", "orders_made", "orders_made_paid", "orders_paid", "gross_minor", "refunds", "refunded_minor",
    "net_minor", "payers", "arppu_minor", "first_time_payers", "compared_gross_minor",
)  # fmt: skip


def answer(question: Question, report: Report, profile: Profile) -> HttpResponse:
    """The file, to be kept under a name that says what it is."""
    finance = profile == Profile.FINANCE
    content = b"".join(_finance(question, report) if finance else _machine(question, report))
    disposition = f'attachment; filename="{file_name(question, profile)}"'
    return HttpResponse(content, content_type="text/csv; charset=utf-8", headers={"Content-Disposition": disposition})


def file_name(question: Question, profile: Profile) -> str:
    """Game, environment, period, grouping, profile, time of making."""
    asked, scope = question.asked, question.scope
    game = slugify(scope.game.code) if scope.game else "all-games"
    made = question.now.astimezone(scope.zone).strftime("%Y%m%d%H%M%S")
    days = f"{asked.days.first:%Y%m%d}-{asked.days.last:%Y%m%d}"
    return (
        f"revenue-{game}-{asked.environment.value}-{days}-by-{asked.group.value}-{asked.currency}"
        f"-{profile.in_file_name}-{made}.csv"
    )


def _finance(question: Question, report: Report) -> Iterator[bytes]:
    with translation.override("zh-hans"):
        teller = Teller(question, report)
        asked, scope = question.asked, question.scope
        yield BYTE_ORDER_MARK + line([group_in_words(asked.group), *_FINANCE], Profile.FINANCE)
        for key in teller.row_keys():
            yield line([harmless(teller.name(key)), *_finance_cells(question, report, key)], Profile.FINANCE)
        yield line(["合计", *_finance_cells(question, report, None)], Profile.FINANCE)
        made = question.now.astimezone(scope.zone)
        compared = question.compared
        yield from (
            line([harmless(cell) for cell in cells], Profile.FINANCE)
            for cells in (
                [],
                ["游戏", scope.game.code if scope.game else "全部"],
                ["环境", asked.environment.label],
                ["期间（营业日）", asked.days.first.isoformat(), asked.days.last.isoformat()],
                ["对比期", *([compared.first.isoformat(), compared.last.isoformat()] if compared else ["无"])],
                ["营业日", f"{scope.zone} {scope.turns_at_hour:02d}:00 起"],
                ["筛选条件", "；".join(question.filters_in_words()) or "无"],
                ["口径", *_MEANING],
                ["导出时间", on_clock(question.now, scope.zone)],
                ["时区", f"{scope.zone} (UTC{made:%z})"],
                ["行数", len(teller.row_keys())],
                [END_MARK],
            )
        )  # fmt: skip


def _finance_cells(question: Question, report: Report, key: Any) -> Sequence[object]:
    figures, payers, before, knows_made = _of(question, report, key)
    currency = question.asked.currency
    whole = report.now.total.gross_minor
    per_payer = Figures(gross_minor=figures.gross_minor, payers=payers).per_payer_minor
    return [
        currency,
        figures.made if knows_made else None,
        figures.made_paid if knows_made else None,
        figures.paid,
        major(figures.gross_minor, currency),
        figures.refunds,
        major(-figures.refunded_minor, currency),
        major(figures.net_minor, currency),
        payers,
        None if per_payer is None else major(per_payer, currency),
        figures.new_payers,
        f"{figures.gross_minor / whole:.4%}" if whole else None,
        None if before is None else major(before, currency),
    ]


def _machine(question: Question, report: Report) -> Iterator[bytes]:
    teller = Teller(question, report)
    group = question.asked.group
    yield line([group.value, *_MACHINE], Profile.MACHINE)
    for key in teller.row_keys():
        figures, payers, before, knows_made = _of(question, report, key)
        yield line(
            [
                _code(question, key),
                question.asked.currency,
                figures.made if knows_made else None,
                figures.made_paid if knows_made else None,
                figures.paid,
                figures.gross_minor,
                figures.refunds,
                figures.refunded_minor,
                figures.net_minor,
                payers,
                Figures(gross_minor=figures.gross_minor, payers=payers).per_payer_minor,
                figures.new_payers,
                before,
            ],
            Profile.MACHINE,
        )


def _code(question: Question, key: Any) -> object:
    if isinstance(key, date):
        return key.isoformat()
    if question.asked.group is Group.GAME:
        return next(game.code for game in question.scope.games if game.pk == key)
    return key


def _of(question: Question, report: Report, key: Any) -> tuple[Figures, int | None, int | None, bool]:
    """Figures, players, gross of the compared period and whether orders made are known; of the total for None."""
    asked = question.asked
    if key is None:
        before = report.before.total.gross_minor if report.before else None
        return report.now.total, report.payers.total if report.payers else None, before, asked.knows_made
    payers = report.payers.rows.get(key, 0) if report.payers else None
    knows_made = asked.knows_made and asked.group is not Group.METHOD
    return report.now.rows.get(key, Figures()), payers, Teller(question, report).before(key), knows_made
