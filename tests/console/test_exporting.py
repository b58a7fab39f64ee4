"""Exports in the console: said in words first, of one's own games, written down, taken away or left to the worker."""

import csv
import io
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from channels_app.models import AuditEntry
from orders.exporting.profiles import BYTE_ORDER_MARK
from orders.jobs import run_due_jobs
from orders.models import ExportFile, Game, GameStaff, Job, JobState, Order
from tests.console.conftest import Shop
from tests.exporting.conftest import exports_folder, read_finance, read_machine  # noqa: F401  # the fixture

pytestmark = pytest.mark.django_db(transaction=True)

EXPORT = "/admin/orders/order/export/"
CENTRE = "/admin/exports/"
SANDBOX = "?books={game}.sandbox"


@pytest.fixture
def exporter(staff):
    return staff("orders.view_order", "orders.list_orders", "orders.export_orders")


@pytest.fixture
def somebody_else(staff, client):
    """Log another person in on the same machine."""

    def log_in(*permissions, **how):
        client.cookies.clear()
        return staff(*permissions, **how)

    return log_in


def post(browser, shop, query="", *, address=EXPORT, books="sandbox", **given):
    join = "&" if query else "?"
    wanted = {"report": "orders", "game": str(shop.game.pk), "kind": "finance", **given}
    return browser.post(f"{address}{query}{join}books={shop.game.pk}.{books}", wanted)


def download(browser, shop, query="", **given):
    answer = post(browser, shop, query, **given)
    assert answer.status_code == 200
    assert answer.streaming, answer.content.decode()
    return answer, b"".join(answer.streaming_content)


def only_user() -> User:
    return User.objects.get()


class TestTheButton:
    """A list leads to a page that says in words what will be in the file, then to the file."""

    def test_stands_on_every_list_that_can_be_exported(self, busy_shop, auditor, somebody_else):
        lists = ("orders/order", "orders/payment", "fulfillment/delivery", "fulfillment/ledgerentry")
        browser = auditor()
        for name in lists:
            assert "export/?" not in browser.get(f"/admin/{name}/").content.decode()
        browser = somebody_else(superuser=True)
        for name in lists:
            assert f"/admin/{name}/export/?" in browser.get(f"/admin/{name}/").content.decode()
            assert browser.get(f"/admin/{name}/export/").status_code == 200

    def test_says_first_what_will_be_in_it(self, shop, exporter):
        shop.order()
        shop.order()
        text = exporter.get(f"{EXPORT}?books={shop.game.pk}.sandbox&view=unpaid&period=today").content.decode()
        assert "2 rows: the file comes at once." in text
        assert "today" in text
        assert "Environment: sandbox" in text
        assert "last four characters" in text

    def test_speaks_chinese(self, shop, staff):
        shop.order()
        browser = staff("orders.view_order", "orders.list_orders", "orders.export_orders", language="zh-hans")
        text = browser.get(f"{EXPORT}?books={shop.game.pk}.sandbox").content.decode()
        assert "共 1 行，立即下载。" in text
        assert "CSV 财务版" in text

    def test_gives_the_file_for_finance(self, shop, exporter):
        order = shop.purchase("10001234")
        answer, content = download(exporter, shop, "?period=today")
        rows, footer = read_finance(content)
        assert content.startswith(BYTE_ORDER_MARK)
        assert [(row["商户订单号"], row["用户UID"]) for row in rows] == [(order.order_no, "****1234")]
        assert footer[-1] == ["文件结束"]
        name = answer["Content-Disposition"]
        assert name.startswith('attachment; filename="orders-demo-sandbox-')
        assert "no-store" in answer["Cache-Control"]

    def test_gives_the_file_for_machines(self, shop, exporter):
        order = shop.purchase("10001234")
        (row,) = read_machine(download(exporter, shop, kind="machine")[1])
        assert (row["order_no"], row["amount_minor"]) == (order.order_no, "600")

    def test_says_the_filters_in_chinese_in_the_file_whoever_downloads_it(self, shop, exporter):
        shop.order()
        _rows, footer = read_finance(download(exporter, shop, "?period=today")[1])
        said = {row[0]: row[1:] for row in footer}
        assert "今天" in said["筛选条件"][0]
        assert "today" not in said["筛选条件"][0]
        assert said["期间"][0].endswith("00:00:00")


