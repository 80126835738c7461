//! What can be run: real directories with real files.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use stopover::catalog::{
    Broken, Catalog, Entry, Migration, MigrationId, Params, Problem, Project, Remaining, ResumePolicy,
};
use stopover::lease::LeaseTerms;
use tempfile::TempDir;

/// A directory to fill with a catalog.
struct House(TempDir);

const MANIFESTS: &str = "catalog: [{ files: 'migrations/*.yaml' }]\n";

impl House {
    fn new(project: &str) -> Self {
        let house = Self(TempDir::new().unwrap());
        house.file("stopover.yaml", project);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn program(&self, name: &str, content: &str) -> &Self {
        self.file(name, content);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn load(&self) -> Catalog {
        Catalog::load(&self.path("stopover.yaml"))
    }
}

fn id(name: &str) -> MigrationId {
    MigrationId::new(name).unwrap()
}

#[track_caller]
fn ready<'c>(catalog: &'c Catalog, name: &str) -> &'c Migration {
    match catalog.entry(&id(name)) {
        Some(Entry::Ready(migration)) => migration,
        Some(Entry::Broken(broken)) => panic!("{name} is broken: {}", broken.problems[0]),
        None => panic!("there is no {name}; the catalog says {:?}", catalog.problems.first()),
    }
}

#[track_caller]
fn broken<'c>(catalog: &'c Catalog, name: &str) -> &'c Broken {
    match catalog.entry(&id(name)) {
        Some(Entry::Broken(broken)) => broken,
        other => panic!("{name} is not broken: {other:?}"),
    }
}

/// The only problem of a broken migration.
#[track_caller]
fn problem<'c>(catalog: &'c Catalog, name: &str) -> &'c Problem {
    let [problem] = &broken(catalog, name).problems[..] else {
        panic!("not one problem: {:#?}", broken(catalog, name).problems);
    };
    problem
}

