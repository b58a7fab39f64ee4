"""A game server that accepts every webhook and only counts: `python -m bench.sink PORT`.

`GET /count` answers how many messages came and how many different ids they had.
"""

import asyncio
import json
import sys

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class _Sink(asyncio.Protocol):
    received = 0
    ids: set[bytes] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, mark, rest = self.buffer.partition(b"\r\n\r\n")
            if not mark:
                return
            headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            size = int(headers.get(b"content-length", b"0"))
            if len(rest) < size:
                return
            self.buffer = rest[size:]
            self.answer(head, headers)

    def answer(self, head: bytes, headers: dict[bytes, bytes]) -> None:
        if not isinstance(self.transport, asyncio.WriteTransport):
            return
        if head.startswith(b"GET /count"):
            body = json.dumps({"received": _Sink.received, "different": len(_Sink.ids)}).encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            return
        _Sink.received += 1
        if b"webhook-id" in headers:
            _Sink.ids.add(headers[b"webhook-id"])
        self.transport.write(_OK)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Sink, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
