{{- define "metagate.fullname" -}}
{{- if contains "metagate" .Release.Name -}}
{{- .Release.Name | trunc 54 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-metagate" .Release.Name | trunc 54 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "metagate.selectorLabels" -}}
app.kubernetes.io/name: metagate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "metagate.labels" -}}
{{ include "metagate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "metagate.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end -}}
{{- end -}}

{{- /* What the schema cannot say in a sentence. */ -}}
{{- define "metagate.validate" -}}
{{- if not .Values.backend -}}
{{- fail "backend: not set. One of openmetadata, datahub-gms, datahub-frontend, generic, for example --set backend=openmetadata" -}}
{{- end -}}
{{- if not .Values.upstream.url -}}
{{- fail "upstream.url: not set. The backend as metagate reaches it, for example --set upstream.url=http://openmetadata.openmetadata.svc:8585" -}}
{{- end -}}
{{- range $key, $instead := dict "listen" "the ports as they are, which the Service and the policies have" "health" "the port as it is, which the probes have" "backend" "`backend`" -}}
{{- if hasKey $.Values.config $key -}}
{{- fail (printf "config.%s: the chart sets it. Use %s" $key $instead) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "url" "maxConnections" -}}
{{- if hasKey ($.Values.config.upstream | default dict) $key -}}
{{- fail (printf "config.upstream.%s: the chart sets it. Use `upstream.%s`" $key $key) -}}
{{- end -}}
{{- end -}}
{{- if hasKey .Values.config "shutdown" -}}
{{- fail "config.shutdown: the chart sets it, because the pod's grace period must fit. Use `gateway.shutdown`" -}}
{{- end -}}
{{- $authentication := .Values.config.authentication | default dict -}}
{{- $accepts := or $authentication.issuers $authentication.publicKeyUrls -}}
{{- if and (eq .Values.backend "generic") (not $accepts) -}}
{{- fail "config.authentication: with backend generic, set `issuers` or `publicKeyUrls`; otherwise no token would be accepted" -}}
{{- end -}}
{{- if and (hasPrefix "datahub-" .Values.backend) (not .Values.datahub.secretName) -}}
{{- if eq .Values.backend "datahub-gms" -}}
{{- fail "datahub.secretName: not set. A Secret in this namespace with DataHub's signing key and system credential, for example --set datahub.secretName=datahub-auth-secrets; without it DataHub's own services would be refused" -}}
{{- else if not $accepts -}}
{{- fail "datahub.secretName: not set. A Secret in this namespace with DataHub's signing key, for example --set datahub.secretName=datahub-auth-secrets" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.mode "sidecar") (not (regexMatch "^https?://(127\\.0\\.0\\.1|localhost|\\[::1\\])(:|/|$)" .Values.upstream.url)) -}}
{{- fail (printf "upstream.url: %s is not in the pod. A sidecar's backend is http://127.0.0.1:PORT; for another one use mode gateway" .Values.upstream.url) -}}
{{- end -}}
{{- with .Values.gateway.autoscaling -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "gateway.autoscaling: minReplicas (%d) is more than maxReplicas (%d)" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The configuration file, as a map. */ -}}
{{- define "metagate.config" -}}
{{- include "metagate.validate" . -}}
{{- $ours := dict "listen" "[::]:8685" "workers" 2 "backend" .Values.backend -}}
{{- $_ := set $ours "upstream" (dict "url" .Values.upstream.url "maxConnections" (int .Values.upstream.maxConnections)) -}}
{{- $_ := set $ours "health" (dict "listen" "[::]:8686") -}}
{{- if eq .Values.backend "openmetadata" -}}
{{- $keys := printf "%s/api/v1/system/config/jwks" (trimSuffix "/" .Values.upstream.url) -}}
{{- $issuer := dict "name" "openmetadata" "issuer" "open-metadata.org" "publicKeyUrls" (list $keys) -}}
{{- if not (hasKey (.Values.config.authentication | default dict) "publicKeyUrls") -}}
{{- $_ := set $ours "authentication" (dict "issuers" (list $issuer)) -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.mode "gateway" -}}
{{- $authentication := $ours.authentication | default dict -}}
{{- $_ := set $authentication "jwks" (dict "cacheDir" "/var/cache/metagate") -}}
{{- $_ := set $ours "authentication" $authentication -}}
{{- $_ := set $ours "shutdown" (dict "delay" (printf "%ds" (int .Values.gateway.shutdown.delaySeconds)) "drainTimeout" (printf "%ds" (int .Values.gateway.shutdown.drainSeconds))) -}}
{{- end -}}
{{- toYaml (mustMergeOverwrite $ours (deepCopy .Values.config)) -}}
{{- end -}}

{{- /* What the policy of the backend selects, as a map with namespace, podSelector and port. */ -}}
{{- define "metagate.backend" -}}
{{- $policy := .Values.backendNetworkPolicy -}}
{{- $official := dict "openmetadata" (dict "name" "openmetadata" "port" 8585) "datahub-gms" (dict "name" "datahub-gms" "port" 8080) "datahub-frontend" (dict "name" "datahub-frontend" "port" 9002) -}}
{{- $known := get $official .Values.backend | default dict -}}
{{- $selector := $policy.podSelector -}}
{{- if and (not $selector) $known -}}
{{- $selector = dict "matchLabels" (dict "app.kubernetes.io/name" $known.name) -}}
{{- end -}}
{{- if not $selector -}}
{{- fail "backendNetworkPolicy.podSelector: not set, and unknown for backend generic. The labels of the backend's pods, as in a NetworkPolicy; or backendNetworkPolicy.enabled=false, if something else closes the way around metagate" -}}
{{- end -}}
{{- $port := int $policy.port | default $known.port -}}
{{- if and (not $port) (eq .Values.mode "gateway") -}}
{{- fail "backendNetworkPolicy.port: not set, and unknown for backend generic. The port of the backend's pods, not of its Service" -}}
{{- end -}}
{{- $namespace := $policy.namespace -}}
{{- if eq .Values.mode "sidecar" -}}
{{- $namespace = .Release.Namespace -}}
{{- else if not $namespace -}}
{{- $found := regexFind "^https?://[^./:]+\\.[^./:]+\\.svc(\\.|:|/|$)" .Values.upstream.url -}}
{{- if not $found -}}
{{- fail (printf "backendNetworkPolicy.namespace: not set, and upstream.url (%s) does not name one, as http://name.namespace.svc:port does; or backendNetworkPolicy.enabled=false, if something else closes the way around metagate" .Values.upstream.url) -}}
{{- end -}}
{{- $namespace = index (splitList "." $found) 1 -}}
{{- end -}}
{{- toYaml (dict "namespace" $namespace "podSelector" $selector "port" $port) -}}
{{- end -}}
