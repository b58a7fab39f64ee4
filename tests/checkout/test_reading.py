"""Pages for every reader and every phone: light to load, with landmarks and names, readable in both colour schemes."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string

from fulfillment.models import DeliveryMode, DeliveryPolicy
from orders.checkout.methods import brand_of
from orders.models import Order
from tests.buying import attempt_at, make_order, settle
from tests.checkout.conftest import PHONE, Player

pytestmark = pytest.mark.django_db
MOST_BYTES = 50_000


def static(name: str) -> Path:
    found = finders.find(f"checkout/{name}")
    assert found
    return Path(found)


class _Outline(HTMLParser):
    """The tags of a page with their attributes, in order, and the text inside each kind of tag."""

    def __init__(self, body: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(body)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def pages(client, api_key, game, wechat_account, alipay_account) -> dict[str, str]:
    """Every page a player can meet, by name."""

    def made(**more) -> Order:
        return make_order(client, api_key, role_id="霜降夜行", zone_id="听雪 3 区", **more)

    def paid(**about) -> Order:
        order = made()
        settle(attempt_at(order, wechat_account, method="wechatpay_native"), **about)
        return order

    game.return_url, game.support_url = "mygame://back", "https://help.example/"
    game.save()
    unpaid, tried = Player(made()), Player(made())
    attempt_at(tried.order, wechat_account, method="wechatpay_native")
    drawn = {"method": "alipay_qr", "params": json.dumps({"qr_code": "https://qr.alipay.com/" + "x" * 40})}
    answers = {
        "choose": unpaid.look(),
        "choose on a phone": Player(made(), device=PHONE).look(),
        "cancel": unpaid.look(ask="cancel"),
        "waiting": tried.look(back="1"),
        "qr": unpaid.client.post(f"{unpaid.path}/qr", {"token": unpaid.token, **drawn}),
        "delivered": Player(paid()).look(),
        "held": Player(paid(amount=500)).look(),
        "sorry": unpaid.look(token="x"),
    }
    DeliveryPolicy.objects.create(game=game, mode=DeliveryMode.GAME_SERVER)
    answers["on its way"] = Player(paid()).look()
    return {name: answer.content.decode() for name, answer in answers.items()}


class TestWeight:
    """Fast on a slow phone: page, style and script together stay under 50 KB, before any compression."""

    def test_every_page_with_all_it_loads(self, pages):
        loaded = sum(static(name).stat().st_size for name in ("checkout.css", "checkout.js", "gem.svg"))
        for name, body in pages.items():
            without_code = re.sub(r'<svg [^>]*class="qr-code".*?</svg>', "", body, flags=re.DOTALL)
            assert len(without_code.encode()) + loaded < MOST_BYTES, name
            linked = re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', body)
            assert {Path(address).name.partition("?")[0] for address in linked} <= {
                "checkout.css", "checkout.js", "gem.svg",
            }  # fmt: skip


class TestStructure:
    """A screen reader finds its way: one heading of the first rank, landmarks, a name for every control."""

    def test_landmarks_and_headings(self, pages):
        for name, body in pages.items():
            outline = _Outline(body)
            assert len(outline.all("main")) == 1, name
            assert len(outline.all("h1")) == 1, name
            assert outline.all("html")[0]["lang"] == "zh-Hans"
            if name != "sorry":
                assert len(outline.all("header")) == len(outline.all("footer")) == 1, name
                assert outline.all("nav")[0]["aria-label"] == "语言"

    def test_every_picture_is_named_or_decoration(self, pages):
        for name, body in pages.items():
            in_named = re.sub(r'role="img" aria-label="[^"]+">\s*<svg', "<named", body)
            for picture in _Outline(in_named).all("svg"):
                assert picture.get("aria-hidden") == "true" or picture.get("aria-label"), (name, picture)

    def test_every_method_is_a_labelled_choice(self, pages):
        for body in (pages["choose"], pages["choose on a phone"]):
            labels = re.findall(r'<label class="method">(.*?)</label>', body, flags=re.DOTALL)
            assert len(labels) == len(re.findall('type="radio"', body)) > 1
            for label in labels:
                assert re.search(r'<span class="name">[^<]+', label)
            assert 'role="radiogroup" aria-labelledby="how"' in body

    def test_what_changes_by_itself_is_announced(self, pages):
        for name in ("waiting", "qr"):
            assert re.search(r'<p class="pill" role="status">', pages[name])
        assert re.search(r'<small role="status" data-part="next">', pages["on its way"])

    def test_ids_are_unique_and_references_hold(self, pages):
        for name, body in pages.items():
            ids = re.findall(r'\sid="([^"]+)"', body)
            assert len(ids) == len(set(ids)), name
            assert set(re.findall(r'aria-labelledby="([^"]+)"', body)) <= set(ids), name


class TestOneWayOn:
    """Each state has plain words and one thing to do; customer service may stand beside it."""

    @pytest.mark.parametrize(
        ("name", "buttons"),
        [
            ("choose", ["付款 ¥6.00"]),
            ("delivered", ["回到游戏"]),
            ("on its way", ["现在再试一次", "联系客服"]),
            ("held", ["联系客服"]),
            ("sorry", []),
        ],
    )
    def test_buttons(self, pages, name, buttons):
        found = re.findall(r'<(?:a|button) class="button[^>]*>([^<]+)<', pages[name])
        assert found == buttons


# --- colours ------------------------------------------------------------------------------------------------
def palette(*, dark: bool) -> dict[str, str]:
    """The colours of the style sheet, by name."""
    sheet = static("checkout.css").read_text()
    light, _, rest = sheet.partition("@media (prefers-color-scheme: dark)")
    colours = dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{3,6});", light))
    if dark:
        own = rest.partition("*, *::before")[0]
        colours |= dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{3,6});", own))
    return colours


def contrast(one: str, other: str) -> float:
    """By WCAG 2."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


