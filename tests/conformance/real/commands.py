"""curl, nghttp and h2load: clients by others, and their view of the responses."""

import hashlib
import os
import pathlib
import re
import subprocess
import tempfile

from harness.cases import Suite, expect

SUITE = Suite("clients")
case = SUITE.case
TIMEOUT = 60
# Program -> Debian's package.
PROGRAMS = {"curl": "curl", "nghttp": "nghttp2-client", "h2load": "nghttp2-client"}
# What h2load measured, for the report.
FIGURES = []


def run(*command):
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT)
    expect(ended.returncode == 0, f"{command[0]} ends well, not with {ended.returncode}: {ended.stderr[-300:]}")
    return ended.stdout


def curl(stage, path, *options, version="--http2-prior-knowledge", token=True):
    """Status, version and body."""
    authorization = ["-H", f"Authorization: {stage.authorization}"] if token else []
    out = run("curl", "-sS", version, *authorization, "-w", "\n%{http_code} %{http_version}", *options, f"http://127.0.0.1:{stage.port}{path}")
    body, _, said = out.rpartition("\n")
    return (*said.split(" "), body)


def echo(exchange):
    exchange.respond(body=exchange.read_body())
    return True


for version, option in (("2", "--http2-prior-knowledge"), ("1.1", "--http1.1")):

    @case("curl", f"HTTP/{version}: GET, HEAD, and 401 without a token")
    def _(stage, version=version, option=option):
        expect(curl(stage, "/curl", version=option) == ("200", version, "ok"), "GET")
        expect(curl(stage, "/curl", "-I", version=option)[:2] == ("200", version), "HEAD")
        expect(curl(stage, "/curl", version=option, token=False)[:2] == ("401", version), "401")

    @case("curl", f"HTTP/{version}: a body of 4 MiB there and back")
    def _(stage, option=option):
        stage.backend.script("/curl/echo", echo)
        with tempfile.TemporaryDirectory() as directory:
            there, back = pathlib.Path(directory, "there"), pathlib.Path(directory, "back")
            there.write_bytes(os.urandom(4 << 20))
            curl(stage, "/curl/echo", "--data-binary", f"@{there}", "-o", str(back), version=option)
            expect(there.read_bytes() == back.read_bytes(), "the same octets")

    @case("curl", f"HTTP/{version}: a body of unknown length from a pipe")
    def _(stage, option=option):
        stage.backend.script("/curl/pipe", echo)
        command = ["curl", "-sS", option, "-T", "-", "-X", "POST", "-H", f"Authorization: {stage.authorization}", f"http://127.0.0.1:{stage.port}/curl/pipe"]
        data = b"0123456789" * 100_000
        ended = subprocess.run(command, input=data, capture_output=True, timeout=TIMEOUT)
        expect(hashlib.sha256(ended.stdout).digest() == hashlib.sha256(data).digest(), f"the same octets: {ended.stderr}")


@case("curl", "an upgrade to h2c is answered in HTTP/1.1")
def _(stage):
    expect(curl(stage, "/curl", version="--http2")[:2] == ("200", "1.1"), "200 over HTTP/1.1")


def hundred(stage, *options):
    """Status and new connections of each of a hundred requests."""
    url = f"http://127.0.0.1:{stage.port}/curl/[1-100]"
    out = run("curl", "-sS", *options, "-H", f"Authorization: {stage.authorization}", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", url)
    got = [line.split() for line in out.splitlines()]
    expect(len(got) == 100 and all(status == "200" for status, _ in got), f"a hundred 200, not {out[:200]}")
    return sum(int(connects) for _, connects in got)


# Over HTTP/2, curl 7.88 cannot use a connection again by prior knowledge, whatever the server: nghttp does that.
@case("curl", "HTTP/1.1: a hundred requests over one connection")
def _(stage):
    expect(hundred(stage, "--http1.1") == 1, "one connection")


for version, option in (("2", "--http2-prior-knowledge"), ("1.1", "--http1.1")):

    @case("curl", f"HTTP/{version}: a hundred requests at once")
    def _(stage, option=option):
        hundred(stage, option, "-Z", "--parallel-max", "100", "--parallel-immediate")


@case("nghttp", "a request, as nghttp2 reads it")
def _(stage):
    out = run("nghttp", "-nv", "-H", f"authorization: {stage.authorization}", f"http://127.0.0.1:{stage.port}/nghttp")
    expect(":status: 200" in out and "END_STREAM" in out, out[-300:])
    expect("error_code=NO_ERROR" in out, "GOAWAY without an error")


@case("nghttp", "fifty requests with padding, continuation and a small window")
def _(stage):
    options = ["--multiply=50", "--padding=200", "--continuation", "--window-bits=10", "--connection-window-bits=12"]
    out = run("nghttp", "-nsv", *options, "-H", f"authorization: {stage.authorization}", f"http://127.0.0.1:{stage.port}/nghttp/many")
    expect(out.count(":status: 200") == 50, f"fifty responses, not {out.count(':status: 200')}")
    expect("RST_STREAM" not in out, "no reset")


@case("nghttp", "a body with trailers, under Expect")
def _(stage):
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"y" * 100_000)
        file.flush()
        out = run("nghttp", "-nv", "-d", file.name, "--trailer=x-sum: 7", "--expect-continue", "-H", f"authorization: {stage.authorization}", f"http://127.0.0.1:{stage.port}/nghttp/body")
    expect(":status: 200" in out, out[-300:])
    expect(len(stage.backend.wait("/nghttp/body").body) == 100_000, "the whole body")


def load(stage, what, *options, token=True, count=3000):
    """All of them get a response; what h2load says of the speed is kept."""
    authorization = ["-H", f"authorization: {stage.authorization}"] if token else []
    out = run("h2load", "-n", str(count), *options, *authorization, f"http://127.0.0.1:{stage.port}/load")
    done = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed, (\d+) errored", out)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
    expect(done and codes, out[-300:])
    # h2load counts what is not 2xx or 3xx as failed.
    good = int(codes[1]) if token else int(codes[3])
    expect(good == count and done[4] == "0", f"{count} answers, not: {done[0]}; {codes[0]}")
    FIGURES.append((what, re.search(r"finished in .*", out)[0]))


for what, options in {
    "4 connections of 25 streams": ("-c4", "-m25"),
    "1 connection of 100 streams": ("-c1", "-m100"),
    "50 connections of 1 stream": ("-c50", "-m1"),
    "4 connections over HTTP/1.1": ("-c4", "--h1"),
}.items():

    @case("h2load", f"3000 requests, {what}")
    def _(stage, what=what, options=options):
        load(stage, what, *options)


@case("h2load", "20000 refused requests, 4 connections of 25 streams")
def _(stage):
    load(stage, "refused, 4 connections of 25 streams", "-c4", "-m25", token=False, count=20_000)
