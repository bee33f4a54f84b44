"""401 and 403: metagate's texts beside the server's own."""

from keys import lifetime, url64

LOGGED_IN = "/api/v1/users/loggedInUser"


def documented_errors(stage):
    """The table of the page: missing, invalid, expired, insufficient permissions."""
    call = stage.call
    call("missing token", "GET", "/api/v1/tables")
    call("invalid token", "GET", "/api/v1/tables", fields=[("Authorization", "Bearer not-a-token")])
    claims = {"iss": "open-metadata.org", "sub": "ada", "email": "ada@openmetadata.org", "isBot": False, "tokenType": "OM_USER"}
    stage.add("own, expired", stage.pairs["own"].sign({**claims, **lifetime(-60)}))
    call("expired token", "GET", "/api/v1/tables", token="own, expired")
    stage.add("own, ada", stage.pairs["own"].sign({**claims, **lifetime()}))
    call("insufficient permissions", "DELETE", f"/api/v1/tables/{stage.table_id()}", token="own, ada", directly=True)


def permissions(stage):
    """403 is the server's own word, which metagate passes on as it is."""
    call = stage.call
    call("create a user", "PUT", "/api/v1/users", token="own, ada", body={"name": "eve", "email": "eve@openmetadata.org"}, directly=True)
    call("generate a bot's token", "PUT", f"/api/v1/users/generateToken/{stage.bot}", token="own, ada", body={"JWTTokenExpiry": "OneHour"}, directly=True)
    call("read a bot's token", "GET", f"/api/v1/users/token/{stage.bot}", token="own, ada")
    call("the secret of a service is masked", "GET", "/api/v1/services/databaseServices/name/shop", token="own, ada")
    call("a table that is not there", "GET", "/api/v1/tables/name/shop.sales.public.none", token="own, ada")
    call("a body that is no JSON", "PUT", "/api/v1/tables", token="ingestion-bot, at last", body=b"{", directly=True)


def bad_tokens(stage):
    own, second = stage.pairs["own"], stage.pairs["second"]
    claims = {"iss": "open-metadata.org", "sub": "ada", "email": "ada@openmetadata.org", **lifetime()}
    good = own.sign(claims)
    head, payload, signature = good.split(".")
    unsigned = url64(b'{"alg":"none"}')
    cases = {
        "a changed payload": (f"{head}.{own.sign({**claims, 'sub': 'admin'}).split('.')[1]}.{signature}", "none"),
        "a changed signature": (f"{head}.{payload}.{signature[:-8]}AAAAAAAA", "none"),
        "another key's signature under this kid": (second.sign(claims, kid=own.kid), "second"),
        "an unknown kid": (own.sign(claims, kid="nobody"), "own"),
        "no kid": (own.sign(claims, kid=None), "own"),
        "alg none": (f"{unsigned}.{payload}.", "none"),
        "no principal": (own.sign({"iss": "open-metadata.org", **lifetime()}), "own"),
    }
    for step, (text, key) in cases.items():
        stage.add(step, text, key)
        stage.call(step, "GET", LOGGED_IN, token=step)
    stage.add("own, for the fields", good)
    bearer = "<token own, for the fields>"
    stage.call("Basic", "GET", LOGGED_IN, fields=[("Authorization", "Basic YWRtaW46YWRtaW4=")])
    stage.call("Bearer alone", "GET", LOGGED_IN, fields=[("Authorization", "Bearer")])
    stage.call("bearer in lower case", "GET", LOGGED_IN, fields=[("Authorization", f"bearer {bearer}")])
    stage.call("two Authorization fields", "GET", LOGGED_IN, fields=[("Authorization", f"Bearer {bearer}"), ("Authorization", f"Bearer {bearer}")])
    stage.call("the token in the query", "GET", f"{LOGGED_IN}?access_token=abc")
