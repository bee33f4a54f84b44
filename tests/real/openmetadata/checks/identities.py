"""Tokens that OpenMetadata did not issue, signed with keys that it is told to trust."""

from keys import lifetime

from .bots import PASSWORD

BOT = {"sub": "ingestion-bot", "email": "ingestion-bot@openmetadata.org"}
LOGGED_IN = "/api/v1/users/loggedInUser"


def single_sign_on(stage):
    sign = stage.pairs["sso"].sign
    ada = {"iss": "https://id.example", "aud": "openmetadata", "sub": "00u1", "email": "ada@openmetadata.org", **lifetime()}
    stage.add("SSO, ada", sign(ada))
    stage.call("a user", "GET", LOGGED_IN, token="SSO, ada")
    stage.call("her tables", "GET", "/api/v1/tables?limit=1", token="SSO, ada")
    stage.add("SSO, preferred_username", sign({**{k: v for k, v in ada.items() if k != "email"}, "preferred_username": "ada"}))
    stage.call("by preferred_username", "GET", LOGGED_IN, token="SSO, preferred_username")
    stage.add("SSO, another audience", sign({**ada, "aud": "somebody-else"}))
    stage.call("a token for another application", "GET", LOGGED_IN, token="SSO, another audience")
    stage.add("SSO, stranger", sign({**ada, "sub": "00u2", "email": "grace@example.com"}))
    stage.call("a user that OpenMetadata does not know", "GET", LOGGED_IN, token="SSO, stranger")
    stage.add("SSO, expired", sign({**ada, "iat": ada["iat"] - 7200, "exp": ada["iat"] - 3600}))
    stage.call("an expired token", "GET", LOGGED_IN, token="SSO, expired")
    stage.add("SSO, no exp", sign({k: v for k, v in ada.items() if k != "exp"}))
    stage.call("a token without exp", "GET", LOGGED_IN, token="SSO, no exp")
    stage.add("SSO, before nbf", sign({**ada, "nbf": ada["exp"]}))
    stage.call("a token before its nbf", "GET", LOGGED_IN, token="SSO, before nbf")


def second_key_as_bot(stage):
    sign = stage.pairs["second"].sign
    claims = {"iss": "https://metagate.example/backend", **BOT, **lifetime(300)}
    stage.add("second key, ingestion-bot", sign(claims))
    stage.call("loggedInUser", "GET", LOGGED_IN, token="second key, ingestion-bot")
    stage.call("PUT tables", "PUT", "/api/v1/tables", token="second key, ingestion-bot", body=stage.table("minted"))
    service = stage.call("a secret of a service, which only bots see", "GET", "/api/v1/services/databaseServices/name/shop", token="second key, ingestion-bot")
    stage.expect("the secret is in clear", service.document["connection"]["config"]["authType"]["password"] == PASSWORD)
    stage.call("what only administrators may", "PUT", f"/api/v1/users/generateToken/{stage.bot}", token="second key, ingestion-bot",
               body={"JWTTokenExpiry": "OneHour"})
    stage.add("second key, sub only", sign({k: v for k, v in claims.items() if k != "email"}))
    stage.call("by sub alone", "GET", LOGGED_IN, token="second key, sub only")
    stage.add("second key, isBot false", sign({**claims, "isBot": False, "tokenType": "OM_USER"}))
    stage.call("with isBot false", "PUT", "/api/v1/tables", token="second key, isBot false", body=stage.table("minted"))
    stage.add("second key, tokenType BOT", sign({**claims, "tokenType": "BOT"}))
    stage.call("with tokenType BOT", "GET", LOGGED_IN, token="second key, tokenType BOT")
    stage.add("second key, isBot", sign({**claims, "isBot": True}))
    stage.call("with isBot", "GET", LOGGED_IN, token="second key, isBot")
    stage.add("second key, PERSONAL_ACCESS", sign({**claims, "tokenType": "PERSONAL_ACCESS"}))
    stage.call("with tokenType PERSONAL_ACCESS", "GET", LOGGED_IN, token="second key, PERSONAL_ACCESS")
    stage.add("second key, own issuer", sign({**claims, "iss": "open-metadata.org"}))
    stage.call("with OpenMetadata's own issuer", "GET", LOGGED_IN, token="second key, own issuer")
    stage.call("the stored token of the bot still", "GET", LOGGED_IN, token="ingestion-bot, at last")


def bound_to_the_issuer(stage):
    """The entry of docs/providers.md takes OpenMetadata's own tokens and no others."""
    for token in ("login", "ingestion-bot, at last", "own, ada", "second key, ingestion-bot", "second key, own issuer", "SSO, ada"):
        stage.call(token, "GET", LOGGED_IN, token=token, proxy=stage.bound)


def second_key_as_admin(stage):
    claims = {"iss": "https://metagate.example/backend", "sub": "admin", "email": stage.admin, **lifetime(300)}
    stage.add("second key, admin", stage.pairs["second"].sign(claims))
    stage.call("loggedInUser", "GET", LOGGED_IN, token="second key, admin")
    stage.call("the stored token of ingestion-bot", "GET", f"/api/v1/users/token/{stage.bot}", token="second key, admin")
