"""Request lines, fields, Host and methods (RFC 9112 sections 2, 3 and 5; RFC 9110)."""

from harness.cases import expect

from .tables import case, either, passes, refused
from .wire import Client

GOOD = b"GET PATH HTTP/1.1\r\nFIELDS\r\n"


def line(line, rest=b"FIELDS\r\n"):
    return line + b"\r\n" + rest


def fields(*more):
    return b"GET PATH HTTP/1.1\r\nFIELDS" + b"".join(field + b"\r\n" for field in more) + b"\r\n"


# RFC 9112 section 2.2: messages.

passes("9112 2.2", "accepts a request in one piece", GOOD)
either("9112 2.2", "empty lines before a request are ignored, or refused", b"\r\n\r\n" + GOOD)
refused("9112 2.2", "a blank before the first field", b"GET PATH HTTP/1.1\r\n Host: a\r\nAUTH\r\n")
refused("9112 2.2", "a bare CR in the request line", line(b"GET PATH\rHTTP/1.1"))
refused("9112 2.2", "a bare CR in a field", fields(b"X-A: a\rb"))
refused("9112 2.2", "a bare CR as a line end", b"GET PATH HTTP/1.1\rHost: a\r\r")
either("9112 2.2", "a bare LF ends a line, or is refused", b"GET PATH HTTP/1.1\nFIELDS\n")
refused("9112 2.2", "NUL in the request line", line(b"GET PATH\0 HTTP/1.1"))


@case("9112 2.2", "accepts a request byte by byte")
def _(stage):
    with Client(stage) as client:
        for byte in client.fill(b"POST PATH HTTP/1.1\r\nFIELDSContent-Length: 2\r\n\r\nhi"):
            client.send(bytes([byte]))
        expect(client.response().status == 200, "200")
        expect(stage.backend.wait(client.path).body == b"hi", "the body")
        client.goes_on()


# Section 2.3: the version.

refused("9112 2.3", "HTTP/2.0 in a request line", line(b"GET PATH HTTP/2.0"))
refused("9112 2.3", "HTTP/0.9's simple request", b"GET PATH\r\n")
either("9112 2.3", "HTTP/1.2 is taken for 1.1, or refused", line(b"GET PATH HTTP/1.2"))
for version in (b"HTTP/1.1.1", b"HTTP/11", b"HTTP/1.", b"http/1.1", b"HTTP/ 1.1", b"HTPP/1.1", b"HTTP/1,1", b"HTTP/01.1", b"HTTP/9.9"):
    refused("9112 2.3", f"{version.decode()} as version", line(b"GET PATH " + version))
passes("9112 2.3", "forwards HTTP/1.0 as HTTP/1.1, and answers it", b"GET PATH HTTP/1.0\r\nFIELDS\r\n", lambda it: it.line.endswith(" HTTP/1.1"), closes=True)
passes("9112 9.3", "keeps an HTTP/1.0 connection open that asks for it", b"GET PATH HTTP/1.0\r\nFIELDSConnection: keep-alive\r\n\r\n")

# Section 3: the request line.

either("9112 3", "two blanks after the method are refused, or read as one", line(b"GET  PATH HTTP/1.1"))
either("9112 3", "a tab in the request line is refused, or read as a blank", line(b"GET\tPATH HTTP/1.1"))
refused("9112 3", "a blank before the method", line(b" GET PATH HTTP/1.1"))
refused("9112 3", "a blank after the version", line(b"GET PATH HTTP/1.1 "))
refused("9112 3.2", "a blank in the target", line(b"GET PATH/a b HTTP/1.1"))
refused("9112 3", "no target", line(b"GET HTTP/1.1"))
refused("9112 3", "a target of 64 KiB", line(b"GET PATH/" + b"x" * 65536 + b" HTTP/1.1"))
refused("9110 9.1", "a method that is not a token", line(b"GE(T PATH HTTP/1.1"))
refused("9110 9.1", "get, since methods are case-sensitive", line(b"get PATH HTTP/1.1"), (400, 405, 501), closes=None)
refused("9110 9.1", "an unknown method with 405 or 501", line(b"BREW PATH HTTP/1.1"), (405, 501), closes=None)
for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
    passes("9110 9.3", f"forwards {method}", f"{method} PATH HTTP/1.1\r\nFIELDSContent-Length: 0\r\n\r\n".encode(), lambda it, method=method: it.method == method)
passes("9110 9.3.2", "answers HEAD without a body", b"HEAD PATH HTTP/1.1\r\nFIELDS\r\n", lambda it: it.method == "HEAD", method="HEAD")
refused("9110 9.3.6", "CONNECT", b"CONNECT gateway.test:443 HTTP/1.1\r\nFIELDS\r\n", (400, 405, 501))
refused("9110 9.3.8", "TRACE, or answers it itself, without the token in the response", line(b"TRACE PATH HTTP/1.1"), (400, 405, 501))

# Section 3.2: the target, and Host.

