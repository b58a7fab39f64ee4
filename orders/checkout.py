"""The hosted checkout: the page on which a player pays one order and sees what came of it.

The client token in the address is the only credential; a page shows the one order it was made for. The
server renders every state whole, so that everything but live updates and copying works without JavaScript;
the script (static/checkout/checkout.js) makes the same calls through the client API and swaps in what this
module renders.

What it never does: offer to pay again once money has arrived, or say that something failed after that.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

import segno
from django.conf import settings
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render
from django.utils import timezone, translation
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from channels_app.providers.base import PayKind
from orders.asking import report_client_result
from orders.authentication import GameClient, peer_address, read_client_token
from orders.cancelling import cancel_order
from orders.checkout_methods import (
    Choice,
    Device,
    Text,
    brand_of,
    choices_on,
    device_of,
    qr_text,
    web_address,
)
from orders.models import CancelReason, DeliveryState, Game, Order, OrderState, Payment, PaymentAttempt
from orders.opening import open_payment
from orders.ordering import methods_of
from orders.problems import Problem, problem_of
from orders.reading import visible_order
from orders.request_id import current_request_id

_LANGUAGE_KEPT_S = 365 * 24 * 3600
_LONGEST_QR_TEXT = 512
# Both providers' codes live two hours, whatever the order's own limit.
_CODE_LIVES = timedelta(hours=2)


class Stage(StrEnum):
    """Where an order stands in the eyes of its player."""

    OPEN = "open"  # can be paid
    EXPIRED = "expired"  # the time to pay is over; the last attempts are being closed
    CANCELLED = "cancelled"
    HELD = "held"  # money has arrived that a person must judge
    ON_ITS_WAY = "on_its_way"  # paid, goods not there yet
    STOPPED = "stopped"  # paid, a person looks after the goods
    DELIVERED = "delivered"
    TAKEN_BACK = "taken_back"


_STAGE_OF_DELIVERY = {
    DeliveryState.NONE: Stage.ON_ITS_WAY,
    DeliveryState.PENDING: Stage.ON_ITS_WAY,
    DeliveryState.PARKED: Stage.STOPPED,
    DeliveryState.DELIVERED: Stage.DELIVERED,
    DeliveryState.REVOKED: Stage.TAKEN_BACK,
}
_AT_REST = (Stage.CANCELLED, Stage.DELIVERED, Stage.TAKEN_BACK)

# What a player reads when a call did not go through, by the stable code of the problem.
_NOTICES: Mapping[str, Text] = {
    "provider_unavailable": _("%(provider)s does not answer just now. Try again, or choose another way to pay."),
    "provider_busy": _("%(provider)s is very busy just now. Try again in a moment, or choose another way to pay."),
    "provider_refused": _("%(provider)s did not accept this order. Please choose another way to pay."),
}
_PLAIN_NOTICES: Mapping[str, Text] = {
    "not_paid_yet": _("We have just asked: no payment has arrived yet. When it does, this page updates by itself."),
    "method_not_offered": _("This way to pay is not available now. Please choose another one."),
    "too_many_attempts": _("This order was tried too often. Please go back to the game and start a new purchase."),
    "too_many_requests": _("We have asked several times in the last minute. Please wait a little."),
    "cannot_close": _("The payment provider did not answer, so the order stays open for now. Try again in a moment."),
}
_OTHER_NOTICE = _("That did not go through. Please try again.")


# --- views ------------------------------------------------------------------------------------------------
# Exempt from CSRF checks: no cookie authenticates anything here. The token is the credential, and every form
# carries it in its body; who can forge such a form holds the token already.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def checkout(request: HttpRequest, order_no: str) -> HttpResponse:
    """`/checkout/{order_no}?token=…`: the page; its forms post back to it."""
    return _answer(request, order_no, _act if request.method == "POST" else _show)


@csrf_exempt  # as above
@require_http_methods(["POST"])
def checkout_qr(request: HttpRequest, order_no: str) -> HttpResponse:
    """`/checkout/{order_no}/qr`: the page around a QR code that the script has opened through the API."""
    return _answer(request, order_no, _show_opened_qr)


def _answer(request: HttpRequest, order_no: str, view: Callable[["Visit"], HttpResponse]) -> HttpResponse:
    chosen = _chosen_language(request)
    with translation.override(chosen) if chosen else nullcontext():
        try:
            response = view(_visit(request, order_no))
        except (BadRequest, SuspiciousOperation, MultiPartParserError):
            raise  # not a browser's form: Django's own 400
        except Exception as error:  # noqa: BLE001  # a player never meets a stack trace or a bare code
            response = _sorry(request, problem_of(error))
        response.headers.setdefault("Content-Language", translation.get_language() or "en")
    if chosen:
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME, chosen, max_age=_LANGUAGE_KEPT_S, path="/checkout/", httponly=True,
            secure=settings.SESSION_COOKIE_SECURE, samesite="Lax",
        )  # fmt: skip
    return _guarded(response)


def _guarded(response: HttpResponse) -> HttpResponse:
    stream = urlsplit(settings.STREAM_BASE_URL)
    response["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self' {stream.scheme}://{stream.netloc}; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    response["Referrer-Policy"] = "no-referrer"  # the token is in the address
    response["Cache-Control"] = "no-store"
    response["X-Robots-Tag"] = "noindex"
    return response


def _chosen_language(request: HttpRequest) -> str:
    wanted = request.GET.get("lang") or (request.POST.get("lang", "") if request.method == "POST" else "")
    return wanted if wanted in dict(settings.LANGUAGES) else ""


# --- who is here, and what about --------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request: the order as its player may see it, and everything the pages tell about it."""

    request: HttpRequest
    token: str
    openid: str  # WeChat's name for the player, when the game sent the player here from inside WeChat
    client: GameClient
    order: Order
    game_name: str
    clock: ZoneInfo
    held: Sequence[Payment]
    now: datetime

    @property
    def stage(self) -> Stage:
        """Where the order stands."""
        if self.order.state == OrderState.PAID:
            return _STAGE_OF_DELIVERY[DeliveryState(self.order.delivery_state)]
        if self.held:
            return Stage.HELD
        if self.order.state == OrderState.CANCELLED:
            return Stage.CANCELLED
        return Stage.OPEN if self.order.expires_at > self.now else Stage.EXPIRED

    @property
    def mark(self) -> str:
        """Changes exactly when another page should be shown."""
        return f"{self.stage}.{len(self.held)}.{self.order.refunded_minor}"

    def address(self, **query: str) -> str:
        """This page, with its token."""
        who = {"token": self.token, **({"openid": self.openid} if self.openid else {})}
        return f"/checkout/{self.order.order_no}?{urlencode({**who, **query})}"

    def at(self, moment: datetime | None) -> str:
        """A time by the game's clock."""
        return moment.astimezone(self.clock).strftime("%Y-%m-%d %H:%M:%S") if moment else ""

    def until(self, moment: datetime) -> str:
        """A deadline by the game's clock; with its date when that is not today."""
        local = moment.astimezone(self.clock)
        today = self.now.astimezone(self.clock).date()
        return local.strftime("%H:%M" if local.date() == today else "%Y-%m-%d %H:%M")


