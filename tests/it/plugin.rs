//! `assets/kubectl-stopover`, the plugin for kubectl: what it makes of its arguments, and what it tells before it runs anything.
//!
//! A stand-in for kubectl records how it is called. What is executed in "the pod" is the real binary on a scene, with a standard input only
//! where kubectl would pass it on.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::pty::Terminal;
use crate::support::scene::{Ended, STOPOVER, Scene};

const PLUGIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/kubectl-stopover");
const NAME: &str = "20261101_greets";

/// Answers from the files of `$CLUSTER`; each call is a file of NUL-terminated arguments.
const KUBECTL: &str = r#"#!/bin/sh
[ "$1" = words ] && shift
printf '%s\0' "$@" >"$CLUSTER/call-$(date +%s%N)-$$"
case $1 in
config)
    [ -e "$CLUSTER/kubeconfig" ] || { echo 'error: current-context must exist in order to minify' >&2; exit 1; }
    cat "$CLUSTER/kubeconfig" ;;
get)
    [ -e "$CLUSTER/environment" ] || { echo 'Error from server (NotFound): deployments.apps not found' >&2; exit 1; }
    cat "$CLUSTER/environment" ;;
logs) echo 'a line of the pod' ;;
exec)
    stdin=no
    while [ "$1" != -- ]; do
        [ "$1" != --stdin ] || stdin=yes
        shift
    done
    shift
    [ ! -e "$CLUSTER/cut" ] || { echo 'half a l'; echo 'error: connection lost' >&2; exit 1; }
    [ $stdin = yes ] || exec </dev/null
    [ ! -e "$CLUSTER/reads" ] || cat >"$CLUSTER/read"
    exec "$@" ;;
esac
"#;

/// An operator's machine, with a cluster to talk to.
struct Laptop {
    scene: Scene,
}

impl Laptop {
    fn new() -> Self {
        let manifest = "command: [sh, -c, 'printf \"%s\\n\" \"hello $STOPOVER_PARAM_WHOM\"']\nparams:\n  whom: { default: world }\n";
        let scene = Scene::new().manifest(NAME, manifest).script("20261102_other", "exit 0");
        let path = scene.path().to_owned();
        for directory in ["bin", "cluster"] {
            fs::create_dir(path.join(directory)).unwrap();
        }
        fs::write(path.join("bin/kubectl"), KUBECTL).unwrap();
        fs::set_permissions(path.join("bin/kubectl"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(STOPOVER, path.join("bin/stopover")).unwrap();
        let scene = scene
            .variable("PATH", format!("{}:{}", path.join("bin").display(), std::env::var("PATH").unwrap()))
            .variable("CLUSTER", path.join("cluster").display().to_string())
            .variable("USER", "ana")
            .variable("STOPOVER_OPERATOR", "");
        let laptop = Self { scene };
        laptop.cluster("kubeconfig", "prod-eu\npayments");
        laptop.cluster("environment", "production");
        laptop
    }

    fn variable(self, name: &str, value: &str) -> Self {
        Self { scene: self.scene.variable(name, value) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scene.path().join("cluster").join(name)
    }

    fn cluster(&self, file: &str, content: &str) {
        fs::write(self.file(file), content).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PLUGIN);
        command.args(arguments).env_clear().envs(self.scene.environment()).current_dir(self.scene.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.command(arguments).output().unwrap())
    }

    /// The arguments of every call of kubectl, in order.
    fn calls(&self) -> Vec<Vec<String>> {
        let files = fs::read_dir(self.scene.path().join("cluster")).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            files.filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with("call-")).collect();
        files.sort();
        let words = |bytes: Vec<u8>| -> Vec<String> {
            let text = String::from_utf8(bytes).unwrap();
            text.split_terminator('\0').map(str::to_owned).collect()
        };
        files.into_iter().map(|file| words(fs::read(file).unwrap())).collect()
    }

    /// The arguments of the only `kubectl exec`.
    #[track_caller]
    fn executed(&self) -> Vec<String> {
        let mut executed: Vec<_> = self.calls().into_iter().filter(|call| call[0] == "exec").collect();
        assert_eq!(executed.len(), 1, "{:?}", self.calls());
        executed.remove(0)
    }

    fn nothing_was_executed(&self) -> bool {
        self.calls().iter().all(|call| ["config", "get"].contains(&call[0].as_str()))
    }
}

/// What is executed for who looks at production with the usual settings.
fn in_production(words: &[&str]) -> Vec<String> {
    let before = ["exec", "--context", "prod-eu", "--namespace", "payments", "deployment/stopover", "--", "stopover"];
    before.iter().chain(words).map(ToString::to_string).collect()
}

#[test]
fn arguments_arrive_as_they_were_given() {
    let laptop = Laptop::new();
    let whom = "whom=it's \"all\"  $HOME `id` $(id) * ? [a-z] \\ \\n -- é\nand\tmore ;&|<>";
    let ended = laptop.run(&["run", NAME, "--param", whom, "--wait"]);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    assert_eq!(laptop.executed(), in_production(&["--operator", "ana", "run", NAME, "--param", whom, "--wait"]));
    let run = laptop.scene.run(NAME);
    assert_eq!((&run["operator"], &run["params"]["whom"]), (&"ana".into(), &whom["whom=".len()..].into()));
}

#[test]
fn it_tells_where_it_is_before_it_runs_anything_and_stays_there() {
    let laptop = Laptop::new();
    let ended = laptop.run(&["list", "--json"]);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let place = "context prod-eu, namespace payments, deployment stopover, environment production, as ana\n";
    assert_eq!(ended.stderr, place);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&ended.stdout).unwrap().as_array().unwrap().len(), 2);
    let calls = laptop.calls();
    let verbs: Vec<_> = calls.iter().map(|call| call[0].as_str()).collect();
    assert_eq!(verbs, ["config", "get", "exec"]);
    // Another terminal may switch to another context meanwhile: both are asked of the one that was told.
    for call in &calls[1..] {
        assert!(call.windows(2).any(|words| words == ["--context", "prod-eu"]), "{call:?}");
        assert!(call.windows(2).any(|words| words == ["--namespace", "payments"]), "{call:?}");
    }
}

