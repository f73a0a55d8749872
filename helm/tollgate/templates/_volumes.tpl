{{/* Volumes and mounts. Secrets and the policy are mounted as directories, never with `subPath`, so that
what is changed there arrives. */}}

{{- define "tollgate.volumeMounts" -}}
- name: "tollgate-data"
  mountPath: {{ include "tollgate.dataPath" . | quote }}
{{- if eq .Values.form "sidecar" }}
- name: "tollgate-socket"
  mountPath: {{ dir .Values.sidecar.socketPath | quote }}
{{- end }}
{{- if include "tollgate.secretSources" . }}
- name: "tollgate-secrets"
  mountPath: {{ include "tollgate.secretsPath" . | quote }}
  readOnly: true
{{- end }}
{{- if include "tollgate.policyConfigMap" . }}
- name: "tollgate-policy"
  mountPath: {{ include "tollgate.policyPath" . | quote }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tollgate.volumes" -}}
- name: "tollgate-data"
{{- if include "tollgate.isFileStore" . }}
  persistentVolumeClaim:
    claimName: {{ default (include "tollgate.fullname" .) .Values.persistence.existingClaim | quote }}
{{- else }}
  emptyDir:
    sizeLimit: {{ .Values.data.sizeLimit | quote }}
{{- end }}
{{- if eq .Values.form "sidecar" }}
- name: "tollgate-socket"
  emptyDir:
    medium: "Memory"
    sizeLimit: "1Mi"
{{- end }}
{{- with include "tollgate.secretSources" . }}
- name: "tollgate-secrets"
  projected:
    # 0440: for the user and `fsGroup`.
    defaultMode: 288
    sources:
      {{- . | trim | nindent 6 }}
{{- end }}
{{- with include "tollgate.policyConfigMap" . }}
- name: "tollgate-policy"
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The Secrets that are mounted, each key at the path that the command line names. */}}
{{- define "tollgate.secretSources" -}}
{{- $v := .Values -}}
{{- include "tollgate.secretSource" (list $v.store.password.secretName (dict $v.store.password.key "store/password")) -}}
{{- include "tollgate.secretSource" (list $v.store.sentinelPassword.secretName (dict $v.store.sentinelPassword.key "store/sentinel-password")) -}}
{{- include "tollgate.secretSource" (list $v.store.ca.secretName (dict $v.store.ca.key "store/ca.crt")) -}}
{{- include "tollgate.secretSource" (list $v.store.clientCertificate.secretName (dict "tls.crt" "store/tls.crt" "tls.key" "store/tls.key")) -}}
{{- if ne $v.form "sidecar" -}}
{{- include "tollgate.secretSourcesOfTls" (list "check" $v.check.tls) -}}
{{- end -}}
{{- if eq $v.operator.reach "service" -}}
{{- include "tollgate.secretSourcesOfTls" (list "operator" $v.operator.tls) -}}
{{- end -}}
{{- if include "tollgate.hasAdminToken" . -}}
{{- include "tollgate.secretSource" (list $v.operator.adminToken.secretName (dict $v.operator.adminToken.key "operator/token")) -}}
{{- end -}}
{{- if $v.webhooks.enabled -}}
{{- range $v.webhooks.secrets -}}
{{- include "tollgate.secretSource" (list .secretName (dict .key (printf "webhook/%s" .source))) -}}
{{- end -}}
{{- include "tollgate.secretSourcesOfTls" (list "webhook" $v.webhooks.tls) -}}
{{- end -}}
{{- include "tollgate.secretSourcesOfTls" (list "admin" $v.admin.tls) -}}
{{- end -}}

{{- define "tollgate.secretSourcesOfTls" -}}
{{- $at := index . 0 -}}
{{- with index . 1 -}}
{{- include "tollgate.secretSource" (list .secretName (dict "tls.crt" (printf "%s/tls.crt" $at) "tls.key" (printf "%s/tls.key" $at))) -}}
{{- with .clientCa -}}
{{- include "tollgate.secretSource" (list .secretName (dict .key (printf "%s/ca.crt" $at))) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* One Secret, if it has a name: of a list of its name and the path of each key. */}}
{{- define "tollgate.secretSource" -}}
{{- if index . 0 -}}
- secret:
    name: {{ index . 0 | quote }}
    items:
      {{- range $key, $path := index . 1 }}
      - key: {{ $key | quote }}
        path: {{ $path | quote }}
      {{- end }}
{{ end -}}
{{- end -}}
