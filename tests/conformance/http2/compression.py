"""HPACK (RFC 7541) as far as a client can observe it, and requests with every kind of field representation."""

import hpack

from harness.cases import expect

from .connection import SUITE
from .wire import *

case = SUITE.case


def refused(section, what, block):
    """A head whose block cannot be decoded: a connection error COMPRESSION_ERROR."""

    @case(section, f"refuses {what}")
    def _(stage):
        with Connection(stage) as c:
            c.send(c.request(block=literals(c.head()) + block))
            c.connection_error(COMPRESSION_ERROR)
            c.nothing_upstream()


def taken(section, what, block, **fields):
    """A head with this block appended is accepted, and the backend receives these fields."""

    @case(section, f"accepts {what}")
    def _(stage):
        with Connection(stage) as c:
            c.send(c.request(block=literals(c.head()) + block))
            c.responds()
            request = stage.backend.wait(c.path)
            for name, value in fields.items():
                got = request.value(name.replace("_", "-"))
                expect(got == value, f"{name}: {value}, not {got}")


def indexed(number):
    return integer(number, 7, 0x80)


def adding(name, value):
    return b"\x40" + text(name) + text(value)


def huffman(value):
    coded = hpack.huffman.HuffmanEncoder(hpack.huffman_constants.REQUEST_CODES, hpack.huffman_constants.REQUEST_CODES_LENGTH).encode(value)
    return integer(len(coded), 7, 0x80) + coded


refused("7541 2.3.3", "an index beyond both tables", indexed(70))
refused("7541 2.3.3", "the name of an index beyond both tables", integer(70, 6, 0x40) + text("x"))
refused("7541 6.1", "the index 0", b"\x80")
refused("7541 5.1", "an integer that overflows", b"\xff" + b"\xff" * 20)
refused("7541 5.1", "an integer that breaks off", b"\xff\x80")
refused("7541 5.2", "a string that breaks off", b"\x00\x05ab")
refused("7541 5.2", "Huffman padding of more than seven bits", b"\x00\x01x" + b"\x82\xc7\xff")
refused("7541 5.2", "Huffman padding of zeros", b"\x00\x01x" + b"\x81\x00")
refused("7541 5.2", "Huffman's EOS within a string", b"\x00\x01x" + b"\x84\xff\xff\xff\xfc")


@case("7541 4.2", "refuses a table size above SETTINGS_HEADER_TABLE_SIZE")
def _(stage):
    with Connection(stage) as c:
        size = c.peer.get(HEADER_TABLE_SIZE, 4096) + 1
        c.send(c.request(block=integer(size, 5, 0x20) + literals(c.head())))
        c.connection_error(COMPRESSION_ERROR)
        c.nothing_upstream()


@case("7541 4.2", "refuses a table size after a field")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(block=literals(c.head()) + b"\x20"))
        c.connection_error(COMPRESSION_ERROR)
        c.nothing_upstream()


@case("7541 4.2", "accepts two table sizes at the beginning of a block")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(block=b"\x20" + integer(4096, 5, 0x20) + literals(c.head())))
        c.responds()


@case("7541 4.3", "forgets its table when the size becomes 0")
def _(stage):
    with Connection(stage) as c:
        c.send(c.request(block=literals(c.head()) + adding("x-old", "1")))
        c.responds()
        c.send(c.request(3, block=b"\x20" + literals(c.head()) + indexed(62)))
        c.connection_error(COMPRESSION_ERROR)


taken("7541 6.1", "an indexed field of the static table", indexed(16), accept_encoding="gzip, deflate")
taken("7541 6.2.1", "a literal with incremental indexing and its index", adding("x-a", "one") + indexed(62), x_a=["one", "one"])
taken("7541 6.2.1", "a name of the static table with a new value", integer(58, 6, 0x40) + text("mine"), user_agent="mine")
taken("7541 6.2.2", "a literal without indexing", integer(58, 4) + text("mine"), user_agent="mine")
taken("7541 6.2.3", "a literal that is never indexed", integer(58, 4, 0x10) + text("mine"), user_agent="mine")
taken("7541 5.2", "Huffman's code for names and values", b"\x00" + huffman(b"x-huffman") + huffman(b"Value ~|^ 0123"), x_huffman="Value ~|^ 0123")
taken("7541 5.2", "an empty value", literal("x-empty", ""), x_empty="")
taken("7541 5.1", "a length with needless continuation octets", b"\x00" + text("x-a") + b"\x7f\x80\x80\x00" + b"y" * 127, x_a="y" * 127)
taken("7541 2.3.2", "fields whose older ones fall out of the table", b"".join(adding(f"x-{n}", "v" * 500) for n in range(20)) + indexed(62), x_0="v" * 500, x_19=["v" * 500] * 2)


@case("7541 2.2", "keeps its table from request to request")
def _(stage):
    with Connection(stage) as c:
        # The encoder refers to what it has sent before, by itself.
        for stream in range(1, 21, 2):
            c.send(c.request(stream, block=c.encoder.encode(c.head(path=f"{c.path}/{stream}") + [("x-stream", str(stream))])))
            c.responds(stream=stream)
            got = stage.backend.wait(f"{c.path}/{stream}").value("x-stream")
            expect(got == str(stream), f"{stream}, not {got}")


@case("7541 7.1.3", "a token that is never indexed arrives")
def _(stage):
    with Connection(stage) as c:
        never = b"\x10" + text("authorization") + text(stage.authorization)
        c.send(c.request(block=literals(c.head(drop=("authorization",))) + never))
        c.responds()


for size in (0, 64, 4096):

    @case("7541 4.1", f"its responses can be read with a dynamic table of {size} octets")
    def _(stage, size=size):
        with Connection(stage, (HEADER_TABLE_SIZE, size)) as c:
            c.decoder.max_allowed_table_size = size
            c.decoder.header_table_size = size
            for stream in (1, 3, 5):
                path = f"{c.path}/{stream}"
                stage.backend.script(path, lambda it: it.respond(fields=[("X-Path", it.request.target), ("X-Same", "s" * 40)]) or True)
                c.send(c.request(stream, fields=c.head(path=path)))
                got = dict(c.responds(stream=stream).fields)
                expect((got["x-path"], got["x-same"]) == (path, "s" * 40), str(got))


@case("7541 7.3", "refuses a head that grows beyond its limit by references")
def _(stage):
    with Connection(stage) as c:
        bomb = adding("x-bomb", "y" * 4000) + indexed(62) * 1000
        c.send(c.request(block=literals(c.head()) + bomb))
        wrong = c.find(lambda it: it.stream == 1 and it.kind in (HEADERS, RST_STREAM) or it.kind == GOAWAY)
        status = dict(c.fields(wrong))[":status"] if wrong and wrong.kind == HEADERS else "431"
        expect(status == "431", f"431 or an error, not {status}")
        c.nothing_upstream()