def _visit(request: HttpRequest, order_no: str) -> Visit:
    """Raises Problem: 401 for a token that does not hold, 404 for another order's."""
    posted = request.POST.get("token", "") if request.method == "POST" else ""
    token = posted or request.GET.get("token", "")
    now = timezone.now()
    client = read_client_token(token, now=now)
    order = visible_order(order_no, client)
    game = Game.objects.only("name", "time_zone").get(pk=order.game_id)
    return Visit(
        request=request,
        token=token,
        openid=request.GET.get("openid", "")[:64],
        client=client,
        order=order,
        game_name=game.name,
        clock=ZoneInfo(game.time_zone),
        held=list(Payment.objects.filter(order=order.pk, applied=False).order_by("pk")),
        now=now,
    )


def _again(visit: Visit) -> Visit:
    """The same visit after something was done."""
    return _visit(visit.request, visit.order.order_no)


def _device(visit: Visit) -> Device:
    return device_of(visit.request.headers.get("User-Agent", ""))


def _choices(visit: Visit) -> list[Choice]:
    return choices_on(
        _device(visit),
        methods_of(visit.order),
        openid=visit.openid,
        # The address the player pays from: WeChat Pay compares it with the one its own page is opened from.
        client_ip=peer_address(visit.request),
        return_url=f"{settings.PUBLIC_BASE_URL}{visit.address(back='1')}",
    )


def _last_method(visit: Visit) -> str:
    """The method tried last, or nothing."""
    attempts = PaymentAttempt.objects.filter(order=visit.order.pk).order_by("-pk")
    return attempts.values_list("method", flat=True).first() or ""


# --- what a form asks for ---------------------------------------------------------------------------------
def _act(visit: Visit) -> HttpResponse:
    action = {"pay": _pay, "result": _report, "cancel": _cancel}.get(visit.request.POST.get("action", ""))
    if action is None:
        return HttpResponseRedirect(visit.address())
    try:
        return action(visit)
    except Problem as problem:
        method = visit.request.POST.get("method", "")
        return _show(_again(visit), notice=problem.code, method=method, status=problem.status)


