"""Four eyes: keys, prices, addresses and rights change when two people want it, exactly as both saw it, exactly once."""

import re
import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from channels_app import proposals
from channels_app.models import AuditEntry, ChannelMethod, MerchantAccount, Proposal
from channels_app.proposals import ProposalRefused, approve, expire_proposals
from channels_app.providers import ADAPTERS
from channels_app.providers.fields import to_form
from fulfillment.models import WebhookEndpoint
from orders.models import GameStaff, Job, JobState, Product, ProductPrice
from payments_site.people.roles import install
from tests import keys
from tests.console.conftest import list_of, page_of
from tests.roles.test_grid import product_form


@pytest.fixture(autouse=True)
def _four_eyes(settings):
    settings.FOUR_EYES = True


@pytest.fixture
def two(person):
    """Two colleagues of one role."""
    return lambda role: (person(role, name=f"{role}-one"), person(role, name=f"{role}-two"))


@pytest.fixture
def asked(game, two):
    """A price that somebody asks to have changed, and a colleague who could do it."""
    one, other = two("operations")
    one.post(page_of(Product.objects.get()), **product_form(Product.objects.get(), ProductPrice.objects.get(), 800))
    return filed(), one, other


def filed() -> Proposal:
    """What was asked for; the one that the busy shop comes with aside."""
    return Proposal.objects.exclude(requested_by__username="asker").get()


def price() -> int:
    """What the product costs now."""
    return ProductPrice.objects.get().amount_minor


