"""A configuration as docs/configuration.md describes it: defaults, inheritance, and which keys belong to which issuer."""

import re
from ipaddress import ip_network

from . import keys, paths

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SIMPLE_LIST = "public-keys"
OPENMETADATA_KEYS = "/api/v1/system/config/jwks"


def seconds(text):
    """`1h30m` in seconds."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    parts = re.findall(r"(\d+)(ms|s|m|h|d)", text)
    return sum(int(number) * units[unit] for number, unit in parts)


def octets(value):
    """`64KiB` in octets."""
    number, unit = re.fullmatch(r"(\d+)(\w*)", str(value)).groups()
    return int(number) * {"": 1, "kB": 1000, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}[unit]


def texts(value):
    return value if isinstance(value, list) else [value]


class Issuer:
    """An issuer entry, or the simple list (without `iss`). What it does not set comes from `authentication`."""

    def __init__(self, entry, authentication, key_sets):
        def inherited(key, default):
            return entry.get(key, authentication.get(key, default))

        self.name = entry["name"]
        self.iss = texts(entry["issuer"]) if "issuer" in entry else []
        self.secret = entry.get("sharedSecret")
        self.algorithms = ["HS256"] if self.secret is not None else inherited("algorithms", ALGORITHMS)
        self.audiences = entry.get("audiences", [])
        self.token_types = {keys.media_type(each) for each in inherited("tokenTypes", ["JWT", "at+jwt"])}
        self.requires_token_type = inherited("requireTokenType", False)
        self.refuse = inherited("refuse", ["logoutTokens"])
        self.allow_non_expiring = inherited("allowNonExpiring", "bots")
        self.leeway = seconds(inherited("leeway", "30s"))
        lifetime = inherited("maxLifetime", None)
        self.max_lifetime = None if lifetime is None else seconds(lifetime)
        self.principal_claims = inherited("principalClaims", ["email", "preferred_username", "sub"])
        mapping = [] if "principalClaims" in entry else authentication.get("principalClaimsMapping", [])
        self.mapping = dict(each.split(":", 1) for each in mapping)
        self.roles_claim = texts(inherited("rolesClaim", "roles"))
        # The claim and its form are inherited together, or not at all.
        own = {"rolesClaim", "rolesSeparator", "rolesMember", "rolesFromKeys"} & entry.keys()
        form = entry if own else authentication
        self.roles_separator = form.get("rolesSeparator")
        self.roles_member = form.get("rolesMember")
        self.roles_from_keys = form.get("rolesFromKeys", False)
        self.require_header = entry.get("requireHeader", {})
        self.backend_tokens = entry.get("backendTokens")
        self.keys = []
        self.lists_openmetadata = False
        if "publicKeys" in entry:
            self.keys += keys.parse_set(entry["publicKeys"], openmetadata=False)
        for url in entry.get("publicKeyUrls", []):
            openmetadata = url.endswith(OPENMETADATA_KEYS)
            self.lists_openmetadata |= openmetadata
            self.keys += keys.parse_set(key_sets[url], openmetadata=openmetadata)


class Rule:
    """A rule of `authorization.rules`."""

    def __init__(self, rule):
        self.name = rule["name"]
        match = rule.get("match") or {}
        self.methods = match.get("methods")
        self.paths = None if "paths" not in match else [paths.Pattern(each) for each in match["paths"]]
        self.hosts = None if "hosts" not in match else [each.lower() for each in match["hosts"]]
        self.issuers = match.get("issuers")
        self.query = match.get("query")
        self.graphql = match.get("graphql")
        self.require = rule.get("require")
        self.networks = None
        if self.require and "sourceIps" in self.require:
            self.networks = [ip_network(each, strict=False) for each in self.require["sourceIps"]]
        self.when = rule.get("when")
        self.action = rule.get("action")
        self.reports = rule.get("mode") == "report"


class Settings:
    """A configuration (the keys of the YAML file as a dictionary) with the content of its key URLs and its revocations."""

    def __init__(self, config, key_sets=None, revocations=None):
        authentication = config.get("authentication", {})
        self.backend = config.get("backend", "generic")
        self.openmetadata = config.get("openmetadata", {})
        self.openmetadata_issuer = self.openmetadata.get("issuer", "open-metadata.org")
        self.datahub = config.get("datahub", {})
        datahub_issuer = self.datahub.get("tokenServiceIssuer", "datahub-metadata-service")
        self.own_issuers = {self.openmetadata_issuer, datahub_issuer}
        entries = list(authentication.get("issuers", []))
        if "tokenServiceSigningKey" in self.datahub:
            entries.append({
                "name": "datahub",
                "issuer": datahub_issuer,
                "sharedSecret": self.datahub["tokenServiceSigningKey"],
                "principalClaims": ["actorId", "sub"],
                "allowNonExpiring": "accessTokens",
            })
        self.issuers = [Issuer(each, authentication, key_sets or {}) for each in entries]
        self.simple_list = None
        if authentication.get("publicKeyUrls"):
            members = ("audiences", "publicKeyUrls", "backendTokens")
            entry = {"name": SIMPLE_LIST, **{key: authentication[key] for key in members if key in authentication}}
            self.simple_list = Issuer(entry, authentication, key_sets or {})
            self.simple_list.mapping = dict(each.split(":", 1) for each in authentication.get("principalClaimsMapping", []))
            if "tokenValidationAlgorithm" in authentication:
                self.simple_list.algorithms = [authentication["tokenValidationAlgorithm"]]
        self.domains = authentication.get("allowedDomains") or [authentication.get("principalDomain", "open-metadata.org")]
        self.enforces_domain = authentication.get("enforcePrincipalDomain", False)
        self.token_fields = [self.token_field(each) for each in authentication.get("tokenHeaders", ["Authorization"])]
        self.revocations = revocations or []
        self.read_authorization(config.get("authorization", {}))
        limits = config.get("limits", {})
        long_targets = self.backend.startswith("datahub")
        self.target_octets = octets(limits.get("targetBytes", "32KiB" if long_targets else "8KiB"))
        self.head_octets = octets(limits.get("headerBytes", "64KiB"))
        self.field_count = limits.get("headerCount", 100)
        self.token_octets = octets(limits.get("tokenBytes", "16KiB"))
        self.graphql_octets = octets(limits.get("graphqlBytes", "64KiB"))
        self.strip_prefix = config.get("stripPrefix")
        self.sets_actor = config.get("identity", {}).get("datahubActor", False)

    def read_authorization(self, authorization):
        self.reports = authorization.get("mode") == "report"
        self.optional = [paths.Route(each) for each in authorization.get("optional", [])]
        self.public = [paths.Route(each) for each in authorization.get("public", [])]
        self.rules = [Rule(each) for each in authorization.get("rules", [])]
        self.allows_by_default = authorization.get("default", "allow") == "allow"

    @staticmethod
    def token_field(value):
        """(name in lower case, scheme in lower case or None, whether padding is allowed)"""
        entry = {"name": value} if isinstance(value, str) else value
        name = entry["name"].lower()
        scheme = entry.get("scheme", "Bearer" if name == "authorization" else None)
        return name, scheme.lower() if scheme else None, entry.get("padded", False)
