//! Manifests with steps that Stopover executes itself: what they say, and what is said of their mistakes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use bson::{DateTime, Document, doc};
use stopover::catalog::{
    Backfill, Catalog, Change, Copy, CreateIndexes, DatabaseCommand, DropIndexes, Entry, Hint, Holds, Migration,
    MigrationId, Speed, Step, Steps, Target, Work, check_manifest,
};
use tempfile::TempDir;

/// A manifest with every key that steps have.
pub const EVERYTHING: &str = r#"description: Every kind of step
steps:
  - createIndexes:
      collection: charges
      indexes:
        - { key: { customer: 1, createdAt: -1 } }
        - { key: { z: 1, a: hashed }, name: odd, unique: true, partialFilterExpression: { at: { $gt: { $date: "2026-11-04T00:00:00Z" } } } }
  - backfill:
      database: archive
      collection: charges
      filter: { currency: { $exists: false }, amount: { $gte: { $numberLong: "5" } } }
      update: { $set: { "items.$[item].currency": BRL }, $inc: { version: 1 } }
      arrayFilters: [{ item.currency: null }]
      idempotent: false
      maxQuarantined: 10
  - backfill:
      collection: charges
      update: [{ $set: { total: { $sum: $items.amount } } }, { $unset: [old] }]
      hint: { customer: 1, createdAt: -1 }
      atLeastOnce: true
  - backfill: { collection: customers, transform: { command: [./phones.sh, --all] }, hint: customer_1 }
  - copy:
      collection: charges
      filter: { $or: [{ a: 1 }, { b: 2 }] }
      pipeline: [{ $unwind: $items }, { $replaceWith: { $mergeObjects: [$items, { charge: $_id }] } }]
      into: { database: reports, collection: items }
      key: [charge, item.number]
      maxQuarantined: 1
  - dropIndexes: { collection: charges, indexes: [old_1, { z: 1, a: -1 }] }
  - command:
      database: admin
      run: { setFeatureCompatibilityVersion: "6.0", writeConcern: { w: majority } }
      skipIf: { find: versions, filter: { done: true } }
  - command: { run: { collMod: charges, validator: {} }, atLeastOnce: true }
speed: { workers: 2, pace: 50%, batch: 250ms }
hold: { replicationLag: 5s, oplogWindow: off, dirtyCache: 12.5%, foreground: 3, congestion: false }
remaining: { collection: charges, filter: { currency: { $exists: false } } }
"#;

fn at(collection: &str) -> Target {
    Target { database: None, collection: collection.into() }
}

/// A catalog of one manifest beside `phones.sh`.
fn catalog(manifest: &str) -> (TempDir, Catalog) {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("stopover.yml"), "catalog: [{ files: '*.yaml' }]\n").unwrap();
    fs::write(root.path().join("a.yaml"), manifest).unwrap();
    let program = root.path().join("phones.sh");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let catalog = Catalog::load(&root.path().join("stopover.yml"));
    (root, catalog)
}

#[track_caller]
fn ready(catalog: &Catalog) -> &Migration {
    match catalog.entry(&MigrationId::new("a").unwrap()) {
        Some(Entry::Ready(migration)) => migration,
        other => panic!("not ready: {other:?}"),
    }
}

#[track_caller]
fn steps(catalog: &Catalog) -> Arc<Steps> {
    let Work::Steps(steps) = &ready(catalog).work else { panic!("no steps") };
    Arc::clone(steps)
}

