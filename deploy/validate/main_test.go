package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	deployment = "deploy/kubernetes/deployment.yaml"
	scale      = "deploy/kubernetes/scale.yaml"
	monitor    = "deploy/kubernetes/monitor.yaml"
	topics     = "deploy/kubernetes/setup/topics.yaml"
	storeInit  = "deploy/kubernetes/setup/store-init.yaml"
	inCluster  = "deploy/kubernetes/settings/muster.toml"
	inCompose  = "deploy/compose/muster.toml"
	defaults   = "host/src/muster.toml"
)

// breakages are changes of one file each, with what must be said about them.
var breakages = []struct{ name, file, old, new, wanted string }{
	{"image: syntax", dockerfile, "EXPOSE 7400", "EXPOSED 7400", "unknown instruction"},
	{"image: root", dockerfile, "USER 65532:65532", "USER 0:0", "write a number that is not 0"},
	{"image: named user", dockerfile, "USER 65532:65532", "USER muster", "write a number that is not 0"},
	{"image: no user", dockerfile, "USER 65532:65532", "", "write a number that is not 0"},
	{"image: tag", dockerfile, "debian:13.5-slim", "debian:latest", "name a version"},
	{"image: no tag", dockerfile, "debian:13.5-slim", "debian", "name a version"},
	{"image: port", dockerfile, "EXPOSE 7400", "EXPOSE 7401", "listens on 0.0.0.0:7400"},
	{"image: path", dockerfile, `"/healthz"`, `"/health"`, "`/health` is no path"},
	{"image: shell", dockerfile, `ENTRYPOINT ["/usr/local/bin/muster"]`, "ENTRYPOINT muster", "ENTRYPOINT must be a list"},
	{"image: feature", dockerfile, " --features cluster", "", "with --features cluster"},
	{"image: rust", dockerfile, "rust:1.95.0", "rust:1.80.0", "rust-version"},
	{"image: version", dockerfile, `version="0.1.0"`, `version="0.0.9"`, "the repository is at 0.1.0"},
	{"image: stage", dockerfile, "--from=build /out/muster", "--from=builder /out/muster", "which is no stage"},
	{"image: source", dockerfile, "COPY deploy/healthcheck", "COPY deploy/health", "which is not there"},
	{"image: ignored", ".dockerignore", "!deploy/healthcheck\n", "", ".dockerignore leaves out"},
	{"healthcheck: port", "deploy/healthcheck", "2:-7400", "2:-7401", "asks another port"},

	{"settings: unknown key", inCompose, "threads = 1", "thread = 1", "`engine.thread` is no setting"},
	{"settings: unknown table", inCompose, "[engine]", "[engines]", "[engines] is no table"},
	{"settings: unknown key of the database", inCluster, "password_file =", "passwordfile =", "`store.cql.passwordfile` is no setting"},
	{"settings: syntax", inCompose, "[engine]", "[engine", "expected"},
	{"settings: of this machine", inCompose, `"0.0.0.0:7400"`, `"127.0.0.1:7400"`, "must be 0.0.0.0"},
	{"settings: open", inCluster, "[access]", "[access]\nopen = true", "lets everybody in"},
	{"settings: embedded", inCluster, `kind = "cql"`, `kind = "embedded"`, "`store.kind` is not `cql`"},

	{"compose: unknown field", composeFile, "read_only: true", "readonly: true", "readonly"},
	{"compose: writable", composeFile, "  read_only: true\n", "", "must be read_only"},
	{"compose: root", composeFile, `user: "65532:65532"
  read_only`, `user: "0:0"
  read_only`, "write a number that is not 0"},
	{"compose: tag", composeFile, "apachepulsar/pulsar:4.0.7", "apachepulsar/pulsar:latest", "name a version"},
	{"compose: version", composeFile, "muster:0.1.0", "muster:0.2.0", "the repository is at version 0.1.0"},
	{"compose: port", composeFile, "127.0.0.1:7402:7400", "127.0.0.1:7402:7500", "publishes port 7500"},
	{"compose: open port", composeFile, "127.0.0.1:7402:7400", "7402:7400", "is open to everybody"},
	{"compose: path", composeFile, `"/readyz"`, `"/ready"`, "`/ready` is no path"},
	{"compose: grace", composeFile, "stop_grace_period: 90s", "stop_grace_period: 10s", "stop_grace_period must be longer"},
	{"compose: no such service", composeFile, "      scylla-role:\n", "      scylla-rule:\n", "scylla-rule"},
	{"compose: only started", composeFile, "condition: service_healthy\n    restart: \"no\"\n\n  # Starts", "condition: service_started\n    restart: \"no\"\n\n  # Starts", "only to be started"},
	{"compose: cache", composeFile, "/var/cache/muster:size", "/var/cache/other:size", "where nothing can be written"},
	{"compose: secret", composeFile, "  secrets: [cql-password]\n  volumes:\n    - ./compose/muster", "  volumes:\n    - ./compose/muster", "which is no secret of it"},
	{"compose: mount", composeFile, "../examples/shop:", "../examples/shops:", "which is not there"},
	{"compose: topic", composeFile, "public/default/transitions", "public/default/transition", "TRANSITIONS is"},

	{"kubernetes: unknown field", deployment, "enableServiceLinks", "enableServiceLink", "unknown field"},
	{"kubernetes: misplaced field", deployment, "  revisionHistoryLimit: 5\n", "  revisionHistoryLimit: 5\n  enableServiceLinks: false\n", "unknown field"},
	{"kubernetes: written twice", deployment, "  revisionHistoryLimit: 5\n", "  revisionHistoryLimit: 5\n  revisionHistoryLimit: 6\n", "already"},
	{"kubernetes: wrong case", deployment, "enableServiceLinks", "enableservicelinks", "unknown field"},
	{"kubernetes: wrong type", deployment, "periodSeconds: 10", "periodSeconds: ten", "cannot unmarshal"},
	{"kubernetes: root", deployment, "runAsUser: 65532", "runAsUser: 0", "must not run as root"},
	{"kubernetes: job's root", storeInit, "runAsUser: 65532", "runAsUser: 0", "must not run as root"},
	{"kubernetes: writable", deployment, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "must be read-only"},
	{"kubernetes: capabilities", deployment, "drop: [ALL]", "drop: [NET_RAW]", "must give up all capabilities"},
	{"kubernetes: seccomp", topics, "type: RuntimeDefault", "type: Unconfined", "must be RuntimeDefault"},
	{"kubernetes: tag", "deploy/kubernetes/kustomization.yaml", "newTag: 0.1.0", "newTag: latest", "name a version"},
	{"kubernetes: port", deployment, "containerPort: 7400", "containerPort: 7401", "the settings listen on"},
	{"kubernetes: port of settings", inCluster, ":7400", ":7401", "the settings listen on"},
	{"kubernetes: port's name", deployment, "{ path: /readyz, port: http }", "{ path: /readyz, port: web }", "names port `web`"},
	{"kubernetes: path", deployment, "path: /readyz", "path: /ready", "`/ready` is no path"},
	{"kubernetes: route gone", "host/src/api/routes.rs", `"/readyz"`, `"/is-ready"`, "`/readyz` is no path"},
	{"kubernetes: liveness", deployment, "livenessProbe:\n            httpGet: { path: /healthz", "livenessProbe:\n            httpGet: { path: /readyz", "must not be started anew"},
	{"kubernetes: path with a token", deployment, "path: /readyz", "path: /metrics", "needs a token"},
	{"kubernetes: grace", deployment, "terminationGracePeriodSeconds: 90", "terminationGracePeriodSeconds: 25", "must be longer than"},
	{"kubernetes: drain", inCluster, `drain_wait = "20s"`, `drain_wait = "2m"`, "must be longer than"},
	{"kubernetes: threads", inCluster, "threads = 2", "threads = 8", "`engine.threads` is 8"},
	{"kubernetes: cache", deployment, "mountPath: /var/cache/muster", "mountPath: /var/cache/other", "no bounded folder"},
	{"kubernetes: selector", deployment, "  selector:\n    matchLabels: { app.kubernetes.io/name: muster,", "  selector:\n    matchLabels: { app.kubernetes.io/name: master,", "selector does not match"},
	{"kubernetes: service", "deploy/kubernetes/service.yaml", "  selector: { app.kubernetes.io/name: muster", "  selector: { app.kubernetes.io/name: master", "selects no pod"},
	{"kubernetes: disruption", "deploy/kubernetes/disruption.yaml", "app.kubernetes.io/name: muster", "app.kubernetes.io/name: master", "selects no pod"},
	{"kubernetes: network", "deploy/kubernetes/network.yaml", "port: 7400", "port: 7401", "lets another port in"},
	{"kubernetes: no network", "deploy/kubernetes/setup/kustomization.yaml", "  - network.yaml\n", "", "no NetworkPolicy covers it"},
	{"kubernetes: not listed", "deploy/kubernetes/kustomization.yaml", "  - monitor.yaml\n", "", "does not name it"},
	{"kubernetes: no such file", "deploy/kubernetes/kustomization.yaml", "  - monitor.yaml\n", "  - monitors.yaml\n", "monitors.yaml"},
	{"kubernetes: secret", deployment, "{ key: pulsar-token,", "{ key: pulsar-tokens,", "which secret.example.yaml does not show"},
	{"kubernetes: secret unmounted", deployment, "              - { key: cql-password, path: cql-password }\n", "", "which no secret gives it"},
	{"kubernetes: secret unshown", "deploy/kubernetes/secret.example.yaml", "  metrics-token:", "  metric-token:", "which secret.example.yaml does not show"},
	{"kubernetes: secret's field", "deploy/kubernetes/secret.example.yaml", "stringData:", "stringdata:", "unknown field"},
	{"kubernetes: settings", deployment, "configMap: { name: muster }", "configMap: { name: master }", "which nothing makes"},
	{"kubernetes: monitor", monitor, "path: /metrics", "path: /metric", "is no path"},
	{"kubernetes: monitor's field", monitor, "interval:", "intervall:", "unknown field"},
	{"kubernetes: monitor's port", monitor, "port: http", "port: web", "which the Service has not"},
	{"kubernetes: monitor's token", monitor, "      authorization:\n        type: Bearer\n        credentials: { name: muster, key: metrics-token }\n", "", "needs a token"},
	{"kubernetes: topic", topics, "value: \"persistent://public/default/messages\"", "value: \"persistent://public/default/message\"", "MESSAGES is"},

	{"scale: more than partitions", scale, "maxReplicaCount: 16", "maxReplicaCount: 17", "makes 16 partitions"},
	{"scale: fewer partitions", topics, `value: "16"`, `value: "8"`, "makes 8 partitions"},
	{"scale: unknown field", scale, "maxReplicaCount", "maxReplicas", "unknown field"},
	{"scale: unknown metadata", scale, "msgBacklogThreshold", "backlogThreshold", "reads no `backlogThreshold`"},
	{"scale: not partitioned", scale, `isPartitionedTopic: "true"`, `isPartitionedTopic: "false"`, "isPartitionedTopic must be"},
	{"scale: bare metadata", scale, `isPartitionedTopic: "true"`, `isPartitionedTopic: true`, "cannot unmarshal"},
	{"scale: subscription", scale, "subscription: muster", "subscription: master", "is not the settings'"},
	{"scale: target", scale, "scaleTargetRef:\n    name: muster", "scaleTargetRef:\n    name: master", "scales `master`"},
	{"scale: authentication", scale, "authenticationRef:\n        name: muster-pulsar", "authenticationRef:\n        name: muster", "is not there"},
	{"scale: parameter", scale, "parameter: bearerToken", "parameter: token", "takes no `token`"},

	{"alerts: unknown figure", alertsFile, "muster_overtaken_total", "muster_overtakes_total", "`muster_overtakes_total` is no figure"},
	{"alerts: figure gone", "host/src/metrics.rs", `"muster_queue_messages"`, `"muster_waiting_messages"`, "`muster_queue_messages` is no figure"},
	{"alerts: syntax", alertsFile, "count(muster_queue_messages) < 2", "count(muster_queue_messages < 2", "could not parse expression"},
	{"alerts: unknown field", alertsFile, "severity: critical }\n        annotations", "severity: critical }\n        annotation", "field annotation not found"},
	{"alerts: template", alertsFile, "{{ $labels.reason }}", "{{ $label.reason }}", "undefined variable"},
	{"alerts: not explained", "deploy/README.md", "### MusterStuck", "### Stuck", "does not say what to do"},
	{"alerts: explained in vain", alertsFile, "alert: MusterStuck", "alert: MusterHanging", "which is no alert"},
	{"kubernetes: token of Kubernetes", deployment, "automountServiceAccountToken: false", "automountServiceAccountToken: true", "must not be given a token"},
	{"kubernetes: no user", deployment, "        runAsUser: 65532\n", "", "must have runAsUser"},
	{"kubernetes: root's group", deployment, "runAsGroup: 65532", "runAsGroup: 0", "root's group"},
	{"kubernetes: container's root", storeInit, "            allowPrivilegeEscalation: false", "            allowPrivilegeEscalation: false\n            runAsUser: 0", "must not run as root"},
	{"kubernetes: escalation", storeInit, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "must not gain rights"},
	{"kubernetes: incomplete context", topics, "            readOnlyRootFilesystem: true\n", "", "must be complete"},
	{"kubernetes: unbounded", storeInit, "            limits: { memory: 512Mi }\n", "", "bound its memory"},
	{"kubernetes: limit of processors", deployment, "limits: { memory: 4Gi", "limits: { cpu: \"2\", memory: 4Gi", "counts against calls"},
	{"kubernetes: mode", deployment, "defaultMode: 0440", "defaultMode: 0444", "defaultMode 0440"},
	{"kubernetes: all items", topics, "            items:\n              - { key: pulsar-admin-token, path: pulsar-admin-token }\n              - { key: pulsar-authority.pem, path: pulsar-authority.pem }\n", "", "which items of the secret"},
	{"kubernetes: other secret", storeInit, "secretName: muster", "secretName: master", "secret.example.yaml does not show"},
	{"kubernetes: no such volume", deployment, "{ name: artefacts, mountPath", "{ name: artifacts, mountPath", "which the pod has not"},
	{"kubernetes: no probe", deployment, "startupProbe", "livenessProbes", "startupProbe is missing"},
	{"kubernetes: spread", deployment, "          labelSelector:\n            matchLabels: { app.kubernetes.io/name: muster,", "          labelSelector:\n            matchLabels: { app.kubernetes.io/name: master,", "spreads other pods"},
	{"kubernetes: job again", storeInit, "restartPolicy: Never", "restartPolicy: OnFailure", "must not be started again"},
	{"kubernetes: namespace", "deploy/kubernetes/kustomization.yaml", "namespace: muster", "namespace: master", "is not in the namespace"},
	{"kubernetes: kind", "deploy/kubernetes/disruption.yaml", "policy/v1", "policy/v1beta1", "nothing here decodes"},
	{"kubernetes: service's port", "deploy/kubernetes/service.yaml", "port: 7400", "port: 80", "port 80 is not"},
	{"kubernetes: monitor's selector", monitor, "app.kubernetes.io/component: service", "app.kubernetes.io/component: setup", "selects no service"},
	{"kubernetes: partitions", topics, `value: "16"`, `value: "many"`, "PARTITIONS is"},
	{"kubernetes: administration", topics, "name: ADMIN_URL", "name: ADMIN", "needs ADMIN_URL"},
	{"scale: replicas too", deployment, "  revisionHistoryLimit: 5\n", "  revisionHistoryLimit: 5\n  replicas: 2\n", "has `replicas`"},
	{"scale: one", scale, "minReplicaCount: 2", "minReplicaCount: 1", "minReplicaCount must be"},
	{"scale: unbounded", scale, "  maxReplicaCount: 16\n", "", "must have minReplicaCount and maxReplicaCount"},
	{"scale: other scaler", scale, "type: pulsar", "type: kafka", "is not Pulsar's scaler"},
	{"scale: threshold", scale, `msgBacklogThreshold: "45000"`, `msgBacklogThreshold: "many"`, "must be a number"},
	{"scale: other threshold", scale, `msgBacklogThreshold: "45000"`, `msgBacklogThreshold: "35000"`, "does not say `The one there, 35000,`"},
	{"scale: topic", scale, "topic: persistent://public/default/messages", "topic: persistent://public/default/message", "is not in the settings"},
	{"scale: administration", scale, "adminURL: https://", "adminURL: pulsar://", "adminURL must be"},
	{"alerts: no severity", alertsFile, "        labels: { severity: critical }\n", "", "needs a severity"},
	{"compose: mount to write to", composeFile, "muster.toml:ro", "muster.toml", "could be written to"},
	{"compose: capabilities", composeFile, "  cap_drop: [ALL]\n", "", "must give up all capabilities"},
	{"compose: ends never", composeFile, "    restart: \"no\"\n\n  muster-1", "    restart: always\n\n  muster-1", "which is started again"},
	{"compose: never healthy", composeFile, "    healthcheck:\n      test: [\"CMD\", \"bin/pulsar-admin\", \"brokers\", \"healthcheck\"]", "    x-check:\n      test: []", "which has no healthcheck"},
	{"compose: no path", composeFile, `"/usr/local/bin/healthcheck", "/readyz"]`, `"/usr/local/bin/healthcheck"]`, "must name a path"},
	{"compose: one instance", composeFile, "    ports: [\"127.0.0.1:7402:7400\"]\n", "", "and it has 1"},
	{"compose: rules", inCompose, "/etc/muster/rules/shop", "/etc/muster/rules/shops", "which is not mounted"},
	{"settings: no cache", inCompose, "artefacts = ", "# artefacts = ", "must be a folder"},
	{"settings: two topics", inCluster, `topics = [`, `topics = ["persistent://public/default/more", `, "one topic"},
	{"image: no healthcheck", dockerfile, "HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \\\n    CMD [\"/usr/local/bin/healthcheck\", \"/healthz\"]\n", "", "HEALTHCHECK must be"},
	{"sources: routes unreadable", "host/src/api/routes.rs", "Route::new(", "Route::made(", "routes are found"},
	{"sources: figures unreadable", "host/src/metrics.rs", ".counter", ".count", "figures are found"},
	{"page: link", "deploy/README.md", "(kubernetes/scale.yaml)", "(kubernetes/scales.yaml)", "links to"},
}