#[test]
fn a_manifest_an_executable_and_an_adopted_file_are_each_found_and_bound_to_their_directory() {
    let house = House::new(
        "catalog:
  - files: migrations/*.yaml
  - files: migrations/*.sh
  - files: legacy/*.js
    command: [node, legacy/migration.js, '{name}', '{rerun}']
lease: 1m
grace: 20s
",
    );
    house.file("migrations/20261102_phones.yaml", "command: [python3, phones.py, --all]\n");
    house.file("migrations/phones.py", "print(1)\n");
    house.program("migrations/20261101_charges.sh", "#!/bin/sh\necho hi\n");
    house.file("legacy/20261103_senders.js", "module.exports = {}\n");
    house.file("legacy/migration.js", "console.log(1)\n");
    let catalog = house.load();
    assert_eq!(catalog.problems, []);
    let ids: Vec<_> = catalog.entries.iter().map(|entry| entry.id().as_str()).collect();
    assert_eq!(ids, ["20261101_charges", "20261102_phones", "20261103_senders"]);

    let rendered = |name: &str| {
        let template = ready(&catalog, name).work.program().unwrap();
        (template.render(&id(name), true), template.directory.to_path_buf())
    };
    let shell = house.path("migrations/20261101_charges.sh").to_string_lossy().into_owned();
    assert_eq!(rendered("20261101_charges"), (vec![shell], house.path("migrations")));
    let words = ["python3", "phones.py", "--all"].map(String::from).to_vec();
    assert_eq!(rendered("20261102_phones"), (words, house.path("migrations")));
    let words = ["node", "legacy/migration.js", "20261103_senders", "true"].map(String::from).to_vec();
    assert_eq!(rendered("20261103_senders"), (words, house.path(".").join("").components().collect::<PathBuf>()));
    assert_eq!(ready(&catalog, "20261103_senders").file, Path::new("legacy/20261103_senders.js"));
}

#[test]
fn a_broken_migration_is_shown_with_place_text_and_remedy_and_hides_no_other() {
    let house = House::new(MANIFESTS);
    house.file("migrations/a.yaml", "description: fine\ncommand: ['true']\n");
    house.file("migrations/b.yaml", "command: ['true']\nrequire: [a]\n");
    let catalog = house.load();
    ready(&catalog, "a");
    let problem = problem(&catalog, "b");
    assert_eq!((problem.file.as_path(), problem.position), (Path::new("migrations/b.yaml"), Some((2, 1))));
    assert_eq!(problem.text.as_deref(), Some("require: [a]"));
    assert_eq!(problem.message, "unknown key `require` in a manifest");
    assert!(
        problem.remedy.starts_with("did you mean `requires`? known keys are `description`, "),
        "{}",
        problem.remedy
    );
}

/// Every mistake that the text of a manifest alone can have: the text, where the mistake is, what is said and what to do.
#[rstest::rstest]
#[case::an_unknown_policy("command: [x]\nresume: always\n", (2, 9), "`resume` cannot be `always`", "write `auto` for a pod that continues by itself")]
#[case::an_unknown_key("command: [x]\nbanana: 1\n", (2, 1), "unknown key `banana` in a manifest", "known keys are `description`, `owner`, `tags`, `command`, `params`, `remaining`, `requires`, `timeout`, `resume`, `needs`")]
#[case::a_key_twice("command: [x]\nowner: a\nowner: b\n", (3, 1), "this is not YAML: duplicate mapping key `owner` is not allowed here", "mend the line")]
#[case::no_command("owner: payments\n", (1, 1), "a manifest needs a `command`", "write what it runs, e.g. `command: [python3, backfill.py]`")]
#[case::a_command_as_text("command: python3 x.py\n", (1, 10), "`command` must be a list of words, not the text `python3 x.py`", "write the words as a list")]
#[case::an_empty_command("command: []\n", (1, 10), "`command` names no program", "write what it runs")]
#[case::a_number_in_a_command("command: [sleep, 1.10]\n", (1, 18), "`command` must be text, not the number 1.1", "put it in quotes, so that no digit gets lost")]
#[case::a_nul_in_a_command("command: [echo, \"a\\0b\"]\n", (1, 17), "a word of `command` has a NUL character", "remove it")]
#[case::text_for_a_list("command: [x]\ntags: nightly\n", (2, 7), "`tags` must be a list, not text", "write it as `tags: [nightly]`")]
#[case::a_list_for_text("command: [x]\nowner: [a, b]\n", (2, 8), "`owner` must be text, not a list", "write one line of text")]
#[case::a_boolean_for_text("command: [x]\nowner: true\n", (2, 8), "`owner` must be text, not the boolean true", "put it in quotes: \"true\"")]
#[case::a_bare_number_as_timeout("command: [x]\ntimeout: 30\n", (2, 10), "`timeout` must be a duration, not the number 30", "write a number with its unit, e.g. `30s`")]
#[case::nonsense_as_timeout("command: [x]\ntimeout: soon\n", (2, 10), "`timeout` must be a duration, not `soon`", "write a number with its unit")]
#[case::a_list_as_root("- command: [x]\n", (1, 1), "`a manifest` must be a mapping, not a list", "write it as fields")]
#[case::bad_indentation("command: [x\nowner: a\n", (2, 6), "this is not YAML", "mend the line")]
#[case::two_documents("command: [x]\n---\ncommand: [y]\n", (3, 1), "this is not YAML", "mend the line")]
#[case::a_name_that_cannot_be("command: [x]\nrequires:\n  - a b\n", (3, 5), "`a b` cannot be a migration: a migration's name has only letters", "the stem of its file")]
#[case::an_unknown_need("command: [x]\nneeds: [redis]\n", (2, 9), "unknown need `redis`", "only `mongodb`")]
#[case::a_param_with_a_bad_name("command: [x]\nparams: { from-date: { type: string } }\n", (2, 11), "a param cannot be named `from-date`", "use letters, digits and `_`")]
#[case::params_that_collide("command: [x]\nparams: { a: , A: }\n", (2, 16), "params `a` and `A` would both be STOPOVER_PARAM_A", "rename one of them")]
#[case::an_unknown_key_of_a_param("command: [x]\nparams: { a: { defualt: b } }\n", (2, 16), "unknown key `defualt` in params.a", "did you mean `default`?")]
#[case::an_unknown_type("command: [x]\nparams: { a: { type: float } }\n", (2, 22), "`float` is no type of a param", "use `string`, `integer`, `boolean` or `choice`")]
#[case::a_default_of_another_type("command: [x]\nparams: { a: { type: integer, default: many } }\n", (2, 40), "the default of param `a` must be a whole number, not `many`", "write a whole number without quotes")]
#[case::a_number_for_text("command: [x]\nparams: { a: { default: 5 } }\n", (2, 25), "the default of param `a` must be text, not the number 5", "put it in quotes, or add `type: integer`")]
#[case::a_default_that_is_no_choice("command: [x]\nparams: { a: { choices: [BR, MX], default: AR } }\n", (2, 44), "the default of param `a` must be one of BR, MX, not `AR`", "write one of BR, MX")]
#[case::a_choice_of_nothing("command: [x]\nparams: { a: { type: choice } }\n", (2, 11), "param `a` is a choice of nothing", "add `choices: [...]`")]
#[case::no_choices("command: [x]\nparams: { a: { choices: [] } }\n", (2, 25), "`params.a.choices` is empty", "write what may be chosen")]
#[case::choices_of_another_type("command: [x]\nparams: { a: { type: boolean, choices: [b] } }\n", (2, 22), "param `a` has choices, so it cannot be of type `boolean`", "remove `type`")]
#[case::a_secret_choice("command: [x]\nparams: { a: { secret: true, choices: [b] } }\n", (2, 39), "param `a` is secret, but its choices are not", "remove `choices` or `secret`")]
#[case::a_default_never_used("command: [x]\nparams: { a: { required: true, default: b } }\n", (2, 41), "param `a` is required, so its default is never used", "remove `default` or `required`")]
#[case::a_yes_for_a_boolean("command: [x]\nparams: { a: { required: yes } }\n", (2, 26), "`params.a.required` must be `true` or `false`, not text", "without quotes")]
#[case::remaining_by_nothing("command: [x]\nremaining: { database: p }\n", (2, 12), "`remaining` needs a `collection`", "write it as `remaining: { collection: charges, filter: { settled: false } }`")]
#[case::remaining_without_a_filter("command: [x]\nremaining: { collection: c }\n", (2, 12), "`remaining` needs a `filter`", "write it as")]
#[case::remaining_twice("command: [x]\nremaining: { command: [y], filter: {} }\n", (2, 36), "`remaining` has a `command` and a `filter`", "remove one")]
#[case::a_filter_that_is_none("command: [x]\nremaining: { collection: c, filter: all }\n", (2, 37), "`remaining.filter` must be a query, not text", "write it as a mapping")]
#[case::a_bad_object_id("command: [x]\nremaining: { collection: c, filter: { _id: { $gt: { $oid: 12 } } } }\n", (2, 51), "this is no `$oid` of Extended JSON", "write 24 hexadecimal digits in quotes")]
#[case::a_bad_date("command: [x]\nremaining:\n  collection: c\n  filter: { at: { $lt: { $date: 2026-11-04 } } }\n", (4, 24), "this is no `$date` of Extended JSON", "write a time with its zone in quotes")]
fn a_mistake_in_a_manifest_is_told_with_its_place_and_remedy(
    #[case] text: &str,
    #[case] position: (u32, u32),
    #[case] message: &str,
    #[case] remedy: &str,
) {
    let problems = stopover::catalog::check_manifest(text);
    let problem = problems
        .iter()
        .find(|problem| problem.message.starts_with(message))
        .unwrap_or_else(|| panic!("nobody says {message:?}: {problems:#?}"));
    assert!(problem.remedy.contains(remedy), "{:?}", problem.remedy);
    assert_eq!(problem.position, Some(position), "{problem}");
    let line = text.lines().nth(position.0 as usize - 1).unwrap();
    let holds_a_secret = text.contains("secret") && line.contains("default");
    assert_eq!(problem.text.as_deref(), (!holds_a_secret).then_some(line));
}

#[rstest::rstest]
#[case("")]
#[case("\n\n")]
#[case("# nothing but a comment\n")]
#[case("---\n")]
#[case("~")]
fn an_empty_manifest_is_told_to_be_empty(#[case] text: &str) {
    let [problem] = &stopover::catalog::check_manifest(text)[..] else { panic!() };
    assert_eq!((problem.message.as_str(), problem.position), ("the file is empty", None));
    assert!(problem.remedy.starts_with("write what it runs, e.g. `command: [python3, backfill.py]`"));
}

proptest! {
    /// The places of problems lie within the text, whatever it is.
    #[test]
    fn no_text_makes_reading_a_manifest_panic(text in "(?s).{0,400}") {
        check_places(&text);
    }

    #[test]
    fn no_mutation_of_a_manifest_makes_reading_it_panic(
        whole in prop::sample::select(vec![EVERYTHING, crate::catalog_steps::EVERYTHING]),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}:,#&*!|>'\"%@`$ \n\ta-z0-9é\u{0}-]{0,4}", 0..6_usize), 1..6),
    ) {
        let mut text: Vec<char> = whole.chars().collect();
        for (at, replacement, removed) in cuts {
            let start = at.index(text.len());
            let end = (start + removed).min(text.len());
            text.splice(start..end, replacement.chars());
        }
        check_places(&text.into_iter().collect::<String>());
    }

    /// Depth and aliases are bounded: neither the stack nor the memory can be exhausted.
    #[test]
    fn nesting_without_end_is_refused(depth in 100..20_000_usize, open in "[\\[{]|a:\\n |- ") {
        let problems = stopover::catalog::check_manifest(&open.repeat(depth));
        prop_assert!(!problems.is_empty());
    }
}

fn check_places(text: &str) {
    // A lone carriage return ends a line of YAML, too.
    let unix = text.replace("\r\n", "\n").replace('\r', "\n");
    for problem in stopover::catalog::check_manifest(text) {
        let Some((line, column)) = problem.position else { continue };
        let lines: Vec<&str> = unix.lines().collect();
        let shown = lines.get(line as usize - 1).copied().unwrap_or_default();
        assert!(line as usize <= lines.len().max(1), "{problem} in {text:?}");
        assert!((1..=shown.chars().count() + 1).contains(&(column as usize)), "{problem} in {text:?}");
    }
}

#[test]
fn aliases_cannot_unfold_without_end() {
    let mut text = "a: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let alias = format!("*a{}", n - 1);
        writeln!(text, "b{n}: &a{n} [{}]", [alias.as_str(); 9].join(", ")).unwrap();
    }
    let problems = stopover::catalog::check_manifest(&text);
    assert!(problems[0].message.contains("too large or too complex"), "{problems:?}");
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_in_the_order_of_the_file() {
    let problems = stopover::catalog::check_manifest("owners: a\ncommand: x\ntimeout: 5\nneeds: [redis]\n");
    let lines: Vec<_> = problems.iter().map(|problem| problem.position.unwrap().0).collect();
    assert_eq!(lines, [1, 2, 3, 4]);
}

#[test]
fn a_file_of_mistakes_only_is_told_in_part() {
    let text = (0..5_000).map(|n| format!("key{n}: 1")).collect::<Vec<_>>().join("\n");
    assert_eq!(stopover::catalog::check_manifest(&text).len(), 20);
}

/// A manifest with every key.
const EVERYTHING: &str = r#"description: >
  Gives every old charge
  the currency of its merchant.
owner: payments
tags: [charges, nightly]
command: [node, "{file}", "{name}", "{rerun}"]
requires: [20261101_first]
timeout: 1h 30m
params:
  region: { choices: [BR, MX], default: BR, description: Whose charges }
  batch: { type: integer, default: 500 }
  dry: { type: boolean, default: false }
  token: { secret: true, default: hunter2 }
  note:
remaining:
  database: archive
  collection: charges
  filter:
    _id: { $gt: { $oid: 65a1b2c3d4e5f60718293a4b } }
    at: { $lt: { $date: "2026-11-04T00:00:00Z" } }
    amount: { $gte: { $numberLong: "9007199254740993" } }
    currency: { $exists: false }
    country: { $in: [no, BR] }
"#;

#[test]
fn a_manifest_may_say_everything() {
    let house = House::new(MANIFESTS);
    house.file("migrations/20261101_first.yaml", "command: ['true']\n");
    house.file("migrations/20261102_all.yaml", EVERYTHING);
    let catalog = house.load();
    let migration = ready(&catalog, "20261102_all");
    assert_eq!(migration.description, "Gives every old charge the currency of its merchant.");
    assert_eq!(
        (migration.owner.as_deref(), &migration.tags[..]),
        (Some("payments"), &["charges".into(), "nightly".into()][..])
    );
    assert_eq!(migration.requires, [id("20261101_first")]);
    assert_eq!(migration.timeout, Some(Duration::from_mins(90)));
    assert!(migration.needs_mongodb, "a count in MongoDB needs one");
    let Some(Remaining::Count { database, collection, filter }) = &migration.remaining else { panic!() };
    assert_eq!((database.as_deref(), collection.as_str()), (Some("archive"), "charges"));
    let expected = bson::doc! {
        "_id": { "$gt": bson::oid::ObjectId::parse_str("65a1b2c3d4e5f60718293a4b").unwrap() },
        "at": { "$lt": bson::DateTime::from_millis(1_793_750_400_000) },
        "amount": { "$gte": 9_007_199_254_740_993_i64 },
        "currency": { "$exists": false },
        "country": { "$in": ["no", "BR"] },
    };
    assert_eq!(filter, &expected);

    let params = Params::resolve(&migration.params, &[("note".into(), "x".into())]).unwrap();
    let shown: Vec<_> = params.iter().map(|(name, value)| (name.as_str(), value.display())).collect();
    assert_eq!(shown, [("region", "BR"), ("batch", "500"), ("dry", "false"), ("token", "***"), ("note", "x")]);
    assert!(!format!("{migration:?}").contains("hunter2"), "a secret default is never printed");
}

#[test]
fn a_program_with_a_slash_is_bound_to_the_directory_of_its_manifest_and_a_bare_one_comes_by_path() {
    let house = House::new(MANIFESTS);
    house.program("tools/run.sh", "#!/bin/sh\n");
    house.file("migrations/a.yaml", "command: [../tools/run.sh, x]\n");
    house.file("migrations/b.yaml", "command: [no-such-program-anywhere, x]\n");
    let catalog = house.load();
    let a = ready(&catalog, "a").work.program().unwrap();
    assert_eq!(a.argv, [house.path("tools/run.sh").to_str().unwrap(), "x"]);
    let b = ready(&catalog, "b").work.program().unwrap();
    assert_eq!(b.argv[0], "no-such-program-anywhere");
}

#[rstest::rstest]
#[case::a_program("command: [./gone.sh]", (1, 11), "there is no file `./gone.sh` in ")]
#[case::a_script("command: [python3, -u, gone.py, out.py]", (1, 24), "there is no file `gone.py` in ")]
#[case::a_count("command: [x]\nremaining: { command: [node, gone.js] }", (2, 30), "there is no file `gone.js` in ")]
#[case::not_executable("command: [./plain.sh]", (1, 11), "the file is not executable")]
fn a_file_that_a_command_names_must_be_there(#[case] text: &str, #[case] position: (u32, u32), #[case] message: &str) {
    let house = House::new(MANIFESTS);
    house.file("migrations/a.yaml", text).file("migrations/plain.sh", "#!/bin/sh\n");
    let catalog = house.load();
    let problem = problem(&catalog, "a");
    assert!(problem.message.starts_with(message), "{problem}");
    assert_eq!(problem.position, Some(position));
    assert_eq!(problem.text.as_deref(), text.lines().nth(position.0 as usize - 1));
    let remedy = if message.contains("executable") {
        "chmod +x ./plain.sh"
    } else {
        "create it, or mend the path: it is relative to that directory"
    };
    assert_eq!(problem.remedy, remedy);
}

#[rstest::rstest]
#[case("command: [python3, -m, tool.main]")]
#[case("command: [sh, -c, 'python3 gone.py']")]
#[case("command: [python3, tool.py, will-be-written.py]")]
#[case("command: [node, '{name}.js']")]
#[case("command: [tar, xf, gone.sh]")]
fn an_argument_that_need_not_be_a_file_is_left_alone(#[case] text: &str) {
    let house = House::new(MANIFESTS);
    house.file("migrations/a.yaml", text).file("migrations/tool.py", "");
    ready(&house.load(), "a");
}

#[test]
fn files_that_share_an_id_become_one_broken_row_that_names_both() {
    let house = House::new("catalog: [{ files: 'migrations/**/*.yaml' }]\n");
    house.file("migrations/a.yaml", "command: [x]\n").file("migrations/old/a.yaml", "command: [x]\n");
    house.file("migrations/b.yaml", "command: [x]\n");
    let catalog = house.load();
    ready(&catalog, "b");
    assert_eq!(catalog.entries.len(), 2);
    let problems: Vec<_> = broken(&catalog, "a").problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "migrations/a.yaml: the id `a` is taken by migrations/old/a.yaml too; rename one of the two files",
            "migrations/old/a.yaml: the id `a` is taken by migrations/a.yaml too; rename one of the two files",
        ]
    );
}

