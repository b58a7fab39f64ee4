"""The whole system speaks Chinese as well as English: every message, with every placeholder."""

import os
import re
import shutil
import subprocess
import sys

import polib
import pytest
from django.conf import settings
from django.utils import translation

PLACEHOLDER = re.compile(r"%\([a-z_]+\)[.0-9]*[a-z]|%[sd]|\{[a-z_]*\}")
CATALOGUE = settings.LOCALE_PATHS[0] / "zh_Hans" / "LC_MESSAGES" / "django.po"
# The same in both languages.
# Names that are written so in both languages.
UNCHANGED = {"English", "UID", "a UID", "SHA-256", "TapTap", "Google Play"}


@pytest.fixture(scope="module")
def catalogue():
    return polib.pofile(CATALOGUE)


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    """Every message of the source, as `makemessages` finds them, in a copy of the source."""
    if shutil.which("xgettext") is None:
        pytest.skip("gettext is not installed, so messages cannot be extracted")
    copy = tmp_path_factory.mktemp("source")
    for name in ("channels_app", "orders", "fulfillment", "payments_site", "templates"):
        shutil.copytree(
            settings.BASE_DIR / name,
            copy / name,
            ignore=shutil.ignore_patterns("*.po", "*.mo", "__pycache__"),
        )
    target = copy / "payments_site" / "locale"
    target.mkdir(exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "django", "makemessages", "-l", "zh_Hans", "--settings", "catalogue_settings"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(_settings_for(copy, target))},
        check=True,
        capture_output=True,
    )
    return polib.pofile(target / "zh_Hans" / "LC_MESSAGES" / "django.po")


def _settings_for(copy, target):
    """The few settings that extracting needs; the real ones would start a database."""
    folder = copy.parent / f"{copy.name}-settings"
    folder.mkdir()
    (folder / "catalogue_settings.py").write_text(
        f"SECRET_KEY = 'x'\nUSE_I18N = True\nLOCALE_PATHS = [{str(target)!r}]\n"
    )
    return folder


class TestCatalogue:
    """Nobody meets half a language."""

    def test_holds_every_message_of_the_source(self, catalogue, extracted):
        wanted = {(entry.msgctxt, entry.msgid) for entry in extracted if not entry.obsolete}
        kept = {(entry.msgctxt, entry.msgid) for entry in catalogue}
        assert wanted - kept == set(), "not translated yet"
        assert kept - wanted == set(), "nobody says this any more"

    def test_translates_each_of_them(self, catalogue):
        assert [entry.msgid for entry in catalogue if not entry.translated() or entry.fuzzy or entry.obsolete] == []

    def test_is_chinese(self, catalogue):
        texts = {entry.msgid: entry.msgstr or "".join(entry.msgstr_plural.values()) for entry in catalogue}
        latin = {said: text for said, text in texts.items() if not re.search("[\u4e00-\u9fff]", text)}
        # Only placeholders and signs may stay without a Chinese word.
        assert [
            said
            for said, text in latin.items()
            if said not in UNCHANGED and re.search("[A-Za-z]{2}", PLACEHOLDER.sub("", text))
        ] == []

    def test_keeps_every_placeholder(self, catalogue):
        for entry in catalogue:
            for text in [entry.msgstr] if entry.msgstr else entry.msgstr_plural.values():
                said = entry.msgid_plural or entry.msgid
                assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(said)), said

    def test_is_compiled(self, catalogue):
        compiled = polib.mofile(CATALOGUE.with_suffix(".mo"))
        assert {(e.msgctxt, e.msgid, e.msgstr, str(e.msgstr_plural)) for e in compiled} == {
            (e.msgctxt, e.msgid, e.msgstr, str(e.msgstr_plural)) for e in catalogue
        }


class TestWords:
    """Chinese labels use the words staff search for."""

    @pytest.mark.parametrize(
        ("english", "chinese"),
        [
            ("order number", "商户订单号"), ("provider transaction", "平台交易号"), ("channel", "渠道"),
            ("zone", "区服"), ("role", "角色"), ("sandbox", "沙盒"), ("case", "异常单"),
            ("delivered", "已到账"), ("cancelled", "已取消"), ("awaiting payment", "待付款"),
            ("paid", "已支付"), ("notification", "支付回调"), ("attached", "透传参数"),
        ],
    )  # fmt: skip
    def test_are_the_fields_own(self, english, chinese):
        with translation.override("zh-hans"):
            assert translation.gettext(english) == chinese


class TestLanguage:
    """The browser's language decides."""

    @pytest.mark.django_db
    @pytest.mark.parametrize(
        ("wanted", "title"),
        [("zh-CN,zh;q=0.9", "支付运营台"), ("en-GB", "Payments console"), ("fr", "Payments console")],
    )
    def test_even_before_the_login(self, client, wanted, title):
        assert title in client.get("/admin/login/", HTTP_ACCEPT_LANGUAGE=wanted).content.decode()
