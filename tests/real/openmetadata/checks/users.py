"""People: the basic login, personal access tokens, logout."""

import base64

# OpenMetadata's first password of its first administrator.
PASSWORD = base64.b64encode(b"admin").decode()


def login(stage):
    call = stage.call
    wrong = base64.b64encode(b"wrong").decode()
    call("a wrong password", "POST", "/api/v1/users/login", body={"email": stage.admin, "password": wrong})
    response = call("the right password", "POST", "/api/v1/users/login", body={"email": stage.admin, "password": PASSWORD})
    stage.keep("login", response, "accessToken")
    stage.refresh = response.document.get("refreshToken")
    call("who is logged in", "GET", "/api/v1/users/loggedInUser", token="login")
    call("with fields, as the web UI asks", "GET", "/api/v1/users/loggedInUser?fields=profile,teams,roles", token="login")
    call("a new user", "PUT", "/api/v1/users", token="login", body={"name": "ada", "email": "ada@openmetadata.org"})
    refreshed = call("refresh", "POST", "/api/v1/users/refresh", body={"refreshToken": stage.refresh})
    stage.expect("refresh gives a token", refreshed.document.get("accessToken", "").count(".") == 2)


def personal_access_token(stage):
    call = stage.call
    path = "/api/v1/users/security/token"
    made = call("generate", "PUT", path, token="login", body={"tokenName": "scripts", "JWTTokenExpiry": "7"})
    stage.keep("personal access token", made, "jwtToken")
    # The server remembers a user's tokens from their first use on, so that both are made before that.
    endless = call("generate one without expiry", "PUT", path, token="login", body={"tokenName": "endless", "JWTTokenExpiry": "Unlimited"})
    call("use it", "GET", "/api/v1/users/loggedInUser", token="personal access token")
    call("list tables with it", "GET", "/api/v1/tables?limit=1", token="personal access token")
    call("list the tokens", "GET", path, token="login")
    if endless.status == 200:
        stage.keep("personal access token without expiry", endless, "jwtToken")
        call("use the one without expiry", "GET", "/api/v1/users/loggedInUser", token="personal access token without expiry")
        call("use it with allowNonExpiring: accessTokens", "GET", "/api/v1/users/loggedInUser",
             token="personal access token without expiry", proxy=stage.lenient)
    names = [entry["token"] for entry in stage.server("GET", path, "login")["data"]]
    call("revoke", "PUT", f"{path}/revoke", token="login", body={"tokenIds": names})
    call("use it after that", "GET", "/api/v1/users/loggedInUser", token="personal access token")


def logout(stage):
    body = {"username": "admin", "token": stage.tokens.texts["login"], "logoutTime": 1_790_000_000_000}
    stage.call("log out", "POST", "/api/v1/users/logout", token="login", body=body)
    stage.call("use the token after that", "GET", "/api/v1/users/loggedInUser", token="login")
