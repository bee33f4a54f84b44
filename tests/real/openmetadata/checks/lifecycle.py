"""OpenMetadata ends and starts again, and metagate starts before it, as a sidecar does."""

LOGGED_IN = "/api/v1/users/loggedInUser"


def restart(stage):
    stage.openmetadata.close()
    stage.call("OpenMetadata is down", "GET", LOGGED_IN, token="own, ada", is_down=True)
    early = stage.another_gateway("early")
    stage.expect("metagate is alive before OpenMetadata", early.status("/livez") == 200)
    stage.expect("and becomes ready: OpenMetadata's own key set is not waited for", early.becomes_ready())
    stage.call("a metagate that started before it, an SSO token", "GET", LOGGED_IN, token="SSO, ada", is_down=True, proxy=early)
    stage.call("a metagate that started before it, a bot's token", "GET", LOGGED_IN, token="ingestion-bot, at last", is_down=True, proxy=early)
    stage.openmetadata.start()
    stage.call("OpenMetadata is back", "GET", LOGGED_IN, token="own, ada")
    stage.call("OpenMetadata is back, the bot", "PUT", "/api/v1/tables", token="ingestion-bot, at last", body=stage.table())
    after = stage.call("the early metagate, the bot", "GET", LOGGED_IN, token="ingestion-bot, at last", is_down=True, proxy=early)
    stage.expect("the early metagate has found the keys", after.status == 200)