#[test]
fn every_member_of_a_cycle_is_told_the_cycle_and_its_own_part_in_it() {
    let house = House::new(MANIFESTS);
    house.file("migrations/a.yaml", "command: [x]\nrequires: [b]\n");
    house.file("migrations/b.yaml", "command: [x]\nrequires:\n  - free\n  - c\n");
    house.file("migrations/c.yaml", "requires: [a]\ncommand: [x]\n");
    house.file("migrations/free.yaml", "command: [x]\n");
    house.file("migrations/leads_there.yaml", "command: [x]\nrequires: [a]\n");
    house.file("migrations/own.yaml", "command: [x]\nrequires: [own]\n");
    let catalog = house.load();
    ready(&catalog, "free");
    ready(&catalog, "leads_there");
    let told = |name: &str| {
        let problem = problem(&catalog, name);
        assert_eq!(problem.remedy, "remove one of them: none of these could ever be launched");
        (problem.position.unwrap(), problem.text.clone().unwrap(), problem.message.clone())
    };
    let cycle = |path: &str| format!("a cycle of requirements: {path}");
    assert_eq!(told("a"), ((2, 12), "requires: [b]".into(), cycle("a -> b -> c -> a")));
    assert_eq!(told("b"), ((4, 5), "  - c".into(), cycle("b -> c -> a -> b")));
    assert_eq!(told("c"), ((1, 12), "requires: [a]".into(), cycle("c -> a -> b -> c")));
    assert_eq!(told("own"), ((2, 12), "requires: [own]".into(), cycle("own -> own")));
}

