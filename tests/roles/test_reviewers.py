"""Who lists a store's reviewers: administration and operations, with a reason, for days, and never off the record."""

from datetime import timedelta

import pytest
from django.utils import timezone

from channels_app.models import AuditEntry
from orders.admin.reviewers import ReviewerAdmin
from orders.models import Game, Reviewer
from tests.console.conftest import list_of, page_of

ADD = f"{list_of(Reviewer)}add/"


def form(game, **changes):
    until = timezone.localtime() + timedelta(days=3)
    return {
        "game": game.pk, "uid": "apple-review-1", "until_0": until.strftime("%Y-%m-%d"), "until_1": "12:00",
        "note": "App Review, version 3.2", "reason": "review of 3.2 begins", **changes,
    }  # fmt: skip


@pytest.fixture
def reviewer(game):
    return Reviewer.objects.create(
        game=game, uid="apple-review-1", until=timezone.now() + timedelta(days=3), note="App Review"
    )


class TestListing:
    """Two roles list a player for some days and say why; the trail keeps it."""

    @pytest.mark.parametrize("role", ["admin", "operations"])
    def test_is_written_down_with_its_reason(self, game, person, role):
        who = person(role)
        who.post(ADD, **form(game))
        assert Reviewer.objects.get().uid == "apple-review-1"
        entry = AuditEntry.objects.get(subject="orders.reviewer")
        assert (entry.actor, entry.action, entry.reason) == (who.user.username, "added", "review of 3.2 begins")

    @pytest.mark.parametrize("role", ["support", "finance", "audit", "engineer", ""])
    def test_is_for_nobody_else(self, game, reviewer, person, role):
        who = person(role)
        assert who.post(ADD, **form(game, uid="me")).status_code == 403
        assert who.post(page_of(reviewer), **form(game, note="mine")).status_code == 403
        reviewer.refresh_from_db()
        assert (Reviewer.objects.count(), reviewer.note) == (1, "App Review")

    @pytest.mark.parametrize("role", ["support", "finance", "audit", "engineer"])
    def test_is_seen_by_who_looks_into_orders(self, reviewer, person, role):
        page = person(role).get(page_of(reviewer)).content.decode()
        assert "App Review" in page
        assert 'name="reason"' not in page

    @pytest.mark.parametrize(
        "changes",
        [{"until_0": "2999-01-01"}, {"reason": ""}, {"note": ""}, {"uid": ""}],
        ids=lambda one: next(iter(one)),
    )
    def test_of_more_than_it_may_be_is_refused(self, game, person, changes):
        assert person("admin").post(ADD, **form(game, **changes)).status_code == 200
        assert not Reviewer.objects.exists()

    def test_keeps_to_ones_own_games(self, game, person):
        other = Game.objects.create(code="other", name="Other")
        who = person("operations", games=[other])
        who.post(ADD, **form(game))
        assert not Reviewer.objects.exists()

    def test_takes_a_fresh_factor(self):
        assert ReviewerAdmin.step_up_changes


class TestWhoWasListed:
    """Days may be cut short or made longer; whose goods they were, and that they were given, stays."""

    def test_changes_in_its_days_only(self, game, reviewer, person):
        who = person("operations")
        tomorrow = (timezone.localtime() + timedelta(days=1)).strftime("%Y-%m-%d")
        who.post(page_of(reviewer), **form(game, uid="somebody-else", until_0=tomorrow, reason="review is over"))
        reviewer.refresh_from_db()
        assert (reviewer.uid, reviewer.until < timezone.now() + timedelta(days=2)) == ("apple-review-1", True)
        assert AuditEntry.objects.get(subject="orders.reviewer", action="changed").reason == "review is over"

    def test_is_deleted_by_nobody(self, reviewer, person):
        for who in (person("admin"), person(superuser=True)):
            assert who.post(page_of(reviewer).replace("/change/", "/delete/"), post="yes").status_code == 403
        assert Reviewer.objects.exists()
        assert "never deleted" in person("admin").get(list_of(Reviewer)).content.decode()
