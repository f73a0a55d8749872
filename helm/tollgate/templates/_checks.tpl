{{/* Values that are sound each by itself and impossible together. Each is refused with a sentence. */}}

{{- define "tollgate.checks" -}}
{{- $v := .Values -}}
{{- $isOwn := include "tollgate.isOwnStore" . -}}
{{- if or (regexMatch "://[^/@]*:[^/]*@" $v.store.url) (regexMatch "[?&](pass|sentinelPassword)=" $v.store.url) -}}
{{- fail "store.url holds a password: put it into a Secret, and name that in store.password.secretName or store.sentinelPassword.secretName" -}}
{{- end -}}
{{- range $v.extraEnv -}}
{{- if and (eq .name "TOLLGATE_ADMIN_TOKEN") (hasKey . "value") -}}
{{- fail "extraEnv gives TOLLGATE_ADMIN_TOKEN as a value: put it into a Secret, and name that in operator.adminToken.secretName" -}}
{{- end -}}
{{- end -}}
{{- range $flag, $_ := $v.settings -}}
{{- if or (has $flag (include "tollgate.ownFlags" $ | fromJsonArray)) (regexMatch "^(check|operator|admin|webhook)-tls-" $flag) -}}
{{- fail (printf "settings.%s: the chart gives --%s itself, from a value of its own" $flag $flag) -}}
{{- end -}}
{{- end -}}
{{- range $plane := list "check" "operator" "webhooks" -}}
{{- with (index $v $plane).tls -}}
{{- if and .clientCa.secretName (not .secretName) -}}
{{- fail (printf "%s.tls.clientCa.secretName needs %s.tls.secretName: without a certificate of its own the listener speaks no TLS" $plane $plane) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.policy.inline $v.policy.configMapName -}}
{{- fail "policy.inline and policy.configMapName exclude each other; give one of them" -}}
{{- end -}}
{{- if and $v.policy.restartOnChange $v.policy.configMapName -}}
{{- fail "policy.restartOnChange is for policy.inline: the chart does not see what is in policy.configMapName" -}}
{{- end -}}
{{- $needsTls := or $v.store.ca.secretName $v.store.clientCertificate.secretName -}}
{{- if and $needsTls (not (hasPrefix "rediss" $v.store.url)) -}}
{{- fail "store.ca and store.clientCertificate are for a store over TLS: store.url must begin with rediss" -}}
{{- end -}}
{{- if eq $v.form "sidecar" -}}
{{- include "tollgate.checksOfSidecar" . -}}
{{- else -}}
{{- include "tollgate.checksOfShared" . -}}
{{- end -}}
{{- end -}}

{{- define "tollgate.checksOfSidecar" -}}
{{- $v := .Values -}}
{{- if ne $v.operator.reach "none" -}}
{{- fail "operator.reach must be none with form: sidecar: a sidecar only reads; operators act through a release of form: shared" -}}
{{- end -}}
{{- if $v.webhooks.enabled -}}
{{- fail "webhooks.enabled must be false with form: sidecar: a sidecar only reads; billing systems call a release of form: shared" -}}
{{- end -}}
{{- if include "tollgate.isOwnStore" . -}}
{{- fail (printf "store.url is %s, which is one process's own: sidecars follow one Redis or Valkey" $v.store.url) -}}
{{- end -}}
{{- if $v.check.tls.secretName -}}
{{- fail "check.tls.secretName is for form: shared: the sidecar's socket speaks no TLS" -}}
{{- end -}}
{{- if and $v.monitor.enabled (not $v.sidecar.podLabels) -}}
{{- fail "monitor.enabled needs sidecar.podLabels with form: sidecar: it finds the gateway's pods by them" -}}
{{- end -}}
{{- end -}}

