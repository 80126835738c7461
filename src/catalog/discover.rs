//! Finding and reading every migration.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::command::{self, Commands, local_files};
use super::files::{normal, open, read_text};
use super::manifest::{self, Requirement, Word};
use super::problem::{Problem, Source};
use super::project::{Pattern, Project};
use super::walk::walk;
use super::{Broken, Catalog, Checksum, CommandTemplate, Entry, Migration, MigrationId, Work, requirements};

/// More threads than this would compete with the migrations for the pod's processors.
const THREADS: usize = 2;

impl Catalog {
    /// Reads the catalog that `stopover.yaml` at `file` describes. Never fails: what cannot be read is a [`Problem`].
    #[must_use]
    pub fn load(file: &Path) -> Self {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let root = file.parent().unwrap_or(Path::new("/")).to_owned();
        let (project, mut problems) = Project::read(&file);
        let shown = file.file_name().map(PathBuf::from).unwrap_or_default();
        // For the lines that problems of patterns and their commands quote.
        let text = read_text(&file, &shown).unwrap_or_default();
        let source = Source { file: &shown, text: &text };
        let candidates = find(&root, &file, &project, source, &mut problems);
        let context = Context::new(&root, &project, source);
        let mut found = read_all(&context, &candidates);
        drop_parts(&context, &mut found);
        let mut found = merge_twins(found);
        requirements::check(&root, &mut found);
        Self { root, entries: found.into_iter().map(Found::into_entry).collect(), problems }
    }
}

/// A file that a pattern matched.
struct Candidate<'p> {
    id: MigrationId,
    path: PathBuf,
    pattern: &'p Pattern,
}

/// A file that was read.
pub(super) struct Found {
    pub id: MigrationId,
    /// Relative to the root.
    pub file: PathBuf,
    /// As far as they could be understood, even if other things could not.
    pub requires: Vec<Requirement>,
    /// The files that its own command names; none of them is a migration of its own.
    parts: Vec<PathBuf>,
    pub outcome: Result<Box<Migration>, Vec<Problem>>,
}

impl Found {
    /// Adds a problem, which makes it broken.
    pub fn blame(&mut self, problem: Problem) {
        match &mut self.outcome {
            Ok(_) => self.outcome = Err(vec![problem]),
            Err(problems) => problems.push(problem),
        }
    }

    fn into_entry(self) -> Entry {
        match self.outcome {
            Ok(migration) => Entry::Ready(migration),
            Err(problems) => Entry::Broken(Broken { id: self.id, file: self.file, problems }),
        }
    }
}

/// The files of all patterns, each once: a file belongs to the first pattern that matches it.
fn find<'p>(
    root: &Path,
    file: &Path,
    project: &'p Project,
    source: Source<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Candidate<'p>> {
    let mut candidates = Vec::new();
    let mut seen = HashSet::new();
    for pattern in &project.patterns {
        let Ok(walk) = walk(root, &pattern.files) else {
            continue; // refused when the project was read
        };
        if walk.files.is_empty() && walk.unreadable.is_empty() {
            let message = format!("the pattern `{}` matches no file", pattern.files);
            problems.push(source.problem(pattern.at, message, "mend the pattern, or remove it"));
        }
        for (directory, error) in walk.unreadable {
            let message = format!("the directory cannot be read: {error}");
            problems.push(Problem::of_file(relative(root, &directory), message, "make it readable"));
        }
        for path in walk.files {
            let path = normal(&path);
            if path == file || !seen.insert(path.clone()) {
                continue;
            }
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            match MigrationId::new(stem) {
                Ok(id) => candidates.push(Candidate { id, path, pattern }),
                Err(reason) => {
                    let message = format!("the file's name is no id: {reason}");
                    let remedy = "rename the file, or narrow the pattern";
                    problems.push(Problem::of_file(relative(root, &path), message, remedy));
                }
            }
        }
    }
    candidates
}

fn relative<'f>(root: &Path, path: &'f Path) -> &'f Path {
    path.strip_prefix(root).unwrap_or(path)
}

/// What is the same for every file.
struct Context<'a> {
    root: &'a Path,
    /// The files that commands of `stopover.yaml` name.
    parts: HashSet<PathBuf>,
    /// What is wrong with the command of a pattern, by the place of the pattern.
    broken_commands: BTreeMap<(u32, u32), Problem>,
    /// The checksums of files that manifests name; many may name the same runner.
    checksums: Mutex<HashMap<PathBuf, Checksum>>,
    /// The directories that commands run in: few, and shared by many.
    directories: Mutex<HashSet<Arc<Path>>>,
}

