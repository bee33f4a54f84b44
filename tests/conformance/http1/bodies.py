"""Where a body ends (RFC 9112 sections 6, 7 and 8), and that no body is parsed as another request."""

from harness.cases import expect

from .tables import case, either, passes, refused
from .wire import Client, Ended

SMUGGLED = b"GET PATH/smuggled HTTP/1.1\r\nFIELDS\r\n"


def post(fields, body=b""):
    return b"POST PATH HTTP/1.1\r\nFIELDS" + fields + b"\r\n\r\n" + body


def chunked(body, fields=b"Transfer-Encoding: chunked"):
    return post(fields, body)


HI = b"2\r\nhi\r\n0\r\n\r\n"
BODY_IS_HI = lambda it: it.body == b"hi"

# RFC 9112 section 6.1: Transfer-Encoding.

passes("9112 6.1", "accepts chunked in any case", chunked(HI, b"transfer-encoding: Chunked"), BODY_IS_HI)
for framing in (b"Content-Length: 2\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 200"):
    either("9112 6.1", f"{framing!r} is refused, or chunked counts and the connection ends", chunked(HI, framing), lambda it: it.body == b"hi" and not it.values("content-length"), closes=True)
refused("9112 6.1", "Transfer-Encoding in HTTP/1.0", b"POST PATH HTTP/1.0\r\nFIELDSTransfer-Encoding: chunked\r\n\r\n" + HI)
for coding in (b"gzip", b"identity", b"chunked, gzip", b"chunked, identity", b"chunked, chunked", b"gzip, chunked", b"identity, chunked", b"xchunked", b"chunkedx", b"chunked;x=y", b'"chunked"', b"chunked\x0b", b"\x0bchunked", b"chun ked", b""):
    refused("9112 6.1", f"the coding {coding.decode()!r}", chunked(HI, b"Transfer-Encoding: " + coding))
for coding in (b",chunked", b"chunked,", b", ,chunked"):
    either("9110 5.6.1", f"empty elements in the codings {coding.decode()!r} are ignored, or refused", chunked(HI, b"Transfer-Encoding: " + coding), BODY_IS_HI)