class TestContrast:
    """Every word stands out from what is behind it, 4.5 to 1; every mark 3 to 1; in both colour schemes."""

    @pytest.mark.parametrize("dark", [False, True])
    @pytest.mark.parametrize(
        ("word", "behind"),
        [
            *((word, behind) for word in ("word", "quiet", "link") for behind in ("panel", "ground", "inset", "chosen")),
            ("word", "wait-tint"), ("wait", "wait-tint"), ("wait", "panel"), ("wait", "chosen"), ("done", "done-tint"),
            ("sandbox", "sandbox-tint"), ("button-word", "button"), ("button-word", "button-over"),
        ],
    )  # fmt: skip
    def test_words(self, dark, word, behind):
        colours = palette(dark=dark)
        assert contrast(colours[word], colours[behind]) >= 4.5

    @pytest.mark.parametrize("dark", [False, True])
    @pytest.mark.parametrize(
        ("mark", "behind"),
        [("done-mark", "done-tint"), ("wait-mark", "wait-tint"), ("quiet-mark", "panel"), ("link", "panel")],
    )
    def test_marks(self, dark, mark, behind):
        colours = palette(dark=dark)
        assert contrast(colours[mark], colours[behind]) >= 3

    def test_the_measure_itself(self):
        assert round(contrast("#000", "#ffffff"), 1) == 21.0


class TestBrands:
    """A provider is known by its mark: drawn on the page itself, in its colours, beside its name."""

    @pytest.mark.parametrize(
        ("method", "colours"),
        [
            ("wechatpay_native", ["#07c160"]),
            ("alipay_qr", ["#1677ff"]),
            ("unionpay_qr", ["#e21836", "#00447c", "#007b84"]),
            ("apple_iap", ["brand-word"]),
            ("google_play", ["#34a853", "#fbbc04", "#ea4335"]),
            ("stripe_card", ["#4c5a63"]),
            ("something_new", ["#4c5a63"]),
        ],
    )
    def test_has_its_colours_and_a_name(self, method, colours):
        brand = brand_of(method)
        alone = render_to_string("checkout/_brand.html", {"brand": brand, "alone": True})
        assert all(colour in alone for colour in colours)
        assert f'role="img" aria-label="{brand.name}"' in alone
        beside = render_to_string("checkout/_brand.html", {"brand": brand})
        assert 'aria-hidden="true"' in beside


class TestOddNames:
    """What games and players call things may be long, and amounts may be large or without decimals."""

    def test_a_currency_without_decimals(self, client, api_key, game, wechat_account):
        game_product = game.products.get()
        game_product.prices.create(currency="JPY", amount_minor=1_234_567)
        said = Player(make_order(client, api_key, currency="JPY"), language="en").reads()
        assert "1,234,567 JPY" in said
        assert "cannot be paid on this page" in said

    def test_large_amounts_have_separators(self, client, api_key, game, wechat_account):
        game.products.get().prices.update(amount_minor=1_234_567_89)
        assert "付款 ¥1,234,567.89" in Player(make_order(client, api_key)).reads()

    def test_no_method_at_all_is_said_in_words(self, order, channel):
        channel.methods.all().delete()
        assert "这笔订单不能在本页付款" in Player(order).reads()
        assert "请回到游戏付款" in Player(order).reads()