impl<'a> Context<'a> {
    fn new(root: &'a Path, project: &Project, source: Source<'_>) -> Self {
        let commands = || project.patterns.iter().filter_map(|pattern| Some((pattern.at, pattern.command.as_deref()?)));
        Self {
            root,
            parts: commands().flat_map(|(_, words)| local_files(words, root)).map(|named| named.path).collect(),
            broken_commands: commands()
                .filter_map(|(at, words)| Some((at, command::check(source, words, root)?)))
                .collect(),
            checksums: Mutex::default(),
            directories: Mutex::default(),
        }
    }

    /// The directory of a file.
    fn directory_of(&self, file: &Path) -> Arc<Path> {
        let directory = file.parent().unwrap_or(Path::new("/"));
        let mut directories = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = directories.get(directory) {
            return Arc::clone(known);
        }
        let new: Arc<Path> = directory.into();
        directories.insert(Arc::clone(&new));
        new
    }

    /// The checksum of a file that the manifest `file` names.
    fn part_checksum(&self, path: &Path, file: &Path) -> Result<Checksum, Problem> {
        let checksums = || self.checksums.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = checksums().get(path) {
            return Ok(known.clone());
        }
        let checksum = checksum(path, file)?;
        checksums().insert(path.to_owned(), checksum.clone());
        Ok(checksum)
    }
}

