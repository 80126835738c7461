//! Application code as a child: what it is given, what it may answer, and how it may fail.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc, rawdoc};
use mongodb::ClientSession;
use mongodb::options::ReadConcern;
use stopover::catalog::Target;
use stopover::engine::apply::{Apply, Counts};
use stopover::engine::fault::Fault;
use stopover::engine::site::Site;
use stopover::engine::slice::Slice;
use stopover::engine::transform::{ANSWER_WITHIN, Answer, Command, Listen, Transform, TransformBatch};
use stopover::secret::Secret;
use tempfile::TempDir;

use crate::support::mongo::Database;
use crate::support::server::Server;

/// Answers each document with the update that `answer(document)` returns, or the error that it raises.
fn python(answer: &str) -> Command {
    let program = format!(
        r"
import json, os, sys, time
class Refused(Exception): pass
{answer}
for line in sys.stdin:
    asked = json.loads(line)
    try:
        said = {{'update': answer(asked['document'])}}
    except Refused as refused:
        said = {{'error': str(refused)}}
    print(json.dumps({{'n': asked['n'], **said}}), flush=True)
"
    );
    command(&["python3", "-c", &program], Path::new("/"))
}

fn command(argv: &[&str], directory: &Path) -> Command {
    let environment: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    Command { argv: argv.iter().map(|&word| word.to_owned()).collect(), directory: directory.to_owned(), environment }
}

fn listen() -> Listen {
    Box::new(|stderr| {
        let (send, last_lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok).collect();
            let _ = send.send(lines);
        });
        last_lines
    })
}

fn start(command: Command) -> Transform {
    Transform::start(command, ANSWER_WITHIN, listen()).unwrap()
}

fn numbered(numbers: std::ops::Range<i32>) -> Vec<RawDocumentBuf> {
    numbers.map(|n| rawdoc! { "_id": n, "n": n }).collect()
}

fn set(n: i32) -> Answer {
    Answer::Operators(rawdoc! { "$set": { "n": n } })
}

const INCREMENT: &str = "def answer(it): return {'$set': {'n': it['n'] + 1}}";

#[tokio::test]
async fn every_lane_gets_the_answers_to_its_own_documents_in_order() {
    let transform = start(python(INCREMENT));
    let lanes = (0..16).map(|lane| {
        let transform = &transform;
        async move {
            for round in 0..5 {
                let first = lane * 10_000 + round * 1000;
                let answers = transform.transform(&numbered(first..first + 200)).await.unwrap();
                assert_eq!(answers, (first + 1..first + 201).map(set).collect::<Vec<_>>());
            }
        }
    });
    futures_util::future::join_all(lanes).await;
}

#[tokio::test]
async fn a_document_can_be_left_alone_refused_or_given_a_pipeline() {
    let transform = start(python(
        "def refuse(): raise Refused('no currency')\ndef answer(it): return refuse() if it['n'] == 2 else [None, {}, None, [{'$set': {'a': '$b'}}]][it['n']]",
    ));
    let answers = transform.transform(&numbered(0..4)).await.unwrap();
    assert_eq!(answers[..3], [Answer::Leave, Answer::Leave, Answer::Refuse("no currency".to_owned())]);
    let Answer::Pipeline(stages) = &answers[3] else { panic!("{answers:?}") };
    assert_eq!(stages.get_document(0).unwrap().to_owned(), rawdoc! { "$set": { "a": "$b" } });
    assert_eq!(transform.transform(&[]).await.unwrap(), []);
}

