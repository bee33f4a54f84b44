"""Autobahn's own test-suite for WebSockets, against an echo server behind the proxy.

Its cases are not in this repository: the package is installed. It needs Python 2.7.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from harness.cases import Case, expect
from harness.stage import Stage
from websocket.echo import EchoServer

PACKAGE = "autobahntestsuite==25.10.1"
TIMEOUT = 300
GROUPS = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
# Of the 216 cases of compression, which differ in sizes and in parameters that only the ends see, one each.
COMPRESSION = ["12.1.1", "12.1.6", "12.2.3", "12.3.2", "12.4.1", "12.5.1", "13.1.1", "13.2.3", "13.3.1", "13.4.1", "13.5.1", "13.6.1", "13.7.1"]
GOOD = ("OK", "NON-STRICT", "INFORMATIONAL")


def python2():
    """A Python 2.7, or None."""
    found = shutil.which("python2.7")
    candidates = [found] if found else []
    candidates += sorted(pathlib.Path.home().glob(".pyenv/versions/2.7*/bin/python2.7"))
    for candidate in candidates:
        # pyenv's stand-ins are found and do not run.
        if subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return str(candidate)
    return None


def install(tools):
    """The suite's program, in an environment of its own; None without Python 2.7."""
    program = pathlib.Path(tools, "autobahn", "bin", "wstest").absolute()
    if not program.exists():
        python = python2()
        if python is None:
            return None
        subprocess.run([sys.executable, "-m", "virtualenv", "-q", "-p", python, program.parents[1]], check=True)
        quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
        subprocess.run([program.with_name("pip"), "install", "-q", PACKAGE], check=True, env=quiet, stderr=subprocess.DEVNULL)
    return program


def cases(metagate, tools):
    """Runs all of it, and gives a case for each of its cases; None where it cannot run."""
    program = install(tools)
    if program is None:
        return None
    server = EchoServer()
    with Stage(metagate, port=server.port) as stage, tempfile.TemporaryDirectory() as directory:
        spec = pathlib.Path(directory, "spec.json")
        servers = [{"agent": "metagate", "url": f"ws://127.0.0.1:{stage.port}/public/echo"}]
        spec.write_text(json.dumps({"outdir": directory, "servers": servers, "cases": GROUPS + COMPRESSION, "exclude-cases": [], "exclude-agent-cases": {}}))
        with pathlib.Path(directory, "log").open("wb") as log:
            subprocess.run([program, "-m", "fuzzingclient", "-s", spec], stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=TIMEOUT, check=True)
        report = json.loads(pathlib.Path(directory, "index.json").read_text())["metagate"]
        faults = stage.faults()
    server.close()
    assert not faults, faults
    return [Case("autobahn", name, "", judge(result)) for name, result in sorted(report.items(), key=lambda it: [int(part) for part in it[0].split(".")])]


def judge(result):
    def check(_):
        got = (result["behavior"], result["behaviorClose"])
        expect(set(got) <= set(GOOD), f"a good result, not {got}")

    return check
