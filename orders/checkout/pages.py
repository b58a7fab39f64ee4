"""The pages: what is shown for an order in each stage. Templates are in templates/checkout."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation

from channels_app.console.words import money_in_prose
from orders.checkout import words
from orders.checkout.leaving import Code
from orders.checkout.methods import JSAPI, Choice, Device, brand_of
from orders.checkout.slowness import slow_providers
from orders.checkout.stages import AT_REST, WAITING_FOR_GOODS, Stage
from orders.checkout.visit import Visit
from orders.fulfilment import fulfilment
from orders.problems import Problem
from orders.request_id import current_request_id

TEMPLATES: Mapping[Stage, str] = {
    Stage.EXPIRED: "over",
    Stage.CANCELLED: "over",
    Stage.HELD: "held",
    Stage.ON_ITS_WAY: "on_its_way",
    Stage.STOPPED: "on_its_way",
    Stage.DELIVERED: "delivered",
    Stage.TAKEN_BACK: "taken_back",
}


# A game server that is tried again within this time is simply being asked.
_SOON_S = 45


@dataclass(frozen=True, slots=True)
class Said:
    """What came of the last thing that was done: a code, the method it is about, and the status to answer with."""

    code: str = ""
    method: str = ""
    status: int = 200


def show(visit: Visit, said: Said | None = None) -> HttpResponse:
    """The page for the order as it stands. Without `said` the address tells what was done."""
    query = visit.request.GET
    said = said or Said(query.get("notice", ""), query.get("method", ""))
    if visit.stage is not Stage.OPEN:
        return _show_later_stage(visit, said)
    if query.get("ask") == "cancel" and not said.code:
        return _page(visit, "cancel")
    if query.get("back") and visit.last_method:
        return _show_waiting(visit, said)
    return _show_choices(visit, said)


def _show_later_stage(visit: Visit, said: Said) -> HttpResponse:
    notice = words.notice(said.code, stage=visit.stage)
    about: dict[str, object] = {"notice": notice}
    if visit.stage in WAITING_FOR_GOODS:
        next_try = fulfilment().next_try(order=visit.order)
        # A try that is due or under way has no time worth telling.
        about["next_try"] = visit.until(next_try) if next_try and visit.seconds_to(next_try) > _SOON_S else ""
    # What was refused because the order has moved on needs no answer but the page of where it is now.
    return _page(visit, TEMPLATES[visit.stage], status=said.status if notice else 200, **about)


def _show_waiting(visit: Visit, said: Said) -> HttpResponse:
    """Back from the provider: its word is awaited."""
    asked = said.code == "not_paid_yet"
    return _page(
        visit, "waiting", status=said.status, brand=brand_of(visit.last_method), asked=asked, report=not said.code,
        notice="" if asked else words.notice(said.code, stage=visit.stage, method=said.method),
    )  # fmt: skip


def _show_choices(visit: Visit, said: Said) -> HttpResponse:
    slow = slow_providers(environment=visit.order.environment, now=visit.now)
    about_one = said.method if said.code in words.ABOUT_PROVIDER else ""
    troubled = [choice.code for choice in visit.choices if choice.provider in slow or choice.code == about_one]
    return _page(
        visit, "choose", status=said.status, choices=visit.choices, troubled=troubled,
        notice=words.notice(said.code, stage=visit.stage, method=said.method),
        selected=_selected(visit.choices, wanted=said.method or visit.last_method, troubled=troubled),
        # Why nothing can be paid with here: told apart, because the player can do something about each.
        in_wechat=visit.device is Device.WECHAT,
        openid_is_missing=visit.device is Device.WECHAT and JSAPI in visit.offered and not visit.openid,
    )  # fmt: skip


def _selected(choices: Iterable[Choice], *, wanted: str, troubled: list[str]) -> str:
    """What was asked for, unless that is in trouble and something else is not."""
    codes = [choice.code for choice in choices]
    usual = [code for code in codes if code not in troubled] or codes
    return wanted if wanted in usual else next(iter(usual), "")


def show_code(visit: Visit, choice: Choice, code: Code) -> HttpResponse:
    """The page around a QR code opened just now."""
    return _page(
        visit, "qr", choice=choice, code=code, expires=visit.until(code.expires_at),
        code_expires_in_s=visit.seconds_to(code.expires_at), on_phone=visit.device is not Device.DESKTOP,
    )  # fmt: skip


def show_leaving(visit: Visit, choice: Choice, address: str) -> HttpResponse:
    """A page in between, not a redirect: browsers hold a form's redirects to form-action, which is ourselves."""
    return _page(visit, "leaving", choice=choice, address=address)


class LeavingByForm(HttpResponse):
    """A page whose form posts to a provider: the only one that may lead away by a form, and to `origin` only.

    The gateway answers with a page. Browsers would hold a redirect of its to our form-action too.
    """

    origin = ""


def show_leaving_by_form(visit: Visit, choice: Choice, *, action: str, fields: Mapping[str, str]) -> HttpResponse:
    """A page in between with the provider's form in it; the script presses its button."""
    response = LeavingByForm(_page(visit, "leaving_by_form", choice=choice, action=action, fields=fields).content)
    at = urlsplit(action)
    response.origin = f"{at.scheme}://{at.netloc}"
    return response


def _page(visit: Visit, name: str, *, status: int = 200, **more: object) -> HttpResponse:
    order = visit.order
    context = {
        **_frame(visit, name),
        "order": order,
        "amount": money_in_prose(order.amount_minor, order.currency),
        "lines": words.lines_of(order),
        "paid_with": brand_of(order.method) if order.method else None,
        "paid_at": visit.at(order.paid_at),
        "delivered_at": visit.at(order.delivered_at),
        "deadline": visit.until(order.expires_at),
        "expires_in_s": visit.seconds_to(order.expires_at),
        "held": [
            {
                "amount": money_in_prose(payment.amount_minor, payment.currency),
                "sentence": words.held_sentence(payment, order),
            }
            for payment in visit.held
        ],
        "refunded": money_in_prose(order.refunded_minor, order.currency) if order.refunded_minor else "",
        "way_back": visit.way_back,
        "help_page": visit.help_page,
        **more,
    }
    return render(visit.request, f"checkout/{name}.html", context, status=status)


def _frame(visit: Visit, name: str) -> dict[str, object]:
    """What every page carries around its own words, and what the script needs to know."""
    order = visit.order
    return {
        "stage": visit.stage.value,
        "mark": visit.mark,
        "live": visit.stage not in AT_REST,
        "token": visit.token,
        "openid": visit.openid,
        "game_name": visit.game.name,
        "here": visit.address(),
        "here_back": visit.address(back="1"),
        "here_cancel": visit.address(ask="cancel"),
        "page_path": visit.path,
        "api": f"/api/v1/orders/{order.order_no}",
        "stream": f"{settings.STREAM_BASE_URL}/api/v1/orders/{order.order_no}/stream",
        "languages": _languages(visit, name),
        "html_lang": words.html_lang(),
    }


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


def sorry(request: HttpRequest, problem: Problem) -> HttpResponse:
    """A page for a visitor without an order. Needs no database."""
    title, sentence = words.SORRY.get(problem.code, words.SORRY_OTHERWISE)
    context = {
        "title": title,
        "sentence": sentence,
        "html_lang": words.html_lang(),
        "reference": current_request_id.get() if problem.status >= 500 else "",
    }
    return render(request, "checkout/sorry.html", context, status=problem.status)
