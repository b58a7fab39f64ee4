"""The seeds of authenticators when the vault's keys change."""

from django.db import transaction

from payments_site.models import Authenticator


def rewrap_authenticators() -> int:
    """Bring every seed under the newest vault key. Returns how many were re-wrapped."""
    changed = 0
    for pk in list(Authenticator.objects.order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            authenticator = Authenticator.objects.select_for_update().filter(pk=pk).first()
            if authenticator is not None and authenticator.rewrap_seed():
                authenticator.save(update_fields=["seed_sealed"])
                changed += 1
    return changed
