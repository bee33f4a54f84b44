{{- /* The container of the gateway and of a sidecar. Takes a map: root, resources, mounts. */ -}}
{{- define "metagate.container" -}}
name: metagate
image: {{ include "metagate.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: [run, --config, /etc/metagate/config.yaml]
{{- $env := include "metagate.env" .root }}
{{- if $env }}
env:
  {{- $env | nindent 2 }}
{{- end }}
ports:
  # Names must be unique in the pod; Services use the numbers.
  - name: metagate
    containerPort: 8685
  - name: metagate-health
    containerPort: 8686
# The backend of a sidecar starts only after this probe has passed, and its keys come later. So it only checks that the
# process is up.
startupProbe:
  httpGet: {path: /livez, port: 8686}
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /livez, port: 8686}
  periodSeconds: 10
  failureThreshold: 3
# 503 until every issuer except the backend itself has had keys once, and again while draining.
readinessProbe:
  httpGet: {path: /readyz, port: 8686}
  periodSeconds: 5
  failureThreshold: 2
resources:
  {{- toYaml .resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
# A configuration error ends the process; `kubectl describe pod` then shows its text.
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  # The directory, not a file with subPath, which is never updated.
  - name: metagate-config
    mountPath: /etc/metagate
    readOnly: true
  {{- range .mounts }}
  - {{ toYaml . | nindent 4 | trim }}
  {{- end }}
  {{- with .root.Values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "metagate.env" -}}
{{- if .Values.datahub.secretName -}}
- name: DATAHUB_TOKEN_SERVICE_SIGNING_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .Values.datahub.secretName }}
      key: {{ .Values.datahub.signingKeyKey }}
{{- if eq .Values.backend "datahub-gms" }}
# DataHub's own services come with the system credential.
- name: DATAHUB_SYSTEM_CLIENT_ID
  value: {{ .Values.datahub.systemClientId | quote }}
- name: DATAHUB_SYSTEM_CLIENT_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ .Values.datahub.secretName }}
      key: {{ .Values.datahub.systemClientSecretKey }}
{{- end }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}
