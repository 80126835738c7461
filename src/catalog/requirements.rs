//! Whether what migrations require exists, and can ever be met.

use std::collections::VecDeque;
use std::path::Path;

use super::MigrationId;
use super::discover::Found;
use super::files::read_text;
use super::problem::{Position, Problem, Source};

/// Longer cycles are spelled in part.
const LONGEST_SPELLED: usize = 8;

/// A mistake in `requires`: whose, where, what, and the remedy.
struct Mistake {
    index: usize,
    at: Position,
    message: String,
    remedy: &'static str,
}

/// Blames every migration that requires what does not exist, or itself by a detour. `found` is sorted by id.
pub(super) fn check(root: &Path, found: &mut [Found]) {
    let mut mistakes = unknown(found);
    mistakes.extend(cycles(found));
    for mistake in mistakes {
        let found = &mut found[mistake.index];
        // Mistakes are rare: the text is read again for them rather than kept for all.
        let text = read_text(&root.join(&found.file), &found.file).unwrap_or_default();
        let problem: Problem =
            Source { file: &found.file, text: &text }.problem(mistake.at, mistake.message, mistake.remedy);
        found.blame(problem);
    }
}

fn unknown(found: &[Found]) -> Vec<Mistake> {
    let exists = |id: &MigrationId| found.binary_search_by(|other| other.id.cmp(id)).is_ok();
    let mut mistakes = Vec::new();
    for (index, one) in found.iter().enumerate() {
        for requirement in one.requires.iter().filter(|requirement| !exists(&requirement.id)) {
            mistakes.push(Mistake {
                index,
                at: requirement.at,
                message: format!("there is no migration `{}`", requirement.id),
                remedy: "mend the name, or remove it; `stopover list` shows all",
            });
        }
    }
    mistakes
}

/// Every member of a cycle gets a problem that spells the cycle from its own view.
fn cycles(found: &[Found]) -> Vec<Mistake> {
    let index = |id: &MigrationId| found.binary_search_by(|other| other.id.cmp(id)).ok();
    let forward: Vec<Vec<usize>> = found
        .iter()
        .map(|one| one.requires.iter().filter_map(|requirement| index(&requirement.id)).collect())
        .collect();
    let mut backward = vec![Vec::new(); found.len()];
    for (from, targets) in forward.iter().enumerate() {
        for &to in targets {
            backward[to].push(from);
        }
    }
    let mut suspects = vec![true; found.len()];
    trim(&forward, &backward, &mut suspects);
    trim(&backward, &forward, &mut suspects);

    let mut blamed = vec![false; found.len()];
    let mut mistakes = Vec::new();
    for start in 0..found.len() {
        if !suspects[start] || blamed[start] {
            continue;
        }
        let Some(mut cycle) = shortest_way_back(start, &forward, &suspects) else { continue };
        for _ in 0..cycle.len() {
            let (member, next) = (cycle[0], cycle[1 % cycle.len()]);
            if !std::mem::replace(&mut blamed[member], true) {
                mistakes.extend(blame(found, member, next, &cycle));
            }
            cycle.rotate_left(1);
        }
    }
    mistakes
}

/// Strikes everything off that `edges` lead nowhere from, until nothing changes (Kahn's algorithm): it is in no cycle.
fn trim(edges: &[Vec<usize>], reversed: &[Vec<usize>], suspects: &mut [bool]) {
    let mut degree: Vec<usize> =
        edges.iter().map(|targets| targets.iter().filter(|&&target| suspects[target]).count()).collect();
    let mut ends: Vec<usize> = (0..edges.len()).filter(|&i| suspects[i] && degree[i] == 0).collect();
    while let Some(end) = ends.pop() {
        suspects[end] = false;
        for &before in reversed[end].iter().filter(|&&before| suspects[before]) {
            degree[before] -= 1;
            if degree[before] == 0 {
                ends.push(before);
            }
        }
    }
}

/// The shortest cycle through `start`, beginning with it; `None` if it only leads to one.
fn shortest_way_back(start: usize, edges: &[Vec<usize>], suspects: &[bool]) -> Option<Vec<usize>> {
    let mut came_from: Vec<Option<usize>> = vec![None; edges.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(here) = queue.pop_front() {
        for &next in edges[here].iter().filter(|&&next| suspects[next]) {
            if next == start {
                let mut cycle: Vec<usize> = std::iter::successors(Some(here), |&step| came_from[step]).collect();
                cycle.reverse();
                return Some(cycle);
            }
            if came_from[next].is_none() {
                came_from[next] = Some(here);
                queue.push_back(next);
            }
        }
    }
    None
}

fn blame(found: &[Found], member: usize, next: usize, cycle: &[usize]) -> Option<Mistake> {
    let requirement = found[member].requires.iter().find(|requirement| requirement.id == found[next].id)?;
    let mut names: Vec<&str> = cycle.iter().take(LONGEST_SPELLED).map(|&i| found[i].id.as_str()).collect();
    let more = format!("{} more", cycle.len().saturating_sub(LONGEST_SPELLED));
    if cycle.len() > LONGEST_SPELLED {
        names.push(&more);
    }
    names.push(found[member].id.as_str());
    Some(Mistake {
        index: member,
        at: requirement.at,
        message: format!("a cycle of requirements: {}", names.join(" -> ")),
        remedy: "remove one of them: none of these could ever be launched",
    })
}
