"""The revenue page: one computed sentence, what may be asked, the strip that subtracts, the chart, the table."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.http import require_safe

from channels_app.console.addresses import console_page
from channels_app.console.audit import write_down
from channels_app.console.words import money_in_prose
from channels_app.models import Environment
from orders.exporting.profiles import Profile
from orders.revenue.periods import CUSTOM, Days
from orders.revenue.report import LONGEST_TAIL, PAYERS_COUNTED_DAYS, Group, Report, backlog, make_report
from payments_site.console.home import words
from payments_site.console.revenue import files
from payments_site.console.revenue.asking import Question, against_in_words, group_in_words, question_of
from payments_site.console.revenue.table import Row, Teller

SEE, EXPORT = "orders.view_totals", "orders.export_orders"


@dataclass(frozen=True, slots=True)
class Figure:
    """One cell of the strip."""

    label: object
    shown: object
    below: object
    address: str = ""


@console_page("revenue/", name="revenue")
@require_safe
def revenue(request: HttpRequest) -> HttpResponse:
    """The page, or its table as a file (`file=finance`, `file=machine`)."""
    if not request.user.has_perm(SEE):
        raise PermissionDenied
    question = question_of(request, now=timezone.now())
    if question is None:
        return _page(request, {"empty": _("There is no game yet. Its revenue will stand here, by channel and by day.")})
    waiting = backlog()
    if waiting > LONGEST_TAIL:
        said = _(
            "Revenue is being added up; %(count)s lines of timelines are still to come. Look again in some minutes."
        )
        return _page(request, {"empty": said % {"count": f"{waiting:,}"}})
    report = make_report(question.asked, compared=question.compared, with_payers=question.counts_payers)
    wanted = request.GET.get("file", "")
    if wanted in set(Profile):
        return _file(request, question, report, Profile(wanted))
    return _page(request, _context(request, question, report))


def _file(request: HttpRequest, question: Question, report: Report, profile: Profile) -> HttpResponse:
    if not request.user.has_perm(EXPORT):
        raise PermissionDenied
    name = files.file_name(question, profile)
    write_down(
        request, "export_revenue", label=name, detail={"filters": [str(one) for one in question.filters_in_words()]}
    )
    return files.answer(question, report, profile)


def _page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    whole = {**admin.site.each_context(request), "title": _("Revenue by channel"), **context}
    return TemplateResponse(request, "admin/console/revenue.html", whole)


def _context(request: HttpRequest, question: Question, report: Report) -> dict[str, Any]:
    table = Teller(question, report).table()
    may_export = request.user.has_perm(EXPORT)
    return {
        "lead": _lead(question),
        "question": question,
        "chips": question.chips(),
        "is_custom": question.period == CUSTOM,
        "period_in_words": f"{question.asked.days.first} – {question.asked.days.last}",
        "kept_by_period": question.kept("period", "from", "to", "payers", "grain"),
        "kept_by_selects": question.kept(
            "against", "group", "grain", "channel", "method", "product", "zone", "currency"
        ),
        "strip": _strip(question, report, table.total),
        "table": table,
        "headings": _headings(question),
        "finance_address": question.address(file=Profile.FINANCE.value) if may_export else "",
        "machine_address": question.address(file=Profile.MACHINE.value) if may_export else "",
        "payers_address": "" if question.counts_payers else question.address(payers="1"),
        "compares": report.before is not None,
        "notes": _notes(question),
        "chart_title": _chart_title(question),
        "unit": _("yuan") if question.asked.currency == "CNY" else question.asked.currency,
    }


def _lead(question: Question) -> str:
    """Period, clock, currency and environment: no figure without them."""
    asked, scope = question.asked, question.scope
    parts = [_period_in_words(question), _day_in_words(scope.turns_at_hour), _currency_in_words(asked.currency)]
    if asked.environment == Environment.SANDBOX:
        parts.append(_("sandbox, not real money"))
    else:
        parts.append(_("without sandbox"))
    return pgettext("between clauses", ", ").join([*parts, *map(str, question.filters_in_words())]) + _(".")


def _period_in_words(question: Question) -> str:
    days = question.asked.days
    until = f"{days.last}"
    if days.last == question.today:
        until = f"{days.last} {question.now.astimezone(question.scope.zone):%H:%M}"
    if len(days) == 1:
        return until
    return _("%(first)s to %(last)s") % {"first": days.first, "last": until}


def _day_in_words(turns_at_hour: int) -> str:
    if turns_at_hour == 0:
        return _("calendar days")
    return _("business days from %(hour)02d:00 on") % {"hour": turns_at_hour}


def _currency_in_words(currency: str) -> str:
    known = {"CNY": _("renminbi"), "USD": _("US dollars"), "HKD": _("Hong Kong dollars"), "TWD": _("Taiwan dollars")}
    return known.get(currency, currency)


def _strip(question: Question, report: Report, total: Row) -> list[Figure]:
    """Gross less refunds is net, to the fen the last row of the table; then the orders, then the players."""
    figures, currency = report.now.total, question.asked.currency

    def said(minor: int) -> str:
        return money_in_prose(minor, currency)

    change = ""
    if report.before is not None and report.before.total.gross_minor:
        change = _("%(change)s vs %(period)s") % {"change": total.change, "period": against_in_words(question.against)}
    per_payer = total.per_payer.shown if total.per_payer.shown == words.NOTHING else ""
    counted = report.payers.total if report.payers else None
    if counted:
        per_payer = said((2 * figures.gross_minor + counted) // (2 * counted))
    return [
        Figure(_("Gross"), said(figures.gross_minor), change, total.gross.address),
        Figure(_("Refunds"), said(-figures.refunded_minor), _("%(count)s refunds") % {"count": f"{figures.refunds:,}"},
               total.refunds.address),
        Figure(_("Net"), said(figures.net_minor), _("gross − refunds")),
        Figure(capfirst(_("orders paid")), total.paid.shown,
               _("paid rate %(rate)s, %(made)s made") % {"rate": total.rate.shown, "made": total.made.shown},
               total.paid.address),
        Figure(_("Payers"), total.payers.shown,
               _("ARPPU %(amount)s, %(count)s for the first time")
               % {"amount": per_payer or words.NOTHING, "count": total.new_payers.shown}),
    ]  # fmt: skip


def _headings(question: Question) -> list[object]:
    return [
        group_in_words(question.asked.group),
        capfirst(_("orders made")),
        capfirst(_("orders paid")),
        _("Paid rate"),
        _("Gross"),
        _("Refunds"),
        _("Net"),
        _("Payers"),
        "ARPPU",
        _("First-time"),
        _("Share"),
    ]


def _chart_title(question: Question) -> str:
    titles = {"day": _("Gross per day"), "week": _("Gross per week"), "month": _("Gross per month")}
    return titles[question.asked.width.value]


def _notes(question: Question) -> list[str]:
    asked = question.asked
    notes = []
    if asked.days.last >= question.today:
        notes.append(_("%(day)s is not over yet.") % {"day": date_format(question.today, "MONTH_DAY_FORMAT")})
    notes.append(
        _("Gross counts when it was paid (the provider's clock), refunds when they were given back, orders made when "
          "they were made. Fees and the channels' share are not taken off.")
    )  # fmt: skip
    compared = question.compared
    if compared is not None:
        notes.append(_("Compared with %(days)s.") % {"days": _days(compared)})
    if not question.counts_payers:
        notes.append(_("Payers are counted by themselves for at most %(days)d days.") % {"days": PAYERS_COUNTED_DAYS})
    if not asked.knows_made or asked.group is Group.METHOD:
        notes.append(_("Orders made and the paid rate are not known per method: it is chosen after the order is made."))
    return notes


def _days(days: Days) -> str:
    if len(days) == 1:
        return f"{days.first}"
    return _("%(first)s to %(last)s") % {"first": days.first, "last": days.last}
