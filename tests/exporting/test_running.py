"""Large exports: made by the worker in parts, kept with their checksums, deleted in the end."""

import csv
import hashlib
import io
import json
import stat
import threading
import zipfile
from datetime import timedelta
from xml.etree import ElementTree

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from channels_app.models import AuditEntry
from orders.exporting.profiles import Format, Profile
from orders.exporting.running import UNREADABLE, forget_old_exports, queue_export, storage
from orders.jobs import claim_job, run_due_jobs
from orders.models import ExportFile, Job, JobState, Order
from orders.sweeping import Worker
from tests.exporting.conftest import export_of, read_finance, read_machine

pytestmark = pytest.mark.django_db(transaction=True)


def queue(shop, **given) -> Job:
    return queue_export(export_of(shop, **given), title="an export", game=shop.game, by="lin")


def kept(file: ExportFile) -> bytes:
    with storage().open(file.stored_as, "rb") as content:
        return content.read()


class TestALargeExport:
    """The worker makes its files; they are whole, and say so."""

    def test_is_made_and_kept_with_its_checksum(self, shop, exports_folder):
        shop.purchase("10001")
        shop.order("10002")
        job = queue(shop)
        assert run_due_jobs() == 1
        job.refresh_from_db()
        (file,) = job.files.all()
        content = kept(file)
        assert (job.state, job.done, job.total, file.rows, file.part) == (JobState.DONE, 2, 2, 2, 1)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
        assert kept(ExportFile(stored_as=f"{file.stored_as}.sha256")).decode() == f"{file.sha256}  {file.name}\n"
        assert len(read_finance(content)[0]) == 2
        lies_at = exports_folder / file.stored_as
        assert stat.S_IMODE(lies_at.stat().st_mode) == 0o600
        assert list((exports_folder / "being-made").iterdir()) == []

    def test_is_split_before_a_spreadsheet_ends(self, shop, settings):
        settings.EXPORTS_ROWS_PER_FILE = 2
        numbers = [shop.order(f"u{number}").order_no for number in range(5)]
        for profile in Profile:
            job = queue(shop, profile=profile)
            run_due_jobs()
            files = list(job.files.order_by("part"))
            assert [(file.part, file.rows) for file in files] == [(1, 2), (2, 2), (3, 1)]
            assert [file.name.partition("-part")[2] for file in files] == ["1of3.csv", "2of3.csv", "3of3.csv"]
            if profile == Profile.MACHINE:
                rows = [row["order_no"] for file in files for row in read_machine(kept(file))]
            else:
                rows = [row["商户订单号"] for file in files for row in read_finance(kept(file))[0]]
                for number, file in enumerate(files, start=1):
                    footer = read_finance(kept(file))[1]
                    assert ["文件", f"第 {number} 个，共 3 个"] in footer
                    assert ["全部文件行数", "5"] in footer
                    assert ["合计", "CNY", "5", "30.00", "0", "0.00", "0", "0.00"] in footer
                    assert footer[-1] == ["文件结束"]
            assert rows == numbers

    def test_that_fills_its_last_file_makes_no_empty_one(self, shop, settings):
        settings.EXPORTS_ROWS_PER_FILE = 2
        for number in range(4):
            shop.order(f"u{number}")
        job = queue(shop)
        run_due_jobs()
        assert [file.rows for file in job.files.order_by("part")] == [2, 2]

    def test_of_nothing_is_a_file_that_says_so(self, shop):
        job = queue(shop, rows=Order.objects.none())
        run_due_jobs()
        (file,) = job.files.all()
        assert read_finance(kept(file))[0] == []
        assert ["行数", "0"] in read_finance(kept(file))[1]

    def test_holds_what_was_there_when_it_ran_as_it_was_asked_for(self, shop):
        shop.order("first")
        job = queue(shop, rows=Order.objects.filter(uid="first"))
        shop.order("second")
        run_due_jobs()
        (file,) = job.files.all()
        assert file.rows == 1

    def test_is_made_anew_by_the_next_worker_when_one_dies(self, shop, exports_folder):
        shop.order()
        job = queue(shop)
        claim_job(now=timezone.now())
        Job.objects.filter(pk=job.pk).update(leased_until=timezone.now())
        run_due_jobs()
        job.refresh_from_db()
        assert (job.state, job.tries, job.files.count()) == (JobState.DONE, 2, 1)

    def test_tried_again_leaves_no_second_set_of_files(self, shop, exports_folder):
        shop.order()
        job = queue(shop)
        run_due_jobs()
        Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED, finished_at=None)
        run_due_jobs()
        assert job.files.count() == 1
        assert len(list(exports_folder.rglob("*.csv"))) == 1

    def test_is_made_by_the_worker_while_it_does_everything_else(self, shop, settings):
        settings.SWEEP_INTERVAL_S = 1
        shop.order()
        job = queue(shop)
        stop, finished = threading.Event(), threading.Event()

        def work():
            Worker().run(stop)
            finished.set()

        worker = threading.Thread(target=work)
        worker.start()
        try:
            for _ in range(400):
                job.refresh_from_db()
                if job.state == JobState.DONE:
                    break
                finished.wait(0.05)
        finally:
            stop.set()
            worker.join(30)
        assert job.state == JobState.DONE
        assert finished.is_set()

    def test_that_somebody_else_wrote_into_the_table_is_not_run(self, shop):
        shop.order()
        job = queue(shop)
        forged = {**job.asked, "rows": "SELECT * FROM auth_user"}
        Job.objects.filter(pk=job.pk).update(asked=forged)
        run_due_jobs()
        job.refresh_from_db()
        assert (job.state, job.problem, job.files.count()) == (JobState.FAILED, UNREADABLE, 0)


