"""What a store in trouble does to its clients."""

from tests.faults.proxy import Fault


def _http(status: str) -> bytes:
    body = b"<?xml version='1.0'?><Error><Code>InternalError</Code></Error>"
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


STORE_OUTAGES = {
    "500": Fault("answer", reply=_http("500 Internal Server Error")),
    "503": Fault("answer", reply=_http("503 Slow Down")),
    "reset": Fault("reset"),
    "slow": Fault("delay", seconds=0.3),
}
