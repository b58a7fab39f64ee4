"""A game server that takes what the payment system tells it. Python's standard library only.

    python game_server.py 9000 whsec_…

Three rules: believe nothing whose signature does not fit; do each thing once, because a message may come again (same
`webhook-id`), also at the same moment; answer within ten seconds, 2xx only when it is safely yours.
"""

import base64
import hashlib
import hmac
import json
import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, SECRETS = int(sys.argv[1]), sys.argv[2:]  # during a rotation give the new and the old secret
KEYS = [base64.b64decode(secret.removeprefix("whsec_")) for secret in SECRETS]

# Your database. The primary keys are what makes twice into once.
DATABASE = sqlite3.connect("game_server.sqlite3", check_same_thread=False)
DATABASE.executescript("""
    CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS granted (order_no TEXT, item_id TEXT, role TEXT, quantity INT,
                                        PRIMARY KEY (order_no, item_id));
""")
LOCK = threading.Lock()


def is_genuine(headers, body):
    """Standard Webhooks: one of the signatures fits one of our secrets, and the message is at most five minutes old."""
    message_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (sent_at.isascii() and sent_at.isdigit()) or abs(time.time() - int(sent_at)) > 300:
        return False
    given = [signature.encode() for signature in headers.get("webhook-signature", "").split(" ")]
    for key in KEYS:
        digest = hmac.digest(key, f"{message_id}.{sent_at}.".encode() + body, hashlib.sha256)
        expected = b"v1," + base64.b64encode(digest)
        if any(hmac.compare_digest(expected, signature) for signature in given):
            return True
    return False


def handle(message_id, event):
    """Act on one event, once. Everything in one transaction: granted and remembered, or neither."""
    with LOCK, DATABASE:
        if DATABASE.execute("INSERT OR IGNORE INTO messages VALUES (?)", (message_id,)).rowcount == 0:
            return  # seen before
        if event["type"] == "delivery.requested":
            data = event["data"]
            role = f"{data['zone_id']}/{data['role_id'] or data['uid']}"
            for line in data["items"]:
                quantity = line["quantity"] + line["bonus"]
                grant = (data["order_no"], line["item_id"], role, quantity)
                DATABASE.execute("INSERT OR IGNORE INTO granted VALUES (?, ?, ?, ?)", grant)
        # Other types are news. New types may come: take what you do not know, too.


class Handler(BaseHTTPRequestHandler):
    """One message of the payment system."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if not is_genuine(self.headers, body):
            return self.answer(401, {"success": False})
        event = json.loads(body)
        handle(self.headers["webhook-id"], event)
        # `receipt`, if you give one, is kept with the delivery and shown to customer service.
        return self.answer(200, {"success": True, "receipt": event["id"]})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
