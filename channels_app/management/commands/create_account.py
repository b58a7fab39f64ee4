"""`create_account PROVIDER CODE --environment E --credentials FILE.json`: a merchant account, or new keys for it."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels_app.accounts import AccountRefused, save_account
from channels_app.models import Environment
from channels_app.providers import ADAPTERS
from channels_app.providers.base import CredentialsInvalid


class Command(BaseCommand):
    help = "Create a merchant account, or rotate the credentials of the one with this code."

    def add_arguments(self, parser: CommandParser) -> None:
        """Arguments of contract section 1."""
        parser.add_argument("provider", choices=sorted(ADAPTERS))
        parser.add_argument("code", help="part of the notification address /notify/PROVIDER/CODE")
        parser.add_argument("--environment", required=True, choices=Environment.values)
        parser.add_argument("--credentials", required=True, type=Path, metavar="FILE.json")

    def handle(self, *args: Any, provider: str, code: str, environment: str, credentials: Path, **options: Any) -> None:
        """Check the keys, seal them, say what to do next."""
        account = self._save(provider, code, environment, _read(credentials))
        self.stdout.write(
            f"account {account.code} ({account.provider}, {account.environment},"
            f" credentials version {account.credentials_version})"
        )
        for name, value in account.summary.items():
            if name != "keys":
                self.stdout.write(f"  {name}: {value}")
        for key in account.summary["keys"]:
            until = f", until {key['expires_at'][:10]}" if key["expires_at"] else ""
            self.stdout.write(f"  {key['field']}: {key['fingerprint']}{until}")

    @staticmethod
    def _save(provider: str, code: str, environment: str, document: dict[str, Any]) -> Any:
        try:
            return save_account(provider=provider, code=code, environment=environment, credentials=document)
        except (CredentialsInvalid, AccountRefused) as error:
            raise CommandError(str(error)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        # The decoder's own message quotes the text around the fault, which may be a key.
        raise CommandError(f"{path} is not JSON") from error
    if not isinstance(document, dict):
        raise CommandError(f"{path} must hold one JSON object")
    return document