#[test]
fn options_and_variables_choose_cluster_deployment_container_and_operator() {
    let laptop = Laptop::new().variable("STOPOVER_DEPLOYMENT", "backfills").variable("KUBECTL", "kubectl words");
    laptop.cluster("kubeconfig", "st aging\n");
    let options = ["--context", "st aging", "-n", "house", "--kubeconfig=/a b/c", "-c", "console"];
    assert_eq!(laptop.run(&[&options[..], &["--operator=grace h", "list"]].concat()).status, 0);
    let executed = "exec|--context|st aging|--kubeconfig|/a b/c|--namespace|house|--container|console|deployment/backfills|--|stopover|--operator|grace h|list";
    assert_eq!(laptop.executed().join("|"), executed);
    let asked = &laptop.calls()[0];
    assert!(asked.windows(2).any(|words| words == ["--context", "st aging"]), "{asked:?}");
}

#[test]
fn a_context_without_a_namespace_is_in_the_default_one_and_a_pod_has_no_context() {
    let laptop = Laptop::new();
    laptop.cluster("kubeconfig", "prod-eu\n");
    assert!(laptop.run(&["list"]).stderr.contains("namespace default,"));
    assert!(laptop.executed().windows(2).any(|words| words == ["--namespace", "default"]));
    let laptop = Laptop::new();
    fs::remove_file(laptop.file("kubeconfig")).unwrap();
    let ended = laptop.run(&["list"]);
    assert!(ended.stderr.starts_with("context (of this pod), namespace (of this pod), "), "{}", ended.stderr);
    assert_eq!(laptop.executed().join(" "), "exec deployment/stopover -- stopover --operator ana list");
}

#[test]
fn who_says_who_acts_is_believed() {
    let laptop = Laptop::new();
    laptop.run(&["run", NAME, "--operator", "grace", "--wait"]);
    assert_eq!(laptop.executed(), in_production(&["run", NAME, "--operator", "grace", "--wait"]));
    assert_eq!(laptop.scene.run(NAME)["operator"], "grace");
    let laptop = Laptop::new().variable("STOPOVER_OPERATOR", "ada");
    laptop.run(&["list"]);
    assert_eq!(laptop.executed(), in_production(&["--operator", "ada", "list"]));
}

#[test]
fn the_exit_status_is_that_of_stopover() {
    let laptop = Laptop::new();
    let ended = laptop.run(&["run", "20269999_unknown"]);
    assert_eq!(ended.status, 7, "{}", ended.stderr);
    let ended = laptop.run(&[]);
    assert_eq!(ended.status, 2, "without a terminal stopover says how to attach: {}", ended.stderr);
    assert!(ended.stderr.contains("there is no terminal here"), "{}", ended.stderr);
}

