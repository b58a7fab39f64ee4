"""The sample game server of the documentation does what its text promises."""

import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import requests

from fulfillment.endpoints import set_endpoint
from fulfillment.models import Delivery, DeliveryMode, GameEvent, WebhookMessage
from fulfillment.signing import sign
from tests.telling.conftest import all_told, dispatching, wait_for

SAMPLE = Path(__file__).parents[2] / "docs" / "samples" / "game_server.py"


@pytest.fixture
def sample(told, tmp_path):
    """The sample as a process, told of in mode game_server; yields its directory."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, SAMPLE, str(port), told.secret], cwd=tmp_path, stderr=subprocess.DEVNULL
    )

    def answers():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(answers)
    told.endpoint = set_endpoint(
        game=told.game, url=f"http://127.0.0.1:{port}/", mode=DeliveryMode.GAME_SERVER
    ).endpoint
    yield tmp_path
    process.kill()
    process.wait()


def granted(directory):
    """What the sample's own database says."""
    with closing(sqlite3.connect(directory / "game_server.sqlite3")) as database:
        return database.execute("SELECT order_no, item_id, quantity FROM granted").fetchall()


class TestSampleGameServer:
    """It grants each order once, however often it is told, and nothing to strangers."""

    def test_is_short(self):
        assert len(SAMPLE.read_text().splitlines()) < 100

    def test_grants_once_and_its_receipt_arrives(self, told, sample, buy):
        order = buy()
        with dispatching():
            wait_for(all_told(3))
            message = WebhookMessage.objects.get(event__type="delivery.requested")
            WebhookMessage.objects.filter(pk=message.pk).update(
                state="waiting", next_attempt_at=message.created_at, delivered_at=None
            )
            wait_for(all_told(3))
        assert granted(sample) == [(order.order_no, "gem", 66)]
        assert Delivery.objects.get().receipt == message.event.event_id

    def test_refuses_what_is_not_from_us(self, told, sample, buy):
        buy()
        event = GameEvent.objects.get(type="delivery.requested")
        forged = sign(secrets=["whsec_" + "A" * 44], message_id=event.event_id, timestamp=2_000_000_000, body=b"{}")
        for headers in (forged, {}):
            answer = requests.post(told.endpoint.url, data=event.body.encode(), headers=headers, timeout=5)
            assert (answer.status_code, answer.json()) == (401, {"success": False})
        assert granted(sample) == []
