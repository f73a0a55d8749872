{{/*
What a gateway's chart includes to have Tollgate in its pods. The scope is this chart's, as a dependency:

  dependencies:
    - {name: tollgate, version: ..., repository: ...}      Chart.yaml, with `tollgate: {form: sidecar}` in its values

  spec:
    terminationGracePeriodSeconds: {{ include "tollgate.sidecar.terminationGracePeriodSeconds" .Subcharts.tollgate }}
    securityContext:
      fsGroup: {{ include "tollgate.sidecar.fsGroup" .Subcharts.tollgate }}
    initContainers:
      {{- include "tollgate.sidecar" .Subcharts.tollgate | nindent 6 }}
    containers:
      - name: gateway
        volumeMounts:
          {{- include "tollgate.sidecar.socketMount" .Subcharts.tollgate | nindent 10 }}
    volumes:
      {{- include "tollgate.sidecar.volumes" .Subcharts.tollgate | nindent 6 }}
*/}}

{{/* The container. It is one of the pod's init containers that goes on running: it is up before the
gateway starts, and ends after it. */}}
{{- define "tollgate.sidecar" -}}
{{- include "tollgate.requiresSidecar" . -}}
{{- $container := include "tollgate.container" . | fromYaml -}}
{{- list (merge $container (dict "restartPolicy" "Always")) | toYaml -}}
{{- end -}}

{{/* Its volumes. */}}
{{- define "tollgate.sidecar.volumes" -}}
{{- include "tollgate.requiresSidecar" . -}}
{{- include "tollgate.volumes" . -}}
{{- end -}}

{{/* The directory of the socket, for the gateway's container. */}}
{{- define "tollgate.sidecar.socketMount" -}}
- name: "tollgate-socket"
  mountPath: {{ dir .Values.sidecar.socketPath | quote }}
  readOnly: true
{{- end -}}

{{/* The group that may use the socket. */}}
{{- define "tollgate.sidecar.fsGroup" -}}
{{- int .Values.sidecar.fsGroup -}}
{{- end -}}

{{/* Seconds that the pod has to end: the gateway first, then Tollgate. */}}
{{- define "tollgate.sidecar.terminationGracePeriodSeconds" -}}
{{- add (int .Values.sidecar.gatewayDrainSeconds) (int .Values.shutdown.graceSeconds) 5 -}}
{{- end -}}

{{- define "tollgate.requiresSidecar" -}}
{{- if ne .Values.form "sidecar" -}}
{{- fail "tollgate.sidecar needs form: sidecar among the values of tollgate, or there would be a Deployment of it as well" -}}
{{- end -}}
{{- include "tollgate.checks" . -}}
{{- end -}}
