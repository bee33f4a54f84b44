"""How a real servlet container interprets paths, compared with what metagate forwards to it.

    paths.py record CLASSPATH            regenerates paths.tsv
    paths.py check CLASSPATH METAGATE    compares paths.tsv with the backend, directly and through metagate

Every line of paths.tsv is a target and how Jetty and Jersey interpret it: status, servlet path, path info and the
resource that served it. tests/servlet_paths.rs compares its model of a servlet with the same lines.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
TABLE = HERE / "paths.tsv"
SECRET = b"a secret of these tests, of a fair length"
VIEW = ("x-servlet-path", "x-path-info")

# Known attacks and variants of them.
CHOSEN = """
/ /index.html /assets/a/b /assets/ /assets /favicon.ico /health /callback /my-data /HEALTH /Assets/x
/api /api/ /api/v1 /api/v1/system/version /api/v1/system/version/ /api/v1/system/version;x /API/v1/system/version
/api/v1/system/Version /api/v1/system/version?x=/admin /api/v1/policies?/api/v1/system/version
/api/v1/system/%76ersion /api/v1/system%2fversion /api/v1/system/version%20 /api/v1/system/version%2f
/api/v1/system/version/../../policies /api/v1/system/version/..;/policies /api/v1/system/version%2f..%2fpolicies
/api/v1/policies /api/v1/policies/ /api/v1/policies// /api/v1/policies/x /api/v1/policies;a=b/x /api/v1/policies/x;a
/api;v1/policies /api;v1/policies/x /api;v1;y/policies /api;x/v1/policies /api;/v1/policies /api;/;v1/policies
/api;v1;/policies;z/x /api/v1;policies /api/;v1/policies /;/api/v1/policies /;api/v1/policies /api;v1/tables/name/x
/api;v1%2fpolicies /api;%761/policies /api;v1/%70olicies /%61pi;v1/policies /%61pi/v1/policies /ap%69;1/policies
/api%3bv1/policies /api%3b/v1/policies /api/v1%3bpolicies /api;v1%3b/policies /api;..;v1/policies /api;../policies
/assets;/../api/v1/policies /assets/..;/api/v1/policies /assets/;../api/v1/policies /assets/%2e%2e/api/v1/policies
/assets/..%2fapi/v1/policies /assets/%2e%2e%2fapi/v1/policies /assets/%252e%252e/api/v1/policies
/assets/x;/y /assets;x/y /assets%2fx /assets//x //assets/x /assets/%41 /assets/a%3bb /assets/./x /assets/x/. /assets/x/..
//api/v1/policies ///api/v1/policies /api//v1/policies /api/v1//policies /api/v1/policies//x //api;v1/policies
/api/v1/%70olicies /api/v1/policie%73/x /api/v1%2fpolicies /api/v1/policies%2fx /api%2fv1%2fpolicies /api/v1%2Fpolicies%2Fx
/api/v1/x/../policies /api/v1/./policies /api/./v1/policies /./api/v1/policies /../api/v1/policies /api/../api/v1/policies
/api/v1/%2e/policies /api/v1/x/%2e%2e/policies /api/v1/x/.%2e/policies /api/v1/..;/v1/policies /api/v1/.;/policies
/api/v1/tables/name/a.b /api/v1/tables/name/a%2Fb /api/v1/tables/name/%22a%22 /api/v1/tables/name/a;b /api/v1/tables/name/a%3Bb
/api/v1/tables/name/%C3%A9 /api/v1/tables/name/%e9 /%c3%a9 /%e9 /api/v1/tables/name/a%23b /api/v1/tables/name/100%25
/api/v1;v1%2Fusers%2Flogin/policies /api/v1;v1%2fsystem%2fversion/policies /api/v1/policies/T(x);v1/users/login
/api;v1/users/login /api/v1/users/login /api/v1/users/login/ /api/v1/users;x/login /api/v1/users%2flogin
/a/b/../../api/v1/policies /a/%2e%2e;/api/v1/policies /..;/api/v1/policies /%2e%2e/api/v1/policies /a/.../b /a/..b /a/b..
""".split()

PIECES = {
    "/": 10, "api": 5, "v1": 5, "policies": 6, "assets": 4, "system": 2, "version": 2, "x": 3, ";": 5, ";a=b": 2,
    ";v1": 2, "..": 2, ".": 2, "%2e": 2, "%2E%2e": 1, "%2f": 2, "%2F": 1, "%3b": 2, "%61pi": 1, "%76": 1,
    "%70olicies": 2, "%25": 1, "%252f": 1, "%41": 1, "%C3%A9": 1, "API": 1, "//": 1, "~": 1, "%20": 1,
}
STARTS = ["/", "/api/v1/policies", "/api/", "/api;", "/api/v1/", "/assets/", "/api/v1/system/version", "/"]


def corpus():
    """The targets, the same on every run: chosen ones and generated ones."""
    chance = random.Random(28255)
    targets = dict.fromkeys(CHOSEN)
    while len(targets) < 700:
        pieces = chance.choices(list(PIECES), PIECES.values(), k=chance.randint(0, 7))
        targets[chance.choice(STARTS) + "".join(pieces)] = None
    return list(targets)


def ask(port, target, fields=()):
    """Sends one GET with this raw target. Returns status, fields and body."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        lines = [f"GET {target} HTTP/1.1", "Host: localhost", "Connection: close", *fields, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        raw = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if fields.get("transfer-encoding") == "chunked":
        body = b"".join(chunks(body))
    return int(status.split(" ")[1]), fields, body.decode("latin-1")