// copied is what the checks read.
var copied = []string{"Cargo.toml", ".dockerignore", "ARCHITECTURE.md", "deploy", "docs", "examples/shop", defaults,
	"host/src/metrics.rs", "host/src/api/routes.rs"}

func copyTo(t *testing.T, root string) {
	t.Helper()
	for _, path := range copied {
		from, to := filepath.Join("../..", path), filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-r", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

func TestAsItIsNothingIsWrong(t *testing.T) {
	root := t.TempDir()
	copyTo(t, root)
	if problems := validate(root).problems; len(problems) > 0 {
		t.Fatal(strings.Join(problems, "\n"))
	}
}

func TestEveryBreakageIsNoticed(t *testing.T) {
	root := t.TempDir()
	copyTo(t, root)
	for _, broken := range breakages {
		t.Run(broken.name, func(t *testing.T) {
			path := filepath.Join(root, broken.file)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(whole), broken.old) {
				t.Fatalf("%s does not hold %q any more", broken.file, broken.old)
			}
			changed := strings.ReplaceAll(string(whole), broken.old, broken.new)
			if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
				t.Fatal(err)
			}
			problems := strings.Join(validate(root).problems, "\n")
			if err := os.WriteFile(path, whole, 0o644); err != nil {
				t.Fatal(err)
			}
			if problems == "" {
				t.Fatal("nothing was noticed")
			}
			if !strings.Contains(problems, broken.wanted) {
				t.Fatalf("wanted %q, and got:\n%s", broken.wanted, problems)
			}
		})
	}
}

