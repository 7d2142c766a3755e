{{- define "syncd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "syncd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "syncd.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "syncd.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "syncd.selector" -}}
app.kubernetes.io/name: {{ include "syncd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "syncd.labels" -}}
{{ include "syncd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "syncd.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "syncd.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name the service account, or let create: true make one" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "syncd.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{- define "syncd.claim" -}}
{{- default (printf "%s-state" (include "syncd.fullname" .)) .Values.state.existingClaim -}}
{{- end }}

{{- /* syncd.yaml: what was given, and the two parts that follow from the chart. */ -}}
{{- define "syncd.config" -}}
{{- $state := dict "path" "/var/lib/syncd/state.db" -}}
{{- with .Values.state.postgres.secretName -}}
{{- $key := default "fingerprint-key" $.Values.state.postgres.fingerprintKey -}}
{{- $state = dict "url" (dict "env" "SYNCD_STATE_URL") "fingerprint_key" (dict "file" (printf "/run/secrets/state/%s" $key)) -}}
{{- end -}}
{{- $told := deepCopy .Values.config -}}
{{- $_ := set $told "state" $state -}}
{{- if and .Values.server.enabled (eq .Values.mode "daemon") -}}
{{- $server := dict "listen" (printf "0.0.0.0:%d" (int .Values.server.port)) -}}
{{- if .Values.server.token.secretName -}}
{{- $_ := set $server "token" (dict "file" (printf "/run/secrets/server/%s" (default "token" .Values.server.token.key))) -}}
{{- end -}}
{{- range $key := list "tokens" "proxy" "metrics" -}}
{{- if hasKey $.Values.server $key -}}
{{- $_ := set $server $key (get $.Values.server $key) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $told "server" $server -}}
{{- end -}}
{{- toYaml $told -}}
{{- end }}

{{- /* A reference to a Secret or a variable that nothing gives is told here, not by a pod that does not start. */ -}}
{{- define "syncd.validate" -}}
{{- $whole := include "syncd.config" . | fromYaml -}}
{{- $_ := unset $whole "state" -}}
{{- /* Labels and tags have any names, those of credentials too. */ -}}
{{- $_ := unset $whole "rules" -}}
{{- range $target := $whole.targets }}{{ $_ := unset $target "labels" }}{{ end -}}
{{- range $job := $whole.jobs }}{{ range $rule := $job.secrets }}{{ $_ := unset $rule "tags" }}{{ end }}{{ end -}}
{{- range $token := (default dict $whole.server).tokens }}{{ $_ := unset $token "only" }}{{ end -}}
{{- $text := toJson $whole -}}
{{- with regexFind `"(api_key|app_secret|token|secret_id|password|jwt)":"` $text -}}
{{- fail (printf "config holds a credential in plain (%s); fix: {file: /run/secrets/NAME/KEY} and credentials, or {env: NAME}" (splitList `"` . | rest | first)) -}}
{{- end -}}
{{- $names := list -}}
{{- range .Values.credentials }}{{ $names = append $names .name }}{{ end -}}
{{- /* What a CSI driver or an agent puts there has a mount of its own. */ -}}
{{- range .Values.volumeMounts }}{{ $names = append $names (.mountPath | trimPrefix "/run/secrets/" | splitList "/" | first) }}{{ end -}}
{{- range regexFindAll `"file":"/run/secrets/[^/"]+/` $text -1 -}}
{{- $name := . | trimPrefix `"file":"/run/secrets/` | trimSuffix "/" -}}
{{- if not (or (has $name $names) (eq $name "tokens") (and (eq $name "server") $.Values.server.token.secretName)) -}}
{{- fail (printf "config reads /run/secrets/%s, which nothing mounts; fix: credentials: [{name: %s, secretName: …}]" $name $name) -}}
{{- end -}}
{{- end -}}
{{- $tokens := list -}}
{{- range .Values.tokens }}{{ $tokens = append $tokens .name }}{{ end -}}
{{- range regexFindAll `"file":"/run/secrets/tokens/[^"]+"` $text -1 -}}
{{- $name := . | trimPrefix `"file":"/run/secrets/tokens/` | trimSuffix `"` -}}
{{- if not (has $name $tokens) -}}
{{- fail (printf "config reads /run/secrets/tokens/%s, which nothing projects; fix: tokens: [{name: %s, audience: …}]" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if contains "/var/run/secrets/kubernetes.io/serviceaccount/token" $text -}}
{{- fail "config reads the default token, which is not mounted; fix: tokens: [{name: vault, audience: vault}], and jwt: {file: /run/secrets/tokens/vault}" -}}
{{- end -}}
{{- range $name, $source := .Values.config.sources -}}
{{- $auth := default dict $source.auth -}}
{{- if and (eq (default "" $auth.method) "kubernetes") (not $auth.jwt) -}}
{{- fail (printf "config.sources.%s.auth: name the token; fix: tokens: [{name: vault, audience: vault}], and jwt: {file: /run/secrets/tokens/vault}" $name) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.envFrom -}}
{{- $variables := list -}}
{{- range .Values.env }}{{ $variables = append $variables .name }}{{ end -}}
{{- /* Where a credential may stand: a label or a tag may be called env as well. */ -}}
{{- range regexFindAll `"(api_key|app_secret|fingerprint_key|jwt|password|proxy|role_id|secret_id|token|url)":\{"env":"[^"]+"` $text -1 -}}
{{- $name := splitList `"env":"` . | last | trimSuffix `"` -}}
{{- if not (has $name $variables) -}}
{{- fail (printf "config reads the variable %s, which nothing sets; fix: env: [{name: %s, valueFrom: {secretKeyRef: …}}], or a file by credentials" $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.state.postgres.secretName) -}}
{{- fail "replicas: a ledger in SQLite has one writer; fix: replicas: 1, or state.postgres" -}}
{{- end -}}
{{- if and (eq .Values.mode "daemon") (not .Values.server.enabled) (or .Values.serviceMonitor.enabled) -}}
{{- fail "serviceMonitor needs server.enabled" -}}
{{- end -}}
{{- range .Values.env -}}
{{- if and .value (regexMatch "(?i)(KEY|TOKEN|SECRET|PASSWORD)$" .name) -}}
{{- fail (printf "env: %s holds a credential in plain; fix: valueFrom: {secretKeyRef: …}" .name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "syncd.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "syncd.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* A dict of `root` and `component`. A daemon sees a changed ConfigMap by itself; these parts need a new pod. */ -}}
{{- define "syncd.podMetadata" -}}
{{- $ := .root -}}
labels:
  {{- include "syncd.labels" $ | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- with $.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/restart: {{ toJson (list $.Values.server $.Values.state $.Values.credentials $.Values.tokens) | sha256sum | trunc 16 }}
  {{- with $.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* The pod of both modes; a dict of `root`, `args` and `daemon`. */ -}}
{{- define "syncd.pod" -}}
{{- $ := .root -}}
serviceAccountName: {{ include "syncd.serviceAccount" $ }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $.Values.terminationGracePeriodSeconds }}
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  {{- include "syncd.podSecurity" $ | nindent 2 }}
containers:
  - name: syncd
    image: {{ include "syncd.image" $ | quote }}
    imagePullPolicy: {{ $.Values.image.pullPolicy }}
    args: {{ toJson .args }}
    env:
      - name: SYNCD_CONFIG
        value: /etc/syncd/syncd.yaml
      {{- with $.Values.state.postgres.secretName }}
      - name: SYNCD_STATE_URL
        valueFrom:
          secretKeyRef:
            name: {{ . }}
            key: {{ default "url" $.Values.state.postgres.urlKey }}
      {{- end }}
      {{- with $.Values.env }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with $.Values.envFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- include "syncd.containerSecurity" $ | nindent 6 }}
    {{- if and .daemon $.Values.server.enabled }}
    ports:
      - name: http
        containerPort: {{ $.Values.server.port }}
    startupProbe:
      httpGet: {path: /livez, port: http}
      periodSeconds: 2
      failureThreshold: {{ div $.Values.server.startupSeconds 2 }}
    livenessProbe:
      httpGet: {path: /livez, port: http}
      periodSeconds: 20
      timeoutSeconds: 5
      failureThreshold: 3
    readinessProbe:
      httpGet: {path: /readyz, port: http}
      periodSeconds: 10
      timeoutSeconds: 5
    {{- end }}
    resources:
      {{- toYaml $.Values.resources | nindent 6 }}
    volumeMounts:
      - {name: config, mountPath: /etc/syncd, readOnly: true}
      - {name: tmp, mountPath: /tmp}
      {{- if not $.Values.state.postgres.secretName }}
      - {name: state, mountPath: /var/lib/syncd}
      {{- else }}
      - {name: state-key, mountPath: /run/secrets/state, readOnly: true}
      {{- end }}
      {{- if and .daemon $.Values.server.enabled $.Values.server.token.secretName }}
      - {name: server-token, mountPath: /run/secrets/server, readOnly: true}
      {{- end }}
      {{- range $.Values.credentials }}
      - {name: {{ printf "credential-%s" .name }}, mountPath: {{ printf "/run/secrets/%s" .name }}, readOnly: true}
      {{- end }}
      {{- if $.Values.tokens }}
      - {name: tokens, mountPath: /run/secrets/tokens, readOnly: true}
      {{- end }}
      {{- with $.Values.volumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "syncd.fullname" $ }}
  - name: tmp
    emptyDir: {medium: Memory, sizeLimit: 16Mi}
  {{- if not $.Values.state.postgres.secretName }}
  - name: state
    {{- if .check }}
    emptyDir: {}  # a check writes no ledger; the volume may be in use on another node
    {{- else }}
    persistentVolumeClaim:
      claimName: {{ include "syncd.claim" $ }}
    {{- end }}
  {{- else }}
  - name: state-key
    secret:
      secretName: {{ $.Values.state.postgres.secretName }}
      defaultMode: 0440
      items:
        {{- $key := default "fingerprint-key" $.Values.state.postgres.fingerprintKey }}
        - {key: {{ $key }}, path: {{ $key }}}
  {{- end }}
  {{- if and .daemon $.Values.server.enabled $.Values.server.token.secretName }}
  - name: server-token
    secret:
      secretName: {{ $.Values.server.token.secretName }}
      defaultMode: 0440
  {{- end }}
  {{- range $.Values.credentials }}
  - name: {{ printf "credential-%s" .name }}
    secret:
      secretName: {{ .secretName }}
      defaultMode: 0440
      {{- if .optional }}
      optional: true
      {{- end }}
  {{- end }}
  {{- if $.Values.tokens }}
  - name: tokens
    projected:
      defaultMode: 0440
      sources:
        {{- range $.Values.tokens }}
        - serviceAccountToken:
            path: {{ .name }}
            audience: {{ .audience | quote }}
            expirationSeconds: {{ default 3600 .expirationSeconds }}
        {{- end }}
  {{- end }}
  {{- with $.Values.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
