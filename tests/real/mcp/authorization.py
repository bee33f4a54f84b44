"""A small authorization server (RFC 8414, RFC 7591, RFC 7636, RFC 8707): it registers every client, and asks nobody."""

import base64
import hashlib
import http.server
import json
import pathlib
import secrets
import tempfile
import threading
import time
import urllib.parse

from tokens import RsaKey, Tokens


class AuthorizationServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="metagate-mcp-")
        root = pathlib.Path(self.directory.name)
        self.key, self.tokens = RsaKey(root, "login-1"), Tokens("generic", root)
        # What was asked for, by code; and every request, in order.
        self.granted, self.asked = {}, []
        super().__init__(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def metadata(self):
        at = lambda path: f"{self.issuer}{path}"
        return {
            "issuer": self.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "registration_endpoint": at("/register"), "jwks_uri": at("/keys"), "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"], "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
        }

    def token(self, asked):
        now = int(time.time())
        claims = {
            "iss": self.issuer, "sub": "ada", "email": "ada@login.test", "aud": asked["resource"], "scope": asked["scope"],
            "iat": now, "exp": now + 600,
        }
        return self.tokens.rs256(self.key, claims)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def reply(self, status, body=None, **fields):
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **fields}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        self.server.asked.append(url.path)
        match url.path:
            case "/.well-known/oauth-authorization-server":
                self.reply(200, self.server.metadata())
            case "/keys":
                self.reply(200, self.server.key.jwks())
            case "/authorize":
                code = secrets.token_urlsafe()
                self.server.granted[code] = query
                answer = urllib.parse.urlencode({"code": code, "state": query["state"]})
                self.reply(302, Location=f"{query['redirect_uri']}?{answer}")
            case _:
                self.reply(404, {"error": "not_found"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        if self.path == "/register":
            return self.reply(201, json.loads(body) | {"client_id": "client-1", "token_endpoint_auth_method": "none"})
        form = dict(urllib.parse.parse_qsl(body.decode()))
        asked = self.server.granted.pop(form.get("code"), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not asked or challenge != asked["code_challenge"] or form.get("resource") != asked.get("resource"):
            return self.reply(400, {"error": "invalid_grant"})
        self.reply(200, {
            "access_token": self.server.token(asked), "token_type": "Bearer", "expires_in": 600, "scope": asked["scope"],
        })