{{- define "tollgate.checksOfShared" -}}
{{- $v := .Values -}}
{{- if include "tollgate.isOwnStore" . -}}
{{- if or $v.autoscaling.enabled (gt (int $v.replicas) 1) -}}
{{- fail (printf "store.url is %s, which is one process's own: replicas must be 1 and autoscaling.enabled false" $v.store.url) -}}
{{- end -}}
{{- if and (eq $v.operator.reach "none") (not $v.webhooks.enabled) -}}
{{- fail (printf "operator.reach is none and store.url is %s: nobody could ever change a customer there" $v.store.url) -}}
{{- end -}}
{{- end -}}
{{- if $v.autoscaling.enabled -}}
{{- if lt (int $v.autoscaling.maxReplicas) (int $v.autoscaling.minReplicas) -}}
{{- fail "autoscaling.maxReplicas must not be less than autoscaling.minReplicas" -}}
{{- end -}}
{{- end -}}
{{- if eq $v.operator.reach "service" -}}
{{- if and (not $v.operator.tls.secretName) (ne $v.operator.plaintext "allow") -}}
{{- fail "operator.reach: service needs operator.tls.secretName, or operator.plaintext: allow where the network itself is encrypted: operators' tokens would cross it as they are" -}}
{{- end -}}
{{- end -}}
{{- if and $v.operator.tls.secretName (ne $v.operator.reach "service") -}}
{{- fail (printf "operator.tls.secretName is for operator.reach: service, which is %s" $v.operator.reach) -}}
{{- end -}}
{{- if $v.webhooks.enabled -}}
{{- if not $v.webhooks.secrets -}}
{{- fail "webhooks.enabled needs webhooks.secrets: a source without a secret is not listened to" -}}
{{- end -}}
{{- range $v.webhooks.secrets -}}
{{- if and (eq .source "billabear") (not $v.webhooks.tls.secretName) (ne $v.webhooks.plaintext "allow") -}}
{{- fail "webhooks.secrets names billabear, whose webhooks carry their secret as it is: that needs webhooks.tls.secretName, or webhooks.plaintext: allow behind an ingress that ends TLS" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $v.networkPolicy.enabled -}}
{{- if not $v.networkPolicy.gateways -}}
{{- fail "networkPolicy.gateways names nobody, so nobody could ask; name the gateways' pods, or give networkPolicy.enabled: false" -}}
{{- end -}}
{{- if and (eq $v.operator.reach "service") (not $v.networkPolicy.operators) -}}
{{- fail "networkPolicy.operators names nobody, and operator.reach is service; name who acts, or give networkPolicy.enabled: false" -}}
{{- end -}}
{{- if and $v.webhooks.enabled (not $v.networkPolicy.webhooks) -}}
{{- fail "networkPolicy.webhooks names nobody, and webhooks.enabled is true; name from where billing systems call, or give networkPolicy.enabled: false" -}}
{{- end -}}
{{- end -}}
{{- if and $v.service.headless (ne $v.service.type "ClusterIP") -}}
{{- fail (printf "service.headless is for service.type: ClusterIP, which is %s" $v.service.type) -}}
{{- end -}}
{{- $ports := dict -}}
{{- range $plane := list "check" "operator" "webhooks" "admin" -}}
{{- $port := printf "%d" (int (index $v $plane).port) -}}
{{- if hasKey $ports $port -}}
{{- fail (printf "%s.port and %s.port are both %s; they must differ" (get $ports $port) $plane $port) -}}
{{- end -}}
{{- $_ := set $ports $port $plane -}}
{{- end -}}
{{- end -}}

{{/* Something where the store is the process's own, nothing where it is elsewhere. */}}
{{- define "tollgate.isOwnStore" -}}
{{- if regexMatch "^(file|memory):" .Values.store.url -}}own{{- end -}}
{{- end -}}

{{/* Something where the store is a file. */}}
{{- define "tollgate.isFileStore" -}}
{{- if hasPrefix "file:" .Values.store.url -}}file{{- end -}}
{{- end -}}

{{/* Flags that have a value of their own in the chart. */}}
{{- define "tollgate.ownFlags" -}}
{{- list "data-dir" "store" "store-create" "store-password-file" "store-sentinel-password-file" "store-ca" "store-cert" "store-key" "check-listen" "check-socket" "check-socket-mode" "operator-listen" "operator-plaintext" "admin-listen" "admin-token-file" "webhook-listen" "webhook-plaintext" "webhook-secret-file" "policy" "grace" "log-format" "log-level" | toJson -}}
{{- end -}}
