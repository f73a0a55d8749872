{{/* The container, which is the same in both forms but for its ports' names and its place. */}}

{{- define "tollgate.container" -}}
{{- $v := .Values -}}
{{- $isSidecar := eq $v.form "sidecar" -}}
name: "tollgate"
image: {{ include "tollgate.image" . | quote }}
imagePullPolicy: {{ $v.image.pullPolicy | quote }}
args:
  {{- include "tollgate.args" . | nindent 2 }}
env:
  {{- include "tollgate.env" . | nindent 2 }}
{{- with $v.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: {{ include "tollgate.adminPort" . | quote }}
    containerPort: {{ int $v.admin.port }}
    protocol: "TCP"
  {{- if not $isSidecar }}
  - name: "check"
    containerPort: {{ int $v.check.port }}
    protocol: "TCP"
  {{- end }}
  {{- if eq $v.operator.reach "service" }}
  - name: "operator"
    containerPort: {{ int $v.operator.port }}
    protocol: "TCP"
  {{- end }}
  {{- if $v.webhooks.enabled }}
  - name: "webhooks"
    containerPort: {{ int $v.webhooks.port }}
    protocol: "TCP"
  {{- end }}
startupProbe:
  {{- include "tollgate.probe" (list . "/livez" $v.probes.startup) | nindent 2 }}
livenessProbe:
  {{- include "tollgate.probe" (list . "/livez" $v.probes.liveness) | nindent 2 }}
readinessProbe:
  {{- include "tollgate.probe" (list . "/readyz" $v.probes.readiness) | nindent 2 }}
{{- if and (not $isSidecar) (int $v.shutdown.pauseSeconds) }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ int $v.shutdown.pauseSeconds }}
{{- end }}
resources:
  {{- toYaml $v.resources | nindent 2 }}
securityContext:
  {{- toYaml $v.securityContext | nindent 2 }}
volumeMounts:
  {{- include "tollgate.volumeMounts" . | nindent 2 }}
{{- end -}}

{{/* One probe: of a list of the chart's scope, the path and the figures. */}}
{{- define "tollgate.probe" -}}
{{- $scope := index . 0 -}}
httpGet:
  path: {{ index . 1 | quote }}
  port: {{ include "tollgate.adminPort" $scope | quote }}
  scheme: {{ include "tollgate.adminScheme" $scope | upper | quote }}
{{- range $figure, $value := index . 2 }}
{{ $figure }}: {{ int $value }}
{{- end }}
{{- end -}}

{{/* In a gateway's pod ports need names that are nobody else's. */}}
{{- define "tollgate.adminPort" -}}
{{- eq .Values.form "sidecar" | ternary "tollgate-admin" "admin" -}}
{{- end -}}

{{- define "tollgate.adminScheme" -}}
{{- empty .Values.admin.tls.secretName | ternary "http" "https" -}}
{{- end -}}

{{/* Seconds that a pod has to end: the pause, in which it goes on answering, the time for requests in
flight, and some to write the snapshot and leave. */}}
{{- define "tollgate.terminationGracePeriodSeconds" -}}
{{- add (int .Values.shutdown.pauseSeconds) (int .Values.shutdown.graceSeconds) 5 -}}
{{- end -}}