#[test]
fn a_requirement_that_does_not_exist_is_told_and_a_broken_one_is_not_the_fault_of_who_requires_it() {
    let house = House::new(MANIFESTS);
    house.file("migrations/a.yaml", "command: [x]\nrequires: [bb]\n");
    house.file("migrations/b.yaml", "oops: 1\n");
    house.file("migrations/c.yaml", "command: [x]\nrequires: [b]\n");
    let catalog = house.load();
    let told = problem(&catalog, "a");
    assert_eq!(
        told.to_string(),
        "migrations/a.yaml:2:12: there is no migration `bb`; mend the name, or remove it; `stopover list` shows all"
    );
    broken(&catalog, "b");
    ready(&catalog, "c");
}

const EXECUTABLES: &str = "catalog: [{ files: 'migrations/*' }]\n";

#[test]
fn a_file_that_cannot_be_executed_is_told_with_the_command_that_mends_it() {
    let house = House::new(EXECUTABLES);
    house.file("migrations/plain.sh", "#!/bin/sh\n");
    house.program("migrations/bare.sh", "echo hello\n");
    house.program("migrations/windows.sh", "#!/bin/sh\r\necho hello\r\n");
    house.program("migrations/empty.sh", "");
    fs::copy("/bin/true", house.path("migrations/binary")).unwrap();
    let catalog = house.load();
    ready(&catalog, "binary");
    assert_eq!(
        problem(&catalog, "plain").to_string(),
        "migrations/plain.sh: the file is not executable; chmod +x migrations/plain.sh"
    );
    let bare = problem(&catalog, "bare");
    assert_eq!((bare.position, bare.text.as_deref()), (Some((1, 1)), Some("echo hello")));
    assert_eq!(bare.message, "the file is neither a program nor a script with an interpreter");
    assert!(bare.remedy.contains("`#!/bin/sh`"), "{bare}");
    let windows = problem(&catalog, "windows");
    assert!(windows.message.contains("carriage return") && windows.remedy.contains("sed -i"), "{windows}");
    assert_eq!(problem(&catalog, "empty").message, bare.message);
}

