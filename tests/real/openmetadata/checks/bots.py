"""`How to Set Up Bots`, step by step."""

# Of a database that does not exist.
PASSWORD = "a-secret"


def ingestion_bot(stage):
    call = stage.call
    bot = call("open ingestion-bot", "GET", "/api/v1/bots/name/ingestion-bot", token="login").document
    stage.bot = bot["botUser"]["id"]
    token = call("copy the generated token", "GET", f"/api/v1/users/token/{stage.bot}", token="login")
    stage.keep("ingestion-bot", token, "JWTToken")
    call("who it is", "GET", "/api/v1/users/loggedInUser", token="ingestion-bot")
    ingest(stage, "ingestion-bot")
    call("delete the bot, which is a system bot", "DELETE", f"/api/v1/bots/{bot['id']}", token="login")


def ingest(stage, token):
    """What an ingestion pipeline does: a service, a database, a schema, a table."""
    call = stage.call
    connection = {"config": {"type": "Mysql", "username": "reader", "hostPort": "db.test:3306", "authType": {"password": PASSWORD}}}
    service = {"name": "shop", "serviceType": "Mysql", "connection": connection}
    call("a service", "PUT", "/api/v1/services/databaseServices", token=token, body=service)
    call("a database", "PUT", "/api/v1/databases", token=token, body={"name": "sales", "service": "shop"})
    call("a schema", "PUT", "/api/v1/databaseSchemas", token=token, body={"name": "public", "database": "shop.sales"})
    call("a table", "PUT", "/api/v1/tables", token=token, body=stage.table())
    call("read the table by name", "GET", "/api/v1/tables/name/shop.sales.public.orders", token=token)


def use(stage, step, token):
    stage.call(f"{step}: read", "GET", "/api/v1/users/loggedInUser", token=token)
    stage.call(f"{step}: write", "PUT", "/api/v1/tables", token=token, body=stage.table())


def revoke_and_generate(stage):
    call = stage.call
    call("revoke", "PUT", "/api/v1/users/revokeToken", token="login", body={"id": stage.bot})
    use(stage, "the revoked token", "ingestion-bot")
    made = call("generate, unlimited", "PUT", f"/api/v1/users/generateToken/{stage.bot}", token="login", body={"JWTTokenExpiry": "Unlimited"})
    stage.keep("ingestion-bot, generated", made, "JWTToken")
    use(stage, "the generated token", "ingestion-bot, generated")
    call("the revoked token still", "GET", "/api/v1/users/loggedInUser", token="ingestion-bot")


def generate_again(stage):
    call = stage.call
    made = call("generate, one hour", "PUT", f"/api/v1/users/generateToken/{stage.bot}", token="login", body={"JWTTokenExpiry": "OneHour"})
    stage.keep("ingestion-bot, generated again", made, "JWTToken")
    call("the new token at once", "GET", "/api/v1/users/loggedInUser", token="ingestion-bot, generated again")
    call("the replaced token at once", "GET", "/api/v1/users/loggedInUser", token="ingestion-bot, generated")
    # As the page says: revoke first. The server then forgets what it remembers of the bot.
    call("revoke", "PUT", "/api/v1/users/revokeToken", token="login", body={"id": stage.bot})
    made = call("generate, unlimited", "PUT", f"/api/v1/users/generateToken/{stage.bot}", token="login", body={"JWTTokenExpiry": "Unlimited"})
    stage.keep("ingestion-bot, at last", made, "JWTToken")
    call("the last token", "GET", "/api/v1/users/loggedInUser", token="ingestion-bot, at last")
    call("the replaced token after that", "GET", "/api/v1/users/loggedInUser", token="ingestion-bot, generated")


def new_bot(stage):
    call = stage.call
    mechanism = {"authType": "JWT", "config": {"JWTTokenExpiry": "7"}}
    user = {"name": "lineage-bot", "email": "lineage-bot@openmetadata.org", "isBot": True, "authenticationMechanism": mechanism}
    made = call("its user", "PUT", "/api/v1/users", token="login", body=user)
    bot = {"name": "lineage-bot", "botUser": "lineage-bot"}
    call("the bot", "POST", "/api/v1/bots", token="login", body=bot)
    token = call("copy its token", "GET", f"/api/v1/users/token/{made.document['id']}", token="login")
    stage.keep("lineage-bot", token, "JWTToken")
    call("who it is", "GET", "/api/v1/users/loggedInUser", token="lineage-bot")
    call("a table, without a role", "PUT", "/api/v1/tables", token="lineage-bot", body=stage.table("lineage"))
    call("a user asks for its token", "GET", f"/api/v1/users/token/{made.document['id']}", token="lineage-bot")
