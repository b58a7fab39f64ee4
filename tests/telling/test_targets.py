"""Where a webhook may go: outside, and nowhere else, however the address is spelt."""

import socket
import ssl
import threading

import pytest

from fulfillment.models import WebhookAttempt, WebhookEndpoint
from fulfillment.targets import TargetRefused, check_url, judge
from tests import keys
from tests.telling.conftest import all_told, dispatching, states, wait_for

INSIDE = [
    "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.100.100.200", "100.127.255.255", "0.0.0.0", "0.1.2.3",  # noqa: S104
    "192.0.0.8", "192.0.2.1",
    "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "168.63.129.16",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
]  # fmt: skip
OUTSIDE = ["8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "1.1.1.1", "2606:4700::1111", "240e::1"]
SPELLINGS = [
    "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "0", "0x7f.1", "127.0.1", "１２７.0.0.1", "①②⑦.0.0.1",
    "127。0。0。1", "[::1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[fe80::1%25lo]",
]  # fmt: skip


@pytest.fixture
def production(settings):
    """Private targets are refused."""
    settings.WEBHOOK_PRIVATE_TARGETS = False


@pytest.mark.usefixtures("production")
class TestAddresses:
    """Only an address of the public internet may be reached."""

    @pytest.mark.parametrize("address", INSIDE)
    def test_inside_are_refused(self, address):
        with pytest.raises(TargetRefused):
            judge(address)

    @pytest.mark.parametrize("address", OUTSIDE)
    def test_outside_are_allowed(self, address):
        judge(address)

    @pytest.mark.parametrize("host", SPELLINGS)
    def test_in_any_spelling_are_refused_before_they_are_stored(self, host):
        with pytest.raises(TargetRefused):
            check_url(f"https://{host}/hook")

    @pytest.mark.parametrize(
        "url",
        [
            "http://game.example/", "ftp://game.example/", "file:///etc/passwd", "//game.example/", "game.example",
            "https://", "https:///hook", "https://user@game.example/", "https://user:word@game.example/",
            "https://game.example:0/", "https://game.example:99999/", "https://game.example/a b",
            "https://game.example/\n", "https://game.example\\@10.0.0.1/", "https://game.example/#part",
            "https://[::1/", "https://game.example/" + "x" * 500,
        ],
    )  # fmt: skip
    def test_that_are_not_plain_https_are_refused(self, url):
        with pytest.raises(TargetRefused):
            check_url(url)

    @pytest.mark.parametrize("url", ["https://game.example/hook?zone=3", "https://8.8.8.8:8443/", "https://[240e::1]/"])
    def test_of_a_game_server_are_accepted(self, url):
        assert check_url(url) == url


@pytest.fixture
def knocks():
    """A listening socket; the list of who connected."""
    found = []
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            try:
                peer, address = listener.accept()
            except OSError:
                return
            found.append(address)
            peer.close()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    found_at = (found, listener.getsockname()[1])
    yield found_at
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.fixture
def names(monkeypatch):
    """The world's name servers: what they answer for *.example, and how often they were asked."""
    real, asked, answers = socket.getaddrinfo, [], []

    def getaddrinfo(host, port, *args, **kwargs):
        if not str(host).endswith(".example"):
            return real(host, port, *args, **kwargs)
        if kwargs.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        asked.append(host)
        answer = answers[min(len(asked), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked, answers


class TestConnecting:
    """What an endpoint's name says when it is connected to is judged again: nobody is led inside."""

    def errors(self):
        return set(WebhookAttempt.objects.values_list("error", flat=True))

    def try_once(self, url):
        """Point the endpoint somewhere, whatever anybody checked, and let a dispatcher try."""
        WebhookEndpoint.objects.update(url=url)
        with dispatching():
            wait_for(lambda: WebhookAttempt.objects.count() == 2)
        assert states() == {"waiting": 2}

    def test_to_a_literal_address_inside_is_refused(self, told, buy, settings, knocks):
        buy()
        settings.WEBHOOK_PRIVATE_TARGETS = False
        self.try_once(f"https://127.0.0.1:{knocks[1]}/")
        assert knocks[0] == []
        assert self.errors() == {"refused: 127.0.0.1 is not a public address"}

    def test_to_a_name_that_leads_inside_is_refused(self, told, buy, settings, knocks):
        buy()
        settings.WEBHOOK_PRIVATE_TARGETS = False
        self.try_once(f"https://localhost:{knocks[1]}/")
        assert knocks[0] == []
        assert all(error.startswith("refused: ") for error in self.errors())

    def test_to_a_name_with_one_address_inside_among_others_is_refused(self, told, buy, settings, knocks, names):
        names[1].append(["8.8.8.8", "127.0.0.1"])
        buy()
        settings.WEBHOOK_PRIVATE_TARGETS = False
        self.try_once(f"https://game.example:{knocks[1]}/")
        assert knocks[0] == []
        assert self.errors() == {"refused: 127.0.0.1 is not a public address"}

    def test_uses_the_address_that_was_judged_and_does_not_ask_again(self, told, server, buy, knocks, names):
        # A second question would be answered with somebody else's address.
        names[1].extend([["127.0.0.1"], ["127.0.0.2"]])
        WebhookEndpoint.objects.update(url=server.url.replace("127.0.0.1", "game.example"))
        buy()
        with dispatching():
            wait_for(all_told(2))
        assert len(names[0]) == 1
        assert server.received[0].headers["host"].startswith("game.example:")

    def test_to_a_name_that_is_gone_is_a_failure(self, told, buy, names):
        names[1].append(socket.gaierror(socket.EAI_NONAME, "no such name"))
        buy()
        self.try_once("http://gone.example/")
        assert self.errors() == {"the name cannot be resolved"}

    def test_to_a_server_with_a_certificate_of_its_own_making_is_a_failure(self, told, server, buy, tmp_path):
        pem = tmp_path / "server.pem"
        pem.write_text(keys.private_pem("game server") + keys.certificate_pem("game server"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
        buy()
        self.try_once(server.url.replace("http://", "https://"))
        assert server.received == []
        assert all(error.startswith("certificate: ") for error in self.errors())

    def test_to_nobody_is_a_failure(self, told, buy):
        buy()
        self.try_once("http://127.0.0.1:9/")
        assert all(error.startswith("no connection: ") for error in self.errors())