def _pay(visit: Visit) -> HttpResponse:
    """Open a payment and show its QR code, or the way to the provider's page."""
    if visit.stage is not Stage.OPEN:
        return HttpResponseRedirect(visit.address())
    method = visit.request.POST.get("method", "")
    choice = next((choice for choice in _choices(visit) if choice.code == method), None)
    if choice is None or choice.kind not in (PayKind.QR, PayKind.REDIRECT):
        raise Problem(400, "method_not_offered", "This page does not offer that payment method.")
    opened = open_payment(
        order=visit.order, method=choice.code, inputs=choice.inputs, actor=visit.client.actor, now=visit.now
    )
    if choice.kind is PayKind.QR:
        return _qr_page(visit, choice, text=qr_text(opened["params"]))
    # A page in between, not a redirect: browsers hold a form's redirects to form-action, which is ourselves.
    return _page(visit, "leaving", choice=choice, address=web_address(opened["params"]))


def _report(visit: Visit) -> HttpResponse:
    """ "I have paid": a hint, so the provider is asked at once."""
    report_client_result(
        order=visit.order, result="success", detail="checkout page", actor=visit.client.actor, now=visit.now
    )
    return HttpResponseRedirect(visit.address(back="1", notice="not_paid_yet"))


def _cancel(visit: Visit) -> HttpResponse:
    try:
        cancel_order(order=visit.order, reason=CancelReason.PLAYER, actor=visit.client.actor)
    except Problem as problem:
        if problem.status < 500:
            raise
        raise Problem(problem.status, "cannot_close", problem.detail) from None
    return HttpResponseRedirect(visit.address())


# --- pages ------------------------------------------------------------------------------------------------
_TEMPLATES: Mapping[Stage, str] = {
    Stage.EXPIRED: "over",
    Stage.CANCELLED: "over",
    Stage.HELD: "held",
    Stage.ON_ITS_WAY: "on_its_way",
    Stage.STOPPED: "on_its_way",
    Stage.DELIVERED: "delivered",
    Stage.TAKEN_BACK: "taken_back",
}


def _show(visit: Visit, *, notice: str = "", method: str = "", status: int = 200) -> HttpResponse:
    """The page for the order as it stands. `notice` is a problem's code, `method` the one it is about."""
    query = visit.request.GET
    notice = notice or query.get("notice", "")
    method = method or query.get("method", "")
    words = _notice(notice, method)
    if visit.stage is not Stage.OPEN:
        over = visit.stage in (Stage.EXPIRED, Stage.CANCELLED)
        return _page(visit, _TEMPLATES[visit.stage], notice=words if over else "")
    if query.get("ask") == "cancel" and not notice:
        return _page(visit, "cancel")
    last = _last_method(visit)
    if query.get("back") and last:
        asked = notice == "not_paid_yet"
        about = {"notice": "" if asked else words, "asked": asked, "report": not notice}
        return _page(visit, "waiting", status=status, brand=brand_of(last), **about)
    choices = _choices(visit)
    troubled = method if notice in _NOTICES else ""
    usual = [choice.code for choice in choices if choice.code != troubled] or [troubled]
    wanted = method or last
    return _page(
        visit, "choose", status=status, notice=words, choices=choices, troubled=troubled,
        selected=wanted if wanted in usual else usual[0], in_wechat=_device(visit) is Device.WECHAT,
    )  # fmt: skip


def _notice(code: str, method: str) -> Text:
    if not code:
        return ""
    if code in _NOTICES:
        return str(_NOTICES[code]) % {"provider": brand_of(method).name} if method else _OTHER_NOTICE
    return _PLAIN_NOTICES.get(code, _OTHER_NOTICE)


def _show_opened_qr(visit: Visit) -> HttpResponse:
    """Draw what the API has just answered to the script."""
    posted = visit.request.POST
    choice = next((choice for choice in _choices(visit) if choice.code == posted.get("method")), None)
    if visit.stage is not Stage.OPEN or choice is None or choice.kind is not PayKind.QR:
        return _show(visit)
    try:
        text = qr_text(json.loads(posted.get("params", "")))
    except (ValueError, AttributeError, RecursionError):
        text = ""
    try:
        return _qr_page(visit, choice, text=text)
    except Problem as problem:
        return _show(visit, notice=problem.code, method=choice.code, status=problem.status)


def _qr_page(visit: Visit, choice: Choice, *, text: str) -> HttpResponse:
    """The page around a QR code opened just now. Raises Problem for a text that no scanner would take."""
    if not 0 < len(text) <= _LONGEST_QR_TEXT:
        raise Problem(502, "provider_refused", "The provider sent nothing that can be shown as a QR code.")
    expires = min(visit.order.expires_at, visit.now + _CODE_LIVES)
    return _page(
        visit, "qr", choice=choice, qr=_qr_svg(text), expires=visit.until(expires),
        expires_in_s=_seconds(expires - visit.now), on_phone=_device(visit) is not Device.DESKTOP,
    )  # fmt: skip


