"""Secrets at rest: sealed, bound to one row and column, under keys that can be rotated."""

import secrets

import pytest
from django.core.management import call_command
from django.db import connection

from channels_app import vault
from channels_app.accounts import adapter_of, forget_accounts, rewrap_accounts
from channels_app.models import MerchantAccount
from channels_app.vault import VaultClosed, place, seal, unseal
from tests import keys

HERE = place("table", 1, "column")


def vault_key(name: str) -> tuple[str, bytes]:
    return name, secrets.token_bytes(32)


@pytest.fixture
def vault_keys(settings):
    """Sets the active keys, newest first."""

    def use(*pairs: tuple[str, bytes]) -> None:
        settings.PAYMENTS_VAULT_KEYS = list(pairs)
        vault.forget_keys()
        forget_accounts()

    yield use
    vault.forget_keys()


class TestASealedSecret:
    """Opens in its own cell under its own key, and nowhere else."""

    def test_opens_where_it_was_sealed(self):
        assert unseal(seal(b"canary", at=HERE), at=HERE) == b"canary"

    def test_looks_different_every_time(self):
        assert seal(b"canary", at=HERE) != seal(b"canary", at=HERE)

    @pytest.mark.parametrize(
        "elsewhere", [place("table", 2, "column"), place("table", 1, "other"), place("tables", 1, "column")]
    )
    def test_does_not_open_in_another_cell(self, elsewhere):
        with pytest.raises(VaultClosed):
            unseal(seal(b"canary", at=HERE), at=elsewhere)

    def test_does_not_open_with_any_bit_flipped(self):
        sealed = seal(b"canary", at=HERE)
        for position in range(len(sealed)):
            flipped = bytearray(sealed)
            flipped[position] ^= 1
            with pytest.raises(VaultClosed):
                unseal(bytes(flipped), at=HERE)

    @pytest.mark.parametrize("garbage", [b"", b"\x01", b"\x01\x04dev1", b"\x02" + b"x" * 200, b"\x01\xff" + b"x" * 300])
    def test_garbage_is_not_a_secret(self, garbage):
        with pytest.raises(VaultClosed):
            unseal(garbage, at=HERE)

    def test_does_not_open_without_its_key(self, vault_keys):
        vault_keys(vault_key("old"))
        sealed = seal(b"canary", at=HERE)
        vault_keys(vault_key("new"))
        with pytest.raises(VaultClosed, match="old"):
            unseal(sealed, at=HERE)

    def test_without_any_key_nothing_is_sealed(self, vault_keys):
        vault_keys()
        with pytest.raises(VaultClosed):
            seal(b"canary", at=HERE)


class TestRotation:
    """Several keys open, the newest seals; after the command the old one can go."""

    def test_brings_accounts_under_the_newest_key(self, wechat_account, vault_keys, settings):
        before = wechat_account.credentials()
        old = settings.PAYMENTS_VAULT_KEYS[0]
        new = vault_key("new")
        vault_keys(new, old)
        assert rewrap_accounts() == 1
        assert rewrap_accounts() == 0
        vault_keys(new)
        account = MerchantAccount.objects.get()
        assert account.credentials() == before
        assert adapter_of(account).code == "wechatpay"

    def test_command_says_what_it_did(self, wechat_account, alipay_account, vault_keys, settings, capsys):
        vault_keys(vault_key("next"), settings.PAYMENTS_VAULT_KEYS[0])
        call_command("rotate_vault_keys", "--json")
        assert '"merchant accounts": 2' in capsys.readouterr().out

    def test_swapped_rows_do_not_open(self, wechat_account, alipay_account):
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE channels_app_merchantaccount a SET credentials_sealed = b.credentials_sealed"
                " FROM channels_app_merchantaccount b WHERE a.id <> b.id"
            )
        for account in MerchantAccount.objects.all():
            with pytest.raises(VaultClosed):
                account.credentials()


class TestWhatIsWrittenDown:
    """No secret stands in clear anywhere in the database, nor in what an object says of itself."""

    def test_holds_no_secret(self, wechat_account, alipay_account, api_key):
        canaries = [api_key, "0123456789abcdef0123456789ABCDEF", *(
            keys.private_pem(name).splitlines()[3] for name in ("wechat merchant", "alipay merchant")
        )]  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
            dump = []
            for (table,) in cursor.fetchall():
                cursor.execute(f"SELECT t::text FROM {table} t")
                dump += [row for (row,) in cursor.fetchall()]
        text = "\n".join(dump)
        for account in (wechat_account, alipay_account):
            text += repr(account) + str(account) + str(account.summary) + repr(adapter_of(account))
        for canary in canaries:
            assert canary not in text
            assert canary.encode().hex() not in text