/// What a call with a document 7 fails with; the call after it must work again.
async fn poisoned(answer_to_seven: &str) -> String {
    let command = python(&format!(
        "def seven():\n    {answer_to_seven}\ndef answer(it): return seven() if it['n'] == 7 else None"
    ));
    let transform = Transform::start(command, Duration::from_secs(2), listen()).unwrap();
    // The interpreter's own start may take longer than the limit.
    while transform.transform(&numbered(0..1)).await.is_err() {}
    let fault = transform.transform(&numbered(0..10)).await.unwrap_err();
    assert_eq!(transform.transform(&numbered(0..7)).await.unwrap(), vec![Answer::Leave; 7]);
    match fault {
        Fault::Poison(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn something_else_on_standard_output_is_quoted() {
    let why = poisoned("print('looking up 7', flush=True)").await;
    assert!(why.contains("`looking up 7`") && why.contains("standard error"), "{why}");
}

#[tokio::test]
async fn a_child_that_dies_is_named_with_its_status_and_last_lines() {
    let why = poisoned("print('no such rate', file=sys.stderr); sys.exit(3)").await;
    assert!(why.contains("ended with status 3 while it had these documents") && why.contains("no such rate"), "{why}");
    let why = poisoned("os.kill(os.getpid(), 9)").await;
    assert!(why.contains("ended with signal: 9"), "{why}");
}

#[tokio::test]
async fn a_child_that_hangs_is_ended() {
    let why = poisoned("time.sleep(3600)").await;
    assert!(why.contains("took longer than 2 s"), "{why}");
}

#[tokio::test]
async fn a_line_that_nobody_asked_for_ends_the_child() {
    // In one write, so that they come together.
    let lines = "''.join(json.dumps({'n': n}) + chr(10) for n in range(asked['n'], 21))";
    let batch = &format!("os.write(1, ({lines}).encode()); time.sleep(3600)");
    let why = poisoned(batch).await;
    assert!(why.contains("a line that no document had asked for: `{\"n\": 1"), "{why}");
}

#[tokio::test]
async fn what_looks_like_an_answer_is_never_taken_for_that_to_another_document() {
    // A document that is answered twice, one that is not, one whose answer comes late.
    for (answers, strange) in [
        ("[6, 7, 7, 8]", r#"`{"n": 7, "update"#),
        ("[6, 8]", r#"`{"n": 8, "update"#),
        ("[6, 8, 7]", r#"`{"n": 8, "update"#),
        ("[6, None]", r#"`{"update"#),
    ] {
        let program = format!(
            "import json, sys\nlines = [sys.stdin.readline() for _ in range(10)]\nfor n in [1, 2, 3, 4, 5, *{answers}]:\n    print(json.dumps({{**({{'n': n}} if n else {{}}), 'update': {{'$set': {{'n': n}}}}}}))\n"
        );
        let transform = start(command(&["python3", "-c", &program], Path::new("/")));
        match transform.transform(&numbered(1..11)).await {
            Err(Fault::Poison(why)) => assert!(why.contains(strange), "{answers}: {why}"),
            other => panic!("{answers}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_numbers_count_on_and_begin_anew_with_a_new_child() {
    let number = "def answer(it): return sys.exit(1) if it['n'] == 99 else {'$set': {'n': asked['n']}}";
    let transform = start(python(number));
    assert_eq!(transform.transform(&numbered(50..52)).await.unwrap(), [set(1), set(2)]);
    assert_eq!(transform.transform(&numbered(50..52)).await.unwrap(), [set(3), set(4)]);
    assert!(transform.transform(&numbered(99..100)).await.is_err());
    assert_eq!(transform.transform(&numbered(50..51)).await.unwrap(), [set(1)]);
}

#[tokio::test]
async fn the_children_of_the_documentation_do_what_it_says() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/transform.md")).unwrap();
    for (language, argv) in [("js", ["node", "-e"]), ("python", ["python3", "-c"])] {
        let program = text.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let transform = start(command(&[argv[0], argv[1], program], Path::new("/")));
        // Node takes more than a line break for the end of a line.
        let documents = [
            rawdoc! { "_id": 1, "amount": 19.99, "note": "a\u{2028}b\u{2029}c\r\n" },
            rawdoc! { "_id": 2, "amount": "much" },
            rawdoc! { "_id": 3, "amount": 5, "amountInCents": 500 },
        ];
        let answers = transform.transform(&documents).await.unwrap();
        let cents = Answer::Operators(rawdoc! { "$set": { "amountInCents": 1999 } });
        assert_eq!(answers, [cents, Answer::Refuse("no amount".to_owned()), Answer::Leave], "{language}");
    }
}

#[tokio::test]
async fn all_who_wait_are_told_when_the_child_dies() {
    let transform = start(python("def answer(it): sys.exit(1)"));
    let (ten, one) = (numbered(0..10), numbered(0..1));
    let calls = (transform.transform(&ten), transform.transform(&one));
    let (first, second) = futures_util::future::join(calls.0, calls.1).await;
    assert!(matches!(first, Err(Fault::Poison(_))), "{first:?}");
    // Its document is not to blame, and must not be left out.
    assert!(matches!(second, Err(Fault::Passing(_))), "{second:?}");
}

#[tokio::test]
async fn a_child_that_never_answers_anything_is_given_up() {
    let transform = start(command(&["sh", "-c", "echo 'no module' >&2; exit 1"], Path::new("/")));
    let one = numbered(0..1);
    for _ in 0..100 {
        match transform.transform(&one).await.unwrap_err() {
            Fault::Poison(_) => {}
            Fault::Fatal(why) => {
                assert!(why.contains("status 1") && why.contains("no module") && why.contains("20 times"), "{why}");
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("it is started for ever");
}

#[test]
fn a_command_that_cannot_be_started_is_named_with_its_directory() {
    let fault = Transform::start(command(&["no-such-program"], Path::new("/tmp")), ANSWER_WITHIN, listen());
    let Some(Fault::Fatal(why)) = fault.err() else { panic!("it was started") };
    assert!(why.contains("no-such-program cannot be started in /tmp"), "{why}");
}

#[tokio::test]
async fn neither_full_pipes_nor_the_largest_documents_stop_it() {
    // It answers each document with as much as it was given, and reads on only when that is taken.
    let transform = start(python("def answer(it): return {'$set': {'copy': it['text']}}"));
    let text = "x".repeat(100_000);
    let many: Vec<RawDocumentBuf> = (0..100).map(|n| rawdoc! { "_id": n, "text": text.as_str() }).collect();
    let largest = [rawdoc! { "_id": 0, "text": "é\n".repeat(5_500_000) }];
    let calls = (transform.transform(&many), transform.transform(&largest), transform.transform(&many));
    let (first, second, third) = futures_util::future::join3(calls.0, calls.1, calls.2).await;
    let expected = vec![Answer::Operators(rawdoc! { "$set": { "copy": text.as_str() } }); 100];
    assert_eq!((first.unwrap(), third.unwrap()), (expected.clone(), expected));
    let Answer::Operators(update) = &second.unwrap()[0] else { panic!("no update") };
    assert_eq!(update.get_document("$set").unwrap().get_str("copy").unwrap(), largest[0].get_str("text").unwrap());
}

#[tokio::test]
async fn it_runs_in_its_directory_with_the_program_s_environment_but_no_database() {
    let directory = TempDir::new().unwrap();
    let mut command = python("def answer(it): return [{'$set': dict(os.environ, cwd=os.getcwd())}]");
    command.directory = directory.path().to_owned();
    for name in ["MONGODB_URI", "MONGODB_URI_FILE", "STOPOVER_PARAM_RATE"] {
        command.environment.insert(name.into(), "value".into());
    }
    let answers = start(command).transform(&numbered(0..1)).await.unwrap();
    let Answer::Pipeline(stages) = &answers[0] else { panic!("{answers:?}") };
    let seen = Document::try_from(stages.get_document(0).unwrap().get_document("$set").unwrap()).unwrap();
    assert_eq!(PathBuf::from(seen.get_str("cwd").unwrap()), directory.path().canonicalize().unwrap());
    assert_eq!(seen.get_str("STOPOVER_PARAM_RATE").unwrap(), "value");
    assert!(!seen.keys().any(|name| name.starts_with("MONGODB_URI")), "{seen}");
}

#[tokio::test]
async fn the_end_of_its_input_lets_it_end_by_itself() {
    let directory = TempDir::new().unwrap();
    let transform = start(command(
        &["sh", "-c", "n=0; while read line; do n=$((n+1)); echo '{\"n\":'$n'}'; done; echo bye > bye"],
        directory.path(),
    ));
    transform.transform(&numbered(0..3)).await.unwrap();
    transform.finish(Duration::from_secs(30)).await;
    assert_eq!(std::fs::read_to_string(directory.path().join("bye")).unwrap(), "bye\n");
}

/// A collection of numbered documents, and a batch over it.
struct Scene {
    database: Database,
    site: Site,
    target: Target,
}

impl Scene {
    async fn new(documents: impl IntoIterator<Item = Document>) -> Self {
        let database = Database::new();
        let site = Site::connect(&Secret::new(database.uri())).await.unwrap();
        let target = Target { database: None, collection: "items".to_owned() };
        let items = database.open().await.collection::<Document>("items");
        for part in documents.into_iter().collect::<Vec<_>>().chunks(1000) {
            // The cache of the tests' server is too small for many large ones at once.
            if part.len() > 10 {
                items.insert_many(part).await.unwrap();
            } else {
                for document in part {
                    items.insert_one(document).await.unwrap();
                }
            }
        }
        Self { database, site, target }
    }

    fn batch(&self, filter: Document, command: Command) -> TransformBatch {
        TransformBatch::new(&self.site, &self.target, filter, Arc::new(start(command)))
    }

    async fn transaction(&self) -> ClientSession {
        let mut session = self.site.client.start_session().await.unwrap();
        session.start_transaction().read_concern(ReadConcern::snapshot()).await.unwrap();
        session
    }

    async fn items(&self) -> mongodb::Collection<Document> {
        self.database.open().await.collection("items")
    }

    async fn sum(&self) -> i64 {
        let mut cursor = self.items().await.find(doc! {}).await.unwrap();
        let mut sum = 0;
        while cursor.advance().await.unwrap() {
            sum += i64::from(cursor.deserialize_current().unwrap().get_i32("n").unwrap());
        }
        sum
    }
}

fn all() -> Slice {
    Slice::List((0..5000).map(Bson::Int32).collect())
}

#[tokio::test]
async fn a_batch_writes_what_the_child_answers_in_its_transaction() {
    let scene = Scene::new((0..3000).map(|n| doc! { "_id": n, "n": n, "text": "x".repeat(300) })).await;
    let batch = scene.batch(
        doc! { "n": { "$lt": 2500 } },
        python("def answer(it): return None if it['n'] % 5 == 0 else {'$inc': {'n': 1}} if it['n'] % 2 else [{'$set': {'n': {'$add': ['$n', 1]}}}]"),
    );
    let mut session = scene.transaction().await;
    let counts = batch.apply(Some(&mut session), &all()).await.unwrap();
    assert_eq!(counts, Counts { matched: 2500, modified: 2000, skipped: 500 });
    let before = (0..3000).sum::<i64>();
    assert_eq!(scene.sum().await, before, "nothing counts before the commit");
    session.commit_transaction().await.unwrap();
    assert_eq!(scene.sum().await, before + 2000);
}

#[tokio::test]
async fn a_concurrent_change_is_never_overwritten() {
    let scene = Scene::new((0..10).map(|n| doc! { "_id": n, "n": n })).await;
    let files = TempDir::new().unwrap();
    // It answers when the test has changed a document behind its back.
    let batch = scene.batch(doc! { "n": { "$lt": 50 } }, interrupted(&files, "{'$set': {'n': 100}}"));
    let change = async {
        while !files.path().join("asked").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        scene.items().await.update_one(doc! { "_id": 3 }, doc! { "$set": { "n": 77 } }).await.unwrap();
        std::fs::write(files.path().join("go"), "").unwrap();
    };
    let mut session = scene.transaction().await;
    let slice = all();
    let (fault, ()) = futures_util::future::join(batch.apply(Some(&mut session), &slice), change).await;
    assert!(matches!(fault, Err(Fault::TooMuch(_) | Fault::Passing(_))), "{fault:?}");
    let _ = session.abort_transaction().await;

    for name in ["asked", "go"] {
        std::fs::remove_file(files.path().join(name)).unwrap();
    }
    let change = async {
        while !files.path().join("asked").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        scene.items().await.update_one(doc! { "_id": 4 }, doc! { "$set": { "n": 78 } }).await.unwrap();
        std::fs::write(files.path().join("go"), "").unwrap();
    };
    let (counts, ()) = futures_util::future::join(batch.apply(None, &slice), change).await;
    assert_eq!(counts.unwrap(), Counts { matched: 9, modified: 8, skipped: 0 }, "one is not selected any more");
    let changed = scene.items().await.find_one(doc! { "_id": 4 }).await.unwrap().unwrap();
    assert_eq!(changed.get_i32("n").unwrap(), 78);
}

#[tokio::test]
async fn a_refused_document_an_impossible_update_and_one_that_is_too_large_are_poison() {
    let scene = Scene::new([doc! { "_id": 0, "n": 0 }]).await;
    for (answer, expected) in [
        ("refuse()", "the transform refuses it: no currency"),
        ("{'$sat': {'n': 1}}", "$sat"),
        ("{'$inc': {'n': 'one'}}", "one"),
        ("{'$set': {'a': 'x' * 17000000}}", "larger than 16 MB"),
    ] {
        let refuse = "def refuse(): raise Refused('no currency')";
        let batch = scene.batch(doc! {}, python(&format!("{refuse}\ndef answer(it): return {answer}")));
        for within in [true, false] {
            let mut session = if within { Some(scene.transaction().await) } else { None };
            match batch.apply(session.as_mut(), &all()).await {
                Err(Fault::Poison(why)) => assert!(why.contains(expected), "{why}"),
                other => panic!("{answer}: {other:?}"),
            }
        }
    }
    assert_eq!(scene.sum().await, 0);
}

#[tokio::test]
async fn documents_of_the_largest_size_go_through_a_batch() {
    let scene = Scene::new((0..3).map(|n| doc! { "_id": n, "n": n, "text": "x".repeat(15_900_000) })).await;
    let batch = scene.batch(
        doc! {},
        python("def answer(it): return {'$set': {'text': it['text'][:15_800_000] + 'y', 'n': it['n'] + 1}}"),
    );
    let mut session = scene.transaction().await;
    let counts = batch.apply(Some(&mut session), &all()).await.unwrap();
    assert_eq!(counts, Counts { matched: 3, modified: 3, skipped: 0 });
    // So much at once the server may refuse to commit; the engine would take them one by one.
    session.abort_transaction().await.unwrap();
    // Without a transaction the server must be shown the document as it was, too.
    let Err(Fault::Poison(why)) = batch.apply(None, &all()).await else { panic!("it has no room") };
    assert!(why.contains("are together larger than 16 MB"), "{why}");
    let small = scene.batch(doc! {}, python("def answer(it): return {'$set': {'n': it['n'] + 1}}"));
    assert_eq!(small.apply(None, &all()).await.unwrap(), Counts { matched: 3, modified: 3, skipped: 0 });
    assert_eq!(scene.sum().await, 6);
}

/// Answers when the test has written behind its back, the first time it is asked.
fn interrupted(files: &TempDir, answer: &str) -> Command {
    python(&format!(
        "def answer(it):\n    open('{0}/asked', 'w')\n    while not os.path.exists('{0}/go'): time.sleep(0.01)\n    return {answer}",
        files.path().display()
    ))
}

#[tokio::test]
async fn a_standalone_server_changes_only_documents_that_are_what_was_read() {
    let server = Server::start().await;
    let site = Site::connect(&Secret::new(server.writer())).await.unwrap();
    assert!(!site.has_transactions());
    let target = Target { database: None, collection: "items".to_owned() };
    let items = site.database(None).collection::<Document>("items");
    // What a condition could take for something else: operators, dots, numbers that are none, fields in another order.
    let strange = rawdoc! {
        "n": 1, "$price": { "$gt": "$n" }, "a.b": "$$ROOT", "nan": f64::NAN, "list": [1, [2], {}], "none": bson::RawBson::Null,
        "at": bson::DateTime::from_millis(5), "pattern": bson::Regex { pattern: "a".try_into().unwrap(), options: "i".try_into().unwrap() },
    };
    let strange = Document::try_from(strange).unwrap();
    let with_id = |id: Bson| {
        let mut document = doc! { "_id": id };
        document.extend(strange.clone());
        document
    };
    items.insert_many((0..200).map(|id| with_id(Bson::Int32(id)))).await.unwrap();
    let files = TempDir::new().unwrap();
    let command = interrupted(&files, "{'$set': {'sum': it['n'] + it.get('other', 0)}}");
    let filter = doc! { "sum": { "$exists": false } };
    let batch = TransformBatch::new(&site, &target, filter, Arc::new(start(command)));
    let meanwhile = async {
        while !files.path().join("asked").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Neither is a field of the filter.
        items.update_one(doc! { "_id": 3 }, doc! { "$set": { "n": 77 } }).await.unwrap();
        items.update_one(doc! { "_id": 4 }, doc! { "$set": { "other": 5 } }).await.unwrap();
        items.delete_one(doc! { "_id": 5 }).await.unwrap();
        std::fs::write(files.path().join("go"), "").unwrap();
    };
    let slice = all();
    let (counts, ()) = futures_util::future::join(batch.apply(None, &slice), meanwhile).await;
    assert_eq!(counts.unwrap(), Counts { matched: 200, modified: 199, skipped: 0 });
    let sum = async |id: i32| items.find_one(doc! { "_id": id }).await.unwrap().unwrap().get_i32("sum").unwrap();
    assert_eq!((sum(3).await, sum(4).await), (77, 6), "computed of what they are now");
    assert_eq!(items.count_documents(doc! { "sum": 1 }).await.unwrap(), 197);
}

#[tokio::test]
async fn a_standalone_server_with_a_language_of_its_own_still_finds_and_tells_apart() {
    let server = Server::start().await;
    let site = Site::connect(&Secret::new(server.writer())).await.unwrap();
    let database = site.database(None);
    let collation = mongodb::options::Collation::builder()
        .locale("en")
        .strength(mongodb::options::CollationStrength::Secondary)
        .build();
    database.create_collection("items").collation(collation).await.unwrap();
    let items = database.collection::<Document>("items");
    items.insert_many([doc! { "_id": 1, "name": "ada" }, doc! { "_id": "a", "name": "bob" }]).await.unwrap();
    let files = TempDir::new().unwrap();
    let target = Target { database: None, collection: "items".to_owned() };
    let filter = doc! { "greeting": { "$exists": false } };
    let command = interrupted(&files, "{'$set': {'greeting': 'Dear ' + it['name']}}");
    let batch = TransformBatch::new(&site, &target, filter, Arc::new(start(command)));
    let meanwhile = async {
        while !files.path().join("asked").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        items.update_one(doc! { "_id": 1 }, doc! { "$set": { "name": "Ada" } }).await.unwrap();
        std::fs::write(files.path().join("go"), "").unwrap();
    };
    let slice = Slice::List(vec![Bson::Int32(1), Bson::String("a".to_owned())]);
    let (counts, ()) = futures_util::future::join(batch.apply(None, &slice), meanwhile).await;
    assert_eq!(counts.unwrap(), Counts { matched: 2, modified: 2, skipped: 0 });
    for (id, greeting) in [(Bson::Int32(1), "Dear Ada"), (Bson::String("a".to_owned()), "Dear bob")] {
        let found = items.find_one(doc! { "_id": id }).await.unwrap().unwrap();
        assert_eq!(found.get_str("greeting").unwrap(), greeting);
    }
}
