//! Whether a command can start: the files it names exist, and what is to be executed is executable.
//!
//! A program without a slash is found by `PATH` when it runs, and is not looked for here: the machine that checks a catalog
//! (a build, a laptop) need not have the interpreters of the image.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, access};

use super::CommandTemplate;
use super::files::normal;
use super::manifest::Word;
use super::problem::{Problem, Source};

/// Programs whose first argument with the name of a script is one.
const INTERPRETERS: &[&str] =
    &["node", "python", "python3", "sh", "bash", "dash", "ruby", "perl", "java", "php", "deno", "bun", "mongosh"];
const SCRIPTS: &[&str] = &["js", "mjs", "cjs", "ts", "py", "sh", "rb", "pl", "php", "jar"];

/// The commands of one manifest: binds them to where they run, and keeps their words, so that the files they name can be looked for.
#[derive(Debug)]
pub(super) struct Commands<'f> {
    directory: Arc<Path>,
    file: &'f Path,
    /// What the migration is made of: a change of their files is a change of the migration.
    pub work: Vec<Vec<Word>>,
    /// What only looks at the data.
    pub counting: Vec<Vec<Word>>,
}

impl<'f> Commands<'f> {
    /// Of the manifest `file`, which lies in `directory`; both absolute.
    pub fn new(directory: Arc<Path>, file: &'f Path) -> Self {
        Self { directory, file, work: Vec::new(), counting: Vec::new() }
    }

    /// Binds a command that does the migration's work.
    pub fn bind_work(&mut self, words: Vec<Word>) -> CommandTemplate {
        let template = self.bind(&words);
        self.work.push(words);
        template
    }

    /// Binds a command that counts.
    pub fn bind_counting(&mut self, words: Vec<Word>) -> CommandTemplate {
        let template = self.bind(&words);
        self.counting.push(words);
        template
    }

    fn bind(&self, words: &[Word]) -> CommandTemplate {
        CommandTemplate::new(argv(words, &self.directory), Arc::clone(&self.directory), self.file)
    }
}

/// A file that a command names, as it is written there.
#[derive(Debug)]
pub(super) struct NamedFile<'w> {
    pub word: &'w Word,
    pub path: PathBuf,
}

/// Every file that exists and that the command names by a relative path: what the command runs or reads, as far as it can be told.
pub(super) fn local_files<'w>(words: &'w [Word], directory: &Path) -> Vec<NamedFile<'w>> {
    words
        .iter()
        .enumerate()
        // The program itself is a file only if it has a slash; a bare one comes by `PATH`.
        .filter(|(index, word)| *index > 0 || word.text.contains('/'))
        .map(|(_, word)| word)
        .filter(|word| !word.text.is_empty() && Path::new(&word.text).is_relative())
        .map(|word| NamedFile { word, path: normal(&directory.join(&word.text)) })
        .filter(|named| named.path.is_file())
        .collect()
}

/// The words of a command as they are to be executed: a program with a slash is bound to its directory.
pub(super) fn argv(words: &[Word], directory: &Path) -> Vec<String> {
    let mut argv: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
    if let Some(program) = argv.first_mut()
        && program.contains('/')
        && !program.starts_with('{')
    {
        *program = normal(&directory.join(&*program)).to_string_lossy().into_owned();
    }
    argv
}

/// What keeps the command from starting.
pub(super) fn check(source: Source<'_>, words: &[Word], directory: &Path) -> Option<Problem> {
    let (program, arguments) = words.split_first()?;
    if program.text.contains('{') {
        return None;
    }
    let missing = |word: &Word| {
        let path = normal(&directory.join(&word.text));
        (!path.exists()).then(|| {
            let message = format!("there is no file `{}` in {}", word.text, directory.display());
            source.problem(word.at, message, "create it, or mend the path: it is relative to that directory")
        })
    };
    if program.text.contains('/') {
        return missing(program).or_else(|| {
            let (_, message, remedy) = executable(&normal(&directory.join(&program.text)), &program.text)?;
            Some(source.problem(program.at, message, remedy))
        });
    }
    if !INTERPRETERS.contains(&program.text.as_str()) {
        return None;
    }
    // Only the first: what follows are the script's own arguments, and may be files that it is to create.
    missing(arguments.iter().find(|word| is_script(&word.text))?)
}

fn is_script(word: &str) -> bool {
    let plain = !word.starts_with('-') && !word.contains(|c: char| c.is_whitespace() || "{}*$".contains(c));
    plain && Path::new(word).extension().and_then(|extension| extension.to_str()).is_some_and(|e| SCRIPTS.contains(&e))
}

/// What keeps a file from being executed: its first line if that is to blame, what is wrong, and the remedy.
pub(super) fn executable(path: &Path, shown: &str) -> Option<(Option<String>, String, String)> {
    if access(path, Access::EXEC_OK).is_err() {
        return Some((None, "the file is not executable".to_owned(), format!("chmod +x {shown}")));
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(256).read_to_end(&mut head));
    // A program that may be executed but not read is fine.
    read.ok()?;
    let first = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let first_line = String::from_utf8_lossy(first).into_owned();
    if head.starts_with(b"\x7fELF") {
        return None;
    }
    if !head.starts_with(b"#!") {
        let message = "the file is neither a program nor a script with an interpreter";
        let remedy = "name the interpreter in the first line, e.g. `#!/bin/sh` or `#!/usr/bin/env python3`";
        return Some((Some(first_line), message.to_owned(), remedy.to_owned()));
    }
    if first.ends_with(b"\r") {
        let message = "the first line ends in a carriage return, which becomes part of the interpreter's name";
        return Some((
            Some(first_line),
            message.to_owned(),
            format!("save it with Unix line ends: sed -i 's/\\r$//' {shown}"),
        ));
    }
    None
}
