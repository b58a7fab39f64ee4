"""The shop and the staff of the console's tests, and a WeChat Pay that answers for as long as a test runs."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from channels_app.models import MerchantAccount
from tests.console.conftest import auditor, busy_shop, shop, staff
from tests.providers.wechat_side import signed, transaction

__all__ = ["auditor", "busy_shop", "shop", "staff"]


@pytest.fixture
def provider(shop):
    """WeChat Pay, for as long as a test runs."""
    asked = []
    words = {"state": None}

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            number = self.path.partition("?")[0].rsplit("/", 1)[1]
            spoilt = {} if words["state"] == "SUCCESS" else {"transaction_id": ..., "success_time": ...}
            body = json.dumps(transaction(number, {"trade_state": words["state"], **spoilt})).encode()
            self.send_response(200 if words["state"] else 500)
            for name, value in signed(body).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    account = MerchantAccount.objects.get(pk=shop.account.pk)
    account.set_credentials({**account.credentials(), "base_url": f"http://127.0.0.1:{server.server_port}"})
    account.save()
    yield SimpleNamespace(asked=asked, words=words)
    server.shutdown()
    server.server_close()
