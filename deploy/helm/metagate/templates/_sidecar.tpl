{{- /*
The sidecar, for the templates of your own chart. Make metagate a dependency with `mode: sidecar`, and write

  initContainers:
    {{- include "metagate.sidecar" .Subcharts.metagate | nindent 8 }}
  volumes:
    {{- include "metagate.sidecar.volumes" .Subcharts.metagate | nindent 8 }}

With restartPolicy Always an init container is a native sidecar: it starts before the backend and is stopped after it.
*/ -}}
{{- define "metagate.sidecar" -}}
{{- if ne .Values.mode "sidecar" -}}
{{- fail (printf "metagate.mode: %s. The template metagate.sidecar needs mode sidecar, which makes its ConfigMap and its NetworkPolicy" .Values.mode) -}}
{{- end -}}
{{- /* Where a container mounts something itself, Kubernetes does not mount the pod's service account token. */ -}}
{{- $token := dict "name" "metagate-no-token" "mountPath" "/var/run/secrets/kubernetes.io/serviceaccount" "readOnly" true -}}
- restartPolicy: Always
  {{- include "metagate.container" (dict "root" . "resources" .Values.resources "mounts" (list $token)) | nindent 2 }}
{{- end -}}

{{- define "metagate.sidecar.volumes" -}}
- name: metagate-config
  configMap:
    name: {{ include "metagate.fullname" . }}
- name: metagate-no-token
  emptyDir:
    sizeLimit: 4Ki
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
