"""From the door to the first page: password, second factor, recovery codes, lock-outs."""

import hashlib
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_otp.oath import hotp

from channels_app.models import AuditEntry
from payments_site.models import Authenticator, RecoveryCode, StaffSession
from payments_site.people import factors
from payments_site.people.factors import Proof
from tests.people.conftest import PASSWORD
from tests.people.steps import a_minute_passes, authenticator_of, code_for, code_of, seed_on
from tests.races.at_once import at_once

LOGIN = "/admin/login/"
CODE = "/admin/login/code/"
SET_UP = "/admin/login/set-up/"


def actions() -> list[str]:
    """What the audit trail says happened at the door, in order."""
    said = AuditEntry.objects.order_by("pk").values_list("action", flat=True)
    return [action for action in said if action.startswith(("log", "factor", "recovery_code", "session", "password"))]


def give_password(client, name="lin", password=PASSWORD, to="", **extra):
    return client.post(LOGIN, {"username": name, "password": password, "next": to}, **extra)


def give_code(client, code):
    return client.post(CODE, {"factor_code": code})


def is_inside(client) -> bool:
    return client.get("/admin/").status_code == 200


class TestLoggingIn:
    """Nobody is inside before both the password and the second factor were right."""

    def test_takes_the_password_and_then_a_code(self, client, person, authenticator):
        assert give_password(client)["Location"] == CODE
        assert not is_inside(client)
        assert client.get(CODE).status_code == 200
        assert give_code(client, code_of(authenticator))["Location"] == "/admin/"
        assert is_inside(client)
        assert actions() == ["login"]

    def test_leads_to_the_page_that_was_wanted_if_it_is_ours(self, client, person, authenticator):
        wanted = "/admin/login/mine/"
        assert client.get(wanted)["Location"] == f"{LOGIN}?next={wanted}"
        give_password(client, to=wanted)
        assert give_code(client, code_of(authenticator))["Location"] == wanted

    @pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
    def test_never_leads_to_a_stranger(self, client, person, authenticator, elsewhere):
        give_password(client, to=elsewhere)
        assert give_code(client, code_of(authenticator))["Location"] == "/admin/"

    def test_gives_the_session_a_new_key_at_each_step(self, client, person, authenticator):
        client.get(LOGIN)
        give_password(client)
        before = client.cookies["session"].value
        give_code(client, code_of(authenticator))
        assert client.cookies["session"].value != before

    def test_keeps_no_usable_session_key_in_the_database(self, client, person, authenticator):
        give_password(client)
        give_code(client, code_of(authenticator))
        key = client.cookies["session"].value
        assert [row.session_key for row in Session.objects.all()] == [hashlib.sha256(key.encode()).hexdigest()[:40]]
        assert StaffSession.objects.get().key_sha256 == hashlib.sha256(key.encode()).hexdigest()

    def test_at_the_second_step_is_forgotten_when_the_password_changes(self, client, person, authenticator):
        give_password(client)
        person.set_password("another password entirely")
        person.save()
        assert give_code(client, code_of(authenticator))["Location"] == LOGIN
        assert not is_inside(client)

    def test_at_the_second_step_is_forgotten_after_ten_minutes(self, client, person, authenticator):
        give_password(client)
        session = client.session
        session["at_the_door"] = {**session["at_the_door"], "at": session["at_the_door"]["at"] - 601}
        session.save()
        assert give_code(client, code_of(authenticator))["Location"] == LOGIN

    def test_refuses_who_is_not_staff_like_a_wrong_password(self, client, person):
        User.objects.create_user("player", password=PASSWORD)
        refused, wrong = give_password(client, "player"), give_password(client, "player", "wrong")
        assert refused.status_code == wrong.status_code == 200
        assert refused.context["form"].errors == wrong.context["form"].errors

    def test_says_the_same_for_a_name_that_nobody_bears(self, client, person):
        known, unknown = give_password(client, "lin", "wrong"), give_password(client, "nobody", "wrong")
        assert known.context["form"].errors == unknown.context["form"].errors
        assert [str(entry.label) for entry in AuditEntry.objects.filter(action="login.failed").order_by("pk")] == [
            "lin",
            "",
        ]

    def test_out_ends_the_session_and_is_written_down(self, client, person, authenticator):
        give_password(client)
        give_code(client, code_of(authenticator))
        assert client.get("/admin/logout/").status_code == 302
        assert is_inside(client), "a link logs nobody out"
        client.post("/admin/logout/")
        assert not is_inside(client)
        assert StaffSession.objects.get().ended_at is not None
        assert actions() == ["login", "logout"]