fn read_all(context: &Context<'_>, candidates: &[Candidate<'_>]) -> Vec<Found> {
    let share = candidates.len().div_ceil(THREADS).max(1);
    thread::scope(|scope| {
        let (first, others) = candidates.split_at(share.min(candidates.len()));
        let workers: Vec<_> = others
            .chunks(share)
            .map(|share| scope.spawn(|| share.iter().map(|candidate| read(context, candidate)).collect::<Vec<_>>()))
            .collect();
        let mut found: Vec<_> = first.iter().map(|candidate| read(context, candidate)).collect();
        for worker in workers {
            found.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        found
    })
}

fn read(context: &Context<'_>, candidate: &Candidate<'_>) -> Found {
    let file = relative(context.root, &candidate.path).to_owned();
    let mut found = Found {
        id: candidate.id.clone(),
        file: file.clone(),
        requires: Vec::new(),
        parts: Vec::new(),
        outcome: Err(Vec::new()),
    };
    let is_manifest = matches!(file.extension().and_then(|e| e.to_str()), Some("yaml" | "yml"));
    found.outcome = match &candidate.pattern.command {
        Some(words) => adopt(context, candidate, &file, words),
        None if is_manifest => read_manifest(context, candidate, &file, &mut found),
        None => read_executable(context, candidate, &file),
    };
    found
}

/// A migration of which nothing is known but its file and its work.
fn bare(candidate: &Candidate<'_>, file: &Path, checksum: Checksum, command: CommandTemplate) -> Box<Migration> {
    Box::new(Migration {
        id: candidate.id.clone(),
        file: file.to_owned(),
        checksum,
        description: String::new(),
        owner: None,
        tags: Vec::new(),
        requires: Vec::new(),
        params: Vec::new(),
        remaining: None,
        timeout: None,
        resume: candidate.pattern.resume,
        needs_mongodb: false,
        work: Work::Executable(command),
    })
}

/// The checksum of a file that need not be text.
fn checksum(path: &Path, file: &Path) -> Result<Checksum, Problem> {
    let (opened, _) = open(path, file)?;
    Checksum::of_reader(opened).map_err(|error| {
        let message = format!("the file cannot be read: {error}");
        Problem::of_file(file, message, "make it a readable file, or delete it")
    })
}

fn read_executable(
    context: &Context<'_>,
    candidate: &Candidate<'_>,
    file: &Path,
) -> Result<Box<Migration>, Vec<Problem>> {
    let checksum = checksum(&candidate.path, file).map_err(|problem| vec![problem])?;
    if let Some((first_line, message, remedy)) = command::executable(&candidate.path, &file.to_string_lossy()) {
        return Err(vec![match first_line {
            Some(text) => Source { file, text: &text }.problem((1, 1), message, remedy),
            None => Problem::of_file(file, message, remedy),
        }]);
    }
    let directory = context.directory_of(&candidate.path);
    let command = CommandTemplate::new(vec!["{file}".to_owned()], directory, &candidate.path);
    Ok(bare(candidate, file, checksum, command))
}

fn adopt(
    context: &Context<'_>,
    candidate: &Candidate<'_>,
    file: &Path,
    words: &[Word],
) -> Result<Box<Migration>, Vec<Problem>> {
    let checksum = checksum(&candidate.path, file).map_err(|problem| vec![problem])?;
    if let Some(problem) = context.broken_commands.get(&candidate.pattern.at) {
        return Err(vec![problem.clone()]);
    }
    let argv = command::argv(words, context.root);
    let command = CommandTemplate::new(argv, context.root.into(), &candidate.path);
    Ok(bare(candidate, file, checksum, command))
}

fn read_manifest(
    context: &Context<'_>,
    candidate: &Candidate<'_>,
    file: &Path,
    found: &mut Found,
) -> Result<Box<Migration>, Vec<Problem>> {
    let text = read_text(&candidate.path, file).map_err(|problem| vec![problem])?;
    let mut commands = Commands::new(context.directory_of(&candidate.path), &candidate.path);
    let (manifest, mut problems) = manifest::parse(file, &text, &mut commands);
    let directory = candidate.path.parent().unwrap_or(Path::new("/"));
    let source = Source { file, text: &text };
    let all = commands.work.iter().chain(&commands.counting);
    problems.extend(all.filter_map(|words| command::check(source, words, directory)));
    let own = Checksum::of_bytes(text.as_bytes());
    let named: Vec<_> = commands.work.iter().flat_map(|words| local_files(words, directory)).collect();
    let mut listing = Vec::with_capacity(named.len());
    for part in &named {
        match context.part_checksum(&part.path, file) {
            Ok(checksum) => listing.push((part.word.text.as_str(), checksum)),
            Err(error) => {
                let message = format!("`{}`: {}", part.word.text, error.message);
                problems.push(source.problem(part.word.at, message, "make it readable"));
            }
        }
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let checksum =
        if listing.is_empty() { own } else { Checksum::of_listing(std::iter::once((&*name, own)).chain(listing)) };
    found.parts = named.into_iter().map(|part| part.path).collect();
    let requires = manifest.requires.iter().map(|requirement| requirement.id.clone()).collect();
    found.requires = manifest.requires;
    // Without a problem there is work; a manifest that has none is told so.
    let (Some(work), true) = (manifest.work, problems.is_empty()) else {
        return Err(problems);
    };
    Ok(Box::new(Migration {
        id: candidate.id.clone(),
        file: file.to_owned(),
        checksum,
        description: manifest.description,
        owner: manifest.owner,
        tags: manifest.tags,
        requires,
        params: manifest.params,
        remaining: manifest.remaining,
        timeout: manifest.timeout,
        resume: manifest.resume.unwrap_or(candidate.pattern.resume),
        needs_mongodb: manifest.needs_mongodb,
        work,
    }))
}

/// A file that a command names is part of that command, not a migration of its own: a manifest may lie beside its script, and
/// a runner beside the migrations it runs.
fn drop_parts(context: &Context<'_>, found: &mut Vec<Found>) {
    let mut parts = context.parts.clone();
    parts.extend(found.iter_mut().flat_map(|found| std::mem::take(&mut found.parts)));
    found.retain(|found| !parts.contains(&context.root.join(&found.file)));
}

/// Sorts by id; files that share one become a single broken row, for nobody can tell which of them was meant.
fn merge_twins(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by(|a, b| (&a.id, &a.file).cmp(&(&b.id, &b.file)));
    let mut merged: Vec<Found> = Vec::with_capacity(found.len());
    for next in found {
        let Some(first) = merged.last_mut().filter(|first| first.id == next.id) else {
            merged.push(next);
            continue;
        };
        let twin = |file: &Path, other: &Path| {
            let message = format!("the id `{}` is taken by {} too", next.id, other.display());
            Problem::of_file(file, message, "rename one of the two files")
        };
        first.blame(twin(&first.file.clone(), &next.file));
        first.blame(twin(&next.file, &first.file.clone()));
        for problem in next.outcome.err().into_iter().flatten() {
            first.blame(problem);
        }
    }
    merged
}
