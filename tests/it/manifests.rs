//! The manifests for Kubernetes, as kustomize renders them: that they are valid, and that they keep what is promised of them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs a tool of the tests; see `scripts/tool`.
fn tool(arguments: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tool");
    Command::new(script).args(arguments).output().expect("scripts/tool is there and can be run")
}

#[track_caller]
fn must(arguments: &[&str]) -> String {
    let output = tool(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "scripts/tool {}; `scripts/tool provision` fetches it\n{told}",
        arguments.join(" ")
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What `kubectl apply -k` would apply, as YAML.
#[track_caller]
fn rendered(directory: &Path) -> String {
    must(&["kubectl", "kustomize", directory.to_str().unwrap()])
}

fn manifests(name: &str) -> String {
    rendered(&Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s").join(name))
}

fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap()
}

/// The documents of a kind.
fn of_kind<'d>(documents: &'d [Value], kind: &str) -> Vec<&'d Value> {
    documents.iter().filter(|document| document["kind"] == kind).collect()
}

/// The only document of a kind.
#[track_caller]
fn the<'d>(documents: &'d [Value], kind: &str) -> &'d Value {
    let found = of_kind(documents, kind);
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

fn pod(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]
}

/// The only container of a Deployment's pods.
#[track_caller]
fn container(deployment: &Value) -> &Value {
    let pod = pod(deployment);
    assert_eq!((&pod["initContainers"], &pod["ephemeralContainers"]), (&Value::Null, &Value::Null));
    let containers = pod["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    &containers[0]
}

/// A variable of a container: its value, or the field that it is taken from.
fn variable<'d>(container: &'d Value, name: &str) -> Option<&'d str> {
    let variables = container["env"].as_array().unwrap();
    let variable = variables.iter().find(|variable| variable["name"] == name)?;
    variable["value"].as_str().or(variable["valueFrom"]["fieldRef"]["fieldPath"].as_str())
}

/// What is wrong with manifests by the schemas of a version of Kubernetes; nothing that is unexpected or unknown passes.
fn problems(yaml: &str, version: &str) -> Result<(), String> {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("rendered.yaml");
    fs::write(&file, yaml).unwrap();
    // Each release of the checker has the schemas of its time.
    let checker = if version == "1.20" { "kubernetes-validate-old" } else { "kubernetes-validate" };
    let output = tool(&[checker, "--strict", "-k", version, file.to_str().unwrap()]);
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let passed = told.lines().filter(|line| line.starts_with("INFO") && line.contains(" passed for resource ")).count();
    let is_fine = output.status.success() && passed == documents(yaml).len() && passed == told.lines().count();
    if is_fine { Ok(()) } else { Err(told) }
}

#[rstest]
fn every_manifest_is_valid_by_the_schemas_of_kubernetes(
    #[values("base", "overlays/staging", "overlays/production", "overlays/monitor")] name: &str,
    #[values("1.20", "1.25", "1.37")] version: &str,
) {
    assert_eq!(problems(&manifests(name), version), Ok(()));
}

#[rstest]
#[case("deployment.yaml", "readOnlyRootFilesystem", "readOnlyRootFileSystem")]
#[case("deployment.yaml", "failureThreshold: 4", "failureTreshold: 4")]
#[case("deployment.yaml", "replicas: 1", "replicas: one")]
#[case("deployment.yaml", "enableServiceLinks:", "enableServiceLink:")]
#[case("network-policy.yaml", "policyTypes:", "policyType:")]
#[case("network-policy.yaml", "apiVersion: networking.k8s.io/v1", "apiVersion: networking.k8s.io/v2")]
#[case("operator.yaml", "resourceNames:", "resourceName:")]
fn a_typo_fails(#[case] file: &str, #[case] right: &str, #[case] wrong: &str) {
    let copy = TempDir::new().unwrap();
    let (from, to) = (concat!(env!("CARGO_MANIFEST_DIR"), "/k8s/."), copy.path());
    assert!(Command::new("cp").arg("-R").args([Path::new(from), to]).status().unwrap().success());
    let file = to.join("base").join(file);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(right), "{right}");
    fs::write(&file, text.replacen(right, wrong, 1)).unwrap();
    let yaml = rendered(&to.join("overlays/staging"));
    for version in ["1.20", "1.37"] {
        assert!(problems(&yaml, version).is_err(), "{version}: {wrong}");
    }
}

