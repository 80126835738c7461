//! The state directory is full, read-only, or deleted; the log file is deleted.

use std::path::Path;

use crate::support::mongo::Database;
use crate::support::webhook::Webhook;

use super::*;

/// Something mounted, until it is dropped.
struct Mount(PathBuf);

impl Mount {
    /// A small file system in memory.
    #[track_caller]
    fn small(at: PathBuf) -> Self {
        fs::create_dir_all(&at).unwrap();
        tool("mount", &["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "stopover-test", path(&at)]);
        Self(at)
    }

    /// What is there, read-only for whoever opens it from now on.
    #[track_caller]
    fn read_only(at: PathBuf) -> Self {
        tool("mount", &["mount", "--bind", path(&at), path(&at)]);
        let mount = Self(at);
        tool("mount", &["mount", "-o", "remount,bind,ro", path(&mount.0)]);
        mount
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Takes all the room that there is.
fn fill(directory: &Path) -> PathBuf {
    let file = directory.join("filler");
    for block in [65536, 1] {
        let mut bytes = fs::OpenOptions::new().create(true).append(true).open(&file).unwrap();
        while std::io::Write::write_all(&mut bytes, &vec![b'x'; block]).is_ok() {}
    }
    file
}

#[test]
fn a_full_state_directory_with_the_ledger_in_it_interrupts_the_run_and_space_lets_it_go_on() {
    let case = Case::new();
    let _mount = Mount::small(case.scene.state());
    case.start();
    let worker = worker_of(&case.scene.run(NAME));
    let filler = fill(&case.scene.state());
    until_dead("the program", case.program.pid());
    fs::remove_file(filler).unwrap();
    let run = case.scene.until(NAME, &["interrupted"]);
    assert_eq!(run["reason"], "its worker could not reach the ledger in time");
    assert_eq!(case.resume_and_check()["attempt"], 2);
    until_dead("the first worker", worker);
}

#[test]
fn a_full_state_directory_with_the_ledger_elsewhere_costs_lines_which_the_log_tells() {
    let database = Database::new();
    let case = Case::of(Scene::new().variable("MONGODB_URI", database.uri()));
    let _mount = Mount::small(case.scene.state());
    let case = case.stamped();
    case.start();
    let filler = fill(&case.scene.state());
    eventually("the operator is warned", PATIENCE, || {
        case.scene.run(NAME)["warnings"].to_string().contains("No space left").then_some(())
    });
    fs::remove_file(filler).unwrap();
    case.program.works(10);
    assert_eq!(case.resume_and_check()["attempt"], 1);
}

#[test]
fn a_state_directory_that_becomes_read_only_lets_runs_end_and_none_begin() {
    let database = Database::new();
    let case = Case::of(Scene::new().variable("MONGODB_URI", database.uri()).script("another", "echo on")).stamped();
    case.start();
    let mount = Mount::read_only(case.scene.state());
    let refused = case.scene.stopover(&["run", "another"]);
    assert!(refused.status != 0 && refused.stderr.contains("Read-only"), "{refused:?}");
    assert_eq!(case.scene.json(&["runs", "another", "--json"]), serde_json::json!([]), "nothing was recorded");
    case.program.works(10);
    drop(mount);
    assert_eq!(case.resume_and_check()["attempt"], 1);
}

#[test]
fn a_state_directory_deleted_during_a_run_is_made_again() {
    let database = Database::new();
    let case = Case::of(Scene::new().variable("MONGODB_URI", database.uri())).stamped();
    let run = case.start();
    fs::remove_dir_all(case.scene.state()).unwrap();
    case.until_logged(&run, "was removed or replaced during the run");
    case.program.works(10);
    signal(worker_of(&run), Signal::KILL);
    case.scene.until(NAME, &["lost"]);
    assert_eq!(case.resume_and_check()["attempt"], 2);
}

#[test]
fn a_ledger_deleted_during_a_run_stops_the_program_within_the_lease() {
    let case = Case::new();
    let run = case.start();
    fs::remove_dir_all(case.scene.state()).unwrap();
    until_dead("the program", case.program.pid());
    case.until_logged(&run, "its file was removed or replaced while it was in use");
    // What was recorded is gone with it. What begins anew is alone.
    case.scene.launch(&[NAME]);
    assert_eq!(case.resume_and_check()["attempt"], 1);
    signal(worker_of(&run), Signal::KILL);
}

#[test]
fn a_log_file_deleted_during_a_run_is_made_again_and_tells_it() {
    let case = Case::new();
    let run = case.start();
    fs::remove_file(case.log_path(&run)).unwrap();
    case.until_logged(&run, "was removed or replaced during the run");
    case.program.works(10);
    assert_eq!(case.resume_and_check()["attempt"], 1);
}

#[test]
fn a_run_that_is_lost_with_a_full_disk_under_its_ledger_is_told_all_the_same_and_once() {
    let webhook = Webhook::new();
    let case = Case::new();
    let receiver = format!("{{ name: ops, webhook: \"{}\", on: [lost] }}", webhook.url("/"));
    let project = format!("catalog:\n  - files: migrations/*\nnotify:\n  - {receiver}\n");
    fs::write(case.scene.path().join("stopover.yaml"), project).unwrap();
    let _mount = Mount::small(case.scene.state());
    case.start();
    let output = fs::File::create(case.scene.path().join("output")).unwrap();
    let mut looking = case.scene.command(&["recover"]).stdout(output).spawn().unwrap();
    let said = || fs::read_to_string(case.scene.path().join("output")).unwrap();
    eventually("it looks", PATIENCE, || said().contains("is running").then_some(()));
    let filler = fill(&case.scene.state());
    signal(worker_of(&case.scene.run(NAME)), Signal::KILL);
    eventually("it is told", PATIENCE * 3, || (webhook.events() == ["lost"]).then_some(()));
    fs::remove_file(filler).unwrap();
    let ledger = case.scene.ledger();
    eventually("the ledger knows", PATIENCE, || {
        let run: String = ledger.query_row("SELECT run FROM runs", [], |row| row.get(0)).unwrap();
        run.contains("\"delivered\":true").then_some(())
    });
    signal(i32::try_from(looking.id()).unwrap(), Signal::TERM);
    assert!(looking.wait().unwrap().success(), "{}", said());
    assert_eq!(webhook.events(), ["lost"]);
    case.scene.must(&["cancel", NAME]);
}
