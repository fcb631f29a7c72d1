"""Breaks one thing after the other in a copy of the files, and wants check.sh to fail at the step that is there for it, with words that say
what is wrong: a check that cannot fail is none. Run by `check.sh --self-test`."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

COMPOSE, BASE, K8S, CHART = "docker-compose.yml", "deploy/k8s/base", "deploy/k8s", "deploy/helm/counterfactory"
# Not one, and put together here so that this file does not look like one either.
KEY = "AKIA" + "QYLPMN5HFIQR7XYA"

# step, file, what stands there (None: at its end), what shall stand there, what must be said
MUTATIONS = [
    ("images", "deploy/docker/coordinator.Dockerfile", None, "MAINTAINER somebody\n", "DL4000"),
    ("compose", COMPOSE, "shm_size: 256m", "shm_sise: 256m", "shm_sise"),
    ("compose", COMPOSE, "pids_limit: 512", "pids_limit: [512]", "is not of type"),
    ("compose", COMPOSE, 'ports: ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"]', 'ports: ["${GRAFANA_PORT:-3000}:3000"]', "interface"),
    ("compose", COMPOSE, "caddy:2.11.4-alpine", "caddy:latest", "concrete version"),
    ("compose", COMPOSE, "stop_grace_period: 90s", "stop_grace_period: 60s", "killed before its grace"),
    ("compose", COMPOSE, "CFX_ADMIN_KEY_FILE: /run/secrets/admin_key", "CFX_ADMIN_KEY_FILE: /run/secrets/admin", "not among its secrets"),
    ("compose", COMPOSE, "  secrets: [broker_url,", "  secrets: [database_url, broker_url,", "no business with the database"),
    ("compose", COMPOSE, "    mem_limit: 256m\n    pids_limit: 128\n", "    pids_limit: 128\n", "no mem_limit"),
    ("compose", COMPOSE, "rabbitmq: { condition: service_healthy }", "rabbitmq: { condition: service_started }", "waits for rabbitmq"),
    ("compose", COMPOSE, "${CFX_LOG:-info}", "${CFX_LOG:-debug}", "by default"),
    ("compose", ".env.example", "#CFX_CACHE_BYTES=", "#CFX_CACHE_BITES=", "CFX_CACHE_BITES"),
    ("proxy", "deploy/compose/Caddyfile", "lb_policy least_conn", "lb_policy least_work", "least_work"),
    ("yaml", f"{BASE}/namespace.yaml", "  labels:\n", "   labels:\n", "namespace.yaml"),
    ("manifests", f"{BASE}/worker.yaml", "enableServiceLinks: false", "enableServiceLink: false", "enableServiceLink"),
    ("manifests", f"{BASE}/worker.yaml", "  replicas: 2", "  replicas: two", "two"),
    ("manifests", f"{BASE}/priorities.yaml", "kind: PriorityClass", "kind: PriorityKlass", "PriorityKlass"),
    ("manifests", f"{K8S}/components/keda/scale.yaml", 'targetQueryValue: "600"', "targetQueryValue: 600", "number"),
    ("manifests", f"{K8S}/components/keda/scale.yaml", "pollingInterval: 30", "polingInterval: 30", "polingInterval"),
    ("manifests", f"{K8S}/components/keda/scale.yaml", "scaleTargetRef: { name: worker }", "scaleTargetRef: { name: wroker }", "scales nothing"),
    ("manifests", f"{K8S}/components/keda/kustomization.yaml", "op: remove, path: /spec/replicas", "op: replace, path: /spec/replicas, value: 3", "set it back"),
    ("manifests", f"{K8S}/components/monitoring/monitors.yaml", "podMetricsEndpoints:\n    - port", "podMetricsEndpoints:\n    - ports", "ports"),
    ("manifests", f"{K8S}/components/monitoring/monitors.yaml", "    - port: http", "    - port: web", "asks no Service"),
    ("manifests", f"{K8S}/components/kueue/queues.yaml", 'name: cpu, nominalQuota: "30"', 'name: cpu, nominalQuotas: "30"', "nominalQuota"),
    ("manifests", f"{K8S}/components/kueue/worker.yaml", "queue-name: counterfactory", "queue-name: others", "nothing is queued"),
    ("manifests", f"{K8S}/rabbitmq/cluster.yaml", "  replicas: 3", "  replica: 3", "replica"),
    ("manifests", f"{BASE}/kustomization.yaml", "newTag: 0.1.0", "newTag: latest", "no version"),
    ("manifests", f"{BASE}/worker.yaml", "terminationGracePeriodSeconds: 720", "terminationGracePeriodSeconds: 640", "takes 630 s and an upload"),
    ("manifests", f"{K8S}/components/spot/worker.yaml", 'CFX_GRACE_SECONDS, value: "75"', 'CFX_GRACE_SECONDS, value: "50"', "shorter than a slice"),
    ("manifests", f"{BASE}/coordinator.yaml", "terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 40", "killed before it can end"),
    ("manifests", f"{BASE}/coordinator.yaml", "{ key: admin.key, path", "{ key: admin, path", "wants ['admin']"),
    ("manifests", f"{BASE}/coordinator.yaml", "value: /run/secrets/counterfactory/broker-url", "value: /run/secrets/broker-url", "which nothing mounts"),
    ("manifests", f"{BASE}/worker.yaml", "automountServiceAccountToken: false\n      priority", "automountServiceAccountToken: true\n      priority", "with Kubernetes"),
    ("manifests", f"{BASE}/worker.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "write to its root"),
    ("manifests", f"{BASE}/worker.yaml", 'limits: { cpu: "1", memory: 4Gi }', 'limits: { cpu: "1" }', "limits of memory"),
    ("manifests", f"{BASE}/worker.yaml", "sizeLimit: 30Gi", "sizeLimit: 10Gi", "larger than CFX_CACHE_BYTES"),
    ("manifests", f"{BASE}/network.yaml", "name: coordinator-database\nspec:\n  podSelector:\n    matchLabels: { app.kubernetes.io/name: counterfactory, app.kubernetes.io/component: coordinator",
     "name: coordinator-database\nspec:\n  podSelector:\n    matchLabels: { app.kubernetes.io/name: counterfactory, app.kubernetes.io/component: worker", "a worker reaches Postgres"),
    ("manifests", f"{BASE}/network.yaml", "except: [169.254.0.0/16]", "except: [10.0.0.0/8]", "nodes' metadata"),
    ("manifests", f"{BASE}/network.yaml", "policyTypes: [Ingress, Egress]\n---", "policyTypes: [Ingress]\n---", "nothing denies"),
    ("manifests", f"{K8S}/components/deletion-cost/coordinator.yaml", "automountServiceAccountToken: true", "automountServiceAccountToken: false", "has a token"),
    ("manifests", f"{K8S}/components/mig/worker.yaml", 'requests: { nvidia.com/gpu: null, nvidia.com/mig-3g.40gb: "1" }', 'requests: { nvidia.com/gpu: null }', "must be requested"),
    ("manifests", f"{K8S}/components/unused/kustomization.yaml", None, "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n", "no overlay has"),
    ("backlog", f"{K8S}/components/keda/scale.yaml", "state IN ('accepting', 'active')", "state <> 'succeeded'", "and not by '1140'"),
    ("backlog", f"{K8S}/components/keda/scale.yaml", "dash.job_progress", "dash.jobs_progress", "does not exist"),
    ("chart", f"{CHART}/templates/worker.yaml", "failureThreshold: 20", "failureThreshold: 21", "render different things"),
    ("chart", f"{BASE}/worker.yaml", "periodSeconds: 15", "periodSeconds: 16", "render different things"),
    ("chart", f"{K8S}/components/keda/scale.yaml", "maxReplicaCount: 10", "maxReplicaCount: 12", "render different things"),
    ("chart", f"{CHART}/values.yaml", "  gpuSecondsPerWorker:", "  gpuSecondPerWorker:", "gpuSecondPerWorker"),
    ("chart", f"{CHART}/values.yaml", "graceSeconds: 630", "graceSeconds: 700", "30 more than"),
    ("chart", f"{CHART}/Chart.yaml", "appVersion: 0.1.0", "appVersion: 0.2.0", "0.2.0"),
    ("rules", "deploy/prometheus/rules.yml", "for: 2m", "for: 3m", "are not those of"),
    ("rules", "deploy/OPERATIONS.md", "| `BacklogLong` |", "| `BacklogLonger` |", "does not tell of the same alerts"),
    ("scripts", "deploy/secrets.sh", None, "echo $1\n", "SC2086"),
    ("secrets", COMPOSE, None, f"# {KEY}\n", "looks like a secret"),
    ("secrets", f"{K8S}/overlays/dev/secrets.example/broker.env", "counterfactory:made-by", "counterfactory:really", "looks like a secret"),
    ("secrets", f"{BASE}/settings.env", None, "CFX_S3_SECRET_KEY=" + KEY[::-1].lower() + "\n", "looks like a secret"),
    ("secrets", COMPOSE, "POSTGRES_DB: counterfactory", "POSTGRES_PASSWORD: " + KEY.lower(), "looks like a secret"),
    ("settings", COMPOSE, "      CFX_CLASS: gpu", "      CFX_KLASS: gpu", "CFX_KLASS, which no program reads"),
    ("settings", "README.md", None, "Set CFX_NOTHING.\n", "CFX_NOTHING, which no program reads"),
    ("settings", f"{BASE}/coordinator.yaml", "name: CFX_BROKER_URL_FILE", "name: CFX_CONFIG", "not given CFX_BROKER_URL"),
    ("settings", "deploy/SETTINGS.md", "| 16 |", "| 17 |", "not what the programs say"),
    ("settings", ".env.example", "CFX_BROKER_URL,", "the broker's,", "does not tell CFX_BROKER_URL"),
    ("starts", COMPOSE, "CFX_DEVICE: cpu", "CFX_DEVICE: gpu", "CFX_DEVICE is gpu"),
    ("starts", COMPOSE, 'CFX_METRICS_OPEN: "true"', 'CFX_METRICS_OPEN: "yes"', "invalid value"),
    ("starts", COMPOSE, "[CMD, cfx, health]", "[CMD, cfx, healthy]", "is no command"),
    ("starts", f"{BASE}/worker.yaml", "{ name: CFX_CLASS, value: cpu }", "{ name: CFX_CLASS, value: the cpu }", "does not understand"),
    ("starts", f"{BASE}/coordinator.yaml", 'value: "0.0.0.0:8080"', 'value: "0.0.0.0"', "invalid value"),
    ("settings", "services/worker/src/main.rs", None, '// std::env::var("CFX_SECRET_DOOR")\n', "reads CFX_SECRET_DOOR"),
]


def copy(folder):
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], capture_output=True, check=True).stdout.decode().split("\0")
    for path in filter(None, listed):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if pathlib.Path(path).is_symlink() or pathlib.Path(path).is_file():
            shutil.copy2(path, target, follow_symlinks=False)
    (folder / ".local").symlink_to(pathlib.Path(".local").resolve())
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def run(folder, step):
    binaries = str(pathlib.Path(os.environ.get("BINARIES", "target/debug")).resolve())
    done = subprocess.run(
        ["tests/deploy/check.sh", step], cwd=folder, env={**os.environ, "BINARIES": binaries}, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def main():
    only = set(os.environ.get("STEPS", "").split())
    chosen = [mutation for mutation in MUTATIONS if not only or mutation[0] in only]
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "copy"
        folder.mkdir()
        copy(folder)
        for step, file, old, new, said in chosen:
            path = folder / file
            before = path.read_text() if path.exists() else None
            if old is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text((before or "") + new)
            else:
                # the thing itself must be there, or this breaks nothing
                if old not in before:
                    sys.exit(f"error: {file} has no '{old}'")
                path.write_text(before.replace(old, new, 1))
            status, output = run(folder, step)
            if before is None:
                path.unlink()
                path.parent.rmdir()
            else:
                path.write_text(before)
            what = f"{step}: {file}: {(new if old is None else f'{old} -> {new}').strip().splitlines()[0][:90]}"
            if status == 0 or said not in output:
                failed += 1
                print(f"NOT SEEN  {what}\n{output[-2000:]}", flush=True)
            else:
                print(f"seen      {what}", flush=True)
    if failed:
        sys.exit(f"error: {failed} of {len(chosen)} were not seen")
    print(f"{len(chosen)} things broken, each seen")


main()