class TestACode:
    """A code of the app fits for its half minute and one either way, works once, and cannot be guessed."""

    def test_works_once(self, client, person, authenticator):
        code = code_of(authenticator)
        give_password(client)
        give_code(client, code)
        client.post("/admin/logout/")
        give_password(client)
        again = give_code(client, code)
        assert again.status_code == 200
        assert "used already" in again.context["fault"]
        assert not is_inside(client)
        assert actions() == ["login", "logout", "factor.refused"]

    @pytest.mark.parametrize(("steps", "fits"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
    def test_fits_one_step_either_way(self, person, authenticator, steps, fits):
        now = timezone.now()
        step = int(now.timestamp()) // 30
        code = f"{hotp(authenticator.seed(), step + steps):06d}"
        assert factors.prove(person=person, typed=code, now=now).holds is fits

    def test_of_before_is_refused_once_a_later_one_was_used(self, person, authenticator):
        seed, now = authenticator.seed(), timezone.now()
        step = int(now.timestamp()) // 30
        assert factors.prove(person=person, typed=f"{hotp(seed, step + 1):06d}", now=now).holds
        assert factors.prove(person=person, typed=f"{hotp(seed, step):06d}", now=now) is Proof.WRONG

    def test_may_be_typed_as_chinese_keyboards_do(self, person, authenticator):
        code = code_for(authenticator.seed())
        wide = "".join(chr(ord(figure) + 0xFEE0) for figure in code)
        assert factors.prove(person=person, typed=f" {wide[:3]} {wide[3:]} ", now=timezone.now()) is Proof.BY_APP

    def test_is_looked_at_five_times_a_minute(self, client, person, authenticator):
        give_password(client)
        for _ in range(5):
            give_code(client, "000000" if code_for(authenticator.seed()) != "000000" else "000001")
        right = give_code(client, code_for(authenticator.seed()))
        assert "within a minute" in right.context["fault"]
        assert not is_inside(client)
        assert Authenticator.objects.get().throttling_failure_count == 5

    def test_is_not_looked_at_for_a_while_after_ten_wrong_ones(self, person, authenticator):
        now = timezone.now()
        for _ in range(10):
            a_minute_passes()
            assert factors.prove(person=person, typed=_wrong(authenticator), now=now) is Proof.WRONG
        a_minute_passes()
        right = code_for(authenticator.seed())
        assert factors.prove(person=person, typed=right, now=now) is Proof.PAUSED
        codes = factors.new_recovery_codes(person)
        assert factors.prove(person=person, typed=codes[0], now=now) is Proof.BY_RECOVERY_CODE
        Authenticator.objects.update(throttling_failure_timestamp=now - timedelta(minutes=15))
        a_minute_passes()
        assert factors.prove(person=person, typed=right, now=now) is Proof.BY_APP

    @pytest.mark.django_db(transaction=True)
    def test_lets_one_of_two_in_who_type_it_at_once(self, person, authenticator):
        code = code_of(authenticator)
        proofs = at_once([lambda: factors.prove(person=person, typed=code, now=timezone.now())] * 2)
        assert sorted(proof.value for proof in proofs) == ["app", "wrong"]

    def test_of_somebody_else_does_not_fit(self, client, person, authenticator):
        other = User.objects.create_superuser("wang", password=PASSWORD)
        theirs = factors.begin(other)
        give_password(client)
        assert give_code(client, code_for(theirs.seed())).status_code == 200


def _wrong(authenticator) -> str:
    good = {code_for(authenticator.seed(), steps=steps) for steps in (-1, 0, 1)}
    return next(code for code in ("000000", "000001", "000002", "000003") if code not in good)


class TestTheFirstLogIn:
    """Without a factor nothing opens but the page that sets one up; its codes are shown once."""

    def test_sets_up_an_authenticator_and_shows_ten_codes(self, client, person):
        assert give_password(client)["Location"] == SET_UP
        assert not is_inside(client)
        shown = client.get(SET_UP)
        seed = seed_on(shown.content.decode())
        assert seed == Authenticator.objects.get().seed()
        assert not Authenticator.objects.get().confirmed
        done = client.post(SET_UP, {"factor_code": code_for(seed)})
        assert len(done.context["codes"]) == RecoveryCode.objects.count() == 10
        assert is_inside(client)
        assert actions() == ["factor.set_up", "login"]

    def test_shows_the_same_seed_until_a_code_of_it_was_typed(self, client, person):
        give_password(client)
        seed = seed_on(client.get(SET_UP).content.decode())
        wrong = client.post(SET_UP, {"factor_code": "12345"})
        assert seed_on(wrong.content.decode()) == seed
        assert not is_inside(client)

    def test_gives_every_browser_a_seed_of_its_own(self, client, person):
        """Whoever knows only the password must not learn the seed that its owner will confirm."""
        give_password(client)
        stranger = Client()
        give_password(stranger)
        known_to_stranger = seed_on(stranger.get(SET_UP).content.decode())
        assert seed_on(client.get(SET_UP).content.decode()) != known_to_stranger

    def test_offers_no_second_set_up_to_who_has_a_factor(self, client, person, authenticator):
        give_password(client)
        assert client.get(SET_UP)["Location"] == LOGIN
        assert Authenticator.objects.count() == 1

    def test_shows_seed_and_codes_nowhere_again(self, client, person):
        give_password(client)
        client.get(SET_UP)
        seed, seed_text = Authenticator.objects.get().seed(), factors.seed_text(Authenticator.objects.get())
        codes = client.post(SET_UP, {"factor_code": code_for(seed)}).context["codes"]
        for page in (SET_UP, "/admin/login/mine/", CODE, "/admin/"):
            text = client.get(page, follow=True).content.decode()
            assert not [secret for secret in (*codes, seed_text) if secret in text]

    def test_is_left_out_only_where_that_is_allowed(self, client, person, settings):
        settings.CONSOLE_SECOND_FACTOR = "optional"
        inside = give_password(client)
        assert inside["Location"] == "/admin/"
        page = client.get("/admin/")
        assert "production asks for one" in page.content.decode()
        settings.CONSOLE_SECOND_FACTOR = "required"
        assert not is_inside(client)
        assert client.get("/admin/", follow=True).redirect_chain[-1][0] == SET_UP

    def test_never_leaves_out_a_factor_that_somebody_has(self, client, person, authenticator, settings):
        settings.CONSOLE_SECOND_FACTOR = "optional"
        assert give_password(client)["Location"] == CODE
        client.force_login(person)
        assert not is_inside(client)


class TestRecoveryCodes:
    """Each opens the console once, in place of the phone; only their digests are kept."""

    def test_open_the_console_once(self, client, person, authenticator):
        codes = factors.new_recovery_codes(person)
        give_password(client)
        assert give_code(client, codes[3].lower().replace("-", " "))["Location"] == "/admin/"
        client.post("/admin/logout/")
        give_password(client)
        assert give_code(client, codes[3]).status_code == 200
        assert not is_inside(client)
        assert give_code(client, codes[4])["Location"] == "/admin/"
        assert factors.recovery_codes_left(person) == 8
        assert actions() == [
            "recovery_code.used", "login", "logout", "factor.refused", "recovery_code.used", "login",
        ]  # fmt: skip

    def test_have_more_than_112_bits_and_are_kept_as_digests(self, person):
        codes = factors.new_recovery_codes(person)
        assert len(set(codes)) == 10
        for code in codes:
            assert len(code.replace("-", "")) * 5 >= 112
            assert RecoveryCode.objects.filter(
                digest=hashlib.sha256(code.replace("-", "").encode()).hexdigest()
            ).exists()

    def test_are_made_anew_with_a_fresh_factor_only(self, client, person, authenticator):
        codes = factors.new_recovery_codes(person)
        give_password(client)
        give_code(client, code_of(authenticator))
        made = client.post("/admin/login/recovery-codes/")
        assert set(made.context["codes"]).isdisjoint(codes)
        assert factors.prove(person=person, typed=codes[0], now=timezone.now()) is Proof.WRONG
        session = client.session
        session["factor_at"] -= 301
        session.save()
        assert client.post("/admin/login/recovery-codes/").templates[0].name == "admin/people/step_up.html"

    @pytest.mark.django_db(transaction=True)
    def test_let_one_of_two_in_who_type_one_at_once(self, person, authenticator):
        code = factors.new_recovery_codes(person)[0]
        proofs = at_once([lambda: factors.prove(person=person, typed=code, now=timezone.now())] * 2)
        assert sorted(proof.value for proof in proofs) == ["recovery", "wrong"]


class TestLockingOut:
    """Guessing is stopped by name and by address, for names that exist and names that do not."""

    @pytest.mark.parametrize("name", ["lin", "nobody"])
    def test_after_five_failures_of_a_name(self, client, person, name):
        answers = [give_password(client, name, f"wrong {n}").status_code for n in range(6)]
        assert answers == [200, 200, 200, 200, 429, 429]
        locked = give_password(client, name, PASSWORD)
        assert locked.status_code == 429
        assert b"15 minutes" in locked.content
        assert actions() == ["login.failed"] * 4 + ["login.locked"] * 3

    def test_ends_by_itself(self, client, person, authenticator):
        for n in range(5):
            give_password(client, "lin", f"wrong {n}")
        AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=15, seconds=1))
        assert give_password(client)["Location"] == CODE

    def test_is_not_prolonged_by_trying(self, client, person, authenticator):
        for n in range(8):
            give_password(client, "lin", f"wrong {n}")
        assert AccessAttempt.objects.get().failures_since_start == 5

    def test_leaves_other_names_alone(self, client, person, authenticator):
        for n in range(5):
            give_password(client, "nobody", f"wrong {n}")
        assert give_password(client)["Location"] == CODE

    def test_counts_twenty_log_ins_a_minute_from_one_address(self, client, person, authenticator):
        for n in range(20):
            assert give_password(client, f"name{n}", "wrong").status_code == 200
        assert give_password(client).status_code == 429
        assert actions()[-1] == "login.too_often"
        assert give_password(client, REMOTE_ADDR="198.51.100.7")["Location"] == CODE

    def test_counts_the_address_that_our_own_proxy_saw(self, client, person, authenticator, settings):
        settings.TRUSTED_PROXIES = 1
        for n in range(21):
            forged = f"10.0.0.{n}, 203.0.113.9"
            last = give_password(client, f"name{n}", "wrong", HTTP_X_FORWARDED_FOR=forged)
        assert last.status_code == 429
        assert give_password(client, HTTP_X_FORWARDED_FOR="203.0.113.10")["Location"] == CODE
        assert AuditEntry.objects.filter(action="login.too_often").get().address == "203.0.113.9"

    def test_is_said_in_chinese_too(self, client, person):
        for n in range(5):
            page = give_password(client, "lin", f"wrong {n}", HTTP_ACCEPT_LANGUAGE="zh-hans")
        assert "15 分钟" in page.content.decode()


