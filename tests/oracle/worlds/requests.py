"""Random requests: their heads as octets, their bodies, where and when they come from."""

from .configurations import chance, fault
from .tokens import NOW

PATHS = [
    "/api/v1/tables", "/api/v1/tables/x", "/api/v1/policies/y", "/api/v1/policies", "/api/v1/tables/x/columns", "/api/v1/x/open",
    "/api/v1/open/a", "/api/v1/users/token/1", "/api/v1/users/generateToken", "/api/v1/policies/x",
]
OTHER_PATHS = ["/docs", "/docs/a", "/docs/a/b", "/status", "/push/feed/1", "/", "/graphql", "/x"]
SOURCES = ["127.0.0.1", "10.1.2.3", "192.0.2.1", "203.0.113.9", "fd00::1", "10.1.2.255"]
GRAPHQL = [
    "{ me }", "query q { me createAccessToken }", "mutation { createAccessToken(input: {}) { x } }", "mutation { a: removeTag }",
    "query a { me } mutation b { removeTag }", "query { ...f } fragment f on Query { me ... on Query { createAccessToken } }",
    "{ __schema { x } }", "subscription { me }", "{ me", "", "{ ...missing }", "mutation m { me @skip(if: true) removeTag }",
    "type X { y: Z }", "query { me } fragment f on Query { ...f }", "# comment\n{ me }", "{ ...f } fragment f on Query { ...f me }",
]


def percent(source, text, position):
    code = "%%%02x" % ord(text[position])
    return text[:position] + (code.upper() if chance(source, 0.5) else code) + text[position + 1 :]


def changed(source, path):
    """A path with something that servers read differently."""
    slashes = [at for at, letter in enumerate(path) if letter == "/"]
    at = source.choice(slashes)
    anywhere = source.randrange(len(path))
    letters = [place for place, letter in enumerate(path) if letter.isalpha()]
    choices = [
        path + "/", path[:at] + "/" + path[at:], path[:at] + ";x" + path[at:], path[:at] + ";a=b/c" + path[at:],
        path[:at] + ";" + path[at:],
        path[:at] + "%2F" + path[at + 1 :] if at else path + "%2f", path[:at] + "/." + path[at:], path[:at] + "/.." + path[at:],
        path + "/..", path + "/.", path[:at] + "/%2e" + path[at:], path[:at] + "/%2E%2e" + path[at:], path[:at] + "/..;x" + path[at:],
        path[:at] + "/.%3bx" + path[at:], path[:at] + "/%252e%252e" + path[at:], path + "%00", path + "%0a", path + "%2500", path + "%7f",
        path + "\\", path + "%5c", path + "%255c", path + "#x", path + "%23", path + "%2523", path + "%", path + "%zz", path + "%2",
        path + "%25",        path + "%25zz", path + "%3bx", path + "%3Bx/y", path + "%253bx", path.upper(), path + "\u00e4", path + "%c3%a4", path + "%ff",
        path + "%c0%ae", path + "<", path + '"', path + "|", path + "`", path + "%60", path + "%20", path + "%252F", path + "*", path + "%2e",
        path + "/%2e%2e%2fx", path + "/%2e.", path + "...", path + "/...", path[:at] + "/;x" + path[at:], path + "/;x", path + ";", path + ";/",
        path + "%3f", path + ":", path + "@", path[:anywhere] + ";v1" + path[anywhere:], path + "//", path[:at] + "///" + path[at:],
        path[:at] + "/%2f" + path[at:], path + "%2f", path + "%2F..%2Fx", path + "\x01", path + "\x7f", path + "^{}",
    ]
    if letters:
        choices += [percent(source, path, source.choice(letters))] * 6
        choices.append(percent(source, path, source.choice(letters)).replace("%", "%25"))
    choices += [path + "/", path[:at] + "/" + path[at:]] * 6
    return source.choice(choices)


