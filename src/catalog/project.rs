//! `stopover.yaml`: where migrations are, and settings that belong to the project rather than to a place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lease::{LeaseSettings, LeaseTerms, LeaseTermsError};

use super::decode::Decoder;
use super::files::read_text;
use super::manifest::{self, Word};
use super::notify;
use super::problem::Position;
use super::walk;
use super::yaml::Node;
use super::{Problem, ResumePolicy};

/// What `stopover.yaml` says.
#[derive(Debug, Default)]
pub struct Project {
    /// Where migrations are found, in order.
    pub(super) patterns: Vec<Pattern>,
    /// Settings that flags and environment override.
    pub settings: Settings,
}

/// One element of `catalog:`.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Where it stands.
    pub at: Position,
    /// A glob relative to the directory of `stopover.yaml`.
    pub files: String,
    /// The command that runs a found file; without one, `.yaml` and `.yml` files are manifests and all others executables.
    pub command: Option<Vec<Word>>,
    /// Who continues runs of a found file, where its manifest does not say.
    pub resume: ResumePolicy,
}

/// Settings of `stopover.yaml`.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `lease:`, `renewal:` and `margin:`, see [`LeaseTerms`].
    pub lease: LeaseSettings,
    /// `grace:`, see [`crate::config::Config::grace`].
    pub grace: Option<Duration>,
    /// `notify:`, who is told what happens to runs.
    pub notify: Vec<notify::Target>,
}

const EXAMPLE: &str = "catalog: [{ files: \"migrations/*.yaml\" }]";

impl Project {
    /// Reads `stopover.yaml`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, Vec<Problem>> {
        match Self::read(file) {
            (project, problems) if problems.is_empty() => Ok(project),
            (_, problems) => Err(problems),
        }
    }

    /// What could be understood, and what is wrong: one mistake must not hide every migration.
    pub(super) fn read(file: &Path) -> (Self, Vec<Problem>) {
        let shown = file.file_name().map_or_else(|| file.to_owned(), PathBuf::from);
        if !file.exists() {
            let message = format!("there is no {}", file.display());
            let remedy = format!("create it with `{EXAMPLE}`, or name another with --catalog or STOPOVER_CATALOG");
            return (Self::default(), vec![Problem::of_file(&shown, message, remedy)]);
        }
        let text = match read_text(file, &shown) {
            Ok(text) => text,
            Err(problem) => return (Self::default(), vec![problem]),
        };
        let mut decoder = Decoder::new(&shown, &text);
        let project = decoder
            .parse(&format!("write where migrations are: `{EXAMPLE}`"))
            .and_then(|root| decode(&mut decoder, &root))
            .unwrap_or_default();
        (project, decoder.finish())
    }
}

fn decode(decoder: &mut Decoder<'_>, root: &Node) -> Option<Project> {
    let fields =
        decoder.fields(root, "stopover.yaml", &["catalog", "lease", "renewal", "margin", "grace", "notify"])?;
    let patterns = if let Some(node) = fields.get("catalog") {
        decoder.list(node, "catalog", EXAMPLE, pattern)
    } else {
        decoder.report(root.at, "`catalog` is missing", format!("write where migrations are: `{EXAMPLE}`"));
        Vec::new()
    };
    let mut duration = |name| fields.get(name).and_then(|node| decoder.duration(node, name));
    let lease = LeaseSettings { length: duration("lease"), renewal: duration("renewal"), margin: duration("margin") };
    let grace = duration("grace");
    let notify = fields.get("notify").map_or_else(Vec::new, |node| notify::targets(decoder, node));
    if let Err(error) = LeaseTerms::new(lease) {
        let named = match error {
            LeaseTermsError::Length(_) => &["lease"][..],
            LeaseTermsError::Renewal(_) => &["renewal"],
            // The default margin follows the lease, which may be what is too short.
            LeaseTermsError::Margin { .. } => &["margin", "lease"],
            LeaseTermsError::Crowded { .. } => &["margin", "renewal", "lease"],
        };
        let at = named.iter().find_map(|name| fields.get(name)).map_or(root.at, |node| node.at);
        let error = error.to_string();
        let (message, remedy) = error.split_once(": ").unwrap_or((&error, "mend the terms of the lease"));
        decoder.report(at, message, remedy);
    }
    Some(Project { patterns, settings: Settings { lease, grace, notify } })
}

fn pattern(decoder: &mut Decoder<'_>, node: &Node) -> Option<Pattern> {
    let fields = decoder.fields(node, "an element of `catalog`", &["files", "command", "resume"])?;
    let Some(files) = fields.get("files") else {
        decoder.report(node.at, "an element of `catalog` needs `files`", format!("write it as in `{EXAMPLE}`"));
        return None;
    };
    let glob = decoder.text(files, "files")?;
    if let Err(error) = walk::check(&glob) {
        decoder.report(files.at, format!("`{glob}` is no pattern: {}", error.msg), "write it like `migrations/*.yaml`");
        return None;
    }
    if Path::new(&glob).is_absolute() || glob.is_empty() {
        let message = format!("the pattern `{glob}` is not relative");
        decoder.report(files.at, message, "write it relative to the directory of stopover.yaml");
        return None;
    }
    let command = match fields.get("command") {
        None => None,
        Some(node) => {
            let words = manifest::command(decoder, node, "command");
            if words.is_empty() {
                return None;
            }
            if !words.iter().any(|word| word.text.contains("{name}") || word.text.contains("{file}")) {
                let message = "the command would be the same for every file";
                decoder.report(node.at, message, "say which one it is to run: `{name}` is its name, `{file}` its path");
                return None;
            }
            Some(words)
        }
    };
    let resume = fields.get("resume").and_then(|node| manifest::resume(decoder, node)).unwrap_or_default();
    Some(Pattern { at: files.at, files: glob, command, resume })
}
