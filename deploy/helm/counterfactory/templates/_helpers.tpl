{{/* Labels of a part, which are also what selects its pods. */}}
{{- define "counterfactory.labels" -}}
app.kubernetes.io/name: counterfactory
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* An image with its registry and tag: (list . "counterfactory/coordinator"). */}}
{{- define "counterfactory.image" -}}
{{- $top := index . 0 -}}
{{ $top.Values.image.registry }}{{ index . 1 }}:{{ $top.Values.image.tag | default $top.Chart.AppVersion }}
{{- end }}

{{- define "counterfactory.pod-security" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "counterfactory.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Pods start again when a setting changes. */}}
{{- define "counterfactory.checksum" -}}
checksum/settings: {{ .Values.settings | toJson | sha256sum }}
{{- end }}

{{- define "counterfactory.bucket-secret" -}}
- secret:
    name: {{ .Values.secrets.bucket }}
    items: [{ key: access-key, path: s3-access-key }, { key: secret-key, path: s3-secret-key }]
{{- end }}

{{/* Names, the broker and the bucket: what everybody may reach. */}}
{{- define "counterfactory.egress" -}}
- to: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: kube-system } } }]
  ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }]
- to:
    {{- include "counterfactory.near" . | nindent 4 }}
  ports: [{ port: 5671, protocol: TCP }, { port: 5672, protocol: TCP }]
- to: [{ ipBlock: { cidr: 0.0.0.0/0, except: [169.254.0.0/16] } }]
  ports: [{ port: 443, protocol: TCP }]
{{- end }}

{{- define "counterfactory.near" -}}
- namespaceSelector: {}
- ipBlock: { cidr: 10.0.0.0/8 }
- ipBlock: { cidr: 172.16.0.0/12 }
- ipBlock: { cidr: 192.168.0.0/16 }
{{- end }}
