"""`enable_method CHANNEL METHOD ACCOUNT`: offers a way to pay on a channel through an account."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels_app.accounts import AccountRefused, enable_method
from channels_app.models import Channel, MerchantAccount
from channels_app.providers import METHODS


class Command(BaseCommand):
    help = "Offer a payment method on a channel through a merchant account."

    def add_arguments(self, parser: CommandParser) -> None:
        """Arguments of contract section 1."""
        parser.add_argument("channel")
        parser.add_argument("method", choices=sorted(METHODS))
        parser.add_argument("account")

    def handle(self, *args: Any, channel: str, method: str, account: str, **options: Any) -> None:
        """Offer it, replacing the account it went through before."""
        found_channel = Channel.objects.filter(code=channel).first()
        if found_channel is None:
            raise CommandError(f"there is no channel {channel!r}; create_channel makes one")
        found_account = MerchantAccount.objects.filter(code=account).first()
        if found_account is None:
            raise CommandError(f"there is no account {account!r}; create_account makes one")
        try:
            enable_method(channel=found_channel, method=method, account=found_account)
        except AccountRefused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{channel} offers {method} through {account} ({found_account.environment})")
