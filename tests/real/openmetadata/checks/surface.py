"""Paths: those that only look public, and those that the web UI needs."""


def look_alikes(stage):
    call = stage.call
    # CVE-2024-28255: releases before 1.2.4 look for the public paths anywhere in the path, also in its parameters.
    call("CVE-2024-28255, users", "GET", "/api/v1;v1%2Fusers%2Flogin/users?limit=1")
    call("CVE-2024-28255, version", "GET", "/api/v1;v1%2Fsystem%2Fversion/tables?limit=1")
    call("CVE-2024-28255, an expression", "GET",
         "/api/v1;v1%2Fusers%2Flogin/events/subscriptions/validation/condition/1")
    call("a public path with a token's endpoint below it", "GET", "/api/v1/system/config/../../users?limit=1")
    call("an encoded slash", "GET", "/api/v1/users%2Flogin/..%2Fusers")
    call("an entity with a quoted dot", "GET", "/api/v1/tables/name/shop.sales.public.%22a.b%22", token="own, ada")
    call("an entity with an encoded slash", "GET", "/api/v1/tables/name/shop.sales.public.a%2Fb", token="own, ada")


def web_ui(stage):
    call = stage.call
    for path in ("auth", "authorizer", "jwks"):
        call(f"system/config/{path}", "GET", f"/api/v1/system/config/{path}")
    call("system/version", "GET", "/api/v1/system/version")
    call("system/config/auth with an expired token", "GET", "/api/v1/system/config/auth", token="own, expired")
    call("an expired session", "GET", "/api/v1/users/loggedInUser?fields=profile,teams,roles", token="own, expired")
    # Releases up to 1.2 serve all of system/config without a token; the sign-in page asks for its logo there.
    call("the logo of the sign-in page", "GET", "/api/v1/system/config/customLogoConfiguration")
    call("is the address in use", "POST", "/api/v1/users/checkEmailInUse", body={"email": "ada@openmetadata.org"}, directly=True)
    call("permissions", "GET", "/api/v1/permissions/table", token="own, ada")
    call("search", "GET", "/api/v1/search/query?q=*&index=table_search_index&from=0&size=0", token="own, ada")
    if stage.openmetadata.has_web_ui():
        call("the page itself", "GET", "/")
        call("a page of the application", "GET", "/my-data")
    feed = "/api/v1/push/feed/?userId=00000000-0000-0000-0000-000000000000&EIO=4&transport="
    call("the feed by polling", "GET", f"{feed}polling")
    handshake = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                 ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    call("the feed by WebSocket", "GET", f"{feed}websocket", fields=handshake)
    stranger = {"firstName": "Eve", "lastName": "E", "email": "eve@openmetadata.org"}
    call("signing up needs no token", "POST", "/api/v1/users/signup", body=stranger, directly=True)
