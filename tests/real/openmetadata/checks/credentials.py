"""Fields by which a client could be somebody else."""

LOGGED_IN = "/api/v1/users/loggedInUser"


def impersonation(stage):
    bot = "ingestion-bot, at last"
    stage.call("a bot as a user", "GET", LOGGED_IN, token=bot, fields=[("X-Impersonate-User", "ada")])
    stage.call("a bot as an administrator", "GET", LOGGED_IN, token=bot, fields=[("X-Impersonate-User", "admin")])
    stage.call("a user as an administrator", "GET", LOGGED_IN, token="own, ada", fields=[("X-Impersonate-User", "admin")])
    stage.call("a replaced bot token as a user", "GET", LOGGED_IN, token="ingestion-bot, generated", fields=[("X-Impersonate-User", "ada")])
    stage.call("another key's token with isBot", "GET", LOGGED_IN, token="second key, isBot", fields=[("X-Impersonate-User", "admin")])
    stage.call("a bot that is allowed to", "GET", LOGGED_IN, token=bot, fields=[("X-Impersonate-User", "ada")], proxy=stage.lenient)
    stage.call("on an endpoint for credentials", "PUT", "/api/v1/users/security/token", token=bot,
               fields=[("X-Impersonate-User", "admin")], body={"tokenName": "stolen", "JWTTokenExpiry": "7"}, proxy=stage.lenient)


def smuggled(stage):
    stage.call("X-Auth-Params-Email", "GET", LOGGED_IN, token="own, ada", fields=[("X-Auth-Params-Email", stage.admin)])
    stage.call("the same without a token", "GET", LOGGED_IN, fields=[("X-Auth-Params-Email", stage.admin)])
    stage.call("a forwarded user", "GET", LOGGED_IN, token="own, ada", fields=[("X-Forwarded-User", "admin")])
    stage.call("a cookie", "GET", LOGGED_IN, fields=[("Cookie", "OM_SESSION=abc")])
