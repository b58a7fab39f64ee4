"""Signatures: what a game server checks, and what it must refuse."""

import base64

import pytest

from fulfillment.signing import SignatureRefused, new_secret, sign, verify

NOW = 1_800_000_000


def signed(secrets, body=b'{"id":"evt_1"}', message_id="evt_1"):
    """Headers and body of one try."""
    return sign(secrets=secrets, message_id=message_id, timestamp=NOW, body=body), body


class TestSecrets:
    """A secret is random, long enough, and in the standard's spelling."""

    def test_are_whsec_and_base64_of_at_least_24_bytes(self):
        made = {new_secret() for _ in range(50)}
        assert len(made) == 50
        for secret in made:
            assert secret.startswith("whsec_")
            assert len(base64.b64decode(secret[6:], validate=True)) >= 24


class TestSignatures:
    """Only the holder of a secret can have sent a message, and only now."""

    def test_are_the_standards_own_example(self):
        # The example of the Standard Webhooks specification's reference libraries.
        headers = sign(
            secrets=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp=1614265330,
            body=b'{"test": 2432232314}',
        )
        assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    def test_fit_any_active_secret(self):
        old, new = new_secret(), new_secret()
        headers, body = signed([new, old])
        for known in ([old], [new], [new_secret(), old]):
            assert verify(secrets=known, headers=headers, body=body, now=NOW) == "evt_1"

    @pytest.mark.parametrize("offset", [-301, 301, 86_400])
    def test_of_another_time_are_refused(self, offset):
        secret = new_secret()
        headers, body = signed([secret])
        with pytest.raises(SignatureRefused):
            verify(secrets=[secret], headers=headers, body=body, now=NOW + offset)

    @pytest.mark.parametrize(
        "changes",
        [
            {"webhook-id": "evt_2"},
            {"webhook-timestamp": str(NOW + 1)},
            {"webhook-timestamp": "１８"},
            {"webhook-timestamp": f"{NOW}.0"},
            {"webhook-timestamp": "9" * 5000},
            {"webhook-signature": ""},
            {"webhook-signature": "v1,"},
            {"webhook-signature": "v1,签名"},
        ],
    )
    def test_do_not_fit_an_altered_header(self, changes):
        secret = new_secret()
        headers, body = signed([secret])
        with pytest.raises(SignatureRefused):
            verify(secrets=[secret], headers={**headers, **changes}, body=body, now=NOW)

    def test_do_not_fit_another_body_or_secret(self):
        secret = new_secret()
        headers, body = signed([secret])
        for known, text in (([secret], body + b" "), ([new_secret()], body), ([], body)):
            with pytest.raises(SignatureRefused):
                verify(secrets=known, headers=headers, body=text, now=NOW)

    @pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
    def test_need_all_three_headers(self, missing):
        secret = new_secret()
        headers, body = signed([secret])
        del headers[missing]
        with pytest.raises(SignatureRefused):
            verify(secrets=[secret], headers=headers, body=body, now=NOW)