class TestWhatIsInIt:
    """What the list's filters let through, of one environment and of games one works for."""

    def test_follows_filters_and_search(self, shop, exporter):
        paid = shop.purchase("10001")
        shop.order("10002")
        rows = read_finance(download(exporter, shop, f"?q={paid.order_no}")[1])[0]
        assert [row["商户订单号"] for row in rows] == [paid.order_no]
        assert read_finance(download(exporter, shop, "?zone=nowhere")[1])[0] == []
        assert len(read_finance(download(exporter, shop)[1])[0]) == 2

    def test_never_holds_more_than_its_list_though_the_list_has_pages(self, shop, exporter):
        for number in range(23):
            shop.order(f"u{number}")
        newest = Order.objects.order_by("-pk").first().pk
        assert len(read_finance(download(exporter, shop, f"?older={newest - 10}&size=18")[1])[0]) == 23

    def test_never_mixes_play_money_with_real(self, shop, exporter):
        real = Shop(shop.game, shop.channel, shop.account, environment="production")
        play = shop.order("player").order_no
        earned = real.order("player", client_ref="real-1").order_no
        for books, order_no in (("sandbox", play), ("production", earned)):
            rows = read_finance(download(exporter, shop, books=books)[1])[0]
            assert [row["商户订单号"] for row in rows] == [order_no]

    def test_is_never_of_another_game_than_ones_own(self, shop, exporter):
        shop.order("mine")
        other = Game.objects.create(code="other", name="Other")
        GameStaff.objects.create(user=only_user(), game=other)
        for game in (str(shop.game.pk), "all", "x", ""):
            answer = exporter.post(
                f"{EXPORT}?books={shop.game.pk}.sandbox", {"report": "orders", "game": game, "kind": "finance"}
            )
            assert not answer.streaming
        answer = exporter.post(EXPORT, {"report": "orders", "game": str(other.pk), "kind": "finance"})
        assert answer.streaming
        assert read_finance(b"".join(answer.streaming_content))[0] == []
        assert "0 rows" in exporter.get(EXPORT).content.decode()


class TestWhoMay:
    """The right to see is not the right to take away; personal data take a right, a reason and a fresh factor."""

    def test_is_asked_for_and_written_down(self, shop, staff, somebody_else):
        shop.order()
        seer = staff("orders.view_order", "orders.list_orders")
        assert seer.get(EXPORT).status_code == 403
        assert post(seer, shop).status_code == 403
        assert seer.get(CENTRE).status_code == 403
        assert AuditEntry.objects.filter(action="export").count() == 0
        browser = somebody_else("orders.view_order", "orders.list_orders", "orders.export_orders")
        download(browser, shop, "?period=today")
        entry = AuditEntry.objects.get(action="export")
        assert entry.label.startswith("orders-demo-sandbox-")
        assert (entry.detail["rows"], entry.detail["personal"], entry.detail["profile"]) == (1, False, "finance")

    def test_without_the_right_to_a_whole_list_gets_nothing(self, shop, staff):
        order = shop.order()
        browser = staff("orders.view_order", "orders.export_orders")
        assert read_finance(download(browser, shop)[1])[0] == []
        assert len(read_finance(download(browser, shop, f"?q={order.order_no}")[1])[0]) == 1

    def test_personal_data_take_a_right_and_a_reason(self, shop, exporter, somebody_else, settings):
        settings.FOUR_EYES = False
        shop.order("10001234", role_id="role-12345")
        whole = {"personal": "on", "reason": "ticket 4711: the auditor asked"}
        (row,) = read_finance(download(exporter, shop, **whole)[1])[0]
        assert row["用户UID"] == "****1234"  # the form has no such field for them
        browser = somebody_else(
            "orders.view_order", "orders.list_orders", "orders.export_orders", "orders.export_personal"
        )
        assert not post(browser, shop, personal="on", reason=" ").streaming
        assert AuditEntry.objects.filter(action="export").count() == 1
        (row,) = read_finance(download(browser, shop, **whole)[1])[0]
        assert (row["用户UID"], row["角色ID"]) == ("10001234", "role-12345")
        entry = AuditEntry.objects.filter(action="export").latest("pk")
        assert (entry.detail["personal"], entry.reason) == (True, whole["reason"])

    def test_personal_data_take_a_fresh_factor(self, shop, staff, settings):
        settings.FOUR_EYES = False
        shop.order("10001234")
        browser = staff("orders.view_order", "orders.list_orders", "orders.export_orders", "orders.export_personal")
        settings.CONSOLE_SECOND_FACTOR = "required"
        answer = post(browser, shop, personal="on", reason="ticket 4711")
        assert not answer.streaming
        assert AuditEntry.objects.filter(action="export").count() == 0

    def test_five_times_an_hour(self, shop, exporter, settings):
        shop.order()
        for _ in range(settings.EXPORTS_PER_PERSON_PER_HOUR):
            download(exporter, shop)
        answer = post(exporter, shop)
        assert not answer.streaming
        assert "within an hour" in answer.content.decode()
        assert AuditEntry.objects.filter(action="export").count() == 5
        assert Job.objects.count() == 0


