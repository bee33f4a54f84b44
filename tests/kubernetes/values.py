"""Values for the chart: good ones, and mistakes with what they must be refused with."""

GATEWAY = ["--set", "backend=openmetadata", "--set", "upstream.url=http://openmetadata.openmetadata.svc:8585"]
GMS = ["--set", "backend=datahub-gms", "--set", "upstream.url=http://datahub-datahub-gms.datahub.svc:8080"]
GENERIC = ["--set", "backend=generic", "--set", "upstream.url=https://shop.shop.svc"]
ISSUER = ["--set-json", 'config.authentication.issuers=[{"name":"okta","issuer":"https://okta.example","audiences":["shop"]}]']
SHOP = ["--set-json", 'backendNetworkPolicy.podSelector={"matchLabels":{"app":"shop"}}', "--set", "backendNetworkPolicy.port=8443"]

# What each mistake must be refused with.
MISTAKES = [
    ([], "backend: not set. One of openmetadata,"),
    (["--set", "backend=openmetadata"], "upstream.url: not set."),
    (["--set", "backend=openmeta"], "value must be one of '', 'openmetadata', 'datahub-gms', 'datahub-frontend', 'generic'"),
    (GATEWAY + ["--set", "backedn=x"], "additional properties 'backedn' not allowed"),
    (GATEWAY + ["--set", "upstream.url=openmetadata:8585"], "/upstream/url"),
    (GATEWAY + ["--set", "upstream.url=http://10.0.0.1:8585"], "backendNetworkPolicy.namespace: not set, and upstream.url"),
    (GATEWAY + ["--set", "config.listn=x"], "at '/config': additional properties 'listn' not allowed"),
    (GATEWAY + ["--set", "config.authentication.leeway=5x"], "at '/config/authentication/leeway'"),
    (GATEWAY + ["--set-json", 'config.authorization.rules=[{"nam":"x"}]'], "additional properties 'nam' not allowed"),
    (GATEWAY + ["--set", "config.listen=0.0.0.0:1"], "config.listen: the chart sets it."),
    (GATEWAY + ["--set", "config.upstream.url=http://x"], "config.upstream.url: the chart sets it. Use `upstream.url`"),
    (GATEWAY + ["--set", "config.shutdown.delay=1s"], "config.shutdown: the chart sets it"),
    (GATEWAY + ["--set", "gateway.autoscaling.minReplicas=30"], "minReplicas (30) is more than maxReplicas (12)"),
    (GATEWAY + ["--set", "gateway.resources.limits.memory=null"], "missing property 'memory'"),
    (GATEWAY + ["--set", "image.digest=latest"], "/image/digest"),
    (GATEWAY + ["--set", "mode=sidecar"], "A sidecar's backend is http://127.0.0.1:PORT"),
    (GMS, "datahub.secretName: not set."),
    (GENERIC + SHOP, "config.authentication: with backend generic"),
    (GENERIC + ISSUER, "backendNetworkPolicy.podSelector: not set"),
    (GENERIC + ISSUER + SHOP[:2], "backendNetworkPolicy.port: not set"),
]
