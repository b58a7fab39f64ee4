"""Sessions of the console, and proving oneself again before money moves."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from channels_app.console.pages import Act, ConsoleAdmin
from channels_app.models import AuditEntry, Channel
from payments_site.models import Authenticator, StaffSession
from payments_site.people import factors
from payments_site.people.keeping import forget_old_log_ins
from tests.people.conftest import PASSWORD
from tests.people.steps import a_minute_passes, authenticator_of, code_for, code_of

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36"


def log_in(client, person, authenticator, password=PASSWORD) -> StaffSession:
    """Through the door; the session it opened."""
    client.post("/admin/login/", {"username": person.username, "password": password})
    client.post("/admin/login/code/", {"factor_code": code_of(authenticator)})
    return StaffSession.objects.latest("pk")


def is_inside(client, **extra) -> bool:
    return client.get("/admin/login/mine/", **extra).status_code == 200


@pytest.fixture
def session(client, person, authenticator) -> StaffSession:
    """`client` is inside."""
    return log_in(client, person, authenticator)


class TestASession:
    """It ends when nobody works, when the day is over, and at once when somebody says so."""

    @pytest.mark.parametrize(("idle", "inside"), [(29, True), (30, False)])
    def test_ends_after_half_an_hour_without_use(self, client, session, idle, inside):
        StaffSession.objects.update(last_seen_at=timezone.now() - timedelta(minutes=idle, seconds=1))
        assert is_inside(client) is inside
        session.refresh_from_db()
        assert (session.ended_at is None) is inside

    @pytest.mark.parametrize(("hours", "inside"), [(9, True), (10, False)])
    def test_ends_after_ten_hours_however_busy(self, client, session, hours, inside):
        StaffSession.objects.update(began_at=timezone.now() - timedelta(hours=hours, seconds=1))
        assert is_inside(client) is inside

    def test_says_at_the_door_why_it_ended(self, client, session):
        StaffSession.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
        assert "Nothing was done for a while" in client.get("/admin/", follow=True).content.decode()

    def test_that_was_ended_does_not_come_back(self, client, session):
        key = client.cookies["session"].value
        StaffSession.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
        assert not is_inside(client)
        StaffSession.objects.update(last_seen_at=timezone.now())
        client.cookies["session"] = key
        assert not is_inside(client)

    def test_without_a_row_is_nobody(self, client, session):
        StaffSession.objects.all().delete()
        assert not is_inside(client)

    def test_is_written_to_once_a_minute_at_most(self, client, session):
        assert is_inside(client)
        session.refresh_from_db()
        first = session.last_seen_at
        assert is_inside(client)
        session.refresh_from_db()
        assert session.last_seen_at == first
        StaffSession.objects.update(last_seen_at=first - timedelta(seconds=61))
        assert is_inside(client)
        session.refresh_from_db()
        assert session.last_seen_at >= first

    def test_is_not_kept_alive_by_a_page_that_refreshes_itself(self, client, session):
        before = timezone.now() - timedelta(minutes=20)
        StaffSession.objects.update(last_seen_at=before)
        assert is_inside(client, HTTP_SEC_FETCH_DEST="empty")
        assert client.get("/admin/?by_itself=1").status_code == 200  # as the first page loads itself anew
        session.refresh_from_db()
        assert session.last_seen_at == before

    def test_knows_where_it_came_from(self, client, person, authenticator):
        client.defaults |= {"HTTP_USER_AGENT": CHROME, "REMOTE_ADDR": "203.0.113.7"}
        session = log_in(client, person, authenticator)
        assert (session.browser, session.address) == ("Chrome, Linux", "203.0.113.7")
        page = client.get("/admin/login/mine/").content.decode()
        assert "Chrome, Linux" in page
        assert "203.0.113.7" in page

    def test_of_a_machine_costs_nothing(self, client, session, django_assert_num_queries):
        with django_assert_num_queries(0):
            client.get("/healthz")


class TestEndingSessions:
    """One's own, one by one or all others; another person's with the right to manage staff."""

    @pytest.fixture
    def elsewhere(self, person, authenticator) -> Client:
        """The same person at another desk."""
        client = Client()
        log_in(client, person, authenticator)
        return client

    def test_one_of_mine_ends_at_once(self, client, session, elsewhere):
        other = StaffSession.objects.exclude(pk=session.pk).get()
        client.post("/admin/login/end/", {"session": other.pk})
        assert is_inside(client)
        assert not is_inside(elsewhere)
        assert AuditEntry.objects.get(action="session.ended").detail == {"sessions": 1}

    def test_all_others_end_but_this_one(self, client, session, elsewhere):
        client.post("/admin/login/end/", {"session": "all"})
        assert is_inside(client)
        assert not is_inside(elsewhere)

    def test_nobody_ends_another_persons_in_passing(self, client, session):
        wang = User.objects.create_user("wang", password=PASSWORD, is_staff=True)
        theirs = Client()
        row = log_in(theirs, wang, authenticator_of(wang))
        client.post("/admin/login/end/", {"session": row.pk})
        assert is_inside(theirs)

    def test_who_manages_staff_ends_a_colleagues(self, client, session):
        wang = User.objects.create_user("wang", password=PASSWORD, is_staff=True)
        theirs = Client()
        log_in(theirs, wang, authenticator_of(wang))
        assert "End all" in client.get(f"/admin/login/of/{wang.pk}/").content.decode()
        client.post(f"/admin/login/of/{wang.pk}/", {"session": "all"})
        assert not is_inside(theirs)
        assert is_inside(client)

    def test_nobody_else_does(self, client, session, person):
        wang = User.objects.create_user("wang", password=PASSWORD, is_staff=True)
        theirs = Client()
        log_in(theirs, wang, authenticator_of(wang))
        assert theirs.get(f"/admin/login/of/{person.pk}/").status_code == 403
        assert theirs.post(f"/admin/login/of/{person.pk}/", {"session": "all"}).status_code == 403
        assert is_inside(client)

    def test_a_new_password_ends_all_others(self, client, session, elsewhere):
        new = "a quite different password"
        fields = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
        assert client.post("/admin/password_change/", fields).status_code == 302
        assert is_inside(client), "who changed it stays"
        assert not is_inside(elsewhere)
        assert StaffSession.objects.filter(ended_at__isnull=True).count() == 1
        assert AuditEntry.objects.filter(action="password.changed", actor="lin").count() == 1

    def test_another_authenticator_ends_all_others(self, client, session, elsewhere, authenticator):
        client.get("/admin/login/set-up/")
        a_minute_passes()
        new = Authenticator.objects.get(confirmed=False)
        client.post("/admin/login/set-up/", {"factor_code": code_for(new.seed())})
        assert Authenticator.objects.get() == new
        assert is_inside(client)
        assert not is_inside(elsewhere)


class TestSteppingUp:
    """What moves money, keys or rights takes a factor proven within five minutes, and loses nothing that was typed."""

    @pytest.fixture(autouse=True)
    def _act(self, monkeypatch, channel):
        """An act that switches a channel off and keeps the reason in its name."""

        class Reason(forms.Form):
            reason = forms.CharField()
            many = forms.MultipleChoiceField(choices=[("a", "a"), ("b", "b")], required=False)

        def perform(_request, row, given):
            row.name = given["reason"] + "".join(given["many"])
            row.save()
            return "done"

        act = Act(
            name="stop", label="Stop", permission="channels_app.change_channel", effect=lambda row: ["It stops."],
            hindrance=lambda row: "", perform=perform, form=Reason, step_up=True,
        )  # fmt: skip
        registered = admin.site._registry[Channel]
        assert isinstance(registered, ConsoleAdmin)
        monkeypatch.setattr(type(registered), "acts", (act,))
        self.address = f"/admin/channels_app/channel/{channel.pk}/act/stop/"

    def make_stale(self, client, seconds=301):
        session = client.session
        session["factor_at"] -= seconds
        session.save()

    def test_a_fresh_factor_opens_the_form_and_does_the_act(self, client, session, channel):
        assert client.get(self.address).status_code == 200
        client.post(self.address, {"reason": "because"})
        channel.refresh_from_db()
        assert channel.name == "because"

    def test_a_stale_one_is_asked_for_before_the_form(self, client, session):
        self.make_stale(client)
        asked = client.get(self.address)
        assert asked["Location"].startswith("/admin/login/again/?next=")
        assert "not older than 5 minutes" in client.get(asked["Location"]).content.decode()

    @pytest.mark.parametrize(("seconds", "opens"), [(290, True), (301, False)])
    def test_is_fresh_for_five_minutes(self, client, session, seconds, opens):
        self.make_stale(client, seconds)
        assert (client.get(self.address).status_code == 200) is opens

    def test_a_code_leads_back(self, client, session, authenticator):
        self.make_stale(client)
        answer = client.post(
            "/admin/login/again/", {"factor_next": self.address, "factor_code": code_of(authenticator)}
        )
        assert (answer.status_code, answer["Location"]) == (302, self.address)
        assert client.get(self.address).status_code == 200
        assert AuditEntry.objects.filter(action="factor.proven").count() == 1

    def test_what_was_typed_is_sent_on_after_the_code(self, client, session, authenticator, channel):
        self.make_stale(client)
        asked = client.post(self.address, {"reason": "what I typed", "many": ["a", "b"]})
        channel.refresh_from_db()
        assert channel.name == "Official site", "nothing happens before the code"
        kept = asked.context["kept"]
        assert kept == [("reason", "what I typed"), ("many", "a"), ("many", "b")]
        fields = {"reason": "what I typed", "many": ["a", "b"], "factor_next": asked.context["to"]}
        assert 'name="factor_form_waits" value="1"' in asked.content.decode()
        fields["factor_form_waits"] = "1"
        wrong = client.post("/admin/login/again/", {**fields, "factor_code": "12345"})
        assert wrong.context["kept"] == kept
        right = client.post("/admin/login/again/", {**fields, "factor_code": code_of(authenticator)}, follow=True)
        assert right.redirect_chain[0] == (self.address, 307)
        channel.refresh_from_db()
        assert channel.name == "what I typedab"

    def test_a_file_has_to_be_chosen_again_and_that_is_said(self, client, session):
        self.make_stale(client)
        asked = client.post(self.address, {"reason": "x", "file": SimpleUploadedFile("bill.csv", b"1")}, follow=True)
        assert "choose the file again" in asked.content.decode()

    def test_a_wrong_code_changes_nothing(self, client, session):
        self.make_stale(client)
        client.post("/admin/login/again/", {"factor_next": self.address, "factor_code": "12345"})
        assert client.get(self.address).status_code == 302

    def test_is_not_for_strangers(self, client, person, authenticator):
        assert (
            client.post("/admin/login/again/", {"factor_code": code_of(authenticator)})["Location"] == "/admin/login/"
        )

    def test_has_nothing_to_ask_where_no_factor_is_needed(self, client, person, settings):
        settings.CONSOLE_SECOND_FACTOR = "optional"
        client.force_login(person)
        assert client.get(self.address).status_code == 200


class TestHousekeeping:
    """What is over is forgotten; what is in use stays."""

    def test_forgets_what_is_over(self, client, session, person):
        factors.begin(person)
        Client().post("/admin/login/", {"username": "nobody", "password": "wrong"})
        assert forget_old_log_ins() == 0
        long_ago = timezone.now() - timedelta(days=181)
        Session.objects.update(expire_date=long_ago)
        StaffSession.objects.update(last_seen_at=long_ago)
        AccessAttempt.objects.update(attempt_time=long_ago)
        Authenticator.objects.filter(confirmed=False).update(created_at=long_ago)
        assert forget_old_log_ins() == 4
        assert Authenticator.objects.filter(confirmed=True).count() == 1
