"""gRPC from end to end: grpcio's client and server, and the proxy with `upstream.protocol: http2` between."""

import threading
from concurrent import futures

import grpc

from harness.cases import expect
from harness.stage import DEADLINE, Stage

from .commands import SUITE

case = SUITE.case
SERVICE = "conformance.Echo"
LARGEST = 8 << 20


class Echo(grpc.GenericRpcHandler):
    """Messages are octets: no schema is needed to carry them."""

    def __init__(self):
        self.ended = threading.Event()

    def service(self, call):
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Down": grpc.unary_stream_rpc_method_handler(self.down),
            "Up": grpc.stream_unary_rpc_method_handler(lambda messages, context: b"%d" % sum(map(len, messages))),
            "Both": grpc.stream_stream_rpc_method_handler(lambda messages, context: messages),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Wait": grpc.unary_unary_rpc_method_handler(self.wait),
        }
        return handlers.get(call.method.removeprefix(f"/{SERVICE}/"))

    def unary(self, message, context):
        metadata = dict(context.invocation_metadata())
        context.send_initial_metadata([("x-initial", metadata.get("x-asked", ""))])
        context.set_trailing_metadata([("x-trailing", "end"), ("x-octets-bin", b"\0\xff")])
        return message

    def down(self, message, context):
        for number in range(int(message)):
            yield b"%d" % number

    def fail(self, message, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "because, à la carte: 100 %")

    def wait(self, message, context):
        context.add_callback(self.ended.set)
        self.ended.wait(DEADLINE)
        return message


class GrpcStage:
    """One for all cases; it begins with the first and ends with the program."""

    stage = None

    @classmethod
    def of(cls, metagate):
        if cls.stage is None:
            cls.echo = Echo()
            options = [("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)]
            cls.server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[cls.echo], options=options)
            port = cls.server.add_insecure_port("127.0.0.1:0")
            cls.server.start()
            cls.stage = Stage(metagate, port=port, protocol="http2")
            cls.channel = grpc.insecure_channel(f"127.0.0.1:{cls.stage.port}", options=options)
        return cls

    @classmethod
    def close(cls):
        """What must not be on that stage, either."""
        if cls.stage is None:
            return []
        cls.channel.close()
        cls.server.stop(None)
        faults = cls.stage.faults()
        cls.stage.close()
        return faults


def calls(stage, kind, method, **options):
    own = GrpcStage.of(stage.metagate)
    options.setdefault("metadata", [("authorization", own.stage.authorization)])
    call = getattr(own.channel, kind)(f"/{SERVICE}/{method}")
    return lambda message: call(message, timeout=DEADLINE, wait_for_ready=False, **options)


@case("gRPC", "a unary call with metadata both ways")
def _(stage):
    own = GrpcStage.of(stage.metagate)
    call = own.channel.unary_unary(f"/{SERVICE}/Unary")
    response, details = call.with_call(b"hi", timeout=DEADLINE, metadata=[("authorization", own.stage.authorization), ("x-asked", "you")])
    expect(response == b"hi" and dict(details.initial_metadata()).get("x-initial") == "you", str(details.initial_metadata()))
    trailing = dict(details.trailing_metadata())
    expect((trailing.get("x-trailing"), trailing.get("x-octets-bin")) == ("end", b"\0\xff"), str(trailing))


@case("gRPC", "a message of 4 MiB, plain and compressed")
def _(stage):
    message = bytes(range(256)) * 16384
    expect(calls(stage, "unary_unary", "Unary")(message) == message, "the same message")
    expect(calls(stage, "unary_unary", "Unary", compression=grpc.Compression.Gzip)(message) == message, "the same message, compressed")


@case("gRPC", "two thousand messages from the server")
def _(stage):
    expect(list(calls(stage, "unary_stream", "Down")(b"2000")) == [b"%d" % n for n in range(2000)], "all of them in order")


@case("gRPC", "two thousand messages from the client")
def _(stage):
    expect(calls(stage, "stream_unary", "Up")(b"x" * 100 for _ in range(2000)) == b"200000", "all of them")


@case("gRPC", "messages there and back, one after the other")
def _(stage):
    turn = threading.Semaphore(1)

    def ask():
        for number in range(200):
            turn.acquire(timeout=DEADLINE)
            yield b"%d" % number

    got = []
    for message in calls(stage, "stream_stream", "Both")(ask()):
        got.append(message)
        turn.release()
    expect(got == [b"%d" % number for number in range(200)], f"each before the next is sent, not {len(got)}")


def fails(call, code):
    try:
        call(b"x")
    except grpc.RpcError as error:
        expect(error.code() == code, f"{code}, not {error.code()}: {error.details()}")
        return error
    expect(False, f"{code}, not a response")


@case("gRPC", "a status and its text")
def _(stage):
    error = fails(calls(stage, "unary_unary", "Fail"), grpc.StatusCode.FAILED_PRECONDITION)
    expect(error.details() == "because, à la carte: 100 %", error.details())


@case("gRPC", "a method that is not there")
def _(stage):
    fails(calls(stage, "unary_unary", "Nothing"), grpc.StatusCode.UNIMPLEMENTED)


@case("gRPC", "a call without a token is UNAUTHENTICATED")
def _(stage):
    fails(calls(stage, "unary_unary", "Unary", metadata=[]), grpc.StatusCode.UNAUTHENTICATED)


@case("gRPC", "a call that is cancelled ends at the server")
def _(stage):
    own = GrpcStage.of(stage.metagate)
    own.echo.ended.clear()
    call = own.channel.unary_unary(f"/{SERVICE}/Wait").future(b"x", timeout=DEADLINE, metadata=[("authorization", own.stage.authorization)])
    calls(stage, "unary_unary", "Unary")(b"meanwhile")
    call.cancel()
    expect(own.echo.ended.wait(DEADLINE / 2), "the server sees it")


@case("gRPC", "fifty calls at once over one connection")
def _(stage):
    own = GrpcStage.of(stage.metagate)
    call = own.channel.unary_unary(f"/{SERVICE}/Unary")
    metadata = [("authorization", own.stage.authorization)]
    running = [call.future(b"%d" % number, timeout=DEADLINE, metadata=metadata) for number in range(50)]
    expect([it.result() for it in running] == [b"%d" % number for number in range(50)], "fifty responses")
