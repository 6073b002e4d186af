{{- define "vigie.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "vigie.selector" -}}
app.kubernetes.io/name: vigie
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "vigie.labels" -}}
{{ include "vigie.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "vigie.frontSelector" -}}
app.kubernetes.io/name: vigie
app.kubernetes.io/instance: {{ .Release.Name }}
vigie.front: "true"
{{- end -}}

{{- /* The number of pods that replicas add; with any, data keys are shared. */ -}}
{{- define "vigie.added" -}}
{{- $sum := 0 -}}
{{- range .Values.replicas }}{{ $sum = add $sum . }}{{ end -}}
{{- $sum -}}
{{- end -}}

{{- define "vigie.podSettings" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 8092
  runAsGroup: 8092
  fsGroup: 8092
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "vigie.environment" -}}
- {name: VIGIE_HTTP, value: "0.0.0.0:8092"}
- {name: VIGIE_SECRETS_DIR, value: /secrets}
- {name: VIGIE_KAFKA, value: {{ .Values.kafka.bootstrap | quote }}}
- {name: VIGIE_KAFKA_REPLICATION, value: {{ .Values.kafka.replication | quote }}}
{{- with .Values.kafka.user }}
- {name: VIGIE_KAFKA_USER, value: {{ . | quote }}}
- {name: VIGIE_KAFKA_SASL, value: {{ $.Values.kafka.mechanism | quote }}}
{{- end }}
{{- if .Values.kafka.tls.enabled }}
- {name: VIGIE_KAFKA_TLS, value: "1"}
{{- if .Values.kafka.tls.ca.secret }}
- {name: VIGIE_KAFKA_CA, value: /kafka-ca/ca.crt}
{{- end }}
{{- end }}
{{- if not .Values.store.url.secret }}
- {name: VIGIE_REDIS, value: "redis://{{ .Release.Name }}-store:6379/0"}
{{- end }}
{{- if .Values.ingress.enabled }}
- {name: VIGIE_PUBLIC_URL, value: {{ printf "https://%s" .Values.ingress.host | quote }}}
{{- with .Values.ingress.proxies }}
- {name: VIGIE_PROXIES, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- with .Values.realmChannels }}
- {name: VIGIE_REALM_CHANNELS, value: /channels}
{{- end }}
{{- if ne (include "vigie.added" .) "0" }}
- {name: VIGIE_CLUSTER, value: "1"}
{{- end }}
{{- range $name, $value := .Values.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{- define "vigie.secretMounts" -}}
- {name: secrets, mountPath: /secrets, readOnly: true}
{{- if .Values.realmChannels }}
- {name: channels, mountPath: /channels, readOnly: true}
{{- end }}
{{- if and .Values.kafka.tls.enabled .Values.kafka.tls.ca.secret }}
- {name: kafka-ca, mountPath: /kafka-ca, readOnly: true}
{{- end }}
{{- end -}}

{{- define "vigie.secretVolumes" -}}
{{- with .Values.realmChannels }}
- name: channels
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
- name: secrets
  projected:
    sources:
      {{- with .Values.secret }}
      - secret: {name: {{ . }}, optional: true}
      {{- end }}
      {{- if and .Values.kafka.user .Values.kafka.password.secret }}
      - secret: {name: {{ .Values.kafka.password.secret }}, items: [{key: {{ .Values.kafka.password.key }}, path: vigie_kafka_password}]}
      {{- end }}
      {{- if .Values.store.url.secret }}
      - secret: {name: {{ .Values.store.url.secret }}, items: [{key: {{ .Values.store.url.key }}, path: vigie_redis}]}
      {{- end }}
{{- if and .Values.kafka.tls.enabled .Values.kafka.tls.ca.secret }}
- name: kafka-ca
  secret: {secretName: {{ .Values.kafka.tls.ca.secret }}, items: [{key: {{ .Values.kafka.tls.ca.key }}, path: ca.crt}]}
{{- end }}
{{- end -}}

{{- define "vigie.egress" -}}
{{- $store := merge (dict "component" "store") . -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
- ports:
    {{- range splitList "," .Values.kafka.bootstrap }}
    - {port: {{ splitList ":" . | last }}, protocol: TCP}
    {{- end }}
{{- if not .Values.store.url.secret }}
- to:
    - podSelector:
        matchLabels: {{- include "vigie.selector" $store | nindent 10 }}
  ports: [{port: 6379, protocol: TCP}]
{{- end }}
{{- with .Values.networkPolicy.egress.rules }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- if ne (include "vigie.added" .) "0" }}
- to:
    - podSelector:
        matchLabels: {app.kubernetes.io/name: vigie, app.kubernetes.io/instance: {{ .Release.Name }}}
  ports: [{port: 8092, protocol: TCP}, {port: 8093, protocol: TCP}]
{{- end }}
{{- end -}}