#[test]
fn a_manifest_may_say_everything_of_its_steps() {
    let (root, catalog) = catalog(EVERYTHING);
    let migration = ready(&catalog);
    assert!(migration.needs_mongodb);
    let steps = steps(&catalog);
    assert_eq!((steps.speed, steps.batch), (Speed { workers: 2, pace: 50 }, Duration::from_millis(250)));
    let holds = Holds {
        replication_lag: Some(Duration::from_secs(5)),
        oplog_window: None,
        dirty_cache: Some(0.125),
        foreground: Some(3.0),
        congestion: false,
    };
    assert_eq!(steps.holds, holds);
    let create = CreateIndexes {
        target: at("charges"),
        indexes: vec![
            doc! { "key": { "customer": 1, "createdAt": -1 }, "name": "customer_1_createdAt_-1" },
            doc! {
                "key": { "z": 1, "a": "hashed" },
                "name": "odd",
                "unique": true,
                "partialFilterExpression": { "at": { "$gt": DateTime::from_millis(1_793_750_400_000) } },
            },
        ],
    };
    let operators = Backfill {
        target: Target { database: Some("archive".into()), collection: "charges".into() },
        filter: doc! { "currency": { "$exists": false }, "amount": { "$gte": 5_i64 } },
        change: Change::Operators {
            update: doc! { "$set": { "items.$[item].currency": "BRL" }, "$inc": { "version": 1 } },
            array_filters: vec![doc! { "item.currency": null }],
        },
        hint: None,
        idempotent: false,
        at_least_once: false,
        max_quarantined: 10,
    };
    let pipeline = Backfill {
        target: at("charges"),
        filter: Document::new(),
        change: Change::Pipeline(vec![
            doc! { "$set": { "total": { "$sum": "$items.amount" } } },
            doc! { "$unset": ["old"] },
        ]),
        hint: Some(Hint::Keys(doc! { "customer": 1, "createdAt": -1 })),
        idempotent: true,
        at_least_once: true,
        max_quarantined: 0,
    };
    let copy = Copy {
        source: at("charges"),
        filter: doc! { "$or": [{ "a": 1 }, { "b": 2 }] },
        pipeline: vec![
            doc! { "$unwind": "$items" },
            doc! { "$replaceWith": { "$mergeObjects": ["$items", { "charge": "$_id" }] } },
        ],
        into: Target { database: Some("reports".into()), collection: "items".into() },
        key: vec!["charge".into(), "item.number".into()],
        max_quarantined: 1,
    };
    let drop = DropIndexes {
        target: at("charges"),
        indexes: vec![Hint::Name("old_1".into()), Hint::Keys(doc! { "z": 1, "a": -1 })],
    };
    let probed = DatabaseCommand {
        database: Some("admin".into()),
        command: doc! { "setFeatureCompatibilityVersion": "6.0", "writeConcern": { "w": "majority" } },
        skip_if: Some(doc! { "find": "versions", "filter": { "done": true } }),
        at_least_once: false,
    };
    let repeated = DatabaseCommand {
        database: None,
        command: doc! { "collMod": "charges", "validator": {} },
        skip_if: None,
        at_least_once: true,
    };
    let [first, second, third, Step::Backfill(transformed), rest @ ..] = &steps.steps[..] else { panic!() };
    assert_eq!(*first, Step::CreateIndexes(create));
    assert_eq!(*second, Step::Backfill(operators));
    assert_eq!(*third, Step::Backfill(pipeline));
    assert_eq!(rest, [Step::Copy(copy), Step::DropIndexes(drop), Step::Command(probed), Step::Command(repeated)]);
    assert_eq!(transformed.hint, Some(Hint::Name("customer_1".into())));
    let Change::Transform(template) = &transformed.change else { panic!() };
    let program = root.path().join("phones.sh").to_string_lossy().into_owned();
    assert_eq!((&template.argv[..], &*template.directory), (&[program, "--all".into()][..], root.path()));
}

#[test]
fn the_order_of_fields_in_documents_is_that_of_the_file() {
    let (_root, catalog) = catalog(EVERYTHING);
    let steps = steps(&catalog);
    let Step::CreateIndexes(create) = &steps.steps[0] else { panic!() };
    let key = create.indexes[1].get_document("key").unwrap();
    assert_eq!(key.keys().collect::<Vec<_>>(), ["z", "a"], "an index on other fields first would be another index");
}

