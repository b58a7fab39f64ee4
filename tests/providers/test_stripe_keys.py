"""Credentials of a Stripe account, and the currencies that it takes."""

import pytest

from channels_app.console.words import money
from channels_app.money import WITHOUT_DECIMALS, Money
from channels_app.providers.base import CredentialsInvalid, ProviderRejected
from channels_app.providers.documents import Unexpected
from channels_app.providers.fields import key_facts
from channels_app.providers.stripe import StripeAdapter
from channels_app.providers.stripe_keys import STRIPE, read_keys
from channels_app.providers.stripe_money import CURRENCIES, FACTORS, from_stripe, to_stripe
from tests.providers.stripe_side import OLD_WHSEC, SECRET_KEY, WHSEC, credentials

LIVE = {"secret_key": "rk_live_4eC39HqLyjWDarjt", "publishable_key": "pk_live_TYooMQauvdEDq54N", "base_url": ...}


class TestCredentials:
    """Every defect of a credentials file is named, and no value is shown."""

    @pytest.mark.parametrize("name", ["secret_key", "publishable_key", "webhook_secrets"])
    @pytest.mark.parametrize(
        "value", [..., "", " ", None, 7, "ZZ-not-one", [], [""], ["whsec_"], [" "], ["ZZ-not-one-but-long"]]
    )
    def test_that_miss_something_are_refused_by_name(self, name, value):
        with pytest.raises(CredentialsInvalid, match=name) as caught:
            StripeAdapter(credentials(**{name: value}), live=False)
        assert "ZZ" not in str(caught.value)

    @pytest.mark.parametrize(
        "secrets", [WHSEC, [WHSEC, ""], [WHSEC, 7], [SECRET_KEY], [WHSEC, f"{WHSEC} "], [f"{WHSEC}é"]]
    )
    def test_hold_secrets_of_the_endpoint_and_nothing_else(self, secrets):
        with pytest.raises(CredentialsInvalid, match="webhook_secrets"):
            StripeAdapter(credentials(webhook_secrets=secrets), live=False)

    @pytest.mark.parametrize("name", ["secret_key", "publishable_key"])
    def test_of_the_other_mode_are_refused(self, name):
        StripeAdapter(credentials(**LIVE))
        with pytest.raises(CredentialsInvalid, match=f"{name} is of test mode"):
            StripeAdapter(credentials(**LIVE | {name: credentials()[name]}))
        with pytest.raises(CredentialsInvalid, match=f"{name} is of live mode"):
            StripeAdapter(credentials(**{name: LIVE[name]}), live=False)

    @pytest.mark.parametrize(
        "key", ["pk_test_TYooMQauvdEDq54N", "sk_4eC39HqLyjWDarjt", "sk_test_a b c d e f g", "rk_test_\n12345678"]
    )
    def test_hold_no_other_key_for_the_secret_one(self, key):
        with pytest.raises(CredentialsInvalid, match="secret_key"):
            StripeAdapter(credentials(secret_key=key), live=False)

    def test_may_hold_a_restricted_key(self):
        StripeAdapter(credentials(secret_key="rk_test_4eC39HqLyjWDarjt"), live=False)

    def test_lead_to_stripe_itself_for_real_money(self):
        assert read_keys(credentials(**LIVE), live=True).base_url == STRIPE
        assert read_keys(credentials(base_url=...), live=False).base_url == STRIPE
        with pytest.raises(CredentialsInvalid, match="base_url"):
            StripeAdapter(credentials(**LIVE | {"base_url": STRIPE}))
        with pytest.raises(CredentialsInvalid, match="base_url"):
            StripeAdapter(credentials(base_url="api.stripe.com"), live=False)

    def test_are_told_apart_by_fingerprints(self):
        both = credentials(webhook_secrets=[WHSEC, OLD_WHSEC])
        facts = key_facts(StripeAdapter.fields, both)
        assert [fact.field for fact in facts] == ["secret_key", "webhook_secrets", "webhook_secrets"]
        assert len({fact.fingerprint for fact in facts}) == 3

    def test_are_shown_nowhere(self):
        keys = read_keys(credentials(), live=False)
        assert not {SECRET_KEY, WHSEC} & {*repr(keys).split("'")}


class TestCurrencies:
    """An amount reaches Stripe as it was priced, or not at all."""

    @pytest.mark.parametrize(("ours", "theirs"), [
        (Money(600, "USD"), 600), (Money(600, "JPY"), 600), (Money(1100, "KRW"), 1100), (Money(5, "ISK"), 500),
        (Money(150, "KWD"), 1500), (Money(1, "BHD"), 10), (Money(99900, "HUF"), 99900), (Money(15000, "TWD"), 15000),
        (Money(1, "EUR"), 1), (Money(5_000_000_00, "IDR"), 5_000_000_00), (Money(600, "CNY"), 600),
    ])  # fmt: skip
    def test_both_ways_are_exact(self, ours, theirs):
        assert to_stripe(ours) == (theirs, ours.currency.lower())
        assert from_stripe(theirs, ours.currency.lower()) == ours

    def test_all_come_back_as_they_went(self):
        for currency in CURRENCIES:
            assert from_stripe(*to_stripe(Money(12345, currency))) == Money(12345, currency)

    def test_have_the_decimals_that_people_are_shown(self):
        """Stripe's unit is a hundredth, but of currencies without decimals the whole and of five a thousandth."""
        thousandths = {"BHD", "JOD", "KWD", "OMR", "TND"}
        whole = {"CLP", "JPY", "KRW", "PYG", "VND", "XAF", "XOF"}
        for currency, factor in FACTORS.items():
            unit = 1000 if currency in thousandths else 1 if currency in whole else 100
            shown = 1 if currency in WITHOUT_DECIMALS else 100
            assert factor * shown == unit, currency
        assert money(from_stripe(1500, "kwd").amount_minor, "KWD") == "1.50 KWD"
        assert money(from_stripe(500, "isk").amount_minor, "ISK") == "5 ISK"

    @pytest.mark.parametrize("currency", ["UGX", "BIF", "MGA", "XPF", "XXX", "usd", "", "BTC"])
    def test_whose_unit_is_uncertain_or_not_ours_are_not_taken(self, currency):
        assert currency not in StripeAdapter.methods["stripe_card"].currencies
        assert not StripeAdapter.methods["stripe_card"].takes(currency)
        with pytest.raises(ProviderRejected, match="currency_not_taken"):
            to_stripe(Money(600, currency))

    @pytest.mark.parametrize("amount", [0, -1, 10**14])
    def test_of_no_amount_are_not_taken(self, amount):
        with pytest.raises(ProviderRejected, match="amount_not_taken"):
            to_stripe(Money(amount, "USD"))

    @pytest.mark.parametrize(("amount", "currency"), [
        (501, "isk"), (1505, "kwd"), (600.0, "usd"), ("600", "usd"), (True, "usd"), (None, "usd"), (600, "USD"),
        (600, "ugx"), (600, "xxx"), (600, None), (10**14, "usd"), (-(10**14), "usd"),
    ])  # fmt: skip
    def test_that_do_not_fit_are_never_rounded(self, amount, currency):
        with pytest.raises(Unexpected):
            from_stripe(amount, currency)
