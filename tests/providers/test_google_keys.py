"""A Google Play credentials file: every defect is named, no key is shown, and real money calls Google alone."""

import json

import pytest

from channels_app.providers.base import CredentialsInvalid
from channels_app.providers.fields import FieldKind, from_form, key_facts, to_form
from channels_app.providers.google import GoogleAdapter
from channels_app.providers.google_keys import API_URL, CERTIFICATES_URL, TOKEN_URL, read_keys
from tests import keys
from tests.providers.apple_side import private_pem as elliptic_pem
from tests.providers.google_side import CALLER, credentials, key_file, live_credentials

SECRET = "a-value-that-must-not-be-shown"


class TestDefects:
    """A defect is refused by the name of its key, and its value is never shown."""

    @pytest.mark.parametrize("name", ["package_name", "push_audience", "push_email", "service_account"])
    @pytest.mark.parametrize("value", [None, "", " \n", 7, ["x"], f"{SECRET} !", "x\x00", "１２３"])
    def test_are_named(self, name, value):
        with pytest.raises(CredentialsInvalid, match=rf"^{name} ") as caught:
            GoogleAdapter(credentials(**{name: value}), live=False)
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("package_name", "game"), ("package_name", "com..game"), ("package_name", "com.example.game/../other"),
            ("push_email", "nobody"), ("push_email", "a@b@c"), ("push_audience", "x" * 501),
            ("push_subscription", "play"), ("push_subscription", "projects/a/topics/b"),
        ],
    )  # fmt: skip
    def test_of_form_are_named(self, name, value):
        with pytest.raises(CredentialsInvalid, match=rf"^{name} "):
            GoogleAdapter(credentials(**{name: value}), live=False)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"type": "authorized_user"}, "not the key file of a service account"), ({"type": ...}, "not the key file"),
            ({"client_email": ...}, "client_email"), ({"client_email": f"{SECRET} !"}, "client_email"),
            ({"private_key_id": ""}, "private_key_id"), ({"private_key_id": 7}, "private_key_id"),
            ({"private_key": ...}, "private_key"), ({"private_key": SECRET}, "private_key"),
            ({"private_key": keys.public_pem("google caller")}, "private_key"),
            ({"private_key": elliptic_pem("an elliptic key")}, "private_key"),
        ],
        ids=lambda value: str(value)[:45],
    )  # fmt: skip
    def test_of_the_key_file_are_named(self, changes, words):
        with pytest.raises(CredentialsInvalid, match=r"^service_account") as caught:
            GoogleAdapter(credentials(service_account=key_file(**changes)), live=False)
        assert words in str(caught.value)
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("address", ["", "googleapis.com", "ftp://x", "http://x/?a=1", 7])
    def test_of_the_address_are_named(self, address):
        with pytest.raises(CredentialsInvalid, match=r"^base_url "):
            GoogleAdapter(credentials(base_url=address), live=False)


class TestWhereWeCall:
    """Real money is asked about at Google and nowhere else, whatever a file says."""

    def test_is_google(self):
        for read in (read_keys(live_credentials(), live=True), read_keys(live_credentials(), live=False)):
            assert (read.api_url, read.token_url, read.certificates_url) == (API_URL, TOKEN_URL, CERTIFICATES_URL)

    def test_is_a_simulator_for_a_sandbox_account_only(self):
        read = read_keys(credentials(base_url="http://127.0.0.1:8002/"), live=False)
        assert (read.api_url, read.token_url, read.certificates_url) == (
            "http://127.0.0.1:8002", "http://127.0.0.1:8002/token", "http://127.0.0.1:8002/oauth2/v1/certs",
        )  # fmt: skip
        with pytest.raises(CredentialsInvalid, match=r"^base_url is for sandbox accounts only"):
            GoogleAdapter(credentials(), live=True)

    def test_is_never_what_the_key_file_names(self):
        file = key_file(token_uri="https://evil.example/token", universe_domain="evil.example")
        assert "evil" not in repr(read_keys(live_credentials(service_account=file), live=True))


class TestWhatIsShown:
    """Keys are told apart by fingerprints and never shown."""

    def test_holds_no_key(self):
        assert "PRIVATE" not in repr(vars(GoogleAdapter(credentials(), live=False)))
        read = read_keys(credentials(), live=False)
        assert CALLER in repr(read)
        assert "key=" not in repr(read)

    def test_tells_keys_apart(self):
        facts = key_facts(GoogleAdapter.fields, credentials())
        others = key_facts(GoogleAdapter.fields, credentials(service_account=key_file(private_key_id="other")))
        assert [fact.field for fact in facts] == ["service_account"]
        assert facts[0].fingerprint != others[0].fingerprint

    def test_takes_the_file_as_it_was_downloaded_and_never_gives_it_back(self):
        (field,) = [each for each in GoogleAdapter.fields if each.kind is FieldKind.KEY_FILE]
        typed = json.dumps(key_file(), indent=2)
        assert from_form(field, typed) == key_file()
        assert to_form(field, key_file()) == ""