#[rstest::rstest]
#[case("backfill: { collection: c, update: { $set: { a: 1 } } }", "backfill c")]
#[case("copy: { collection: c, into: { database: d, collection: e } }", "copy c to d.e")]
#[case("createIndexes: { collection: c, indexes: [{ key: { a: 1 } }] }", "createIndexes c")]
#[case("dropIndexes: { database: d, collection: c, indexes: [a_1] }", "dropIndexes d.c")]
fn a_single_step_needs_no_list_and_has_the_usual_settings(#[case] manifest: &str, #[case] title: &str) {
    let (_root, catalog) = catalog(manifest);
    let steps = steps(&catalog);
    assert_eq!(steps.titles(), [title]);
    assert_eq!((steps.speed, steps.batch), (Speed::default(), Steps::DEFAULT_BATCH));
    assert_eq!(steps.holds, Holds::default());
    assert_eq!(ready(&catalog).work.words(&MigrationId::new("a").unwrap(), false), ["steps:", title]);
}

#[rstest::rstest]
#[case::nothing_is_looked_at("hold: off", Holds::NONE)]
#[case::the_rest_is_as_usual("hold: { foreground: off }", Holds { foreground: None, ..Holds::default() })]
#[case::nothing_is_said("speed: { pace: 50 }", Holds::default())]
fn what_makes_it_hold_can_be_changed_one_by_one(#[case] hold: &str, #[case] expected: Holds) {
    let (_root, catalog) = catalog(&format!("copy: {{ collection: c, into: {{ collection: d }} }}\n{hold}\n"));
    assert_eq!(steps(&catalog).holds, expected);
}

#[test]
fn the_checksum_covers_the_program_of_a_transform_which_is_no_migration_of_its_own() {
    let (root, catalog) = catalog("backfill: { collection: c, transform: { command: [./phones.sh] } }");
    fs::write(root.path().join("stopover.yml"), "catalog: [{ files: 'a.yaml' }, { files: '*.sh' }]\n").unwrap();
    let again = Catalog::load(&root.path().join("stopover.yml"));
    assert_eq!(again.entries.len(), 1);
    assert_eq!(ready(&again).checksum, ready(&catalog).checksum);
    fs::write(root.path().join("phones.sh"), "#!/bin/sh\n# changed\n").unwrap();
    let changed = Catalog::load(&root.path().join("stopover.yml"));
    assert_ne!(ready(&changed).checksum, ready(&catalog).checksum);
}

#[test]
fn the_program_of_a_transform_must_be_there() {
    let (_root, catalog) = catalog("backfill: { collection: c, transform: { command: [./gone.sh] } }");
    let problem = catalog.all_problems().find(|problem| problem.file.ends_with("a.yaml")).unwrap();
    assert!(problem.message.starts_with("there is no file `./gone.sh` in "), "{problem}");
    assert_eq!(problem.position, Some((1, 51)));
}