class TestAPrice:
    """A changed price waits for a second person; until then the old one holds."""

    def test_is_asked_for_and_not_changed(self, asked):
        proposal, one, _other = asked
        assert price() == 600
        assert (proposal.kind, proposal.state, proposal.subject) == ("product", "waiting", "gems60")
        assert proposal.summary == [["price CNY", "6.00 CNY", "8.00 CNY"]]
        assert (proposal.reason, proposal.ticket, proposal.requested_by) == ("spring sale", "OPS-7", one.user)
        assert AuditEntry.objects.filter(subject="orders.product", action="changed price").count() == 0

    def test_changes_when_a_colleague_approves(self, asked):
        proposal, one, other = asked
        answer = other.act(proposal, "approve")
        assert answer.status_code == 302
        proposal.refresh_from_db()
        assert (price(), proposal.state, proposal.decided_by) == (800, "done", other.user)
        changed = AuditEntry.objects.get(subject="orders.product", action="changed price")
        assert (changed.actor, changed.reason) == (other.user.username, "spring sale")
        assert AuditEntry.objects.get(action="asked").actor == one.user.username
        assert AuditEntry.objects.get(action="approved").actor == other.user.username

    def test_shows_the_second_person_before_and_after(self, asked):
        proposal, _one, other = asked
        for text in (other.get(page_of(proposal)), other.get(page_of(proposal).replace("/change/", "/act/approve/"))):
            body = text.content.decode()
            assert "6.00 CNY" in body
            assert "8.00 CNY" in body
            assert "spring sale" in body

    def test_is_not_approved_by_who_asked(self, asked):
        proposal, one, _other = asked
        assert "it takes a second person" in one.get(page_of(proposal)).content.decode()
        one.act(proposal, "approve")
        one.act(proposal, "reject", reason="changed my mind")
        proposal.refresh_from_db()
        assert (price(), proposal.state) == (600, "waiting")

    def test_is_not_approved_by_a_superuser_who_asked(self, game, person):
        root = person(superuser=True)
        form = product_form(Product.objects.get(), ProductPrice.objects.get(), 800)
        root.post(page_of(Product.objects.get()), **form)
        proposal = filed()
        root.act(proposal, "approve")
        with pytest.raises(ProposalRefused, match="second person"):
            approve(proposal_id=proposal.pk, by=root.user, now=timezone.now())
        with pytest.raises(IntegrityError, match="proposal_takes_two"), transaction.atomic():
            Proposal.objects.update(state="done", decided_by=root.user, decided_at=timezone.now())
        assert price() == 600

    def test_is_not_approved_by_another_role(self, asked, person):
        proposal, _one, _other = asked
        for role in ("finance", "engineer", "audit", "support", ""):
            assert person(role).act(proposal, "approve").status_code == 403, role
        assert price() == 600

    def test_is_not_approved_a_day_later(self, asked):
        proposal, _one, other = asked
        with pytest.raises(ProposalRefused, match="expired"):
            approve(proposal_id=proposal.pk, by=other.user, now=proposal.expires_at)
        assert expire_proposals() == 0
        assert proposal.expires_at - proposal.requested_at == timedelta(hours=24)
        assert price() == 600

    def test_stays_when_it_is_rejected(self, asked):
        proposal, _one, other = asked
        other.act(proposal, "reject", reason="not before the weekend")
        proposal.refresh_from_db()
        assert (price(), proposal.state, proposal.outcome) == (600, "rejected", "not before the weekend")
        other.act(proposal, "approve")
        assert price() == 600

    def test_is_not_set_back_when_it_has_moved_in_between(self, asked):
        proposal, _one, other = asked
        ProductPrice.objects.update(amount_minor=700)
        other.act(proposal, "approve")
        proposal.refresh_from_db()
        assert (price(), proposal.state) == (700, "failed")
        assert "changed since" in proposal.outcome
        assert AuditEntry.objects.filter(action="failed").count() == 1

    def test_cannot_be_swapped_for_another_behind_the_second_person(self, asked):
        proposal, _one, other = asked
        with pytest.raises(DatabaseError), transaction.atomic():
            Proposal.objects.update(summary=[["price CNY", "6.00 CNY", "0.01 CNY"]])
        with transaction.atomic(), connection.cursor() as cursor:  # somebody who may switch triggers off
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute("UPDATE channels_app_proposal SET summary = '[]'")
            cursor.execute("SET LOCAL session_replication_role = origin")
        with pytest.raises(ProposalRefused, match="not what was asked for"):
            approve(proposal_id=proposal.pk, by=other.user, now=timezone.now())
        assert price() == 600

    def test_takes_a_reason(self, game, two):
        one, _other = two("operations")
        form = product_form(Product.objects.get(), ProductPrice.objects.get(), 800)
        for reason in ("", "  ", "ok"):
            assert one.post(page_of(Product.objects.get()), **{**form, "reason": reason}).status_code == 200
        assert Proposal.objects.count() == 0

    def test_that_could_never_be_done_is_not_asked_for(self, game, two):
        one, _other = two("operations")
        form = product_form(Product.objects.get(), ProductPrice.objects.get(), 600)
        answer = one.browser.post(page_of(Product.objects.get()), form, follow=True)
        assert "Nothing would change." in answer.content.decode()
        form["store_ids"] = '{"no_such_store": "x"}'
        one.post(page_of(Product.objects.get()), **form)
        assert Proposal.objects.count() == 0

    def test_of_a_new_product_too(self, game, channel, two):
        one, other = two("operations")
        one.post(
            "/admin/orders/product/add/", game=game.pk, product_id="gems300", name="300 gems", is_active="on",
            store_ids="{}", reason="new pack",
            **{
                "prices-TOTAL_FORMS": 1, "prices-INITIAL_FORMS": 0, "prices-0-currency": "CNY",
                "prices-0-channel": channel.pk, "prices-0-amount_minor": 3000,
                "grants-TOTAL_FORMS": 1, "grants-INITIAL_FORMS": 0, "grants-0-item": game.items.get().pk,
                "grants-0-quantity": 300, "grants-0-bonus": 30,
            },
        )  # fmt: skip
        assert Product.objects.filter(product_id="gems300").count() == 0
        other.act(filed(), "approve")
        made = Product.objects.get(product_id="gems300")
        assert made.prices.get().amount_minor == 3000
        assert (made.prices.get().channel, made.grants.get().quantity) == (channel, 300)