def _qr_svg(text: str) -> SafeString:
    """The code as SVG. It is drawn here: what it says leads to a payment and goes to nobody else."""
    code = segno.make(text, error="m", micro=False)
    return mark_safe(code.svg_inline(border=0, omitsize=True, svgclass="qr-code", lineclass=None))  # noqa: S308  # only path data


def _page(visit: Visit, name: str, *, status: int = 200, **more: object) -> HttpResponse:
    order = visit.order
    context = {
        "stage": visit.stage.value,
        "mark": visit.mark,
        "live": visit.stage not in _AT_REST,
        "visit": visit,
        "token": visit.token,
        "order": order,
        "amount": amount_text(order.amount_minor, order.currency),
        "lines": _lines(order),
        "method_name": brand_of(order.method).name if order.method else "",
        "paid_at": visit.at(order.paid_at),
        "delivered_at": visit.at(order.delivered_at),
        "deadline": visit.until(order.expires_at),
        "expires_in_s": _seconds(order.expires_at - visit.now),
        "held": [
            {"amount": amount_text(payment.amount_minor, payment.currency), "reason": payment.hold_reason}
            for payment in visit.held
        ],
        "refunded": amount_text(order.refunded_minor, order.currency) if order.refunded_minor else "",
        "game_name": visit.game_name,
        "here": visit.address(),
        "here_cancel": visit.address(ask="cancel"),
        "page_path": f"/checkout/{order.order_no}",
        "api": f"/api/v1/orders/{order.order_no}",
        "stream": f"{settings.STREAM_BASE_URL}/api/v1/orders/{order.order_no}/stream",
        "languages": _languages(visit, name),
        "html_lang": _html_lang(),
        **more,
    }
    return render(visit.request, f"checkout/{name}.html", context, status=status)


def _lines(order: Order) -> list[dict[str, object]]:
    """What comes out of it: one line per item, and what is added for free on a line of its own."""
    lines: list[dict[str, object]] = []
    for content in order.contents:
        for quantity, bonus in ((content["quantity"], False), (content["bonus"], True)):
            if quantity:
                lines.append({"name": content["name"], "quantity": f"{quantity:,}", "bonus": bonus})
    return lines


def _languages(visit: Visit, name: str) -> list[dict[str, object]]:
    """Links to this page in each language. A QR code came by a form, so there the form is sent again."""
    current = translation.get_language() or "en"
    kept = {name: value for name in ("back", "ask") if (value := visit.request.GET.get(name, ""))}
    return [
        {
            "code": code,
            "name": own_name,
            "is_current": code == current,
            "address": visit.address(**kept, lang=code),
            "by_form": name == "qr",
        }
        for code, own_name in (("zh-hans", "中文"), ("en", "English"))
    ]


def _html_lang() -> str:
    return "zh-Hans" if (translation.get_language() or "").startswith("zh") else "en"


def _seconds(left: timedelta) -> int:
    return max(0, int(left.total_seconds()))


# --- when there is nothing to show ------------------------------------------------------------------------
_SORRY: Mapping[str, tuple[Text, Text]] = {
    "token_expired": (
        _("This link is no longer valid"),
        _("It was made for one order and its time is over. Your order and your items are in the game."),
    ),
    "not_authenticated": (
        _("This link is not complete"),
        _("Please open the payment page from the game once more."),
    ),
    "not_found": (
        _("There is no such order here"),
        _("Please open the payment page from the game once more."),
    ),
    "busy": (
        _("We cannot answer right now"),
        _("Please load this page again in a moment. If you have paid, it is safe: do not pay again."),
    ),
}
_SORRY_OTHERWISE = (
    _("Something went wrong on our side"),
    _("It has been recorded. If you have paid, it is safe: do not pay again."),
)


def _sorry(request: HttpRequest, problem: Problem) -> HttpResponse:
    """A page for a visitor without an order. Needs no database."""
    title, sentence = _SORRY.get(problem.code, _SORRY_OTHERWISE)
    context = {
        "title": title,
        "sentence": sentence,
        "html_lang": _html_lang(),
        "reference": current_request_id.get() if problem.status >= 500 else "",
    }
    return render(request, "checkout/sorry.html", context, status=problem.status)


# --- money ------------------------------------------------------------------------------------------------
_SIGNS = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£"}
# Currencies of ISO 4217 without a minor unit that games are sold in; all others here have two decimals.
_WHOLE = frozenset({"JPY", "KRW", "VND", "CLP", "ISK"})


def amount_text(minor: int, currency: str) -> str:
    """64800 CNY → ¥648.00."""
    number = f"{minor:,}" if currency in _WHOLE else f"{minor // 100:,}.{minor % 100:02d}"
    sign = _SIGNS.get(currency)
    return f"{sign}{number}" if sign else f"{currency} {number}"
