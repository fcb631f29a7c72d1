"""What must hold of the manifests of an overlay beyond their types: manifests.py VERSION RENDERED.yaml...

That names lead somewhere (Secrets, ports, accounts, selectors), that every container is bounded, that workers have no way to the database,
and that a pod is given the time that its program takes to end."""

import pathlib
import re
import sys

import yaml

# Secrets that whoever installs makes: their keys are the contract of deploy/k8s/README.md.
GIVEN = {
    "counterfactory-database": {"url"},
    "counterfactory-broker": {"url"},
    "counterfactory-bucket": {"access-key", "secret-key"},
    "counterfactory-admin": {"admin.key"},
    "counterfactory-dash": {"url"},
    "counterfactory-broker-api": {"url"},
}
# Containers that are root for a moment, with the reason beside them in their manifest.
ROOT = {"own-cache"}
# Time to upload what is finished after the grace.
UPLOAD_SECONDS = 30


class Overlay:
    def __init__(self, path, version):
        self.name, self.version, self.wrong = pathlib.Path(path).stem, version, []
        self.things = [thing for thing in yaml.safe_load_all(pathlib.Path(path).read_text()) if thing]

    def of(self, *kinds):
        return [thing for thing in self.things if thing["kind"] in kinds]

    def named(self, kind, name):
        return next((thing for thing in self.of(kind) if thing["metadata"]["name"] == name), None)

    def error(self, thing, text):
        self.wrong.append(f"{self.name}: {thing['kind']}/{thing['metadata']['name']}: {text}")

    def workloads(self):
        return self.of("Deployment", "StatefulSet", "Job")

    def check(self):
        for thing in self.workloads():
            self.pod(thing, thing["spec"]["template"])
        self.references()
        self.networks()
        return self.wrong

    # --- pods ---

    def pod(self, thing, template):
        spec, labels = template["spec"], template["metadata"]["labels"]
        if thing["kind"] != "Job" and not selects(thing["spec"]["selector"], labels):
            self.error(thing, "its selector does not select its pods")
        if not any(selects(rule["spec"]["podSelector"], labels) and rule["spec"]["podSelector"] for rule in self.of("NetworkPolicy")):
            self.error(thing, "no NetworkPolicy is for its pods")
        if thing["kind"] == "Deployment":
            budgets = [b for b in self.of("PodDisruptionBudget") if selects(b["spec"]["selector"], labels)]
            if len(budgets) != 1:
                self.error(thing, f"it has {len(budgets)} PodDisruptionBudgets")
            if not self.named("PriorityClass", spec.get("priorityClassName")):
                self.error(thing, "its PriorityClass is not there")
            if not self.named("ServiceAccount", spec.get("serviceAccountName")):
                self.error(thing, "its ServiceAccount is not there")
            if not spec.get("topologySpreadConstraints"):
                self.error(thing, "its pods are not spread")
        security = spec.get("securityContext", {})
        if security.get("runAsNonRoot") is not True or security.get("seccompProfile") != {"type": "RuntimeDefault"}:
            self.error(thing, "its pods must be of another user than root, under the runtime's seccomp profile")
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        volumes |= {claim["metadata"]["name"]: claim for claim in thing["spec"].get("volumeClaimTemplates", [])}
        files = {}
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            self.container(thing, spec, container, volumes, files)
        if thing["metadata"]["name"] in ("coordinator", "worker"):
            getattr(self, thing["metadata"]["name"])(thing, spec, spec["containers"][0])

    def container(self, thing, spec, container, volumes, files):
        name, image = container["name"], container["image"]
        tag = image.rpartition(":")[2] if ":" in image else ""
        if not re.search(r"\d", tag):
            self.error(thing, f"the image {image} has no version")
        if "counterfactory/" in image and tag != self.version:
            self.error(thing, f"the image {image} is not of version {self.version}")
        security = container.get("securityContext", {})
        if security.get("allowPrivilegeEscalation") is not False or security.get("readOnlyRootFilesystem") is not True:
            self.error(thing, f"{name} may get more rights, or write to its root")
        if security.get("capabilities", {}).get("drop") != ["ALL"]:
            self.error(thing, f"{name} keeps capabilities")
        if name not in ROOT and (security.get("runAsUser") == 0 or security.get("runAsNonRoot") is False or security["capabilities"].get("add")):
            self.error(thing, f"{name} is root, or nearly")
        for what in ("requests", "limits"):
            for resource in ("cpu", "memory"):
                if resource not in container.get("resources", {}).get(what, {}):
                    self.error(thing, f"{name} has no {what} of {resource}")
        mounted = {mount["mountPath"]: mount for mount in container.get("volumeMounts", [])}
        for mount in mounted.values():
            if mount["name"] not in volumes:
                self.error(thing, f"{name} mounts {mount['name']}, which is not there")
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe in container:
                asked = container[probe].get("httpGet", container[probe].get("tcpSocket", {})).get("port")
                if asked is not None and asked not in ports:
                    self.error(thing, f"{name}'s {probe} asks the port {asked}, which it has not")
            elif thing["kind"] == "Deployment" and container in spec["containers"]:
                self.error(thing, f"{name} has no {probe}")
        for variable in container.get("env", []):
            key, value = variable["name"], variable.get("value", "")
            if re.search(r"://[^/]*:[^/]*@", value):
                self.error(thing, f"{name}'s {key} has a password in it")
            if key.endswith("_FILE") and not self.file(value, mounted, volumes):
                self.error(thing, f"{name}'s {key} is {value}, which nothing mounts")

    def file(self, path, mounted, volumes):
        folder, _, item = path.rpartition("/")
        mount = mounted.get(folder)
        volume = volumes.get(mount["name"], {}) if mount else {}
        sources = [s["secret"] for s in volume.get("projected", {}).get("sources", []) if "secret" in s]
        return any(one["path"] == item for secret in sources for one in secret["items"])

    def coordinator(self, thing, spec, container):
        env = environment(container)
        token = spec.get("automountServiceAccountToken")
        if token is not (env.get("CFX_POD_DELETION_COST") == "true"):
            self.error(thing, "it has a token for Kubernetes if and only if it writes deletion costs")
        if thing["spec"]["replicas"] < 2 or thing["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] != 0:
            self.error(thing, "one must answer while another is replaced")
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        # [tuning] shutdown: twenty seconds for requests, and twenty for loops
        if spec["terminationGracePeriodSeconds"] < pause + 40 + 5:
            self.error(thing, "it is killed before it can end: it takes preStop and 40 s")

    def worker(self, thing, spec, container):
        env = environment(container)
        if spec.get("automountServiceAccountToken") is not False:
            self.error(thing, "a worker has no business with Kubernetes")
        if any("DATABASE" in name or "ADMIN" in name for name in env) or "counterfactory-database" in str(spec):
            self.error(thing, "a worker has no business with the database")
        grace, slice_seconds = int(env["CFX_GRACE_SECONDS"]), int(env["CFX_SLICE_SECONDS"])
        if spec["terminationGracePeriodSeconds"] < grace + UPLOAD_SECONDS:
            self.error(thing, f"it is killed {spec['terminationGracePeriodSeconds']} s after SIGTERM, and takes {grace} s and an upload")
        if grace < slice_seconds:
            self.error(thing, f"its grace of {grace} s is shorter than a slice of {slice_seconds} s: what runs does not come to its checkpoint")
        gpu = [name for name in container["resources"]["limits"] if name.startswith("nvidia.com/")]
        if bool(gpu) != env["CFX_DEVICE"].startswith("cuda") or bool(gpu) != ("worker-cuda" in container["image"]):
            self.error(thing, "device, image and resources do not agree on a GPU")
        if gpu and container["resources"]["requests"].get(gpu[0]) != container["resources"]["limits"][gpu[0]]:
            self.error(thing, f"{gpu[0]} must be requested as it is limited")
        for volume in spec["volumes"]:
            size = volume.get("emptyDir", {}).get("sizeLimit")
            if volume["name"] == "packs" and size and bytes_of(size) <= int(env["CFX_CACHE_BYTES"]):
                self.error(thing, "the cache's volume is not larger than CFX_CACHE_BYTES: the pod is ended when it is full")

    # --- names that must lead somewhere ---

    def references(self):
        made = {
            thing["metadata"]["name"]: set({**thing.get("data", {}), **thing.get("stringData", {})}) for thing in self.of("Secret", "ConfigMap")
        }
        bases = {re.sub(r"-[a-z0-9]{10}$", "", name): keys for name, keys in made.items()}
        own_secrets = bool(self.of("Secret"))
        for thing in self.things:
            for name, keys in wanted(thing):
                known = made.get(name) if own_secrets or name in made else GIVEN.get(name)
                if known is None:
                    self.error(thing, f"it wants {name}, which is neither here nor in the list of Secrets that are given")
                elif missing := keys - known:
                    self.error(thing, f"it wants {sorted(missing)} of {name}, which has {sorted(known)}")
        for name, keys in GIVEN.items():
            if own_secrets and name in bases and not keys <= bases[name]:
                self.wrong.append(f"{self.name}: {name} lacks {sorted(keys - bases[name])}")
        pods = [(thing, thing["spec"]["template"]) for thing in self.workloads()]
        for service in self.of("Service"):
            targets = [template for _, template in pods if selects({"matchLabels": service["spec"]["selector"]}, template["metadata"]["labels"])]
            if len(targets) != 1:
                self.error(service, f"it selects {len(targets)} kinds of pods")
        for monitor in self.of("ServiceMonitor"):
            services = [s for s in self.of("Service") if selects(monitor["spec"]["selector"], s["metadata"].get("labels", {}))]
            ports = {port["name"] for s in services for port in s["spec"]["ports"]}
            if not {end["port"] for end in monitor["spec"]["endpoints"]} <= ports:
                self.error(monitor, "it asks no Service")
        for monitor in self.of("PodMonitor"):
            asked = {end["port"] for end in monitor["spec"]["podMetricsEndpoints"]}
            ports = {
                port["name"]
                for _, template in pods
                if selects(monitor["spec"]["selector"], template["metadata"]["labels"])
                for container in template["spec"]["containers"]
                for port in container.get("ports", [])
            }
            if not asked <= ports:
                self.error(monitor, "it asks no pod")
        for scale in self.of("ScaledObject"):
            target = self.named("Deployment", scale["spec"]["scaleTargetRef"]["name"])
            if not target:
                self.error(scale, "it scales nothing")
            elif "replicas" in target["spec"]:
                self.error(scale, "what it scales says its number itself: an apply would set it back")
            for trigger in scale["spec"]["triggers"]:
                if not self.named("TriggerAuthentication", trigger["authenticationRef"]["name"]):
                    self.error(scale, "its login is not there")
        for binding in self.of("RoleBinding"):
            if not self.named("Role", binding["roleRef"]["name"]) or not all(
                self.named("ServiceAccount", s["name"]) and s["namespace"] == "counterfactory" for s in binding["subjects"]
            ):
                self.error(binding, "it binds nobody, or to nothing")
        for queue in self.of("LocalQueue"):
            cluster = self.named("ClusterQueue", queue["spec"]["clusterQueue"])
            flavors = [f["name"] for group in cluster["spec"]["resourceGroups"] for f in group["flavors"]] if cluster else []
            if not flavors or not all(self.named("ResourceFlavor", flavor) for flavor in flavors):
                self.error(queue, "its queue or flavour is not there")
            if not any(t["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name") == queue["metadata"]["name"] for t in self.workloads()):
                self.error(queue, "nothing is queued in it")

    # --- who reaches whom ---

    def networks(self):
        rules = self.of("NetworkPolicy")
        if self.of("Namespace") and not any(not r["spec"]["podSelector"] and len(r["spec"]["policyTypes"]) == 2 for r in rules):
            self.wrong.append(f"{self.name}: nothing denies what is not allowed")
        for thing in self.workloads():
            labels = thing["spec"]["template"]["metadata"]["labels"]
            egress = [e for r in rules if selects(r["spec"]["podSelector"], labels) for e in r["spec"].get("egress", [])]
            ports = {port["port"] for e in egress for port in e.get("ports", [])}
            if any(not e.get("to") or not e.get("ports") for e in egress):
                self.error(thing, "it may reach anything somewhere")
            name = thing["metadata"]["name"]
            if name == "worker" and ports & {5432, "postgres", 6443}:
                self.error(thing, "a worker reaches Postgres or Kubernetes")
            if name == "coordinator":
                if 5432 not in ports:
                    self.error(thing, "it does not reach Postgres")
                cost = environment(thing["spec"]["template"]["spec"]["containers"][0]).get("CFX_POD_DELETION_COST") == "true"
                if cost is not (6443 in ports):
                    self.error(thing, "it reaches Kubernetes if and only if it writes deletion costs")
            if name in ("worker", "coordinator") and not {53, 5672} <= ports:
                self.error(thing, "it does not reach names and RabbitMQ")
            for block in (to["ipBlock"] for e in egress for to in e["to"] if "ipBlock" in to):
                if block["cidr"] == "0.0.0.0/0" and "169.254.0.0/16" not in block.get("except", []):
                    self.error(thing, "it reaches the nodes' metadata")


def environment(container):
    return {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}


def selects(selector, labels):
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []))


def bytes_of(text):
    number, unit = re.fullmatch(r"(\d+)([KMGT]i)", text).groups()
    return int(number) * 1024 ** (" KMGT".index(unit[0]))


def wanted(thing):
    """Secrets and ConfigMaps that an object names, with the keys it wants of them."""
    found = []

    def walk(value, key):
        if isinstance(value, dict):
            if key == "secret" and "items" in value:
                found.append((value["name"], {item["key"] for item in value["items"]}))
            elif key in ("secretKeyRef", "configMapKeyRef"):
                found.append((value["name"], {value["key"]}))
            elif key in ("secretRef", "configMapRef"):
                found.append((value["name"], set()))
            for inner, one in value.items():
                walk(one, inner)
        elif isinstance(value, list):
            for one in value:
                if key == "secretTargetRef":
                    found.append((one["name"], {one["key"]}))
                walk(one, key)

    walk(thing, "")
    return found


def main():
    version, *paths = sys.argv[1:]
    wrong = [line for path in paths for line in Overlay(path, version).check()]
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    if wrong or not paths:
        sys.exit(1)


main()