class TestAWorkbook:
    """Excel shows long numbers whole, runs nothing, and can add up."""

    def test_has_text_where_people_typed_and_numbers_where_they_count(self, shop):
        order = shop.purchase("10001", "4200000000000000000000000001", attach="=1+1", zone_id="0012")
        job = queue(shop, format=Format.XLSX)
        run_due_jobs()
        (file,) = job.files.all()
        assert file.name.endswith(".xlsx")
        head, row, *foot = _sheet(kept(file))
        cells = dict(zip([text for _kind, text in head], row, strict=False))
        assert cells["商户订单号"] == ("text", order.order_no)
        assert cells["平台交易号"] == ("text", "4200000000000000000000000001")
        assert cells["区服"] == ("text", "0012")
        assert cells["透传参数"] == ("text", "=1+1")
        assert cells["实付金额"] == ("number", "6")
        assert foot[-1] == [("text", "文件结束")]

    def test_is_for_finance_alone(self, shop):
        with pytest.raises(ValueError, match="finance"):
            export_of(shop, format=Format.XLSX, profile=Profile.MACHINE)


def _sheet(content: bytes) -> list[list[tuple[str, str]]]:
    """Rows of a workbook: (kind, text) of each cell that holds something."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))  # noqa: S314  # made here
    assert not list(sheet.iter(f"{space}f"))  # no formula anywhere
    rows, width = [], 0
    for row in sheet.iter(f"{space}row"):
        cells: dict[int, tuple[str, str]] = {}
        for cell in row.iter(f"{space}c"):
            letters = "".join(sign for sign in cell.get("r") if sign.isalpha())
            place = 0
            for letter in letters:
                place = place * 26 + ord(letter) - 64
            if cell.get("t") == "inlineStr":
                cells[place] = ("text", "".join(text.text or "" for text in cell.iter(f"{space}t")))
            elif cell.find(f"{space}v") is not None:
                cells[place] = ("number", cell.find(f"{space}v").text)
        width = max([width, *cells])
        rows.append([cells.get(place, ("", "")) for place in range(1, max(cells, default=0) + 1)])
    return rows


class TestOldExports:
    """Files go after some days; what they were stays."""

    def test_are_deleted_by_the_housekeeping(self, shop, settings, exports_folder):
        shop.order()
        old, young = queue(shop), queue(shop)
        run_due_jobs()
        Job.objects.filter(pk=old.pk).update(finished_at=timezone.now() - timedelta(days=31))
        assert forget_old_exports() == 1
        assert forget_old_exports() == 0
        gone, there = old.files.get(), young.files.get()
        assert (gone.stored_as, gone.rows, len(gone.sha256)) == ("", 1, 64)
        assert kept(there)
        assert [path.name for path in exports_folder.rglob("*.csv")] == [there.name]


class TestTheCommand:
    """`manage.py export` writes the same file, says what it wrote, and is written down."""

    def run(self, *more, out, capsys):
        today = timezone.localdate()
        days = ("--from", str(today - timedelta(days=2)), "--to", str(today + timedelta(days=2)))
        call_command("export", "orders", "--game", "demo", "--environment", "sandbox", *days, "--out", str(out), *more)
        return capsys.readouterr()

    def test_writes_what_is_in_the_books(self, shop, tmp_path, capsys):
        order = shop.purchase("10001234")
        said = self.run("--profile", "machine", "--json", out=tmp_path, capsys=capsys)
        (file,) = json.loads(said.out)["files"]
        content = (tmp_path / file["path"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        (row,) = read_machine(content)
        assert (row["order_no"], row["uid"]) == (order.order_no, "****1234")
        assert "1 of 1 rows" in said.err
        entry = AuditEntry.objects.get(action="export")
        assert entry.actor.startswith("command of ")
        assert entry.label in file["path"]
        assert [path.name for path in tmp_path.glob("*machine*")] == [entry.label]

    def test_writes_under_the_name_it_is_given(self, shop, tmp_path, capsys):
        shop.order()
        out = tmp_path / "books.csv"
        said = self.run(out=out, capsys=capsys)
        assert str(out) in said.out
        assert len(list(csv.reader(out.read_text("utf-8-sig").splitlines()))) > 3

    def test_refuses_what_cannot_be_meant(self, shop, tmp_path, capsys):
        with pytest.raises(CommandError, match="reason"):
            self.run("--personal", out=tmp_path, capsys=capsys)
        with pytest.raises(CommandError, match="no game"):
            call_command(
                "export", "orders", "--game", "nope", "--environment", "sandbox", "--from", "2026-01-01", "--to",
                "2026-01-02", "--out", str(tmp_path),
            )  # fmt: skip
        with pytest.raises(CommandError, match="before"):
            call_command(
                "export", "orders", "--game", "demo", "--environment", "sandbox", "--from", "2026-01-02", "--to",
                "2026-01-01", "--out", str(tmp_path),
            )  # fmt: skip
        assert AuditEntry.objects.filter(action="export").count() == 0