def target_of(source, world):
    backend = world.config["backend"]
    path = source.choice(PATHS if backend != "generic" or chance(source, 0.6) else OTHER_PATHS)
    for _ in range(source.choice([0, 0, 0, 1, 1, 2]) if source.faults else source.choice([0] * 9 + [1])):
        path = changed(source, path)
    if "stripPrefix" in world.config and chance(source, 0.85):
        path = source.choice(["/catalog"] * 8 + ["/catalogue", "/%63atalog", "/Catalog", "/catalog/"]) + path
        path = "/catalog" if chance(source, 0.03) else path
    if fault(source, 0.03):
        path += "/" + "x" * source.choice([900, 1024 - len(path) - 1, 1024 - len(path), 1025 - len(path), 8200])
    query = source.choice([""] * 14 + [
        "?", "?action=x", "?action=x&action=y", "?action=ingestProposal", "?a+b=1", "?a%20b=1", "?action=%78", "?action=%zz", "?action=%ff",
        "?action", "?action=", "?action=x+y", "?a+b=1", "?action=y&action=x", "?action=x&kind=az", "?kind=az&action=x", "?%61ction=x", "?Action=x", "?%C3%A4=%C3%BC", "?x=%", "?action=x;action=y", "?action=x#f",
        "?query=%7Bme%7D", "?query=mutation%7BremoveTag%7D", "?a=1&&b=2", "?=x", "?action=x?y", "?<>", "?x=\x01",
    ])
    target = path + query
    draw = source.random() if source.faults else 1
    if draw < 0.03:
        authority = source.choice(["metadata.example", "other.example", "METADATA.example", "user@metadata.example", ""])
        target = source.choice(["http://", "HTTP://", "https://"]) + authority + target
    elif draw < 0.04:
        target = source.choice(["*", "metadata.example:80", "x", "http:/x", ""])
    return target


def credential_fields(source, world, token):
    """The lines with credentials."""
    names = ["Authorization"] * 12 + ["authorization", "AUTHORIZATION"]
    fields = world.config["authentication"].get("tokenHeaders")
    lines = []
    if token is not None:
        scheme = "Bearer " if not source.faults else source.choice(["Bearer "] * 40 + ["bearer ", "BEARER ", "Bearer  ", "Bearer\t", "Bearer", "Token ", "JWT ", "", "Basic "])
        if fields and chance(source, 0.85):
            field = source.choice(fields)
            field = {"name": field} if isinstance(field, str) else field
            word = field.get("scheme", "Bearer" if field["name"] == "Authorization" else None)
            text = token if word is None else f"{word} {token}"
            lines.append(f"{source.choice([field['name'], field['name'].lower()])}: {text}")
        else:
            lines.append(f"{source.choice(names)}: {scheme}{token}")
    if fault(source, 0.1):
        lines.append(source.choice([
            "Authorization:", "Authorization: Bearer x", "Authorization: Bearer", "X-Token: a.b.c", "X-Token:", "authorization: x,y",
            "X_Token: x", "Authorization: Basic YTpi", "Authorization: ,", "Cookie: PLAY_SESSION=x", "Proxy-Authorization: Bearer x",
        ]))
    if "datahub" in world.config and chance(source, 0.04):
        secret = world.config["datahub"].get("systemClientSecret", "system-secret-of-oracle-tests")
        lines.append("Authorization: " + source.choice([
            f"Basic __datahub_system:{secret}", f"basic __datahub_system:{secret}", f"Basic __datahub_system:{secret}x",
            f"Basic datahub:{secret}", f"Basic  __datahub_system:{secret}", f"Bearer __datahub_system:{secret}", "Basic __datahub_system:",
        ]))
    if lines and fault(source, 0.1):
        lines[0] = source.choice([
            lines[0] + ",x", lines[0] + " x", lines[0] + " ", lines[0].replace(": ", ":"), lines[0].replace(": ", ":\t "), lines[0] + "\t",
            lines[0].replace(":", " :", 1), "\r\n".join([lines[0]] * 2), lines[0].replace(": ", ":\r\n "), lines[0] + "\u00e4",
        ])
    return lines


def host_field(source):
    if not fault(source, 0.1):
        return ["Host: metadata.example"]
    value = source.choice([
        "other.example", "METADATA.example", "metadata.example.", "metadata.example:8585", "metadata.example:", "metadata..example", "", "a b",
        "[::1]", "[::1]:80", "[::1", "metadata.example:x", "user@metadata.example", "metadata_x.example", "metadata.example/", "%61.example",
        "metadata.example..", ".example", "metadata.example,other.example",
    ])
    return [] if chance(source, 0.05) else [f"Host: {value}"]