func TestTheHealthcheckBelievesOnly200(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if request.URL.Path != "/healthz" {
			answer.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	address := server.Listener.Addr().(*net.TCPAddr)
	port := server.URL[strings.LastIndex(server.URL, ":")+1:]
	ask := func(path string) error { return exec.Command("../healthcheck", path, port).Run() }
	if !address.IP.IsLoopback() {
		t.Fatalf("%s is not this machine", address)
	}
	if err := ask("/healthz"); err != nil {
		t.Errorf("200 is well: %v", err)
	}
	if ask("/readyz") == nil {
		t.Error("503 is not well")
	}
	server.Close()
	if ask("/healthz") == nil {
		t.Error("nobody who answers is not well")
	}
}

// A stand-in for pulsar-admin that keeps topics and subscriptions as files.
const standIn = `#!/bin/bash
set -euo pipefail
shift 2
echo "$*" >>asked
case "$1 $2" in
"topics list-partitioned-topics") cat partitioned 2>/dev/null || true ;;
"topics create-partitioned-topic") echo "\"$5\"" >>partitioned ;;
"topics list") cat plain 2>/dev/null || true ;;
"topics create") echo "$3" >>plain ;;
"topics subscriptions") cat subscriptions 2>/dev/null || true ;;
"topics create-subscription") echo "$6" >>subscriptions ;;
"namespaces set-retention") ;;
*) exit 9 ;;
esac
`

func TestTopicsAreMadeOnce(t *testing.T) {
	folder := t.TempDir()
	script, err := filepath.Abs("../kubernetes/setup/topics.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "bin/pulsar-admin"), []byte(standIn), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func() string {
		command := exec.Command("bash", script)
		command.Dir = folder
		command.Env = append(os.Environ(), "ADMIN_URL=http://pulsar:8080", "NAMESPACE=public/default", "PARTITIONS=8",
			"MESSAGES=persistent://public/default/messages", "TRANSITIONS=persistent://public/default/transitions",
			"DEAD_LETTERS=persistent://public/default/dead", "SUBSCRIPTION=muster")
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		asked, err := os.ReadFile(filepath.Join(folder, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		return string(asked)
	}
	first := run()
	for _, wanted := range []string{
		"topics create-partitioned-topic --partitions 8 persistent://public/default/messages\n",
		"topics create-partitioned-topic --partitions 8 persistent://public/default/transitions\n",
		"topics create persistent://public/default/dead\n",
		"topics create-subscription --messageId earliest --subscription muster persistent://public/default/messages\n",
	} {
		if !strings.Contains(first, wanted) {
			t.Errorf("was not asked for: %s", wanted)
		}
	}
	if again := strings.TrimPrefix(run(), first); strings.Contains(again, "topics create") {
		t.Errorf("what is there was made again:\n%s", again)
	}
}
