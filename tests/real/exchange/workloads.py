"""Where workloads get their tokens: a stand-in for the API server and the kubelet of a cluster, and a token endpoint."""

import contextlib
import http.server
import json
import socket
import ssl
import threading
import time
import urllib.parse
import uuid

from relay import Relay
from tokens import RsaKey, openssl, url64

CLUSTER = "https://kubernetes.default.svc.cluster.local"
PROVIDER = "https://idp.test/oauth2/default"
AUDIENCE = "metagate"
HOUR = 3600


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that closes its connection is no fault."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def send(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (("Content-Type", "application/json"), ("Content-Length", str(len(data)))):
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.send(*self.server.owner.get(self.path, self.headers.get("Authorization")))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.send(*self.server.owner.post(self.path, dict(urllib.parse.parse_qsl(body))))

    def log_message(self, *_):
        pass


class Issuer:
    """Keys that can be replaced, and the tokens that they sign."""

    def __init__(self, root, name):
        self.root, self.name, self.issued = root, name, []
        self.keys = [RsaKey(root, f"{name}-1")]
        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.owner = self
        self.start()

    def start(self):
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def jwks(self):
        return {"keys": [jwk for key in self.keys for jwk in key.jwks()["keys"]]}

    def next_key(self):
        """A further key, which signs from then on."""
        self.keys.append(RsaKey(self.root, f"{self.name}-{len(self.keys) + 1}"))

    def sign(self, claims):
        now, key = int(time.time()), self.keys[-1]
        claims = {"iat": now, "nbf": now, "exp": now + HOUR, "jti": str(uuid.uuid4())} | claims
        header = {"alg": "RS256", "typ": "JWT", "kid": key.kid}
        signed = ".".join(url64(json.dumps(part).encode()) for part in (header, claims))
        self.issued.append(f"{signed}.{url64(key.sign(signed.encode()))}")
        return self.issued[-1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Cluster(Issuer):
    """Shows its keys only to pods, over TLS with its own authority. `token_file` is what the kubelet writes for a job."""

    def __init__(self, root):
        self.ca_file, self.token_file, self.pod_file = root / "ca.crt", root / "job-token", root / "pod-token"
        super().__init__(root, "cluster")
        own = {"aud": [CLUSTER], **self.account("metagate")}
        self.pod_file.write_text(self.sign(own))
        self.url = f"https://127.0.0.1:{self.port}"

    def start(self):
        key, request, leaf = (self.root / f"api-server.{suffix}" for suffix in ("key", "csr", "crt"))
        new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl(*new, "-x509", "-days", 1, "-keyout", self.root / "ca.key", "-out", self.ca_file, "-subj", "/CN=cluster")
        openssl(*new, "-keyout", key, "-out", request, "-subj", "/CN=kubernetes", "-addext", "subjectAltName=IP:127.0.0.1")
        openssl("x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", self.root / "ca.key", "-CAcreateserial", "-days", 1,
                "-copy_extensions", "copy", "-out", leaf)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        super().start()

    @staticmethod
    def account(name):
        about = {"namespace": "metadata", "serviceaccount": {"name": name, "uid": str(uuid.uuid4())}}
        return {"iss": CLUSTER, "sub": f"system:serviceaccount:metadata:{name}", "kubernetes.io": about}

    def get(self, path, authorization):
        if authorization != f"Bearer {self.pod_file.read_text()}":
            return 401, {"kind": "Status", "status": "Failure", "code": 401}
        return (200, self.jwks()) if path == "/openid/v1/jwks" else (404, {})

    def deliver(self, name="ingestion", audience=AUDIENCE):
        """A new token in the file, put there as the kubelet does it."""
        following = self.token_file.with_suffix(".next")
        following.write_text(self.sign({"aud": [audience], **self.account(name)}) + "\n")
        following.rename(self.token_file)
        return self.issued[-1]


class Provider(Issuer):
    """Client credentials (RFC 6749 section 4.4). Its tokens live for `seconds`."""

    client, secret, seconds = "airflow", "a-secret-of-the-client", 30

    def __init__(self, root):
        super().__init__(root, "provider")
        self.endpoint, self.keys_url = (f"http://127.0.0.1:{self.port}/{path}" for path in ("token", "keys"))

    def get(self, path, _):
        return (200, self.jwks()) if path == "/keys" else (404, {})

    def post(self, path, form):
        good = {"grant_type": "client_credentials", "client_id": self.client, "client_secret": self.secret}
        if path != "/token" or any(form.get(name) != value for name, value in good.items()):
            return 401, {"error": "invalid_client"}
        claims = {"iss": PROVIDER, "sub": self.client, "cid": self.client, "aud": form.get("audience")}
        token = self.sign(claims | {"exp": int(time.time()) + self.seconds})
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": self.seconds}


class Delivery(Relay):
    """Between the job and metagate. Calls `on_refusal` once, just before the job sees a 401."""

    on_refusal, refusals = None, 0

    def relay(self, client):
        with client, contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.target)) as server:
                back = threading.Thread(target=self.copy, args=(server, client, self.look), daemon=True)
                back.start()
                self.copy(client, server)
                back.join()

    def look(self, data):
        if data.startswith(b"HTTP/1.1 401 "):
            self.refusals += 1
            event, self.on_refusal = self.on_refusal, None
            if event:
                event()
