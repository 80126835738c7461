//! What opens a receiver is nowhere to be seen.

use std::fs;

use super::{holding, telling, until_all_ended};
use crate::support::hung::Hung;
use crate::support::webhook::{Answer, Webhook};

const TOKEN: &str = "t0ken-of-alerts-4711";
const PATH: &str = "/services/T012/B345/hush-hush-hush";
const NAME: &str = "01_curious";

#[test]
fn secrets_of_receivers_reach_nobody_but_them() {
    let (webhook, broken) = (Webhook::new(), Webhook::answering(&[Answer::Status(404)]));
    let notify = "  - { name: ops, webhook: \"${HOOK_URL}\", headers: { Authorization: \"Bearer ${HOOK_TOKEN}\" } }\n  - { name: broken, slack: \"${BROKEN_URL}\" }\n";
    // The file's name, too, is none of the program's business.
    let program =
        format!("env; echo \"leaked {TOKEN} and {PATH}\"; echo \"leaked {TOKEN} and {PATH}\" >&2; cat token; exit 3");
    let scene = telling(notify).script(NAME, &program);
    let file = scene.path().join("secret-of-the-token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let scene = scene
        .variable("HOOK_URL", webhook.url(PATH))
        .variable("BROKEN_URL", broken.url(PATH))
        .variable("HOOK_TOKEN_FILE", file.display().to_string());
    scene.launch(&[NAME]);
    scene.until(NAME, &["failed"]);
    until_all_ended(&scene);

    let failed = webhook.until("failed");
    assert_eq!(failed.header("authorization"), Some(&*format!("Bearer {TOKEN}")));
    assert_eq!(failed.path, PATH);
    assert!(!failed.body.to_string().contains(TOKEN) && !failed.body.to_string().contains(PATH), "{}", failed.body);
    let log = scene.must(&["logs", NAME]);
    assert!(log.contains("leaked ***") && log.contains("broken (http://127.0.0.1:"), "{log}");
    assert!(log.contains("it answered 404"), "{log}");
    assert!(!log.contains("HOOK_URL=") && !log.contains("HOOK_TOKEN_FILE="), "{log}");
    let mut outputs = log;
    for arguments in [&["notify"][..], &["notify", "--json"], &["notify", "--test"], &["doctor"], &["show", NAME]] {
        let ended = scene.stopover(arguments);
        outputs.push_str(&ended.stdout);
        outputs.push_str(&ended.stderr);
    }
    for secret in [TOKEN, PATH] {
        assert!(!outputs.contains(secret), "{secret} in {outputs}");
        assert_eq!(holding(&scene.state(), secret), "", "{secret}");
    }
}

#[test]
fn a_receiver_without_its_secret_is_skipped_with_one_warning() {
    let webhook = Webhook::new();
    let notify = format!(
        "  - {{ name: oncall, slack: \"${{UNSET_URL}}\" }}\n  - {{ name: ops, webhook: \"{}\" }}\n",
        webhook.url("/")
    );
    let scene = telling(&notify).script(NAME, "echo done");
    scene.launch(&[NAME, "--wait"]);
    webhook.until("finished");
    let warning = "oncall is not told of this run: `UNSET_URL` is not set here, nor is `UNSET_URL_FILE`; set one of them in the pod's manifest";
    assert_eq!(scene.run(NAME)["warnings"], serde_json::json!([warning]));
    let doctor = scene.must(&["doctor"]);
    assert!(doctor.contains("warning  notify") && doctor.contains("`UNSET_URL` is not set here"), "{doctor}");
    assert_eq!(scene.must(&["lint"]), "1 migration, no problems\n", "a checkout has no secrets");
}

#[test]
fn secrets_on_a_file_system_that_hangs_do_not_cost_a_run_with_a_short_lease() {
    let scene = telling("  - { name: ops, webhook: \"${OPS_URL}\" }\n").script(NAME, "echo done");
    let hung = Hung::new();
    let scene = scene
        .variable("OPS_URL_FILE", hung.file())
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        .variable("OTEL_EXPORTER_OTLP_HEADERS_FILE", hung.file())
        .variable("STOPOVER_LEASE", "3s");
    scene.launch(&[NAME]);
    let run = scene.until(NAME, &["succeeded", "interrupted", "lost"]);
    assert_eq!(run["state"], "succeeded");
    let warnings = run["warnings"].to_string();
    assert!(
        warnings.contains("ops is not told of this run") && warnings.contains("no telemetry is sent"),
        "{warnings}"
    );
    until_all_ended(&scene);
}
