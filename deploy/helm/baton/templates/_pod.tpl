{{- /* What all pods share: (dict "root" $ "service" "http-worker"). */ -}}
{{- define "baton.podSpec" -}}
automountServiceAccountToken: false
# variables named after other Services of the namespace would be taken for settings
enableServiceLinks: false
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: { sizeLimit: 64Mi }
  - name: secrets
    projected:
      defaultMode: 288 # 0440
      sources:
        {{- range (.files | default (include "baton.secretFiles" . | fromYamlArray)) }}
        - secret: { name: {{ .secret }}, items: [{ key: {{ .key }}, path: {{ .setting }} }] }
        {{- end }}
  {{- if .root.Values.ca.existingSecret }}
  - name: ca
    secret: { secretName: {{ .root.Values.ca.existingSecret }}, items: [{ key: {{ .root.Values.ca.existingSecretKey }}, path: ca.crt }] }
  {{- end }}
{{- end -}}

{{- /* The container, but for its probes, ports and resources. */ -}}
{{- define "baton.container" -}}
image: {{ include "baton.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext: {{- toYaml .root.Values.securityContext | nindent 2 }}
env:
  {{- $resources := .resources | default (get .root.Values.services .service).resources }}
  - { name: NODE_OPTIONS, value: "--max-old-space-size={{ include "baton.heapMib" (dict "memory" $resources.limits.memory "percent" .root.Values.heapPercent) }}" }
  {{- range $name, $value := include "baton.plainSettings" . | fromYaml }}
  - { name: {{ $name }}, value: {{ $value | quote }} }
  {{- end }}
  {{- range (.files | default (include "baton.secretFiles" . | fromYamlArray)) }}
  - { name: {{ .setting }}_FILE, value: /etc/baton/secrets/{{ .setting }} }
  {{- end }}
  {{- if .root.Values.ca.existingSecret }}
  - { name: NODE_EXTRA_CA_CERTS, value: /etc/baton/ca/ca.crt }
  {{- end }}
  {{- with .root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - { name: tmp, mountPath: /tmp }
  - { name: secrets, mountPath: /etc/baton/secrets, readOnly: true }
  {{- if .root.Values.ca.existingSecret }}
  - { name: ca, mountPath: /etc/baton/ca, readOnly: true }
  {{- end }}
{{- end -}}