def odd_fields(source, world):
    found = source.choice([
        ["Content-Length: 5", "Content-Length: 5"], ["Content-Length: 5, 5"], ["Content-Length: +5"], ["Transfer-Encoding: gzip"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked"], ["Transfer_Encoding: chunked"], ["ContentLength: 5"],
        ["Connection: close"], ["Connection: Authorization"], ["Connection: close, X-Forwarded-For"], ["Connection: content-type"],
        ["Connection: keep-alive"], ["X-A: b", "X-A: c"], ["X A: b"], ["X-A : b"], [" X-A: b"], ["X-A: b\x01"], ["X-A: b\x00"], ["X-A: \u00e9"],
        ["X-A:b\tc"], ["X-A"], [": b"], ["Host: metadata.example"], ["Ho-st: x"], ["X-Impersonate-User: ada"], ["X_Impersonate_User: ada"],
        ["X-Impersonate-User: ada", "X-Impersonate-User: bob"], ["X-Forwarded-User: root"], ["X-Forwarded-For: 10.1.2.3"],
        ["X-Impersonate-User:"], ["X-Forwarded-Host: other.example"], ["Connection: te", "TE: trailers"], ["Expect: 100-continue"],
        [f"X-{number}: x" for number in range(source.choice([3, 6, 7, 97, 98, 99]))], [f"X-{number}: x" for number in range(120)],
        ["X-A: " + "x" * 8000], ["X-A: " + "x" * 66000], ["X-A: b\nX-B: c"], ["X-A: b\r"],
        ["Transfer-Encoding: Chunked"], ["Transfer-Encoding: chunked, chunked"], ["Content-Length: 0"], ["Content-Length: 99999999999999999999"],
    ])
    if world.config["backend"] == "openmetadata" and chance(source, 0.6):
        return ["X-Impersonate-User: ada"]
    return found


def body_of(source):
    """(fields, octets) of a GraphQL request."""
    import json

    request = {"query": source.choice(GRAPHQL)}
    if chance(source, 0.15):
        request["operationName"] = source.choice(["a", "b", "missing", None, 1])
    if chance(source, 0.05):
        request[source.choice(["id", "documentId", "doc_id", "queryId", "extra"])] = source.choice(["x", None])
    if chance(source, 0.08):
        request["extensions"] = source.choice([{"persistedQuery": {}}, {"persistedQuery": None}, {"tracing": True}, {}, None])
    if chance(source, 0.1):
        request["variables"] = {"x": 1}
    text = json.dumps([request, {"query": "{ me }"}] if chance(source, 0.08) else request)
    if chance(source, 0.06):
        text = source.choice([text[:-1], text[:-1] + ', "query": "{ me }"}', "[]", "null", '"x"', "{}", "x" * 70000])
    kind = source.choice(["application/json"] * 10 + ["application/json; charset=utf-8", "Application/JSON", "text/plain", "application/graphql"])
    if kind == "application/graphql":
        text = request["query"]
    octets = text.encode()
    return [f"Content-Type: {kind}", f"Content-Length: {len(octets)}"], octets


def time_of(source, token):
    """Now, mostly; else a second before, at or after one of the token's bounds."""
    if token is None or not token.times or not fault(source, 0.6):
        return NOW
    leeway = source.choice([0, 1, 30, 30, 30, 300])
    bound = source.choice(token.times)
    return bound + source.choice([-leeway, leeway]) + source.choice([-1, 0, 1])


def request(source, world, token):
    """A request with a TokenPlan or none, as a dictionary with octets."""
    source.faults = source.choice([0, 1])
    method = source.choice(["GET"] * 8 + ["POST"] * 3 + ["PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"])
    if fault(source, 0.02):
        method = source.choice(["get", "TRACE", "CONNECT", "FOO", "G T", "G(T", ""])
    lines = [f"{method} {target_of(source, world)} {'HTTP/1.0' if chance(source, 0.01) else 'HTTP/1.1'}"]
    if fault(source, 0.006):
        lines[0] = source.choice([lines[0].replace(" ", "  ", 1), lines[0] + " ", lines[0].replace("HTTP/1", "HTTP/2"), lines[0][:-9]])
    fields = host_field(source) + credential_fields(source, world, token.text if token else None)
    body = b""
    if chance(source, 0.4 if any("graphql" in str(rule) for rule in world.config["authorization"]["rules"]) else 0.0):
        more, body = body_of(source)
        fields += more
    elif fault(source, 0.15):
        fields += odd_fields(source, world)
    if world.config["backend"] == "openmetadata" and chance(source, 0.06):
        fields.append(source.choice(["X-Impersonate-User: ada"] * 3 + ["x-impersonate-user: ada", "X-Impersonate_User: ada"]))
    if chance(source, 0.2):
        source.shuffle(fields)
    head = "\r\n".join([*lines, *fields, "", ""]).encode("latin-1", "replace")
    return {"head": head, "body": body, "source": source.choice(SOURCES), "now": time_of(source, token)}
