"""The common forms of HTTP/1.1 cases: bytes that are refused, and bytes that pass."""

from harness.cases import Suite, expect

from .wire import Client, Ended

SUITE = Suite("http1")
case = SUITE.case

# The statuses that a server may send for a malformed message; 408 if it waits for the rest of one.
REFUSALS = (400, 405, 408, 411, 413, 414, 417, 421, 426, 431, 501, 505)


def refused(section, what, bytes_, statuses=REFUSALS, closes=True):
    """Refused with one of these statuses, or closed. No complete request reaches the backend, nor does what follows.

    `closes`: whether the connection must end, because its framing is lost; None where it may.
    """

    @case(section, f"refuses {what}")
    def _(stage):
        with Client(stage) as client:
            # The smuggled request, if the bytes are parsed differently.
            client.send(bytes_ + (b"GET PATH/smuggled HTTP/1.1\r\nFIELDS\r\n" if closes else b""))
            try:
                response = client.response(method="HEAD" if bytes_.startswith(b"HEAD ") else "GET")
                expect(response.status in statuses, f"one of {statuses}, not {response.status}")
                if closes:
                    expect(client.ended(), "an end after the refusal")
                elif closes is False:
                    client.goes_on()
            except Ended:
                expect(closes is not False, "a response, not an end")
            whole = [it for it in client.arrived() + client.arrived(client.path + "/smuggled") if it.complete]
            expect(not whole, f"nothing at the backend, not {whole}")


def passes(section, what, bytes_, holds=None, status=200, closes=False, method="GET"):
    """The client gets `status`, and the backend one request that `holds` accepts. The connection stays open or closes."""

    @case(section, what)
    def _(stage):
        with Client(stage) as client:
            client.send(bytes_)
            try:
                response = client.response(method)
            except Ended:
                raise AssertionError("a response, not an end") from None
            expect(response.status == status, f"{status}, not {response.status}")
            request = stage.backend.wait(client.path)
            expect(request is not None, "the complete request at the backend")
            expect(len(client.arrived()) == 1, f"one request at the backend, not {len(client.arrived())}")
            if holds:
                expect(holds(request), f"another request at the backend: {request}")
            if closes:
                expect(client.ended(), "an end")
            else:
                client.goes_on()


def either(section, what, bytes_, holds=None, statuses=REFUSALS, closes=None):
    """For what the RFC leaves open: refused, or forwarded as one unambiguous request.

    `closes`: whether the connection must end all the same.
    """

    @case(section, what)
    def _(stage):
        with Client(stage) as client:
            client.send(bytes_)
            try:
                status = client.response().status
            except Ended:
                status = 400
            expect(status in (200, *statuses), f"200 or one of {statuses}, not {status}")
            got = client.arrived()
            expect(len(got) == (status == 200), f"{status}, but {len(got)} requests at the backend")
            if status == 200 and holds:
                expect(holds(got[0]), f"another request at the backend: {got[0]}")
            if closes:
                expect(client.ended(), "an end")