class TestAccountsAndAddresses:
    """Keys, account states, methods and addresses of game servers: one asks, another does it."""

    def test_an_account_drains_when_two_want_it(self, wechat_account, two):
        one, other = two("admin")
        one.act(wechat_account, "draining", reason="moving to the new number")
        assert MerchantAccount.objects.get().state == "active"
        proposal = filed()
        assert proposal.summary == [["state", "active", "draining"]]
        other.act(proposal, "approve")
        assert MerchantAccount.objects.get().state == "draining"

    def test_new_keys_are_sealed_until_two_want_them_and_shown_to_neither(self, wechat_account, two):
        one, other = two("engineer")
        credentials = keys.wechat_credentials()
        secret = "N" * 32
        fields = ADAPTERS["wechatpay"].fields
        form = {field.name: to_form(field, credentials.get(field.name)) for field in fields}
        form |= {"api_v3_key": secret, "reason": "yearly rotation"}
        one.act(wechat_account, "keys", **form)
        proposal = filed()
        assert MerchantAccount.objects.get().credentials_version == wechat_account.credentials_version
        pages = [other.get(page_of(proposal)), other.get(page_of(proposal).replace("/change/", "/act/approve/"))]
        assert [text for text in pages if secret in text.content.decode()] == []
        assert secret.encode() not in bytes(proposal.payload_sealed)
        other.act(proposal, "approve")
        assert MerchantAccount.objects.get().credentials()["api_v3_key"] == secret
        assert not any(secret in str(entry.detail) for entry in AuditEntry.objects.all())

    def test_methods_go_on_offer_when_two_want_it(self, channel, wechat_account, two):
        one, other = two("engineer")
        ChannelMethod.objects.all().delete()
        one.act(channel, "offer", methods=[f"{wechat_account.pk}:wechatpay_native"], reason="opening day")
        assert ChannelMethod.objects.count() == 0
        other.act(filed(), "approve")
        assert ChannelMethod.objects.get().method == "wechatpay_native"

    def test_an_address_changes_when_two_want_it(self, busy_shop, two):
        one, other = two("operations")
        endpoint = WebhookEndpoint.objects.get()
        one.act(endpoint, "address", url="https://new.example/hook", reason="moved house")
        assert WebhookEndpoint.objects.get().url == endpoint.url
        other.act(filed(), "approve")
        assert WebhookEndpoint.objects.get().url == "https://new.example/hook"

    def test_a_new_secret_is_shown_once_to_who_makes_it(self, busy_shop, two):
        one, other = two("operations")
        endpoint = WebhookEndpoint.objects.get()
        before = endpoint.secrets()
        assert "whsec_" not in one.act(endpoint, "rotate", reason="somebody left").content.decode()
        answer = other.act(filed(), "approve")
        (shown,) = re.findall(r"whsec_[A-Za-z0-9+/=]+", answer.content.decode())
        assert "no-store" in answer.headers["Cache-Control"]
        assert WebhookEndpoint.objects.get().secrets() == [shown, *before]
        assert shown not in other.get(page_of(filed())).content.decode()
        assert shown not in str(list(AuditEntry.objects.values()))

    def test_what_is_due_is_looked_at_again(self, wechat_account, two):
        one, other = two("admin")
        one.act(wechat_account, "draining", reason="moving to the new number")
        MerchantAccount.objects.update(state="draining")
        other.act(filed(), "approve")
        assert filed().state == "failed"

    def test_personal_data_leave_the_house_when_two_want_it(self, busy_shop, two):
        one, other = two("finance")
        one.post(
            f"/admin/orders/order/export/?books={busy_shop.game.pk}.sandbox", report="orders", game=busy_shop.game.pk,
            kind="machine", personal="on", reason="the police asks",
        )  # fmt: skip
        asked = Job.objects.exclude(state=JobState.DONE)
        assert not asked.exists()
        other.act(filed(), "approve")
        assert asked.get().requested_by == one.user.username


