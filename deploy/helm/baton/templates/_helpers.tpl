{{- define "baton.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Short enough that every name made from it stays below 63 characters. */ -}}
{{- define "baton.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "baton.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "baton.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* What never changes for a workload: (dict "root" $ "component" "http-worker"). */ -}}
{{- define "baton.selector" -}}
app.kubernetes.io/name: {{ include "baton.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "baton.labels" -}}
{{ include "baton.selector" . }}
app.kubernetes.io/part-of: baton
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "baton.port" -}}
{{- get (dict "orchestrator" "8081" "workflow-runner" "8082" "http-worker" "8083" "hitl-worker" "8084" "fanout" "8085" "agent-runner" "8086") . -}}
{{- end -}}

{{- /* (dict "root" $ "service" "http-worker") */ -}}
{{- define "baton.image" -}}
{{- $registry := required "image.registry is not set: where the images are, e.g. ghcr.io/owner/repository" .root.Values.image.registry -}}
{{- printf "%s/baton-%s:%s" (trimSuffix "/" $registry) .service (default .root.Chart.AppVersion .root.Values.image.tag) -}}
{{- end -}}

{{- define "baton.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "baton.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* MiB of heap from a memory limit: (dict "memory" "1Gi" "percent" 70). */ -}}
{{- define "baton.heapMib" -}}
{{- $text := toString .memory -}}
{{- if not (regexMatch "^[0-9]+(Ki|Mi|Gi|k|M|G)?$" $text) -}}
{{- fail (printf "the memory limit %q is not a whole number of Ki, Mi, Gi, k, M, G or bytes" $text) -}}
{{- end -}}
{{- $amount := regexFind "^[0-9]+" $text | int64 -}}
{{- $unit := regexReplaceAll "^[0-9]+" $text "" -}}
{{- $bytes := mul $amount (get (dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824) $unit) -}}
{{- div (mul $bytes .percent) 104857600 -}}
{{- end -}}

{{- define "baton.databaseSecret" -}}
{{- default (include "baton.fullname" .) .Values.postgres.existingSecret -}}
{{- end -}}
{{- define "baton.redisSecret" -}}
{{- default (include "baton.fullname" .) .Values.redis.existingSecret -}}
{{- end -}}
{{- define "baton.keysSecret" -}}
{{- default (include "baton.fullname" .) .Values.secrets.existingSecret -}}
{{- end -}}

{{- /* The settings that a service reads from files, each with its Secret: (dict "root" $ "service" "fanout"). A YAML list. */ -}}
{{- define "baton.secretFiles" -}}
{{- $values := .root.Values -}}
- { setting: DATABASE_URL, secret: {{ include "baton.databaseSecret" .root }}, key: {{ ternary $values.postgres.existingSecretKey "DATABASE_URL" (ne $values.postgres.existingSecret "") }} }
- { setting: REDIS_URL, secret: {{ include "baton.redisSecret" .root }}, key: {{ ternary $values.redis.existingSecretKey "REDIS_URL" (ne $values.redis.existingSecret "") }} }
{{- if has .service (list "orchestrator" "fanout") }}
- { setting: BATON_ADMIN_KEY, secret: {{ include "baton.keysSecret" .root }}, key: BATON_ADMIN_KEY }
{{- end }}
{{- if has .service (list "orchestrator" "http-worker" "hitl-worker") }}
- { setting: BATON_MASTER_KEY, secret: {{ include "baton.keysSecret" .root }}, key: BATON_MASTER_KEY }
{{- end }}
{{- if and (eq .service "agent-runner") $values.agents.existingSecret }}
{{- range $values.agents.keys }}
- { setting: {{ . }}, secret: {{ $values.agents.existingSecret }}, key: {{ . }} }
{{- end }}
{{- end }}
{{- if $values.tracing.existingSecret }}
- { setting: OTEL_EXPORTER_OTLP_HEADERS, secret: {{ $values.tracing.existingSecret }}, key: {{ $values.tracing.existingSecretKey }} }
{{- end }}
{{- end -}}

{{- /* Names and plain values of a service's settings, its own over the shared ones; a job (with files of its own) has the shared ones alone. A YAML map. */ -}}
{{- define "baton.plainSettings" -}}
{{- $values := .root.Values -}}
{{- $settings := dict -}}
{{- $config := $values.config -}}
{{- if not .files -}}
{{- $config = merge (dict) (get $values.services .service).config $values.config -}}
{{- $_ := set $settings "HOST" "0.0.0.0" -}}
{{- $_ := set $settings "PORT" (include "baton.port" .service) -}}
{{- end -}}
{{- if and $values.httpAllow (has .service (list "http-worker" "hitl-worker")) -}}
{{- $_ := set $settings "BATON_HTTP_ALLOW" (join "," $values.httpAllow) -}}
{{- end -}}
{{- $url := $values.publicUrl -}}
{{- if and (not $url) $values.ingress.enabled -}}
{{- $url = printf "%s://%s" (ternary "https" "http" (ne $values.ingress.tlsSecret "")) $values.ingress.host -}}
{{- end -}}
{{- if and (not $url) (eq .service "http-worker") -}}
{{- $url = printf "http://%s-orchestrator.%s.svc:%s" (include "baton.fullname" .root) .root.Release.Namespace (include "baton.port" "orchestrator") -}}
{{- end -}}
{{- if and $url (has .service (list "http-worker" "hitl-worker")) (not .files) -}}
{{- $_ := set $settings "BATON_PUBLIC_URL" $url -}}
{{- end -}}
{{- if and (eq .service "orchestrator") $values.migrate.enabled (not .files) -}}
{{- $_ := set $settings "BATON_MIGRATE_AT_START" "false" -}}
{{- end -}}
{{- if and $values.tracing.endpoint (not .files) -}}
{{- $_ := set $settings "OTEL_EXPORTER_OTLP_ENDPOINT" $values.tracing.endpoint -}}
{{- end -}}
{{- range $name, $value := $config -}}
{{- $_ := set $settings $name (include "baton.text" $value) -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{- /* A value as text: large numbers of a values file would be written 1e+06. */ -}}
{{- define "baton.text" -}}
{{- if kindIs "float64" . -}}{{- printf "%.0f" . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{- /* Redis streams of calls: one for each lane. */ -}}
{{- define "baton.lanes" -}}16{{- end -}}

{{- /* Whether something else than the Deployment decides on replicas. */ -}}
{{- define "baton.scaledByKeda" -}}
{{- if and .root.Values.keda.enabled (hasKey .root.Values.keda.services .service) -}}true{{- end -}}
{{- end -}}