passes("9112 3.2.1", "forwards path and query as they are", line(b"GET PATH?a=%2F&b=~c HTTP/1.1"), lambda it: it.target.endswith("?a=%2F&b=~c"))
passes("9112 3.2.2", "accepts absolute-form, whose authority becomes Host", b"GET http://other.test:8080PATH HTTP/1.1\r\nHost: other.test:8080\r\nAUTH\r\n", lambda it: it.target.startswith("/http1/") and it.values("host") and len(it.values("host")) == 1)
either("9112 3.2.2", "absolute-form with another Host is refused, or Host is replaced", b"GET http://other.test/PATH HTTP/1.1\r\nFIELDS\r\n", lambda it: it.value("host") == "other.test", (400, 421))
refused("9110 4.2.4", "userinfo in absolute-form", b"GET http://ada:pw@gateway.testPATH HTTP/1.1\r\nFIELDS\r\n")
refused("9112 3.2.3", "authority-form with GET", line(b"GET gateway.test:80 HTTP/1.1"))
refused("9112 3.2.4", "asterisk-form with GET", line(b"GET * HTTP/1.1"))
refused("9112 3.2", "a target without a slash", line(b"GET http1 HTTP/1.1"))
refused("9112 3.2", "a fragment", line(b"GET PATH#a HTTP/1.1"))
refused("9112 3.2", "raw UTF-8 in the target", line("GET PATH/ä HTTP/1.1".encode()))
refused("9112 3.2", "a control character in the target", line(b"GET PATH/\x01 HTTP/1.1"))
refused("9112 3.2", "no Host", b"GET PATH HTTP/1.1\r\nAUTH\r\n", (400,))
refused("9112 3.2", "two Hosts", b"GET PATH HTTP/1.1\r\nHost: a\r\nHost: b\r\nAUTH\r\n", (400,))
refused("9112 3.2", "the same Host twice", b"GET PATH HTTP/1.1\r\nHost: a\r\nHost: a\r\nAUTH\r\n", (400,))
for host in (b"a b", b"a/b", b"ada@a", b"a, b", b"a:port", b"a?b", b"a#b", b"[::1", b"a\\b", b"a:99999"):
    refused("9112 3.2", f"{host.decode()} as Host", b"GET PATH HTTP/1.1\r\nHost: " + host + b"\r\nAUTH\r\n", (400,))
for host in (b"gateway.test", b"127.0.0.1:8080", b"[::1]:8080", b"xn--bcher-kva.test", b"a_b.test"):
    passes("9112 3.2", f"accepts {host.decode()} as Host", b"GET PATH HTTP/1.1\r\nHost: " + host + b"\r\nAUTH\r\n", lambda it: len(it.values("host")) == 1)
either("9112 3.2", "an empty Host is taken, or refused", b"GET PATH HTTP/1.1\r\nHost:\r\nAUTH\r\n")

# Section 5: fields.

refused("9112 5.1", "a blank before the colon", fields(b"X-A : b"), (400,))
refused("9112 5.1", "a tab before the colon", fields(b"X-A\t: b"), (400,))
refused("9112 5.1", "a field without a colon", fields(b"X-A"))
refused("9112 5.1", "a field without a name", fields(b": b"))
for name in (b"X A", b"X\0A", b"X(A", b"X\x7fA", b"X\xe4A", b"\xef\xbb\xbfX-A", b'X"A'):
    refused("9110 5.1", f"{name!r} as a field name", fields(name + b": b"))
refused("9112 5.2", "obsolete line folding", fields(b"X-A: a", b" b"))
refused("9112 5.2", "folding of Host", b"GET PATH HTTP/1.1\r\nHost:\r\n gateway.test\r\nAUTH\r\n")
for value in (b"a\0b", b"a\x01b", b"a\x7fb"):
    either("9110 5.5", f"{value!r} in a field value is refused, or replaced", fields(b"X-A: " + value), lambda it: not set("\0\x01\x7f") & set(it.value("x-a")))
passes("9110 5.5", "forwards octets above 0x7f in a field value", fields("X-A: ä€".encode()), lambda it: it.value("x-a") == "ä€".encode().decode("latin-1"))
passes("9112 5.1", "strips blanks around a value", fields(b"X-A: \t b c \t "), lambda it: it.value("x-a") == "b c")
passes("9112 5.1", "accepts a field without a blank after the colon", fields(b"X-A:b"), lambda it: it.value("x-a") == "b")
passes("9110 5.3", "keeps the order of repeated fields", fields(b"X-A: 1", b"X-A: 2", b"X-A: 3"), lambda it: it.values("x-a") == ["1", "2", "3"] or it.value("x-a") == "1, 2, 3")
passes("9110 5.1", "accepts names in any case", b"GET PATH HTTP/1.1\r\nhOST: a\r\nAUTH\r\n")
passes("9110 5.1", "forwards fields it does not know, and empty ones", fields(b"X-Unknown: y", b"X-Empty:"), lambda it: (it.value("x-unknown"), it.value("x-empty")) == ("y", ""))
passes("9110 5.4", "accepts a field of 8 KiB", fields(b"X-A: " + b"y" * 8192), lambda it: len(it.value("x-a")) == 8192)
refused("9110 5.4", "a head of 1 MiB", fields(b"X-A: " + b"y" * (1 << 20)), (400, 431))
refused("9110 5.4", "a thousand fields", fields(*(b"X-%d: y" % number for number in range(1000))), (400, 431))
