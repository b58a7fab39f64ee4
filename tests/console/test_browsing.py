"""Looking around: every list and page opens, in both languages, and shows no secret."""

import pytest
from django.apps import apps
from django.contrib import admin

from channels_app.models import MerchantAccount
from channels_app.providers import ADAPTERS
from fulfillment.models import WebhookEndpoint
from orders.models import (
    IdempotencyRecord,
    Payer,
    RateCounter,
    RevenueCursor,
    RevenueDay,
    RevenueDayByChannel,
    RevenueHour,
)
from tests import keys
from tests.console.conftest import SIGNATURE, WEBHOOK_SECRET, list_of, page_of

# Rows that no person needs: what a repeated request is answered with, counters, and sums that a report is made of.
MACHINERY = (
    IdempotencyRecord, RateCounter, RevenueDay, RevenueDayByChannel, RevenueHour, RevenueCursor, Payer,
)  # fmt: skip
SHOWN = [
    model
    for label in ("channels_app", "orders", "fulfillment")
    for model in apps.get_app_config(label).get_models()
    if admin.site.is_registered(model)
]
ON_ANOTHERS_PAGE = {
    "ChannelMethod", "ProductPrice", "ProductGrant", "DeliveryPolicy", "DeliveryLine", "GameStaff", "Note",
    "ExportFile", "JobRow",
}  # fmt: skip


def canaries(shop):
    credentials = keys.wechat_credentials()
    key_lines = [line for line in credentials["private_key"].splitlines() if "-----" not in line][:3]
    return [
        shop.api_key,
        shop.key.digest,
        WEBHOOK_SECRET,
        SIGNATURE,
        credentials["api_v3_key"],
        *key_lines,
        shop.waiting.request_sha256,
    ]


class TestEveryTable:
    """A member of staff with view permissions sees every table of the system."""

    def test_has_a_place_in_the_console(self):
        ours = [
            m for label in ("channels_app", "orders", "fulfillment") for m in apps.get_app_config(label).get_models()
        ]
        missing = {m.__name__ for m in ours if not admin.site.is_registered(m) and m not in MACHINERY}
        assert missing == ON_ANOTHERS_PAGE

    @pytest.mark.parametrize("language", ["en", "zh-hans"])
    def test_opens_as_list_and_page_without_a_secret(self, busy_shop, auditor, language):
        browser = auditor(language)
        secrets = canaries(busy_shop)
        for model in SHOWN:
            row = model._default_manager.order_by("-pk").first()
            assert row is not None, f"{model.__name__}: the shop has no row"
            for address in (list_of(model), page_of(row), page_of(row).replace("change", "history")):
                answer = browser.get(address)
                assert answer.status_code == 200, address
                text = answer.content.decode()
                assert not [secret for secret in secrets if secret in text], address
                assert f'lang="{language}"' in text

    def test_costs_a_list_a_bounded_number_of_queries(self, busy_shop, auditor, django_assert_max_num_queries):
        browser = auditor()
        for model in SHOWN:
            with django_assert_max_num_queries(32):
                browser.get(list_of(model))


class TestPermissions:
    """Nobody sees more than was given."""

    def test_strangers_are_sent_to_the_login(self, busy_shop, client):
        answer = client.get(page_of(busy_shop.bought))
        assert answer.status_code == 302
        assert "/admin/login/" in answer["Location"]

    def test_staff_without_the_permission_see_nothing(self, busy_shop, staff):
        browser = staff("orders.view_game")
        for model in SHOWN:
            expected = 200 if model.__name__ == "Game" else 403
            assert browser.get(list_of(model)).status_code == expected


class TestSecrets:
    """What was sealed stays sealed, whoever looks."""

    def test_a_superuser_sees_no_key_either(self, busy_shop, staff):
        browser = staff(superuser=True)
        pages = [page_of(busy_shop.account), page_of(busy_shop.key), page_of(WebhookEndpoint.objects.get())]
        text = "".join(browser.get(address).content.decode() for address in pages)
        assert not [secret for secret in canaries(busy_shop) if secret in text]
        assert busy_shop.key.prefix in text

    def test_what_credentials_say_about_themselves_is_shown(self, busy_shop, staff):
        text = staff("channels_app.view_merchantaccount").get(page_of(busy_shop.account)).content.decode()
        assert MerchantAccount.objects.get().summary["mchid"] in text
        assert set(ADAPTERS) >= {"wechatpay", "alipay"}


class TestClock:
    """No figure without its clock."""

    def test_times_are_the_games_and_the_zone_is_named(self, busy_shop, staff):
        from zoneinfo import ZoneInfo

        text = staff("orders.view_order", "orders.list_orders").get(list_of(type(busy_shop.bought))).content.decode()
        made = busy_shop.bought.created_at.astimezone(ZoneInfo("Asia/Shanghai"))
        assert f"{made:%Y-%m-%d %H:%M:%S}" in text
        assert "Beijing time UTC+8" in text