class TestALargeOne:
    """It is made by the worker: the page shows how far it has come, the centre keeps it, who takes it is written down."""

    @pytest.fixture
    def job(self, shop, exporter, settings) -> Job:
        settings.EXPORTS_STREAMED_ROWS = 1
        shop.purchase("10001234")
        shop.order("10002")
        answer = post(exporter, shop)
        job = Job.objects.get()
        assert answer.status_code == 302
        assert answer["Location"] == f"/admin/orders/job/{job.pk}/change/"
        return job

    def test_is_announced(self, shop, exporter, settings):
        settings.EXPORTS_STREAMED_ROWS = 1
        shop.order()
        shop.order()
        text = exporter.get(f"{EXPORT}?books={shop.game.pk}.sandbox").content.decode()
        assert "More than 1 rows: the worker makes the files" in text

    def test_is_watched_and_taken_away(self, job, exporter):
        page = exporter.get(f"/admin/orders/job/{job.pk}/change/")
        assert page["Refresh"].startswith("3; url=")
        assert "It waits for a worker" in page.content.decode()
        Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, done=1_000, total=4_000)
        assert "1,000 of 4,000 rows so far" in exporter.get(f"/admin/orders/job/{job.pk}/change/").content.decode()
        assert "1,000 of 4,000" in exporter.get(CENTRE).content.decode()
        Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED)
        run_due_jobs()
        page = exporter.get(f"/admin/orders/job/{job.pk}/change/")
        assert not page.has_header("Refresh")
        file = ExportFile.objects.get()
        assert file.sha256 in page.content.decode()
        answer = exporter.get(f"/admin/exports/{file.pk}/download/")
        content = b"".join(answer.streaming_content)
        assert int(answer["Content-Length"]) == len(content) == file.size
        assert file.name in answer["Content-Disposition"]
        assert len(read_finance(content)[0]) == 2
        entry = AuditEntry.objects.get(action="download")
        assert (entry.subject_id, entry.actor, entry.detail["sha256"]) == (
            str(file.pk),
            only_user().username,
            file.sha256,
        )
        centre = exporter.get(CENTRE).content.decode()
        assert file.sha256 in centre
        assert f"<span>{only_user().username} " in centre

    def test_is_not_for_staff_of_other_games(self, job, somebody_else):
        run_due_jobs()
        file = ExportFile.objects.get()
        browser = somebody_else("orders.view_order", "orders.list_orders", "orders.export_orders")
        GameStaff.objects.create(user=User.objects.latest("pk"), game=Game.objects.create(code="other", name="Other"))
        assert browser.get(f"/admin/exports/{file.pk}/download/").status_code == 404
        assert browser.get(f"/admin/orders/job/{job.pk}/change/").status_code in (302, 403)
        assert file.name not in browser.get(CENTRE).content.decode()
        assert AuditEntry.objects.filter(action="download").count() == 0

    def test_with_personal_data_is_for_those_who_may(self, job, exporter):
        Job.objects.filter(pk=job.pk).update(asked={**job.asked, "personal": True})
        run_due_jobs()
        file = ExportFile.objects.get()
        assert exporter.get(f"/admin/exports/{file.pk}/download/").status_code == 403
        assert "It holds personal data" in exporter.get(CENTRE).content.decode()
        assert AuditEntry.objects.filter(action="download").count() == 0

    def test_is_gone_after_a_while_and_says_so(self, job, exporter):
        from orders.exporting.running import forget_old_exports

        run_due_jobs()
        Job.objects.update(finished_at=timezone.now() - timedelta(days=31))
        forget_old_exports()
        file = ExportFile.objects.get()
        answer = exporter.get(f"/admin/exports/{file.pk}/download/", follow=True)
        assert "Deleted after 30 days" in answer.content.decode()
        assert AuditEntry.objects.filter(action="download").count() == 0

    def test_as_a_workbook_is_made_by_the_worker_however_small(self, shop, exporter):
        shop.order()
        assert post(exporter, shop, kind="excel").status_code == 302
        run_due_jobs()
        file = ExportFile.objects.get()
        answer = exporter.get(f"/admin/exports/{file.pk}/download/")
        assert answer["Content-Type"] == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
        assert b"".join(answer.streaming_content).startswith(b"PK")

    def test_can_be_ended_and_tried_again_by_whoever_looks_after_jobs(self, job, exporter, somebody_else):
        address = f"/admin/orders/job/{job.pk}/act"
        assert exporter.post(f"{address}/cancel/", {"reason": "too large"}).status_code == 403
        keeper = somebody_else("orders.manage_jobs", "orders.export_orders", "orders.view_order")
        assert keeper.post(f"{address}/cancel/", {"reason": "too large"}).status_code == 302
        assert run_due_jobs() == 0
        page = keeper.get(f"/admin/orders/job/{job.pk}/change/").content.decode()
        assert "Cancelled by: " in page
        assert keeper.post(f"{address}/again/").status_code == 302
        assert run_due_jobs() == 1
        job.refresh_from_db()
        assert job.state == JobState.DONE
        assert AuditEntry.objects.filter(action="acted", subject="orders.job").count() == 2


class TestTheCentre:
    """One page for what is being made, what is there, and who took it."""

    def test_says_that_there_is_nothing(self, shop, exporter):
        text = exporter.get(CENTRE).content.decode()
        assert "Nothing is being made." in text
        assert "No file yet." in text
        assert EXPORT in text

    def test_costs_the_same_however_many_files_there_are(self, shop, exporter, django_assert_max_num_queries):
        shop.order()
        for _ in range(4):
            post(exporter, shop, kind="excel")
        run_due_jobs()
        with django_assert_max_num_queries(24):
            exporter.get(CENTRE)

    def test_shows_older_files_by_key(self, shop, exporter):
        shop.order()
        post(exporter, shop, kind="excel")
        run_due_jobs()
        file = ExportFile.objects.get()
        assert file.name not in exporter.get(f"{CENTRE}?older={file.pk}").content.decode()
        assert file.name in exporter.get(f"{CENTRE}?older=nonsense").content.decode()


def test_a_file_is_what_a_csv_reader_reads(shop, exporter):
    """Not one line more or less."""
    shop.order("a", zone_id='x"y', role_id="r,1")
    content = download(exporter, shop)[1]
    lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert len({len(line) for line in lines[:2]}) == 1