def chunks(body):
    while body:
        size, _, body = body.partition(b"\r\n")
        yield body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]


def view(answer):
    """A line of the table. Only the status is kept if the path is not a resource here."""
    status, fields, body = answer
    if status == 400:
        return "400", "-", "-", "-"
    resource = body if status == 200 else "-"
    return str(status), *(fields.get(name, "-") for name in VIEW), resource


@contextlib.contextmanager
def running(command, pattern, stream, **options):
    """Runs a program, from when it prints its port until the end of the context."""
    with tempfile.TemporaryFile("w+") as other:
        streams = {"stdout": other, "stderr": other, stream: subprocess.PIPE}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, **streams, **options)
        try:
            port, said = None, []
            for line in getattr(process, stream):
                said.append(line)
                if found := re.search(pattern, line):
                    port = int(found[1])
                    break
            if port is None:
                other.seek(0)
                sys.exit(f"{command[0]} did not start:\n{''.join(said)}{other.read()}")
            yield port
        finally:
            process.kill()
            process.communicate()


def backend(classpath):
    return running(["java", "-cp", classpath, str(HERE / "Backend.java")], r"^listening (\d+)", "stdout")


def token(**claims):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    claims |= {"iss": "differential", "sub": "ada", "email": "ada@example.org", "exp": int(time.time()) + 600}
    signed = ".".join(part(json.dumps(one).encode()) for one in ({"alg": "HS256"}, claims))
    return f"Authorization: Bearer {signed}.{part(hmac.digest(SECRET, signed.encode(), hashlib.sha256))}"


CONFIG = """
listen: 127.0.0.1:0
health: {{listen: 127.0.0.1:0}}
backend: openmetadata
upstream: {{url: "http://127.0.0.1:{port}"}}
authentication:
  issuers: [{{name: differential, issuer: differential, sharedSecretFile: {secret}}}]
authorization:
  rules: [{{name: policies-are-for-admins, match: {{paths: ["/api/v1/policies/**"]}}, require: {{anyRole: [Admin]}}}}]
"""


@contextlib.contextmanager
def gateway(program, port):
    with tempfile.TemporaryDirectory() as folder:
        secret, config = pathlib.Path(folder, "secret"), pathlib.Path(folder, "metagate.yaml")
        secret.write_bytes(SECRET)
        config.write_text(CONFIG.format(port=port, secret=secret))
        pattern = r'(?=.*"proxy").*"address":"127\.0\.0\.1:(\d+)"'
        with running([program, "run", "--config", str(config)], pattern, "stderr", env={}) as own:
            yield own


def differences(rows, direct, through):
    """Yields all differences as text."""
    admin, user = token(roles=["Admin"]), token(roles=["DataConsumer"])
    opened = forwarded = refused = 0
    for target, *expected in rows:
        seen = view(ask(direct, target))
        if list(seen) != expected:
            yield f"{target}: the backend sees {seen}, recorded is {expected}"
        path = target.partition("?")[0]

        # Without a token, only targets that the servlet serves as exactly the sent path may be open.
        _, fields, _ = ask(through, target)
        if "x-request-uri" in fields:
            opened += 1
            served = fields["x-servlet-path"] + fields["x-path-info"].removesuffix("null")
            if served != path:
                yield f"{target}: open, and served as {served}"

        # A rule about a resource applies to every target that is served as that resource.
        answer = ask(through, target, [user])
        if "x-request-uri" in answer[1] and answer[2].startswith("policies"):
            yield f"{target}: the rule is evaded, {answer[2]} was served"
        refused += answer[0] == 403

        # With everything permitted, targets are forwarded as they were sent.
        answer = ask(through, target, [admin])
        if "x-request-uri" in answer[1]:
            forwarded += 1
            if view(answer) != seen:
                yield f"{target}: directly {seen}, through metagate {view(answer)}"
            if answer[1]["x-request-uri"].replace("%25", "%") != path:
                yield f"{target}: arrived as {answer[1]['x-request-uri']}"
    print(f"{len(rows)} targets: {opened} open, {forwarded} forwarded with a token, {refused} refused by the rule")
    for name, count, least in (("open", opened, 10), ("forwarded", forwarded, 200), ("refused", refused, 20)):
        if count < least:
            yield f"only {count} targets were {name}: nothing was compared"


def main(action, classpath, program=None):
    with backend(classpath) as direct:
        if action == "record":
            rows = ["\t".join((target, *view(ask(direct, target)))) for target in corpus()]
            TABLE.write_text("\n".join(rows) + "\n")
            print(f"{len(rows)} targets recorded")
            return
        rows = [line.split("\t") for line in TABLE.read_text().splitlines()]
        with gateway(program, direct) as through:
            found = list(differences(rows, direct, through))
    if found:
        sys.exit("\n".join(found))


main(*sys.argv[1:])
