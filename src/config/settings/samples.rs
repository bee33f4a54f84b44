//! Elements of lists of maps, shown in the example configuration. The table documents each key; a line that begins
//! with `# ` documents the element.

pub(super) const ISSUERS: &str = "\
- name: okta
  issuer: https://acme.okta.com/oauth2/default
  publicKeyUrls: [https://acme.okta.com/oauth2/default/v1/keys]
  audiences: [openmetadata]
  algorithms: [RS256]
  tokenTypes: [at+jwt]
  requireTokenType: true
  refuse: [idTokens, logoutTokens]
  backendTokens: true
  allowNonExpiring: bots
  maxLifetime: 24h
  leeway: 30s
  principalClaims: [email, sub]
  rolesClaim: realm_access.roles
  rolesSeparator: \" \"
  caFile: /etc/ssl/corp.pem
  proxy: http://proxy.corp:3128
  optional: false
# The keys themselves (the example key of RFC 7517).
- name: offline
  issuer: https://idp.internal
  publicKeys: '{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-256\", \"kid\": \"1\", \"x\": \"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\", \"y\": \"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}'
# Roles of a list of maps, and of the keys of one map.
- name: nested
  issuer: https://nested.example
  publicKeyUrls: [https://nested.example/keys]
  audiences: [openmetadata]
  rolesClaim: groups
  rolesMember: name
- name: zitadel
  issuer: https://zitadel.example
  publicKeyUrls: [https://zitadel.example/oauth/v2/keys]
  audiences: [openmetadata]
  rolesClaim: urn:zitadel:iam:org:project:roles
  rolesFromKeys: true
# An application load balancer of AWS. docs/recipes/aws-alb.md has the rest.
- name: alb
  issuer: https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example
  publicKeyUrls: [\"https://public-keys.auth.elb.eu-central-1.amazonaws.com/{kid}\"]
  requireHeader: {signer: arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/metadata/0123456789abcdef}
# A shared secret instead of public keys, only for this entry.
- name: partner
  issuer: partner-service
  sharedSecretFile: /run/secrets/partner-signing-key
# Keys that are not public. The credentials are sent only to the origin of the key URLs.
- name: internal
  issuer: https://idp.corp.example
  publicKeyUrls: [https://keys.corp.example/jwks]
  audiences: [openmetadata]
  bearerTokenFile: /run/secrets/keys/token
  clientCertFile: /etc/metagate/keys/tls.crt
  clientKeyFile: /etc/metagate/keys/tls.key
  headers:
    - name: X-Api-Key
      value: ${KEYS_API_KEY}
    - name: X-Tenant
      valueFile: /run/secrets/keys/tenant
  proxy: http://proxy.corp:3128
  proxyCredentials: ${PROXY_CREDENTIALS}
- name: internal-too
  issuer: https://idp2.corp.example
  audiences: [openmetadata]
  proxy: http://proxy.corp:3128
  proxyCredentialsFile: /run/secrets/proxy-credentials
# Tokens of the service accounts of a Kubernetes cluster. The default of every key here is what a pod has.
- name: cluster
  audiences: [metagate]
  kubernetes:
    apiServer: https://kubernetes.default.svc
    tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
    caFile: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
# Workloads that act as a user of the backend (exchange).
- name: github
  issuer: https://token.actions.githubusercontent.com
  audiences: [metagate.example]
  exchange: required
# Tokens that MCP clients get for themselves (resourceMetadata).
- name: mcp
  issuer: https://login.corp.example
  audiences: [https://catalog.corp.example/mcp]
- name: other
  issuer: other-service
  sharedSecret: ${PARTNER_SIGNING_KEY}
";

pub(super) const RESOURCE_METADATA: &str = "\
- resource: https://catalog.corp.example/mcp
  path: /mcp
  authorizationServers: [mcp]
  scopes: [mcp.read]
  name: Data catalog
";

pub(super) const LISTEN: &str = "\
# The default, which is also written as listen: \"[::]:8685\".
- address: \"[::]:8685\"
- address: 127.0.0.1:8695
  tokenHeaders:
    - name: X-Goog-IAP-JWT-Assertion
    - name: X-Amzn-Oidc-Data
      padded: true
    - name: Proxy-Authorization
      scheme: Bearer
";

pub(super) const TOKEN_HEADERS: &str = "\
- name: Authorization
- name: X-Goog-IAP-JWT-Assertion
- name: X-Amzn-Oidc-Data
  padded: true
- name: Proxy-Authorization
  scheme: Bearer
";

pub(super) const RULES: &str = "\
- name: only-admins-delete
  match:
    methods: [DELETE]
    paths: [/api/v1/**]
    hosts: [metadata.example.org]
    issuers: [okta]
    query: {action: [ingestProposal, \"delete*\"]}
    graphql:
      operations: [mutation]
      fields: [createAccessToken, \"remove*\"]
      unreadable: deny
  require:
    anyRole: [Admin]
    allRoles: [Admin, Auditor]
    anyScope: [metadata.write]
    allScopes: [metadata.read, metadata.write]
    tokenType: [User]
    principals: [ada, \"svc-*\"]
    issuers: [okta]
    audiences: [openmetadata]
    claims: {department: [data, platform]}
    sourceIps: [10.0.0.0/8]
  mode: enforce
- name: nobody-drops-services
  match: {methods: [DELETE], paths: [\"/api/v1/services/**\"]}
  action: deny
- name: no-policy-edits-by-bots
  match: {methods: [PUT, PATCH, POST], paths: [\"/api/v1/policies/**\"]}
  when: \"!claims.isBot\"
# Rules about some paths leave other ways to the same data open: OpenMetadata's `POST /mcp` can change any entity. \
So allow what is needed and refuse the rest at the end. docs/rules.md has complete sets with tests.
- name: the-rest
  action: deny
";

pub(super) const EXCHANGE: &str = "\
- name: nightly
  from:
    issuer: github
    claims: {repository_id: [\"456789\"], ref: [refs/heads/main]}
  as:
    user: ingestion-bot
    email: ingestion-bot@open-metadata.org
  credential: mintOpenmetadata
  lifetime: 5m
  tokenLifetime: 6h
- name: spark
  from:
    issuer: cluster
    subjects: [\"system:serviceaccount:spark:lineage\"]
  as: {user: lineage-bot}
  credential: tokenFile
  tokenFile: /run/secrets/lineage-bot/token
  privileged: false
- name: bots
  from:
    bots: [nightly]
  as: {user: ingestion-bot}
  credential: mintOpenmetadata
";

pub(super) const TESTS: &str = "\
- name: bot cannot delete
  claims: {sub: ingestion-bot, isBot: true}
  request: DELETE /api/v1/tables/x
  expect: 403
  rule: only-admins-delete
  issuer: okta
  host: metadata.example.org
  sourceIp: 10.1.2.3
  headers: {X-Impersonate-User: ada}
  body: {query: \"query { me { urn } }\"}
";