class TestPasswords:
    """Long ones, of any letters; no common ones."""

    @pytest.mark.parametrize(
        ("password", "good"),
        [
            ("short words", False),
            ("password1234", False),
            ("qwertyuiop12", False),
            ("一句自己记得住的中文密码", True),
            ("all lower case and quite long enough", True),
            ("x7" * 64, True),
        ],
    )
    def test_are_judged_by_length_and_commonness(self, password, good):
        if good:
            validate_password(password)
        else:
            with pytest.raises(ValidationError):
                validate_password(password)

    def test_are_kept_with_argon2(self, settings):
        settings.PASSWORD_HASHERS = settings.PASSWORD_HASHERS[1:]
        assert make_password(PASSWORD).startswith("argon2$argon2id$")


class TestALostPhone:
    """Somebody who manages staff takes the lost factor away; its owner sets up another one."""

    @pytest.fixture
    def colleague(self, db):
        return User.objects.create_user("wang", email="wang@example.com", password=PASSWORD, is_staff=True)

    def test_is_replaced_at_the_next_log_in(self, client, person, authenticator, colleague, mailoutbox):
        authenticator_of(colleague)
        factors.new_recovery_codes(colleague)
        give_password(client)
        give_code(client, code_of(authenticator))
        mailoutbox.clear()
        answer = client.post(reverse("admin:log_in_of", args=[colleague.pk]), {"do": "reset"})
        assert answer.status_code == 302
        assert not factors.has_factor(colleague)
        assert not RecoveryCode.objects.filter(user=colleague).exists()
        assert [message.to for message in mailoutbox] == [["wang@example.com"]]
        entry = AuditEntry.objects.get(action="factor.reset")
        assert (entry.actor, entry.label) == ("lin", "wang")

    def test_takes_the_right_to_manage_staff(self, client, colleague, person, authenticator):
        theirs = factors.begin(colleague)
        theirs.confirmed = True
        theirs.save()
        give_password(client, "wang")
        give_code(client, code_of(theirs))
        assert client.post(reverse("admin:log_in_of", args=[person.pk]), {"do": "reset"}).status_code == 403
        assert factors.has_factor(person)

    def test_can_be_taken_away_by_command(self, person, authenticator, client):
        client.force_login(person)
        call_command("reset_factor", "lin")
        assert not factors.has_factor(person)
        assert StaffSession.objects.get().ended_at is not None
        assert AuditEntry.objects.get(action="factor.reset").label == "lin"
        with pytest.raises(CommandError):
            call_command("reset_factor", "nobody")


class TestMail:
    """A log-in from a browser or network that a person never used is told to them."""

    def log_in(self, client, authenticator, **extra):
        client.post(LOGIN, {"username": "lin", "password": PASSWORD}, **extra)
        client.post(CODE, {"factor_code": code_of(authenticator)}, **extra)
        client.post("/admin/logout/", **extra)

    def test_tells_of_new_devices_once(self, client, person, authenticator):
        chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36"
        self.log_in(client, authenticator, HTTP_USER_AGENT=chrome, REMOTE_ADDR="203.0.113.7")
        self.log_in(client, authenticator, HTTP_USER_AGENT=chrome.replace("130", "131"), REMOTE_ADDR="203.0.113.99")
        assert len(mail.outbox) == 1
        assert "Chrome, Windows" in mail.outbox[0].body
        self.log_in(client, authenticator, HTTP_USER_AGENT=chrome, REMOTE_ADDR="198.51.100.1")
        assert len(mail.outbox) == 2

    def test_that_cannot_be_sent_stops_nobody(self, client, person, authenticator, settings):
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
        give_password(client)
        assert give_code(client, code_of(authenticator))["Location"] == "/admin/"