#[test]
fn files_that_are_no_text_no_file_or_not_there_are_told_and_nothing_hangs() {
    let house = House::new(MANIFESTS);
    house.file("migrations/latin.yaml", b"command: [x]\nowner: caf\xe9\n");
    house.file("migrations/huge.yaml", vec![b'#'; 1024 * 1024 + 1]);
    house.file("migrations/fine.yaml", "command: [x]\n");
    symlink("loop.yaml", house.path("migrations/loop.yaml")).unwrap();
    symlink("/nowhere", house.path("migrations/dangling.yaml")).unwrap();
    symlink("fine.yaml", house.path("migrations/linked.yaml")).unwrap();
    symlink(".", house.path("migrations/round")).unwrap();
    let fifo = Command::new("mkfifo").arg(house.path("migrations/fifo.yaml")).status().unwrap();
    assert!(fifo.success());
    let catalog = house.load();
    ready(&catalog, "fine");
    ready(&catalog, "linked");
    let latin = problem(&catalog, "latin");
    assert_eq!((latin.position, latin.text.as_deref()), (Some((2, 11)), Some("owner: caf\u{fffd}")));
    assert_eq!((latin.message.as_str(), latin.remedy.as_str()), ("the file is not UTF-8", "save it as UTF-8"));
    assert_eq!(problem(&catalog, "huge").message, "the file is larger than 1 MiB");
    assert_eq!(problem(&catalog, "fifo").message, "this is not a regular file");
    for name in ["loop", "dangling"] {
        let problem = problem(&catalog, name);
        assert!(problem.message.starts_with("the file cannot be read: "), "{problem}");
        assert_eq!(problem.remedy, "make it a readable file, or delete it");
    }
}

