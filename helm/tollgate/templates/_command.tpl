{{/* The command line: what `tollgate serve` is told. */}}

{{- define "tollgate.args" -}}
{{- $v := .Values -}}
- "serve"
- {{ printf "--store=%s" $v.store.url | quote }}
- {{ printf "--store-create=%s" $v.store.create | quote }}
{{- with $v.store.password.secretName }}
- {{ printf "--store-password-file=%s/store/password" (include "tollgate.secretsPath" $) | quote }}
{{- end }}
{{- with $v.store.sentinelPassword.secretName }}
- {{ printf "--store-sentinel-password-file=%s/store/sentinel-password" (include "tollgate.secretsPath" $) | quote }}
{{- end }}
{{- with $v.store.ca.secretName }}
- {{ printf "--store-ca=%s/store/ca.crt" (include "tollgate.secretsPath" $) | quote }}
{{- end }}
{{- with $v.store.clientCertificate.secretName }}
- {{ printf "--store-cert=%s/store/tls.crt" (include "tollgate.secretsPath" $) | quote }}
- {{ printf "--store-key=%s/store/tls.key" (include "tollgate.secretsPath" $) | quote }}
{{- end }}
{{- if eq $v.form "sidecar" }}
- "--check-listen=off"
- {{ printf "--check-socket=%s" $v.sidecar.socketPath | quote }}
- {{ printf "--check-socket-mode=%s" $v.sidecar.socketMode | quote }}
{{- else }}
- {{ printf "--check-listen=%s:%d" $v.bindAddress (int $v.check.port) | quote }}
{{- include "tollgate.argsOfTls" (list . "check" $v.check.tls) }}
{{- end }}
{{- if eq $v.operator.reach "service" }}
- {{ printf "--operator-listen=%s:%d" $v.bindAddress (int $v.operator.port) | quote }}
- {{ printf "--operator-plaintext=%s" $v.operator.plaintext | quote }}
{{- include "tollgate.argsOfTls" (list . "operator" $v.operator.tls) }}
{{- else if eq $v.operator.reach "pod" }}
- {{ printf "--operator-listen=127.0.0.1:%d" (int $v.operator.port) | quote }}
{{- else }}
- "--operator-listen=off"
{{- end }}
{{- if include "tollgate.hasAdminToken" . }}
- {{ printf "--admin-token-file=%s/operator/token" (include "tollgate.secretsPath" .) | quote }}
{{- end }}
{{- if $v.webhooks.enabled }}
- {{ printf "--webhook-listen=%s:%d" $v.bindAddress (int $v.webhooks.port) | quote }}
- {{ printf "--webhook-plaintext=%s" $v.webhooks.plaintext | quote }}
{{- range $v.webhooks.secrets }}
- {{ printf "--webhook-secret-file=%s=%s/webhook/%s" .source (include "tollgate.secretsPath" $) .source | quote }}
{{- end }}
{{- include "tollgate.argsOfTls" (list . "webhook" $v.webhooks.tls) }}
{{- end }}
- {{ printf "--admin-listen=%s:%d" $v.bindAddress (int $v.admin.port) | quote }}
{{- include "tollgate.argsOfTls" (list . "admin" $v.admin.tls) }}
{{- if include "tollgate.policyConfigMap" . }}
- {{ printf "--policy=%s/%s" (include "tollgate.policyPath" .) $v.policy.key | quote }}
{{- end }}
- {{ printf "--grace=%ds" (int $v.shutdown.graceSeconds) | quote }}
- {{ printf "--log-format=%s" $v.log.format | quote }}
- {{ printf "--log-level=%s" $v.log.level | quote }}
{{- range $flag, $value := $v.settings }}
{{- if kindIs "bool" $value }}
{{- if $value }}
- {{ printf "--%s" $flag | quote }}
{{- end }}
{{- else }}
- {{ printf "--%s=%s" $flag (kindIs "string" $value | ternary $value (printf "%d" (int64 $value))) | quote }}
{{- end }}
{{- end }}
{{- range $v.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The flags of one listener's certificate: of a list of the chart's scope, the flags' first word and
the values. */}}
{{- define "tollgate.argsOfTls" -}}
{{- $at := printf "%s/%s" (include "tollgate.secretsPath" (index . 0)) (index . 1) -}}
{{- $flag := printf "--%s-tls" (index . 1) -}}
{{- with index . 2 -}}
{{- if .secretName }}
- {{ printf "%s-cert=%s/tls.crt" $flag $at | quote }}
- {{ printf "%s-key=%s/tls.key" $flag $at | quote }}
{{- with .clientCa }}
{{- if .secretName }}
- {{ printf "%s-client-ca=%s/ca.crt" $flag $at | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Something where operators act with the token of a Secret. */}}
{{- define "tollgate.hasAdminToken" -}}
{{- if and .Values.operator.adminToken.secretName (ne .Values.operator.reach "none") -}}yes{{- end -}}
{{- end -}}

{{/* Beside the flags: what the other verbs need as well, which `kubectl exec` runs in the pod. */}}
{{- define "tollgate.env" -}}
- name: "TOLLGATE_DATA_DIR"
  value: {{ include "tollgate.dataPath" . | quote }}
{{- if include "tollgate.hasAdminToken" . }}
- name: "TOLLGATE_TOKEN_FILE"
  value: {{ printf "%s/operator/token" (include "tollgate.secretsPath" .) | quote }}
{{- end }}
{{- if eq .Values.operator.reach "pod" }}
- name: "TOLLGATE_OPERATOR_URL"
  value: {{ printf "http://127.0.0.1:%d" (int .Values.operator.port) | quote }}
{{- end }}
{{- if and (eq .Values.form "shared") (not .Values.check.tls.secretName) }}
- name: "TOLLGATE_CHECK_URL"
  value: {{ printf "http://127.0.0.1:%d" (int .Values.check.port) | quote }}
{{- end }}
{{- if not .Values.admin.tls.secretName }}
- name: "TOLLGATE_ADMIN_URL"
  value: {{ printf "http://127.0.0.1:%d" (int .Values.admin.port) | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tollgate.dataPath" -}}/var/lib/tollgate{{- end -}}
{{- define "tollgate.secretsPath" -}}/etc/tollgate/secrets{{- end -}}
{{- define "tollgate.policyPath" -}}/etc/tollgate/policy{{- end -}}