/// Every mistake in steps that the text alone can have: the text, where the mistake is, what is said and what to do.
#[rstest::rstest]
#[case::a_program_beside_a_step("command: [x]\nbackfill: { collection: c, update: { $set: { a: 1 } } }", (2, 1), "a manifest has one kind of work, not `command` and `backfill`", "elements of `steps:`")]
#[case::two_steps_at_the_top("copy: { collection: c, into: { collection: d } }\ndropIndexes: { collection: c, indexes: [a] }", (2, 1), "a manifest has one kind of work, not `copy` and `dropIndexes`", "elements of `steps:`")]
#[case::a_command_of_the_database_at_the_top("command: { run: { ping: 1 } }", (1, 10), "`command` must be a list of words, not a mapping", "`steps: [{ command: { run: ... } }]`")]
#[case::speed_of_a_program("command: [x]\nspeed: { workers: 2 }", (2, 1), "`speed` is for steps that Stopover executes itself", "a program goes at its own speed")]
#[case::hold_of_a_program("command: [x]\nhold: off", (2, 1), "`hold` is for steps that Stopover executes itself", "remove it")]
#[case::params_of_steps("dropIndexes: { collection: c, indexes: [a] }\nparams: { a: }", (2, 1), "`params` are for a program: steps take none", "write the values into the steps")]
#[case::no_steps("steps: []", (1, 8), "`steps` is empty", "in order")]
#[case::steps_as_a_mapping("steps: { backfill: {} }", (1, 8), "`steps` must be a list, not a mapping", "write it as `steps: [")]
#[case::a_step_without_a_kind("steps:\n  - backfill:", (2, 5), "a step says nothing to do", "further in")]
#[case::a_step_of_two_kinds("steps:\n  - dropIndexes: { collection: c, indexes: [a] }\n    command: { run: { ping: 1 }, atLeastOnce: true }", (3, 5), "a step does one thing, not `dropIndexes` and `command`", "each begins with `-`")]
#[case::a_step_with_an_unknown_kind("steps:\n  - createIndex: { collection: c }", (2, 5), "unknown key `createIndex` in a step", "did you mean `createIndexes`?")]
#[case::a_program_as_a_step("steps: [{ command: [x] }]", (1, 20), "`command` must be a mapping, not a list", "a program is the `command` of a manifest without steps")]
#[case::no_collection("backfill: { update: { $set: { a: 1 } } }", (1, 11), "`backfill` needs a `collection`", "name the collection")]
#[case::an_empty_collection("dropIndexes: { collection: '', indexes: [a] }", (1, 28), "`dropIndexes.collection` cannot be the name of a collection", "not empty")]
#[case::a_nul_in_a_collection("dropIndexes: { collection: \"a\\0b\", indexes: [a] }", (1, 28), "`dropIndexes.collection` cannot be the name of a collection", "no NUL")]
#[case::a_collection_of_the_server("dropIndexes: { collection: system.views, indexes: [a] }", (1, 28), "`system.views` belongs to the server itself", "name a collection of your product")]
#[case::a_collection_of_stopover("copy: { collection: c, into: { collection: stopover_runs } }", (1, 44), "`stopover_runs` belongs to Stopover itself", "must not change the records of runs")]
#[case::a_collection_of_stopover_in_a_command("steps: [{ command: { run: { drop: stopover_runs }, atLeastOnce: true } }]", (1, 22), "`stopover_runs` belongs to Stopover itself", "name a collection")]
#[case::a_bad_database("dropIndexes: { database: a b, collection: c, indexes: [a] }", (1, 26), "`dropIndexes.database` cannot be the name of a database", "plain name")]
#[case::a_database_of_the_server("dropIndexes: { database: local, collection: c, indexes: [a] }", (1, 26), "`local` is the server's own database", "name the database of your product")]
#[case::text_search("backfill: { collection: c, filter: { $text: { $search: x } }, update: { $set: { a: 1 } } }", (1, 38), "`$text` cannot be combined with a walk in the order of `_id`", "$regex")]
#[case::a_script_in_a_filter("copy: { collection: c, filter: { $and: [{ $where: x }] }, into: { collection: d } }", (1, 43), "`$where` cannot be combined", "`$expr`")]
#[case::nearness("copy: { collection: c, filter: { at: { $near: [1, 2] } }, into: { collection: d } }", (1, 40), "`$near` cannot be combined", "`$geoWithin`")]
#[case::no_change("backfill: { collection: c }", (1, 11), "`backfill` needs an `update` or a `transform`", "say what becomes of the documents")]
#[case::two_changes("backfill: { collection: c, update: { $set: { a: 1 } }, transform: { command: [x] } }", (1, 56), "`backfill` has an `update` and a `transform`", "remove one")]
#[case::an_empty_update("backfill: { collection: c, update: {} }", (1, 36), "`backfill.update` changes nothing", "write what it changes")]
#[case::an_empty_pipeline("backfill: { collection: c, update: [] }", (1, 36), "`backfill.update` changes nothing", "write what it changes")]
#[case::a_replacement("backfill: { collection: c, update: { currency: BRL } }", (1, 38), "`backfill.update` has the field `currency` where an operator must be", "it would replace each document and lose its other fields; write `$set: { ... }`")]
#[case::text_as_update("backfill: { collection: c, update: all }", (1, 36), "`backfill.update` must be a mapping of operators or a pipeline, not text", "write operators")]
#[case::an_unknown_operator("backfill: { collection: c, update: { $sett: { a: 1 } } }", (1, 38), "`$sett` is no operator of a backfill", "did you mean `$set`?")]
#[case::an_operator_for_inserts("backfill: { collection: c, update: { $setOnInsert: { a: 1 } } }", (1, 38), "`$setOnInsert` is no operator of a backfill", "a backfill inserts nothing")]
#[case::a_stage_as_operator("backfill: { collection: c, update: { $addFields: { a: 1 } } }", (1, 38), "`$addFields` is no operator of a backfill", "`update: [{ $addFields: ... }]`")]
#[case::an_operator_of_nothing("backfill: { collection: c, update: { $set: currency } }", (1, 44), "`backfill.update.$set` must be a mapping, not text", "write it as")]
#[case::a_forbidden_stage("backfill: { collection: c, update: [{ $group: { _id: $a } }] }", (1, 39), "`$group` is no stage that an update allows", "allowed are `$addFields`, `$set`, `$project`, `$unset`, `$replaceRoot`, `$replaceWith`")]
#[case::two_stages_in_one("backfill: { collection: c, update: [{ $set: { a: 1 }, $unset: b }] }", (1, 37), "a stage of `backfill.update` must be a mapping with one key", "an element of its own")]
#[case::the_id_by_an_operator("backfill: { collection: c, update: { $set: { a: 1, _id: 2 } } }", (1, 52), "an update cannot change `_id`", "made by a `copy`")]
#[case::the_id_by_a_new_name("backfill: { collection: c, update: { $rename: { old: _id } } }", (1, 49), "an update cannot change `_id`", "made by a `copy`")]
#[case::the_id_by_a_stage("backfill: { collection: c, update: [{ $project: { a: 1, _id: $a } }] }", (1, 57), "an update cannot change `_id`", "made by a `copy`")]
#[case::array_filters_of_a_pipeline("backfill: { collection: c, update: [{ $unset: a }], arrayFilters: [{ a: 1 }] }", (1, 53), "`backfill.arrayFilters` go only with update operators", "remove them")]
#[case::a_hint_of_another_type("backfill: { collection: c, update: { $set: { a: 1 } }, hint: 1 }", (1, 62), "`backfill.hint` must be an index's name or key, not the number 1", "write `customer_1`")]
#[case::a_hint_that_is_no_index("backfill: { collection: c, update: { $set: { a: 1 } }, hint: { $natural: 1 } }", (1, 62), "`backfill.hint` cannot be the key of an index: `$natural: 1`", "write fields with 1")]
#[case::a_hint_for_a_fixed_set("backfill: { collection: c, update: { $inc: { a: 1 } }, idempotent: false, hint: a_1 }", (1, 75), "a backfill that is not idempotent takes no `hint`", "fixed at the start by the highest `_id`")]
#[case::a_contradiction("backfill: { collection: c, update: { $inc: { a: 1 } }, idempotent: false, atLeastOnce: true }", (1, 75), "a backfill that is not idempotent cannot be done at least once", "would change its documents twice")]
#[case::a_negative_number("backfill: { collection: c, update: { $set: { a: 1 } }, maxQuarantined: -1 }", (1, 72), "`backfill.maxQuarantined` must be a whole number from 0, not the number -1", "write digits")]
#[case::a_transform_of_nothing("backfill: { collection: c, transform: {} }", (1, 39), "`backfill.transform` needs a `command`", "write the program")]
#[case::a_transform_as_text("backfill: { collection: c, transform: { command: node x.js } }", (1, 50), "`backfill.transform.command` must be a list of words", "write the words as a list")]
#[case::a_copy_to_nowhere("copy: { collection: c }", (1, 7), "`copy` needs `into`", "say where it writes")]
#[case::a_copy_onto_itself("copy: { collection: c, into: { collection: c } }", (1, 30), "`copy` would write into the collection that it reads", "by a `backfill`")]
#[case::a_stage_that_writes("copy: { collection: c, pipeline: [{ $merge: d }], into: { collection: d } }", (1, 37), "`$merge` is no stage that a copy allows", "`into` says where the documents go")]
#[case::a_stage_across_documents("copy: { collection: c, pipeline: [{ $group: { _id: $a } }], into: { collection: d } }", (1, 37), "`$group` is no stage that a copy allows", "the pipeline sees one batch")]
#[case::an_unknown_stage("copy: { collection: c, pipeline: [{ $projct: { a: 1 } }], into: { collection: d } }", (1, 37), "`$projct` is no stage that a copy allows", "did you mean `$project`?")]
#[case::no_key("copy: { collection: c, key: [], into: { collection: d } }", (1, 29), "`copy.key` is empty", "name at least one field")]
#[case::a_key_that_is_no_path("copy: { collection: c, key: $a, into: { collection: d } }", (1, 29), "`copy.key` has a path that no field can have", "`address.country`")]
#[case::a_field_twice_in_a_key("copy: { collection: c, key: [a, a], into: { collection: d } }", (1, 29), "`copy.key` has the field `a` twice", "remove one")]
#[case::no_index("createIndexes: { collection: c, indexes: [] }", (1, 42), "`createIndexes.indexes` is empty", "name at least one")]
#[case::no_indexes("dropIndexes: { collection: c }", (1, 14), "`dropIndexes` needs `indexes`", "name at least one")]
#[case::an_index_without_a_key("createIndexes: { collection: c, indexes: [{ name: a }] }", (1, 43), "an element of `createIndexes.indexes` needs a `key`", "write the fields of the index")]
#[case::an_index_on_nothing("createIndexes: { collection: c, indexes: [{ key: {} }] }", (1, 50), "`createIndexes.indexes.key` has no field", "write the key of an index")]
#[case::an_index_in_no_direction("createIndexes: { collection: c, indexes: [{ key: { a: 0 } }] }", (1, 50), "`createIndexes.indexes.key` cannot be the key of an index: `a: 0`", "with 1, -1 or a kind")]
#[case::an_index_on_the_id("createIndexes: { collection: c, indexes: [{ key: { _id: 1 } }] }", (1, 50), "every collection has the index on `_id`", "remove this one")]
#[case::an_index_twice("createIndexes: { collection: c, indexes: [{ key: { a: 1 } }, { key: { a: 1 } }] }", (1, 16), "two of `createIndexes.indexes` have the name `a_1`", "another `name`")]
#[case::the_index_on_the_id("dropIndexes: { collection: c, indexes: [_id_] }", (1, 41), "the index on `_id` cannot be dropped", "one by one")]
#[case::the_key_of_the_index_on_the_id("dropIndexes: { collection: c, indexes: [{ _id: 1 }] }", (1, 41), "the index on `_id` cannot be dropped", "one by one")]
#[case::every_index("dropIndexes: { collection: c, indexes: ['*'] }", (1, 41), "`*` would drop every index of the collection", "one by one")]
#[case::a_command_of_nothing("steps: [{ command: { atLeastOnce: true } }]", (1, 20), "`command` needs `run`", "write the command as a document")]
#[case::a_command_without_a_name("steps: [{ command: { run: {}, atLeastOnce: true } }]", (1, 27), "`command.run` names no command", "the first key is the command's name")]
#[case::a_command_without_a_probe("steps: [{ command: { run: { collMod: c } } }]", (1, 20), "nothing tells whether the command was run already", "a crash between the command and its record would run it again")]
#[case::a_probe_that_is_no_reading("steps: [{ command: { run: { collMod: c }, skipIf: { update: c } } }]", (1, 51), "`update` is no reading command", "`command.skipIf` takes `find`")]
#[case::a_probe_that_writes("steps: [{ command: { run: { collMod: c }, skipIf: { aggregate: c, pipeline: [{ $out: d }] } } }]", (1, 51), "`command.skipIf` writes", "remove `$out` and `$merge`")]
#[case::no_workers("dropIndexes: { collection: c, indexes: [a] }\nspeed: { workers: 0 }", (2, 19), "`speed.workers` must be a number from 1 to 16, not the number 0", "begin with 1")]
#[case::too_many_workers("dropIndexes: { collection: c, indexes: [a] }\nspeed: { workers: 17 }", (2, 19), "`speed.workers` must be a number from 1 to 16", "in each other's way")]
#[case::no_pace("dropIndexes: { collection: c, indexes: [a] }\nspeed: { pace: 0% }", (2, 16), "`speed.pace` must be a percentage", "more than 0, at most 100")]
#[case::a_broken_pace("dropIndexes: { collection: c, indexes: [a] }\nspeed: { pace: 0.5% }", (2, 16), "`speed.pace` must be a whole percentage", "`50%`")]
#[case::an_endless_batch("dropIndexes: { collection: c, indexes: [a] }\nspeed: { batch: 1m }", (2, 17), "`speed.batch` is too long", "at most `10s`")]
#[case::a_batch_without_a_unit("dropIndexes: { collection: c, indexes: [a] }\nspeed: { batch: 100 }", (2, 17), "`speed.batch` must be a duration, not the number 100", "with its unit")]
#[case::a_false_hold("dropIndexes: { collection: c, indexes: [a] }\nhold: false", (2, 7), "`hold` must be a mapping or `off`, not the boolean false", "`hold: off`")]
#[case::an_unknown_hold("dropIndexes: { collection: c, indexes: [a] }\nhold: { lag: 2s }", (2, 9), "unknown key `lag` in hold", "`replicationLag`")]
#[case::a_foreground_of_calm("dropIndexes: { collection: c, indexes: [a] }\nhold: { foreground: 1 }", (2, 21), "`hold.foreground` must be a number over 1, not the number 1", "or `off`")]
#[case::a_cache_without_a_measure("dropIndexes: { collection: c, indexes: [a] }\nhold: { dirtyCache: 0.15 }", (2, 21), "`hold.dirtyCache` must be a percentage, not the number 0.15", "write it as `50%`")]
#[case::bad_extended_json("backfill: { collection: c, update: { $set: { at: { $date: today } } } }", (1, 50), "this is no `$date` of Extended JSON", "a time with its zone")]
fn a_mistake_in_steps_is_told_with_its_place_and_remedy(
    #[case] text: &str,
    #[case] position: (u32, u32),
    #[case] message: &str,
    #[case] remedy: &str,
) {
    let problems = check_manifest(text);
    let problem = problems
        .iter()
        .find(|problem| problem.message.starts_with(message))
        .unwrap_or_else(|| panic!("nobody says {message:?}: {problems:#?}"));
    assert!(problem.remedy.contains(remedy), "{:?}", problem.remedy);
    assert_eq!(problem.position, Some(position), "{problem}");
    assert_eq!(problem.text.as_deref(), text.lines().nth(position.0 as usize - 1));
    assert_eq!(problems.len(), 1, "one mistake is told once: {problems:#?}");
}

#[test]
fn all_mistakes_of_all_steps_are_told_at_once() {
    let problems = check_manifest(
        "steps:
  - backfill: { collection: c, update: { a: 1 } }
  - dropIndexes: { collection: c, indexes: ['*'] }
  - command: { run: { ping: 1 } }
speed: { workers: many }
hold: { congestion: no }
",
    );
    let lines: Vec<_> = problems.iter().map(|problem| problem.position.unwrap().0).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6], "{problems:#?}");
}

/// Each example of the reference is a manifest, or what stands beside the steps of one.
#[test]
fn the_examples_of_the_reference_have_no_problem() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/manifest.md")).unwrap();
    let examples: Vec<_> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() > 8);
    for example in examples {
        let beside = example.starts_with("speed:") || example.starts_with("hold:");
        let step = if beside { "dropIndexes: { collection: c, indexes: [a] }\n" } else { "" };
        assert_eq!(check_manifest(&format!("{example}{step}")), [], "{example}");
    }
}