refused("9112 6.1", "two lines of chunked", chunked(HI, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"))
refused("9112 6.1", "a line of chunked and one of another coding", chunked(HI, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"))
for name in (b"Transfer-Encoding ", b"Transfer-Encoding\t", b"Transfer-Encoding\0", b"\x0bTransfer-Encoding"):
    refused("9112 5.1", f"{name!r} as a field name", chunked(HI, name + b": chunked"))
refused("9112 5.2", "a folded Transfer-Encoding", chunked(HI, b"Transfer-Encoding:\r\n chunked"))
either("9110 5.1", "Transfer_Encoding is no Transfer-Encoding, or refused", b"POST PATH HTTP/1.1\r\nFIELDSTransfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi", BODY_IS_HI)

# Section 6.2 and RFC 9110 section 8.6: Content-Length.

passes("9112 6.2", "forwards a body with its length", post(b"Content-Length: 2", b"hi"), lambda it: (it.body, it.value("content-length")) == (b"hi", "2"))
passes("9112 6.2", "accepts a length of 0", post(b"Content-Length: 0"), lambda it: it.body == b"")
passes("9112 6.3", "accepts POST without a length as one without a body", post(b"X-A: b"), lambda it: it.body == b"")
passes("9110 9.3.1", "forwards the body of GET as a body", b"GET PATH HTTP/1.1\r\nFIELDSContent-Length: 26\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", lambda it: len(it.body) == 26)
for value in (b"-1", b"+2", b"0x2", b"2x", b"2.0", b"2e0", b"two", b"", b"2 2", b"2;2", b"1_0", b"\xb2", b"18446744073709551616", b"99999999999999999999", b"9" * 50):
    refused("9110 8.6", f"{value[:24]!r} as Content-Length", post(b"Content-Length: " + value, b"hi"))
refused("9110 8.6", "two Content-Lengths that differ", post(b"Content-Length: 2\r\nContent-Length: 3", b"hi!"))
refused("9110 8.6", "a list of Content-Lengths that differ", post(b"Content-Length: 2, 3", b"hi!"))
either("9110 8.6", "the same Content-Length twice is one, or refused", post(b"Content-Length: 2\r\nContent-Length: 2", b"hi"), BODY_IS_HI)
either("9110 8.6", "a list of the same Content-Length is one, or refused", post(b"Content-Length: 2, 2", b"hi"), BODY_IS_HI)
either("9110 8.6", "leading zeros of Content-Length are not significant, or are refused", post(b"Content-Length: 0002", b"hi"), BODY_IS_HI)

# Section 7.1: chunks.

passes("9112 7.1", "joins chunks", chunked(b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"), BODY_IS_HI)
passes("9112 7.1", "accepts sizes in either case and with zeros in front", chunked(b"000a\r\n" + b"x" * 10 + b"\r\nA\r\n" + b"y" * 10 + b"\r\n00\r\n\r\n"), lambda it: it.body == b"x" * 10 + b"y" * 10)
passes("9112 7.1", "accepts a body of no chunks", chunked(b"0\r\n\r\n"), lambda it: it.body == b"")
passes("9112 7.1", "accepts a chunk of 256 KiB", chunked(b"40000\r\n" + b"x" * 0x40000 + b"\r\n0\r\n\r\n"), lambda it: len(it.body) == 0x40000)
passes("9112 7.1", "accepts a thousand chunks of one octet", chunked(b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n"), lambda it: len(it.body) == 1000)
passes("9112 7.1.1", "ignores chunk extensions, and forwards none", chunked(b'2;a;b=c;d="e;f"\r\nhi\r\n0;z\r\n\r\n'), BODY_IS_HI)
for size in (b"0x2", b"+2", b"-2", b"2_", b" 2", b"g", b"", b"2.0", b"10000000000000002", b"f" * 17, b"2\0", b"2,", b"0\r\r\n2"):
    refused("9112 7.1", f"{size!r} as a chunk size", chunked(size + b"\r\nhi\r\n0\r\n\r\n"))
either("9112 7.1.1", "blanks after a chunk size are ignored, or refused", chunked(b"2 \r\nhi\r\n0\r\n\r\n"), BODY_IS_HI)
refused("9112 7.1", "a bare LF after a chunk size", chunked(b"2\nhi\r\n0\r\n\r\n"))
refused("9112 7.1", "a bare CR after a chunk size", chunked(b"2\rhi\r\n0\r\n\r\n"))
refused("9112 7.1", "a bare LF after a chunk", chunked(b"2\r\nhi\n0\r\n\r\n"))
refused("9112 7.1", "a chunk longer than its size", chunked(b"2\r\nhi!\r\n0\r\n\r\n"))
refused("9112 7.1", "a chunk shorter than its size", chunked(b"3\r\nhi\r\n0\r\n\r\n"))
refused("9112 7.1.1", "a bare LF in a chunk extension", chunked(b"2;a\nb\r\nhi\r\n0\r\n\r\n"))
refused("9112 7.1.1", "a bare CR in a chunk extension", chunked(b"2;a\rb\r\nhi\r\n0\r\n\r\n"))
refused("9112 7.1.1", "an unended quotation in a chunk extension", chunked(b'2;a="b\r\nhi\r\n0\r\n\r\n'))
refused("9112 7.1.1", "chunk extensions of a megabyte", chunked(b"2;" + b"a" * (1 << 20) + b"\r\nhi\r\n0\r\n\r\n"))
refused("9112 7.1", "a last chunk that ends in a bare LF", chunked(b"2\r\nhi\r\n0\n\n"))
refused("9112 7.1.2", "trailers of a megabyte", chunked(b"0\r\n" + b"X-A: y\r\n" * 131072 + b"\r\n"))
refused("9112 7.1.2", "a trailer that is not a field", chunked(b"2\r\nhi\r\n0\r\nnothing\r\n\r\n"))
refused("9112 7.1.2", "a folded trailer", chunked(b"2\r\nhi\r\n0\r\nX-A: b\r\n c\r\n\r\n"))


def no_trailer_fields(request):
    return request.body == b"hi" and not request.values("x-a") and not request.values("content-length")


passes("9110 6.5.1", "does not merge trailers into fields", chunked(b"2\r\nhi\r\n0\r\nX-A: b\r\nContent-Length: 9\r\nAuthorization: Bearer x\r\n\r\n"), no_trailer_fields)
passes("9110 6.5.1", "drops request trailers that are not allowed", chunked(b"2\r\nhi\r\n0\r\nHost: b\r\nAuthorization: x\r\n\r\n"), lambda it: not it.trailers)


def breaks_off(section, what, bytes_):
    """The client stops within a body: never a complete request at the backend, and no successful response."""

    @case(section, what)
    def _(stage):
        with Client(stage) as client:
            client.send(bytes_)
            client.socket.shutdown(1)
            try:
                status = client.response().status
            except Ended:
                status = 400
            expect(status >= 400, f"no {status}")
            expect(not any(it.complete for it in client.arrived()), "no complete request at the backend")


breaks_off("9112 8", "a body shorter than its length is not a complete request", post(b"Content-Length: 10", b"hi"))
breaks_off("9112 8", "chunks without a last one are not a complete request", chunked(b"2\r\nhi\r\n"))
breaks_off("9112 8", "a chunk that breaks off is not a complete request", chunked(b"a\r\nhi"))
breaks_off("9112 8", "a chunk size that breaks off is not a complete request", chunked(b"2\r\nhi\r\n0"))
breaks_off("9112 8", "trailers that break off are not a complete request", chunked(b"2\r\nhi\r\n0\r\nX-A: b\r\n"))
breaks_off("9112 8", "a head that breaks off is not a request", b"GET PATH HTTP/1.1\r\nFIELDS")


# The rest of a refused request is never parsed as the next one.


for framing in ("length", "chunks"):

    @case("9112 9.3", f"the body of a refused request, by {framing}, is not a request")
    def _(stage, framing=framing):
        with Client(stage) as client:
            body = client.fill(SMUGGLED)
            if framing == "length":
                framed = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            else:
                framed = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            client.send(b"POST PATH HTTP/1.1\r\nHost: a\r\n" + framed)
            expect(client.response().status == 401, "401")
            client.send(b"GET PATH/next HTTP/1.1\r\nFIELDS\r\n")
            try:
                expect(client.response().status == 200, "200 for the next one, or an end")
            except Ended:
                pass
            expect(not client.arrived(client.path + "/smuggled"), "no request out of the body")