#[test]
fn a_link_that_goes_round_does_not_repeat_the_catalog_for_ever() {
    let house = House::new("catalog: [{ files: 'migrations/**/*.yaml' }]\n");
    house.file("migrations/deep/a.yaml", "command: [x]\n");
    symlink("..", house.path("migrations/deep/round")).unwrap();
    let catalog = house.load();
    ready(&catalog, "a");
}

#[test]
fn problems_of_the_catalog_itself_stand_beside_the_migrations() {
    let house = House::new(
        "catalog:
  - files: migrations/*.yaml
  - files: nothing/*.sh
  - files: 'a**'
  - files: /etc/*.yaml
  - command: [node]
  - files: migrations/*.js
    command: [node, run.js]
",
    );
    house.file("migrations/a.yaml", "command: [x]\n").file("migrations/not an id.yaml", "command: [x]\n");
    house.file("migrations/.hidden.yaml", "not: [read");
    let catalog = house.load();
    ready(&catalog, "a");
    assert_eq!(catalog.entries.len(), 1);
    let told: Vec<_> = catalog.problems.iter().map(ToString::to_string).collect();
    let expected = [
        "stopover.yaml:4:12: `a**` is no pattern: ",
        "stopover.yaml:5:12: the pattern `/etc/*.yaml` is not relative; write it relative to the directory of stopover.yaml",
        "stopover.yaml:6:5: an element of `catalog` needs `files`; write it as in ",
        "stopover.yaml:8:14: the command would be the same for every file; say which one it is to run: `{name}` is its name, `{file}` its path",
        "migrations/not an id.yaml: the file's name is no id: ",
        "stopover.yaml:3:12: the pattern `nothing/*.sh` matches no file; mend the pattern, or remove it",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
}

#[test]
fn a_missing_runner_breaks_every_file_it_would_run_and_is_told_once() {
    let house = House::new("catalog: [{ files: 'legacy/*.js', command: [node, gone.js, '{name}'] }]\n");
    house.file("legacy/a.js", "").file("legacy/b.js", "");
    let catalog = house.load();
    assert_eq!(problem(&catalog, "a"), problem(&catalog, "b"));
    let told = catalog.distinct_problems();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].file.as_path(), told[0].position), (Path::new("stopover.yaml"), Some((1, 51))));
    assert_eq!(catalog.verdict(), "2 migrations, 1 problem in 1 file");
}

#[rstest::rstest]
#[case::missing(None, "there is no /", "or name another with --catalog or STOPOVER_CATALOG")]
#[case::empty(Some(""), "the file is empty", "write where migrations are")]
#[case::broken(Some("catalog: [\n"), "this is not YAML", "mend the line")]
#[case::without_catalog(Some("lease: 30s\n"), "`catalog` is missing", "write where migrations are")]
#[case::unknown_key(
    Some("catalog: []\nleases: 3s\n"),
    "unknown key `leases` in stopover.yaml",
    "did you mean `lease`?"
)]
#[case::bad_lease(Some("catalog: []\nlease: 30\n"), "`lease` must be a duration", "e.g. `30s`")]
fn what_is_wrong_with_stopover_yaml_is_told(#[case] text: Option<&str>, #[case] message: &str, #[case] remedy: &str) {
    let house = House(TempDir::new().unwrap());
    if let Some(text) = text {
        house.file("stopover.yaml", text);
    }
    let problems = Project::load(&house.path("stopover.yaml")).unwrap_err();
    assert!(problems[0].message.starts_with(message), "{problems:?}");
    assert!(problems[0].remedy.contains(remedy), "{problems:?}");
    assert_eq!(house.load().problems, problems);
}

#[test]
fn who_continues_a_run_is_said_by_the_manifest_over_the_pattern_that_finds_it() {
    let project = "catalog:\n  - { files: 'legacy/*.js', command: [node, run.js, '{name}'], resume: auto }\n  - { files: 'careful/*.yaml', resume: auto }\n  - files: migrations/*.yaml\n";
    let house = House::new(project);
    house.file("run.js", "").file("legacy/adopted.js", "");
    house.file("careful/follows.yaml", "command: [x]\n").file("careful/differs.yaml", "command: [x]\nresume: manual\n");
    house.file("migrations/plain.yaml", "command: [x]\n").file("migrations/auto.yaml", "command: [x]\nresume: auto\n");
    let catalog = house.load();
    let policy = |name| ready(&catalog, name).resume;
    assert_eq!([policy("adopted"), policy("follows"), policy("auto")], [ResumePolicy::Auto; 3]);
    assert_eq!([policy("differs"), policy("plain")], [ResumePolicy::Manual; 2]);
}

#[test]
fn settings_of_stopover_yaml_are_durations() {
    let house = House::new("catalog: []\nlease: 1m\nrenewal: 2s\nmargin: 15s\ngrace: 2m 5s\n");
    let settings = Project::load(&house.path("stopover.yaml")).unwrap().settings;
    assert_eq!(settings.grace, Some(Duration::from_secs(125)));
    let lease = LeaseTerms::new(settings.lease).unwrap();
    assert_eq!((lease.length(), lease.renewal()), (Duration::from_mins(1), Duration::from_secs(2)));
    assert_eq!((lease.margin(), lease.asked_after()), (Duration::from_secs(15), Duration::from_secs(45)));
}

#[test]
fn terms_of_a_lease_that_make_no_sense_are_a_problem_at_their_place() {
    let house = House::new("catalog: []\nlease: 10s\nmargin: 9s\n");
    let problems = Project::load(&house.path("stopover.yaml")).unwrap_err();
    assert_eq!(problems[0].position, Some((3, 9)));
    assert_eq!(problems[0].message, "a lease of 10 s with a margin of 9 s leaves no room for two renewals, 1 s apart");
    assert_eq!(problems[0].remedy, "make the lease longer, or the margin or the renewal shorter");
}

#[test]
fn the_checksum_is_what_a_shell_says() {
    let house = House::new("catalog: [{ files: 'migrations/*.yaml' }, { files: 'migrations/*.sh' }]\n");
    house.program("migrations/one.sh", "#!/bin/sh\necho one\n");
    house.file("migrations/plain.yaml", "command: [curl, example]\n");
    house.file("migrations/many.yaml", "command: [python3, lib/tool.py, 'odd\\name', 'odd\\name', absent]\n");
    house.file("migrations/lib/tool.py", "print(1)\n").file("migrations/odd\\name", "data");
    house.file("migrations/big.yaml", "command: [python3, big.bin]\n");
    house.file("migrations/big.bin", vec![7; 3_000_000]);
    let catalog = house.load();
    let shell = |command: &str| {
        let output = Command::new("sh").arg("-c").arg(command).current_dir(house.path("migrations")).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()[..64].to_owned()
    };
    let checksum = |name: &str| ready(&catalog, name).checksum.as_str().to_owned();
    assert_eq!(checksum("one"), shell("sha256sum one.sh"));
    assert_eq!(checksum("plain"), shell("sha256sum plain.yaml"));
    assert_eq!(checksum("many"), shell("sha256sum many.yaml lib/tool.py 'odd\\name' 'odd\\name' | sha256sum"));
    assert_eq!(checksum("big"), shell("sha256sum big.yaml big.bin | sha256sum"));
}

#[test]
fn a_change_of_content_changes_the_checksum_and_a_change_of_time_does_not() {
    let house = House::new(MANIFESTS);
    house.file("migrations/a.yaml", "command: [python3, a.py]\n").file("migrations/a.py", "one");
    let checksum = || ready(&house.load(), "a").checksum.clone();
    let before = checksum();
    house.file("migrations/a.py", "one");
    assert_eq!(checksum(), before);
    house.file("migrations/a.py", "two");
    assert_ne!(checksum(), before);
}

#[test]
fn thousands_of_migrations_are_read_at_once() {
    let house = House::new(MANIFESTS);
    for n in 0..3_000 {
        let text = format!(
            "description: Give every old charge its currency, part {n}\nowner: payments\ntags: [charges]\ncommand: [sh, -c, 'true']\ntimeout: 1h\nparams: {{ region: {{ choices: [BR, MX], default: BR }} }}\n"
        );
        house.file(&format!("migrations/{n:05}_part.yaml"), text);
    }
    let start = Instant::now();
    let catalog = house.load();
    assert_eq!((catalog.entries.len(), catalog.distinct_problems().len()), (3_000, 0));
    // A release build needs well under 100 ms; this bound only catches what grows with the square.
    assert!(start.elapsed() < Duration::from_secs(15));
}
