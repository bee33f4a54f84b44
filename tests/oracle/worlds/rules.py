"""Random rules, with every matcher."""

PATHS = [
    "/api/v1/**", "/api/v1/tables", "/api/v1/tables/*", "/api/v1/tables/**", "/api/v1/policies/**", "/api/v1/*/x", "/**",
    "/docs/**", "/docs/*", "/api/*/policies/**", "/push/feed/**", "/api/v1/tables/*/columns", "/",
    "/api/v1/policies", "/api/v1/policies/y", "/docs", "/docs/a", "/status", "/api/v1/tables/x",
]
WHENS = [
    "claims.level > 3", "!claims.isBot", "has(claims.isBot) && claims.isBot", 'token.roles.exists(r, r == "Admin")',
    'request.path.startsWith("/api")', 'claims.groups.all(g, size(g) < 7)', 'claims.team in ["a", "b"]',
    "size(token.scopes) > 1", 'request.query.action[0] == "x"', "claims.name.first == 'Ada'", 'token["class"] == "bot"',
    'request.method in ["GET", "HEAD"] || "Admin" in token.roles', 'claims.level == 4', 'claims.level != "4"',
    'request.host == "metadata.example"', 'claims.sub.matches("^a[bd]a$")', "has(claims.level) ? claims.level >= 4 : true",
    'token.principal == "ada"', 'token.issuer == "okta"', 'request.sourceIp.startsWith("10.")',
    'claims.groups.filter(g, g.startsWith("t")).size() == 1', 'claims.groups.exists_one(g, g == "team")',
    'claims.roles[0] == "Admin"', 'claims.level + 1 == 5', "claims.missing.x || true", "true || claims.missing",
    "claims.missing == 1 && false", 'string(claims.level) == "4"', "int(claims.level) == 4",
    'claims.sub.lowerAscii() == "ada"', 'claims.email.split("@")[1] == "example.org"', 'claims.email.indexOf("@") > 2',
    'token.audiences.size() > 0 && token.audiences[0] == "openmetadata"', "claims.level / 0 == 1",
    'claims.groups.map(g, size(g)) == [4, 5]', 'token.iss.endsWith("example")', "-claims.level < 0", "claims.isBot == true",
]
SOURCES = [["10.0.0.0/8"], ["192.0.2.1"], ["fd00::/8", "10.1.2.0/24"], ["127.0.0.1"]]
ROLES = ["Admin", "admin", "Reader", "Data Steward", "team"]
SCOPES = ["datahub.read", "datahub.write", "read"]


def some(source, items, low=1, high=2):
    return source.sample(items, min(len(items), source.randint(low, high)))


def issuers(source, world):
    known = [each for entry in world.entries for each in [entry["name"], *entry["iss"]]]
    return some(source, known)


def claims(source):
    return source.choice([
        {"email_verified": ["true"]}, {"level": ["4"]}, {"level": ["3", "4"]}, {"groups": ["Admin", "team"]}, {"team": ["a", "b"]}, {"name.first": ["Ada"]}, {"/name/first": ["Ada"]},
        {"groups": ["team"]}, {"level": ["4", "4.0"], "team": ["a"]}, {"a.b": ["x"]}, {"realm_access.roles": ["Admin"]},
    ])


def match(source, world):
    found = {}
    if source.random() < 0.35:
        found["methods"] = some(source, ["GET", "HEAD", "POST", "PUT", "DELETE"], 1, 3)
    if source.random() < 0.7:
        found["paths"] = some(source, PATHS)
    if source.random() < 0.12:
        found["hosts"] = some(source, ["metadata.example", "other.example", "Metadata.Example"])
    if source.random() < 0.2:
        found["issuers"] = issuers(source, world)
    if source.random() < 0.25:
        found["query"] = source.choice([
            {"action": ["x", "ingest*"]}, {"action": ["*"]}, {"a b": ["1"]}, {"action": ["x y", "y"]}, {"action": ["x"], "kind": ["*z"]}, {"ä": ["ü"]},
        ])
    if source.random() < 0.15:
        graphql = {}
        if source.random() < 0.6:
            graphql["operations"] = some(source, ["query", "mutation", "subscription"])
        if source.random() < 0.6:
            graphql["fields"] = some(source, ["createAccessToken", "remove*", "me", "*Token*", "__schema"])
        if not graphql:
            graphql["operations"] = ["mutation"]
        if source.random() < 0.4:
            graphql["unreadable"] = source.choice(["deny", "skip"])
        found["graphql"] = graphql
    return found


def require(source, world):
    makers = {
        "anyRole": lambda: some(source, ROLES),
        "allRoles": lambda: some(source, ROLES),
        "anyScope": lambda: some(source, SCOPES),
        "allScopes": lambda: some(source, SCOPES),
        "tokenType": lambda: some(source, ["user", "bot", "personal_access", "session", "service_account"]),
        "principals": lambda: some(source, ["ada", "a*", "*@example.org", "bot", "ada@example.org", "*", "a*a"]),
        "issuers": lambda: issuers(source, world),
        "audiences": lambda: some(source, ["openmetadata", "api://default"]),
        "claims": lambda: claims(source),
        "sourceIps": lambda: source.choice(SOURCES),
    }
    keys = ["claims"] if source.random() < 0.2 else some(source, list(makers), 1, 2)
    return {key: makers[key]() for key in keys}


def rule(source, world, number):
    found = {"name": f"rule-{number}"}
    if source.random() < 0.9:
        found["match"] = match(source, world)
    draw = source.random()
    if draw < 0.4:
        found["action"] = source.choice(["allow", "deny"])
    elif draw < 0.8:
        found["require"] = require(source, world)
    if draw >= 0.8 or source.random() < 0.25:
        found["when"] = source.choice(WHENS)
    if source.random() < 0.1:
        found["mode"] = "report"
    return found


def rules(source, world):
    return [rule(source, world, number) for number in range(source.choice([0, 1, 2, 3, 4, 5]))]