#[rstest]
fn a_pod_may_do_next_to_nothing(#[values("overlays/staging", "overlays/production", "overlays/monitor")] name: &str) {
    let documents = documents(&manifests(name));
    let deployment = the(&documents, "Deployment");
    let (pod, container) = (pod(deployment), container(deployment));
    let of_pod = &pod["securityContext"];
    assert_eq!(of_pod["runAsNonRoot"], true);
    assert!(of_pod["runAsUser"].as_u64().unwrap() > 0 && of_pod["runAsGroup"].as_u64().unwrap() > 0);
    assert_eq!(of_pod["seccompProfile"], json!({ "type": "RuntimeDefault" }));
    // Nothing more: what a container says overrides what its pod says.
    let of_container = json!({ "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } });
    assert_eq!(container["securityContext"], of_container);
    for of_the_host in ["hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"] {
        assert_eq!(pod[of_the_host], Value::Null, "{of_the_host}");
    }
    assert_eq!(container["ports"], Value::Null);
    let kinds = |volume: &Value| volume.as_object().unwrap().keys().find(|key| *key != "name").unwrap().clone();
    let mut volumes: Vec<_> = pod["volumes"].as_array().unwrap().iter().map(kinds).collect();
    volumes.sort();
    assert_eq!(volumes, ["emptyDir", "emptyDir", "secret"]);
    for volume in pod["volumes"].as_array().unwrap().iter().filter(|volume| volume.get("emptyDir").is_some()) {
        assert!(volume["emptyDir"]["sizeLimit"].is_string(), "{volume}");
    }
    let written: Vec<_> = container["volumeMounts"].as_array().unwrap().iter().collect();
    let written = written.iter().filter(|mount| mount["readOnly"] != true).map(|mount| mount["mountPath"].as_str());
    assert_eq!(written.collect::<Vec<_>>(), [Some("/var/lib/stopover"), Some("/tmp")]);

    let account = the(&documents, "ServiceAccount");
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
    assert_eq!(
        (&pod["automountServiceAccountToken"], &account["automountServiceAccountToken"]),
        (&json!(false), &json!(false))
    );
    let level = &the(&documents, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(level, "restricted");
}

#[rstest]
fn a_pod_has_bounds_probes_and_a_place_and_is_given_the_time_that_its_keeper_counts_on(
    #[values("overlays/staging", "overlays/production", "overlays/monitor")] name: &str,
) {
    let documents = documents(&manifests(name));
    let deployment = the(&documents, "Deployment");
    let (pod, container) = (pod(deployment), container(deployment));
    for bound in ["requests", "limits"] {
        for resource in ["cpu", "memory", "ephemeral-storage"] {
            assert!(container["resources"][bound][resource].is_string(), "{bound} {resource}");
        }
    }
    for (probe, asks) in
        [("startupProbe", "--probe"), ("livenessProbe", "--probe"), ("readinessProbe", "--probe=ready")]
    {
        assert_eq!(container[probe]["exec"]["command"], json!(["stopover", "doctor", asks]), "{probe}");
    }
    // Ample: the end of a container ends its runs.
    let patience = |probe: &str| {
        container[probe]["periodSeconds"].as_u64().unwrap() * container[probe]["failureThreshold"].as_u64().unwrap()
    };
    assert!(patience("startupProbe") >= 60 && patience("livenessProbe") >= 60);

    let grace = variable(container, "STOPOVER_TERMINATION_GRACE").map(|text| humantime::parse_duration(text).unwrap());
    assert_eq!(grace, pod["terminationGracePeriodSeconds"].as_u64().map(Duration::from_secs));
    let place = [
        ("STOPOVER_POD", "metadata.name"),
        ("STOPOVER_NAMESPACE", "metadata.namespace"),
        ("STOPOVER_NODE", "spec.nodeName"),
    ];
    for (name, field) in place {
        assert_eq!(variable(container, name), Some(field));
    }
    assert_eq!(variable(container, "STOPOVER_IMAGE"), container["image"].as_str());
    // Named, so that an image with an entry point of its own keeps, too.
    assert_eq!((&container["command"], &container["args"]), (&json!(["stopover", "keep"]), &Value::Null));

    let spec = &deployment["spec"];
    assert_eq!((&spec["replicas"], &spec["strategy"]["type"]), (&json!(1), &json!("RollingUpdate")));
    assert_eq!(spec["strategy"]["rollingUpdate"], json!({ "maxSurge": 1, "maxUnavailable": 0 }));
}

#[rstest]
#[case("staging", "stopover", "staging")]
#[case("production", "stopover", "production")]
#[case("monitor", "stopover-monitor", "production")]
fn everything_of_an_overlay_is_in_its_namespace_and_the_plugin_finds_its_environment(
    #[case] overlay: &str,
    #[case] deployment: &str,
    #[case] environment: &str,
) {
    let yaml = manifests(&format!("overlays/{overlay}"));
    let documents = documents(&yaml);
    let namespace = format!("stopover-{overlay}");
    assert_eq!(the(&documents, "Namespace")["metadata"]["name"], *namespace);
    for document in documents.iter().filter(|document| document["kind"] != "Namespace") {
        assert_eq!(document["metadata"]["namespace"], *namespace, "{document}");
    }
    assert_eq!(the(&documents, "Deployment")["metadata"]["name"], deployment);
    assert_eq!(variable(container(the(&documents, "Deployment")), "STOPOVER_ENVIRONMENT"), Some(environment));

    let plugin = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/kubectl-stopover")).unwrap();
    let (_, rest) = plugin.split_once("-o 'jsonpath={.spec").unwrap();
    let path = format!("jsonpath={{.spec{}", rest.split('\'').next().unwrap());
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("deployment.json");
    fs::write(&file, the(&documents, "Deployment").to_string()).unwrap();
    // A change that is made nowhere is how kubectl reads a file without a cluster.
    let read = ["kubectl", "label", "--local", "--filename", file.to_str().unwrap(), "a=b", "--output", &path];
    assert_eq!(must(&read), environment);
}

#[rstest]
fn only_names_and_the_database_are_let_out_and_nothing_in(
    #[values("overlays/staging", "overlays/production", "overlays/monitor")] name: &str,
) {
    let documents = documents(&manifests(name));
    let policy = &the(&documents, "NetworkPolicy")["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(policy["ingress"].as_array().map_or(0, Vec::len), 0);
    let rules = policy["egress"].as_array().unwrap();
    let ports = rules.iter().flat_map(|rule| rule["ports"].as_array().expect("a rule without ports is all of them"));
    let mut ports: Vec<_> =
        ports.map(|port| format!("{} {}", port["protocol"].as_str().unwrap(), port["port"])).collect();
    ports.sort();
    assert_eq!(ports, ["TCP 27017", "TCP 53", "UDP 53"]);
    for rule in rules {
        assert!(
            rule["to"].as_array().is_some_and(|to| !to.is_empty()),
            "a rule without addresses is all of them: {rule}"
        );
    }
    // It is about these pods.
    let labels = &the(&documents, "Deployment")["spec"]["template"]["metadata"]["labels"];
    for (label, value) in policy["podSelector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&labels[label], value);
    }
}

/// What a Role grants: `verb resource`, and the only name if there is one.
fn grants(documents: &[Value], role: &str) -> Vec<String> {
    let roles = of_kind(documents, "Role");
    let role = roles.iter().find(|found| found["metadata"]["name"] == role).unwrap_or_else(|| panic!("no Role {role}"));
    let words = |list: &Value| -> Vec<String> {
        list.as_array()
            .map_or_else(Vec::new, |list| list.iter().map(|word| word.as_str().unwrap().to_owned()).collect())
    };
    let mut grants = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        for resource in words(&rule["resources"]) {
            let named = [vec![resource], words(&rule["resourceNames"])].concat().join(" ");
            grants.extend(words(&rule["verbs"]).iter().map(|verb| format!("{verb} {named}")));
        }
    }
    grants.sort();
    grants
}

const LOOK: [&str; 4] = ["get pods", "get pods/log", "list pods", "watch pods"];

#[rstest]
fn operators_may_look_and_exec_and_viewers_look(#[values("overlays/staging", "overlays/production")] name: &str) {
    let documents = documents(&manifests(name));
    let look = |with: &[&str]| {
        let mut all: Vec<_> = LOOK.iter().chain(with).map(ToString::to_string).collect();
        all.sort();
        all
    };
    let exec = ["create pods/exec", "get pods/exec", "get deployments stopover"];
    assert_eq!(grants(&documents, "stopover-operator"), look(&exec));
    assert_eq!(grants(&documents, "stopover-viewer"), look(&["get deployments stopover"]));
    assert_eq!(of_kind(&documents, "Role").len(), 2);
    for binding in of_kind(&documents, "RoleBinding") {
        let role = binding["roleRef"]["name"].as_str().unwrap();
        assert_eq!(binding["subjects"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&binding["subjects"][0]["kind"], &binding["subjects"][0]["name"]),
            (&json!("Group"), &json!(format!("{role}s-{}", name.trim_start_matches("overlays/"))))
        );
    }
    for beyond in ["ClusterRole", "ClusterRoleBinding", "Secret", "Service", "Ingress"] {
        assert_eq!(of_kind(&documents, beyond), Vec::<&Value>::new());
    }
    assert!(variable(container(the(&documents, "Deployment")), "STOPOVER_READ_ONLY").is_none());
}

#[test]
fn viewers_may_exec_into_the_monitor_which_holds_nothing_that_could_write() {
    let yaml = manifests("overlays/monitor");
    let documents = documents(&yaml);
    let container = container(the(&documents, "Deployment"));
    assert_eq!(variable(container, "STOPOVER_READ_ONLY"), Some("1"));
    let secrets = |pod: &Value| -> Vec<String> {
        let volumes = pod["volumes"].as_array().unwrap().iter();
        volumes.filter_map(|volume| volume["secret"]["secretName"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(secrets(pod(the(&documents, "Deployment"))), ["stopover-monitor-mongodb"]);
    // By no other way either: neither a variable nor a group of them comes from a Secret.
    assert!(container["envFrom"].is_null() && !yaml.contains("secretKeyRef"));
    assert_eq!(yaml.matches("stopover-mongodb").count(), 0, "the operators' Secret");
    assert!(!yaml.contains("stopover-operator"), "nobody operates there");
    let mut may: Vec<_> = LOOK.map(str::to_owned).into();
    may.extend(["create pods/exec", "get pods/exec", "get deployments stopover-monitor"].map(str::to_owned));
    may.sort();
    assert_eq!(grants(&documents, "stopover-viewer"), may);
    for overlay in ["staging", "production"] {
        let documents = self::documents(&manifests(&format!("overlays/{overlay}")));
        assert_eq!(secrets(pod(the(&documents, "Deployment"))), ["stopover-mongodb"]);
    }
}
