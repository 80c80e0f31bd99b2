{{- define "overture.name" -}}
{{- if contains "overture" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-overture" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "overture.selector" -}}
app.kubernetes.io/name: overture
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "overture.labels" -}}
{{ include "overture.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "overture.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* Conversations per second of all accounts together. */}}
{{- define "overture.rate" -}}
{{- $default := .Values.settings.max_rate | default 10 }}
{{- $sum := 0.0 }}
{{- range .Values.accounts }}{{ $sum = addf $sum (.max_rate | default $default) }}{{ end }}
{{- if .Values.accounts }}{{ $sum }}{{ else }}{{ $default }}{{ end }}
{{- end }}

{{/* As many workers as that rate can feed: by what a process can do, and by its threads. */}}
{{- define "overture.maxReplicas" -}}
{{- $rate := include "overture.rate" . | float64 }}
{{- $threads := .Values.settings.concurrency | default 50 }}
{{- $byProcess := divf $rate .Values.scaling.ratePerProcess }}
{{- $byThreads := divf (mulf $rate .Values.scaling.secondsPerAnswer) $threads }}
{{- max (ceil (maxf $byProcess $byThreads) | int) (.Values.scaling.minReplicas | int) }}
{{- end }}

{{/* How long Kubernetes waits before it kills: the time to drain, to publish, and some. */}}
{{- define "overture.grace" -}}
{{- add (ceil (.Values.settings.drain_timeout | default 30)) 15 }}
{{- end }}

{{/* A value as it is written in the environment: no exponent, and a list with commas. */}}
{{- define "overture.written" -}}
{{- if kindIs "slice" . }}{{ join "," . }}
{{- else if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}
{{- else }}{{ . }}{{ end }}
{{- end }}

{{- define "overture.environment" -}}
- name: OVERTURE_SECRETS_DIR
  value: /run/secrets/overture
- name: OVERTURE_METRICS_ADDRESS
  value: "0.0.0.0:{{ .Values.metrics.port }}"
{{- range $name, $value := .Values.settings }}
- name: OVERTURE_{{ $name | upper }}
  value: {{ include "overture.written" $value | quote }}
{{- end }}
{{- range $id, $account := .Values.accounts }}
{{- range $name, $value := $account }}
- name: OVERTURE_ACCOUNTS__{{ $id }}__{{ $name | upper }}
  value: {{ include "overture.written" $value | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What a pod of ours may do: nothing but run, and write into /tmp. */}}
{{- define "overture.pod" -}}
serviceAccountName: {{ include "overture.name" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: secrets
    secret:
      secretName: {{ .root.Values.existingSecret }}
      defaultMode: 0440
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
{{- end }}

{{- define "overture.container" -}}
image: {{ include "overture.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
env: {{ include "overture.environment" .root | nindent 2 }}
ports:
  - {name: metrics, containerPort: {{ .root.Values.metrics.port }}}
volumeMounts:
  - {name: secrets, mountPath: /run/secrets/overture, readOnly: true}
  - {name: tmp, mountPath: /tmp}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}