class TestStaff:
    """Roles and games of people are changed by two others, never by themselves."""

    def _form(self, **changes):
        return {"last_name": "Li", "first_name": "Na", "is_active": "on", "reason": "new job", **changes}

    def test_a_new_colleague_can_log_in_when_two_want_it(self, game, two, client):
        one, other = two("admin")
        finance = Group.objects.get(name="finance")
        one.post("/admin/auth/user/add/", **self._form(username="li", groups=finance.pk, limited_to=game.pk))
        assert not User.objects.filter(username="li").exists()
        answer = other.act(filed(), "approve").content.decode()
        li = User.objects.get(username="li")
        (password,) = re.findall(r'<code class="number">([^<]+)</code>', answer)
        assert li.check_password(password)
        assert (li.is_staff, li.is_superuser, list(li.groups.all())) == (True, False, [finance])
        assert GameStaff.objects.get().user == li
        assert password not in str(list(AuditEntry.objects.values()))

    def test_a_role_is_given_and_taken_when_two_want_it(self, two, person):
        one, other = two("admin")
        colleague = person("support", name="li").user
        one.post(page_of(colleague), **self._form(groups=Group.objects.get(name="finance").pk))
        assert list(colleague.groups.values_list("name", flat=True)) == ["support"]
        other.act(filed(), "approve")
        assert list(colleague.groups.values_list("name", flat=True)) == ["finance"]
        written = set(
            AuditEntry.objects.filter(subject="auth.user", actor=other.user.username).values_list("action", "label")
        )
        assert {("added role", "finance"), ("removed role", "support")} <= written

    def test_nobody_grants_themselves_anything(self, two):
        one, other = two("admin")
        everything = Group.objects.order_by("pk").values_list("pk", flat=True)
        assert one.post(page_of(one.user), **self._form(groups=list(everything))).status_code == 403
        one.post(page_of(other.user), **self._form(groups=list(everything)))
        other.act(filed(), "approve")  # about oneself: neither asks nor approves
        assert list(other.user.groups.values_list("name", flat=True)) == ["admin"]
        assert filed().state == "failed"
        one.act(one.user, "password", reason="forgot it")
        assert Proposal.objects.count() == 1

    def test_no_form_makes_a_superuser_and_only_a_superuser_changes_one(self, two, person):
        one, other = two("admin")
        colleague = person("support", name="li").user
        one.post(page_of(colleague), **self._form(is_superuser="on", is_staff="on", user_permissions=1))
        other.act(filed(), "approve")
        colleague.refresh_from_db()
        assert (colleague.is_superuser, colleague.user_permissions.count()) == (False, 0)
        root = person(superuser=True, name="root").user
        assert one.post(page_of(root), **self._form()).status_code == 403
        one.act(root, "password", reason="take over")
        one.act(root, "switch_off", reason="take over")
        root.refresh_from_db()
        assert root.is_active
        assert Proposal.objects.count() == 1

    def test_somebody_is_switched_off_at_once_by_one(self, two, person):
        one, _other = two("admin")
        li = person("support", name="li")
        one.act(li.user, "switch_off", reason="lost the laptop")
        li.user.refresh_from_db()
        assert not li.user.is_active
        assert li.get("/admin/").status_code == 302
        assert AuditEntry.objects.filter(subject="auth.user", action="changed", reason="lost the laptop").exists()

    def test_others_do_not_see_people(self, person):
        colleague = person("support", name="li").user
        for role in ("operations", "support", "finance", "engineer", ""):
            who = person(role)
            assert who.get(list_of(User)).status_code == 403, role
            assert who.get(page_of(colleague)).status_code == 403, role
        assert person("audit").get(page_of(colleague)).status_code == 200

    def test_roles_are_read_and_not_edited(self, person):
        root = person(superuser=True)
        group = Group.objects.get(name="support")
        assert "see order by number" in root.get(page_of(group)).content.decode()
        assert root.post(page_of(group), name="support", permissions=[1]).status_code == 403


class TestTheQueue:
    """What waits is seen by those who may decide, and what was decided stays."""

    def test_shows_what_waits(self, asked, person):
        proposal, _one, other = asked
        assert page_of(proposal) in other.get(list_of(Proposal)).content.decode()
        assert person("support").get(list_of(Proposal)).status_code == 403
        other.act(proposal, "approve")
        assert page_of(proposal) not in other.get(list_of(Proposal)).content.decode()
        assert page_of(proposal) in other.get(f"{list_of(Proposal)}?state=all").content.decode()

    def test_takes_a_fresh_factor(self, settings, asked):
        settings.CONSOLE_SECOND_FACTOR = "required"
        from channels_app.admin.proposals import ProposalAdmin

        assert all(act.step_up for act in ProposalAdmin.acts)


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    """Two colleagues who approve at the same instant do it once."""

    def test_do_it_once(self, settings):
        install(Group, Permission)
        people = []
        for name in ("one", "two", "three"):
            people.append(User.objects.create_user(name, is_staff=True))
            people[-1].groups.add(Group.objects.get(name="admin"))
        done = []
        kind = proposals.Kind(
            "test.once", "once", "payments_site.manage_staff",
            lambda payload, by: done.append(by.username) or proposals.Done("done"),
        )  # fmt: skip
        proposals.register(kind)
        try:
            proposal = proposals.propose(
                kind="test.once", subject="x", payload={}, summary=[], reason="to see", by=people[0], now=timezone.now()
            )
            outcomes = _at_once(lambda who: approve(proposal_id=proposal.pk, by=who, now=timezone.now()), people[1:])
        finally:
            del proposals.KINDS["test.once"]
        assert sorted(outcomes) == ["done", "refused"]
        assert len(done) == 1
        assert filed().state == "done"
        assert AuditEntry.objects.filter(action="approved").count() == 1


def _at_once(decide, people) -> list[str]:
    """Everybody decides at the same instant; what came of it."""
    gate, outcomes = threading.Barrier(len(people)), []

    def one(who):
        try:
            gate.wait(10)
            decide(who)
            outcomes.append("done")
        except ProposalRefused:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(who,)) for who in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