#[test]
fn without_a_terminal_there_is_none_and_a_loop_keeps_the_names_that_it_reads() {
    let laptop = Laptop::new();
    let mut shell = Command::new("sh")
        .args(["-c", r#"while read -r name; do "$0" run "$name" --wait; done"#, PLUGIN])
        .env_clear()
        .envs(laptop.scene.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(shell.stdin.take().unwrap(), "{NAME}\n20261102_other").unwrap();
    assert!(shell.wait().unwrap().success());
    for name in [NAME, "20261102_other"] {
        assert_eq!(laptop.scene.run(name)["state"], "succeeded", "{name}");
    }
    assert!(laptop.calls().iter().flatten().all(|word| word != "--tty" && word != "--stdin"));
}

#[test]
fn the_standard_input_is_passed_on_when_it_is_asked_for() {
    for (asked, arrived) in [(&["-i"][..], "all of you"), (&[], "")] {
        let laptop = Laptop::new();
        laptop.cluster("reads", "");
        let mut command = laptop.command(&[asked, &["run", NAME, "--wait"]].concat());
        let mut running = command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Whoever does not read it may be gone by now.
        let _ = running.stdin.take().unwrap().write_all(b"all of you");
        let ended = Ended::of(&running.wait_with_output().unwrap());
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        assert_eq!(laptop.executed().contains(&"--stdin".to_owned()), !asked.is_empty());
        assert!(!laptop.executed().contains(&"--tty".to_owned()));
        assert_eq!(fs::read_to_string(laptop.file("read")).unwrap(), arrived);
    }
}

#[test]
fn in_a_terminal_the_console_opens() {
    let laptop = Laptop::new();
    let mut terminal = Terminal::of_program::<&str>(&laptop.scene, PLUGIN, &[], 120, 40);
    terminal.shows("2 pending");
    terminal.shows("ana @ pod-a");
    terminal.type_keys("q");
    assert_eq!(terminal.ends_within(Duration::from_secs(30)), 0);
    let expected =
        "exec --context prod-eu --namespace payments --stdin --tty deployment/stopover -- stopover --operator ana";
    assert_eq!(laptop.executed().join(" "), expected);
    terminal.shows("environment production, as ana");
}

#[test]
fn the_monitor_is_another_deployment_in_a_namespace_of_its_own() {
    let laptop = Laptop::new();
    let ended = laptop.run(&["monitor", "--ascii"]);
    assert!(ended.stderr.contains("namespace stopover-monitor, deployment stopover-monitor,"), "{}", ended.stderr);
    let words =
        "exec --context prod-eu --namespace stopover-monitor deployment/stopover-monitor -- stopover watch --ascii";
    assert_eq!(laptop.executed().join(" "), words);
    let laptop = Laptop::new().variable("STOPOVER_MONITOR", "wall");
    laptop.run(&["-n", "payments", "monitor"]);
    assert!(laptop.executed().join(" ").contains("--namespace payments deployment/wall -- stopover watch"));
}

#[test]
fn the_pods_output_is_followed_and_a_runs_log_is_another_thing() {
    let laptop = Laptop::new();
    assert_eq!(laptop.run(&["pod-logs"]).stdout, "a line of the pod\n");
    laptop.run(&["pod-logs", "--since=1h"]);
    let calls = laptop.calls();
    let logs: Vec<_> = calls.iter().filter(|call| call[0] == "logs").map(|call| call.join(" ")).collect();
    let where_it_is = "--context prod-eu --namespace payments";
    assert_eq!(logs[0], format!("logs deployment/stopover --follow {where_it_is}"));
    assert_eq!(logs[1], format!("logs deployment/stopover --since=1h {where_it_is}"));

    laptop.scene.must(&["run", NAME, "--wait"]);
    assert_eq!(laptop.run(&["logs", NAME, "--raw"]).stdout, "hello world\n");
}

#[test]
fn a_runs_log_is_copied_byte_for_byte_and_never_by_halves() {
    let laptop = Laptop::new();
    laptop.scene.must(&["run", NAME, "--param", "whom=\u{1b}[31myou\u{1b}[0m \u{7}", "--wait"]);
    let expected = "hello \u{1b}[31myou\u{1b}[0m \u{7}\n";
    let here = |name: &str| laptop.scene.path().join(name);
    let log = format!("{NAME}.log");

    laptop.cluster("cut", "");
    let cut = laptop.run(&["cp", NAME]);
    assert_eq!((cut.status, cut.stdout.as_str()), (1, ""), "{}", cut.stderr);
    assert!(!here(&log).exists() && !here(&format!("{log}.part")).exists());
    fs::remove_file(laptop.file("cut")).unwrap();

    assert_eq!(laptop.run(&["cp", NAME]).stdout, format!("{log}\n"));
    assert_eq!(fs::read_to_string(here(&log)).unwrap(), expected);
    assert!(!here(&format!("{log}.part")).exists());
    assert_eq!(laptop.run(&["cp", NAME, "a name with spaces"]).status, 0);
    assert_eq!(fs::read_to_string(here("a name with spaces")).unwrap(), expected);
    assert_eq!(laptop.run(&["cp", NAME, "-"]).stdout, expected);

    let calls = laptop.calls().len();
    let again = laptop.run(&["cp", NAME]);
    assert_eq!(again.status, 2);
    assert!(again.stderr.contains("is there already; name another file"), "{}", again.stderr);
    for wrong in [&["cp"][..], &["cp", "--raw"], &["cp", "a", "b", "c"]] {
        assert_eq!(laptop.run(wrong).status, 2, "{wrong:?}");
    }
    assert_eq!(laptop.calls().len(), calls, "a mistake asks the cluster nothing");
}

#[test]
fn nothing_runs_where_the_deployment_or_the_context_is_not() {
    let laptop = Laptop::new();
    fs::remove_file(laptop.file("environment")).unwrap();
    let ended = laptop.run(&["run", NAME]);
    assert_eq!(ended.status, 2);
    assert!(ended.stderr.contains("Error from server (NotFound)"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the Deployment stopover in namespace payments cannot be looked at"),
        "{}",
        ended.stderr
    );
    fs::remove_file(laptop.file("kubeconfig")).unwrap();
    let ended = laptop.run(&["--context", "nope", "run", NAME]);
    assert_eq!(ended.status, 2);
    assert!(ended.stderr.contains("there is no context nope"), "{}", ended.stderr);
    assert!(laptop.nothing_was_executed());
}

#[test]
fn nothing_runs_in_another_environment_than_the_expected_one() {
    let laptop = Laptop::new();
    let ended = laptop.run(&["--expect", "staging", "run", NAME]);
    assert_eq!(ended.status, 2);
    assert!(ended.stderr.contains("environment production") && ended.stderr.contains("not the environment staging"));
    assert!(laptop.nothing_was_executed());
    assert_eq!(laptop.run(&["--expect", "production", "run", NAME, "--wait"]).status, 0);
}

#[test]
fn what_the_cluster_says_cannot_play_with_the_terminal() {
    let laptop = Laptop::new();
    laptop.cluster("environment", "stag\u{1b}]0;x\u{7}ing\n");
    let ended = laptop.run(&["list"]);
    assert!(ended.stderr.contains("environment stag]0;xing, as ana"), "{}", ended.stderr);
    laptop.cluster("environment", "");
    assert!(laptop.run(&["list"]).stderr.contains("environment (not told), as ana"));
}

#[test]
fn help_and_mistakes_ask_the_cluster_nothing() {
    let laptop = Laptop::new();
    let help = laptop.run(&["--help"]);
    assert_eq!((help.status, help.stderr.as_str()), (0, ""));
    for word in [
        "pod-logs",
        "monitor",
        "cp RUN|NAME",
        "--context",
        "--namespace",
        "--deployment",
        "--operator",
        "--expect",
        "KUBECTL",
    ] {
        assert!(help.stdout.contains(word), "{word}");
    }
    assert!(help.stdout.lines().all(|line| line.chars().count() <= 120), "{}", help.stdout);
    for wrong in [&["--context"][..], &["-n", "", "list"], &["--deployment=", "list"], &["--expect"]] {
        let ended = laptop.run(wrong);
        assert_eq!(ended.status, 2, "{wrong:?}");
        assert!(ended.stderr.contains("needs a value"), "{}", ended.stderr);
    }
    assert_eq!(laptop.calls(), Vec::<Vec<String>>::new());
}
