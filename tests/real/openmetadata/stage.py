"""Everything that runs for the checks: database, search engine, key servers, OpenMetadata, metagate."""

import contextlib
import json
import pathlib
import re
import subprocess

from exchange import Recorder, Tokens, send
from keys import KeyServer, Pair
from proxy import Proxy
from relay import Relay
from server import Database, OpenMetadata, SearchEngine, free_port


PROVIDERS = pathlib.Path(__file__).resolve().parents[3] / "docs" / "providers"

# Issuers of the token exchange: the `iss` of workloads' tokens, and of those that metagate mints.
WORKLOADS = "https://workloads.example"
MINT_ISSUER = "https://metagate.example/backend"


def snippet(name):
    """A `yaml` block of the pages in docs/providers."""
    pages = "".join(page.read_text() for page in PROVIDERS.glob("*.md"))
    found = re.search(rf"<!-- snippet: {name} -->\n```yaml\n(.*?)```", pages, re.DOTALL)
    if not found:
        raise SystemExit(f"{PROVIDERS} has no snippet {name}")
    return found[1]


class Unusable(Exception):
    """A response without which a check cannot go on."""


class Stage:
    """Starts it all in `root`; `close` ends it all."""

    def __init__(self, metagate, release, root, java, report):
        self.report, self.root, self.metagate = report, root, metagate
        self.bot = self.refresh = self.admin = None
        self.expectations, self.proxies = [], []
        self.open = contextlib.ExitStack()
        try:
            self.start(release, java)
        except BaseException:
            self.open.close()
            raise

    def start(self, release, java):
        self.pairs = {name: Pair(self.root, f"{name}-key") for name in ("own", "sso", "second", "workloads")}
        servers = self.key_servers = [self.opened(KeyServer(self.pairs[name])) for name in ("sso", "second")]
        search = self.opened(SearchEngine())
        self.report("PostgreSQL starts")
        database = self.opened(Database(self.root))
        port = free_port()
        self.minting_gateway(port)
        self.openmetadata = OpenMetadata(
            release, self.root, database, search, self.pairs["own"], [server.url for server in servers],
            [f"http://127.0.0.1:{self.minting.health}/mint/jwks.json"], port, java,
        )
        self.report("OpenMetadata creates its tables")
        self.openmetadata.migrate()
        self.report("OpenMetadata starts")
        self.open.callback(self.openmetadata.close)
        self.version = self.openmetadata.start()["version"]
        self.gateways()
        self.tokens = Tokens({pair.kid: name for name, pair in self.pairs.items()})
        self.recorder = Recorder(self.proxy, self.openmetadata.port, self.tokens)
        self.call = self.recorder.call
        self.admin = self.administrator()

    def gateway(self, name, settings, config=None):
        upstream = f"http://127.0.0.1:{self.openmetadata.port}"
        proxy = self.opened(Proxy(self.metagate, self.root, name, upstream, settings, config))
        self.proxies.append(proxy)
        return proxy

    def minting_gateway(self, port):
        """The metagate of docs/exchange.md. It is there before OpenMetadata, which is told where its keys are."""
        self.workload_keys = self.opened(KeyServer(self.pairs["workloads"]))
        self.relay = self.opened(Relay(port))
        self.mint_key = self.root / "mint" / "1.pem"
        self.mint_key.parent.mkdir(mode=0o700)
        subprocess.run([self.metagate, "mint", "init", self.mint_key], check=True, capture_output=True)
        self.own_keys = f"http://127.0.0.1:{port}/api/v1/system/config/jwks"
        self.minting = self.opened(
            Proxy(self.metagate, self.root, "minting", self.relay.url, {}, self.minting_config([self.mint_key])),
        )
        self.proxies.append(self.minting)

    def minting_config(self, key_files, mappings=()):
        """`mappings`: subject, user and email of each entry of `exchange`."""
        document = {
            "backend": "openmetadata",
            "authentication": {"issuers": [
                {"name": "workloads", "issuer": WORKLOADS, "audiences": ["metagate"], "publicKeyUrls": [self.workload_keys.url]},
                {"name": "openmetadata", "issuer": "open-metadata.org", "publicKeyUrls": [self.own_keys]},
            ]},
            "mint": {"issuer": MINT_ISSUER, "keyFiles": [str(file) for file in key_files]},
        }
        if mappings:
            document["exchange"] = [
                {"name": subject, "from": {"issuer": "workloads", "subjects": [subject]}, "as": {"user": user, "email": email}}
                for subject, user, email in mappings
            ]
        # JSON is YAML.
        return json.dumps(document, indent=1)

    def gateways(self):
        # A sidecar that shares OpenMetadata's own variables, as its documents set them.
        shared = {"AUTHENTICATION_PUBLIC_KEYS": self.openmetadata.shared_key_urls, "AUTHENTICATION_PROVIDER": "basic"}
        documented = self.documented = {"METAGATE_BACKEND": "openmetadata", **shared}
        self.proxy = self.gateway("documented", documented)
        # The same with two choices that are not the defaults.
        choices = {"METAGATE_OPENMETADATA__IMPERSONATION__BOTS": "[ingestion-bot]", "METAGATE_AUTHENTICATION__ALLOW_NON_EXPIRING": "accessTokens"}
        self.lenient = self.gateway("lenient", {**documented, **choices})
        # The entry of docs/providers.md.
        own = f"http://127.0.0.1:{self.openmetadata.port}"
        self.bound = self.gateway("bound", {}, snippet("openmetadata").replace("http://localhost:8585", own))

    def another_gateway(self, name):
        """One more with the documented configuration."""
        return self.gateway(name, self.documented)

    def opened(self, part):
        self.open.callback(part.close)
        return part

    def administrator(self):
        """The address of the first administrator, whose domain changed between versions."""
        from checks.users import PASSWORD
        for domain in ("openmetadata.org", "open-metadata.org"):
            body = {"email": f"admin@{domain}", "password": PASSWORD}
            if send(self.openmetadata.port, "POST", "/api/v1/users/login", body=body).status == 200:
                return body["email"]
        raise SystemExit("the first administrator cannot log in")

    def server(self, method, path, token, body=None):
        """The server's own response as JSON, past metagate and unrecorded."""
        return send(self.openmetadata.port, method, path, self.recorder.authorization(token), body).document

    def keep(self, name, response, member):
        """Keeps a token that the server gave out."""
        document = response.document
        text = document.get(member) if isinstance(document, dict) else None
        if not text or text.count(".") != 2:
            raise Unusable(f"no {member} in {response.status} {response.text[:200]!r}")
        return self.tokens.add(name, text)

    def add(self, name, text, key=None):
        return self.tokens.add(name, text, key)

    def expect(self, what, holds):
        """What no trace can say."""
        self.expectations.append((f"{self.recorder.check}: {what}", bool(holds)))

    def table(self, name="orders"):
        return {"name": name, "databaseSchema": "shop.sales.public", "columns": [{"name": "id", "dataType": "BIGINT"}]}

    def table_id(self):
        return self.server("GET", "/api/v1/tables/name/shop.sales.public.orders", "login")["id"]

    def leaks(self):
        """The tokens that metagate printed."""
        printed = "".join(proxy.printed() for proxy in self.proxies)
        return [name for name, text in self.tokens.texts.items() if text.split(".")[2] and text.split(".")[2] in printed]

    def trace(self):
        """The lines to record: what was started, the tokens, the exchanges."""
        about = {"server": "OpenMetadata", "version": self.version, "publicKeyUrls": ["sso", "second", "own"]}
        lines = [about, *self.tokens.described, *self.recorder.exchanges]
        return [json.dumps(line, sort_keys=True) for line in lines]

    def close(self):
        self.open.close()
