//! The files that a pattern matches.
//!
//! `*`, `?` and `[...]` match within one name, `**` matches any number of directories. Hidden files and directories (editors',
//! version control's) are matched only by a name that says the dot. `**` does not follow symbolic links, which may go round; a
//! link that any other part of a pattern matches is followed.

use std::ffi::OsString;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

/// What was found, in the order of names, and the directories that could not be read.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub files: Vec<PathBuf>,
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

/// One part of a pattern between slashes.
enum Part {
    Literal(String),
    Any(Pattern),
    Deep,
}

/// Looks for files under `root`.
///
/// # Errors
/// When the pattern cannot be understood.
pub(super) fn walk(root: &Path, pattern: &str) -> Result<Walk, glob::PatternError> {
    let mut walk = Walk::default();
    walk.expand(root, &parse(pattern)?);
    Ok(walk)
}

/// Whether a pattern can be understood.
pub(super) fn check(pattern: &str) -> Result<(), glob::PatternError> {
    parse(pattern).map(drop)
}

fn parse(pattern: &str) -> Result<Vec<Part>, glob::PatternError> {
    let mut parts: Vec<Part> = Vec::new();
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let is_deep = part == "**";
        if is_deep && matches!(parts.last(), Some(Part::Deep)) {
            continue;
        }
        parts.push(match part {
            _ if is_deep => Part::Deep,
            name if !is_wild(name) => Part::Literal(name.to_owned()),
            wild => Part::Any(Pattern::new(wild)?),
        });
    }
    if matches!(parts.last(), Some(Part::Deep)) {
        parts.push(Part::Any(Pattern::new("*")?));
    }
    Ok(parts)
}

/// Whether a part of a pattern matches more than its own text.
pub(super) fn is_wild(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

impl Walk {
    fn expand(&mut self, here: &Path, parts: &[Part]) {
        let Some((part, rest)) = parts.split_first() else { return };
        match part {
            Part::Literal(name) => {
                let path = here.join(name);
                if let Ok(metadata) = path.symlink_metadata() {
                    self.enter(path, metadata.file_type(), rest);
                }
            }
            Part::Any(pattern) => {
                let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
                for (name, kind) in self.entries(here) {
                    if pattern.matches_with(&name.to_string_lossy(), options) {
                        self.enter(here.join(name), kind, rest);
                    }
                }
            }
            Part::Deep => {
                self.expand(here, rest);
                for (name, kind) in self.entries(here) {
                    if kind.is_dir() && !name.as_encoded_bytes().starts_with(b".") {
                        self.expand(&here.join(name), parts);
                    }
                }
            }
        }
    }

    /// What was matched so far: a file if the pattern ends here, else a directory to look into.
    fn enter(&mut self, path: PathBuf, kind: FileType, rest: &[Part]) {
        let is_directory = kind.is_dir() || kind.is_symlink() && path.is_dir();
        if is_directory {
            self.expand(&path, rest);
        } else if rest.is_empty() {
            self.files.push(path);
        }
    }

    /// The entries of a directory by name, and what each is itself (a link is a link).
    fn entries(&mut self, directory: &Path) -> Vec<(OsString, FileType)> {
        let read = fs::read_dir(directory).and_then(|entries| {
            entries.map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?)))).collect()
        });
        let mut entries: Vec<_> = read.unwrap_or_else(|error| {
            self.unreadable.push((directory.to_owned(), error));
            Vec::new()
        });
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(root: &Path, pattern: &str) -> Vec<String> {
        let files = walk(root, pattern).unwrap().files;
        files.iter().map(|path| path.strip_prefix(root).unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn patterns_match_names_directories_and_any_depth() {
        let root = tempfile::tempdir().unwrap();
        for file in ["a/x.yaml", "a/y.sh", "a/b/x.yaml", "a/b/c/x.yaml", "a/.git/x.yaml", "a/.x.yaml", "d[1]/x.yaml"] {
            fs::create_dir_all(root.path().join(file).parent().unwrap()).unwrap();
            fs::write(root.path().join(file), "").unwrap();
        }
        let found = |pattern| found(root.path(), pattern);
        assert_eq!(found("a/*.yaml"), ["a/x.yaml"]);
        assert_eq!(found("./a//?.yaml"), ["a/x.yaml"]);
        assert_eq!(found("a/*"), ["a/x.yaml", "a/y.sh"]);
        assert_eq!(found("a/*/*.yaml"), ["a/b/x.yaml"]);
        assert_eq!(found("a/**/*.yaml"), ["a/x.yaml", "a/b/x.yaml", "a/b/c/x.yaml"]);
        assert_eq!(found("a/b/**/**"), ["a/b/x.yaml", "a/b/c/x.yaml"]);
        assert_eq!(found("a/.git/*.yaml"), ["a/.git/x.yaml"]);
        assert_eq!(found("a/b/../x.yaml"), ["a/b/../x.yaml"]);
        assert_eq!(found("nowhere/*.yaml"), Vec::<String>::new());
        assert!(walk(root.path(), "a**").is_err());
    }

    #[test]
    fn links_that_go_round_end() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("x.yaml"), "").unwrap();
        for link in ["one", "two", "three"] {
            std::os::unix::fs::symlink(".", root.path().join(link)).unwrap();
        }
        assert_eq!(found(root.path(), "**/*.yaml"), ["x.yaml"]);
        assert_eq!(found(root.path(), "one/*.yaml"), ["one/x.yaml"]);
    }
}
