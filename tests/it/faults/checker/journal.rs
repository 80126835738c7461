//! What programs wrote down: who ran when, and what it printed.

use serde_json::Value;
use stopover::process::ProcessIdentity;

use super::Violation;
use super::history::History;

/// The programs of a migration, in the order in which they ran.
pub struct Journal {
    programs: Vec<Program>,
}

/// One program: an attempt of a run.
#[derive(Debug)]
pub struct Program {
    run: String,
    pub attempt: u32,
    pid: i32,
    /// The item that its checkpoint named.
    pub from: u64,
    /// The last item that it was about to print.
    pub say: u64,
    /// The last item that it had printed.
    pub said: u64,
    ended: bool,
}

impl Journal {
    /// Reads a journal, in which no two programs may have been at work at the same time.
    ///
    /// # Errors
    /// Says what programs did that they must not.
    pub fn read(text: &str) -> Result<Self, Violation> {
        let mut programs: Vec<Program> = Vec::new();
        for line in text.lines() {
            let wrong = |why: &str| format!("{why}: `{line}` in the journal");
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap_or_default();
            let (run, attempt, pid, verb, item) = (word(), word(), word(), word(), word());
            let (Ok(attempt), Ok(pid), Ok(item)) = (attempt.parse(), pid.parse::<i32>(), item.parse::<u64>()) else {
                return Err(Violation::Untrue(wrong("not an entry")));
            };
            if verb == "start" {
                if programs.iter().any(|program| program.run == run && program.attempt >= attempt) {
                    return Err(Violation::Twice(wrong("an attempt has two programs, or came after a later one")));
                }
                let before = programs.iter().filter(|program| program.run == run).map(|program| program.say).max();
                if item > before.unwrap_or_default() {
                    return Err(Violation::Lost(wrong("a program begins after an item that was never done")));
                }
                let run = run.to_owned();
                programs.push(Program { run, attempt, pid, from: item, say: item, said: item, ended: false });
                continue;
            }
            // The proof that no two were at work at once: each entry is of the program that was started last.
            let Some(program) =
                programs.last_mut().filter(|last| (last.pid, last.attempt) == (pid, attempt) && last.run == run)
            else {
                return Err(Violation::Twice(wrong("a program is at work although another was started after it")));
            };
            match verb {
                "say" if item == program.said + 1 && item == program.say + 1 => program.say = item,
                "said" if item == program.say => program.said = item,
                "end" if item == program.said => program.ended = true,
                "stopped" => {}
                "say" | "said" if item <= program.said => {
                    return Err(Violation::Twice(wrong("an item was done twice")));
                }
                _ => return Err(Violation::Lost(wrong("an item was left out"))),
            }
        }
        Ok(Self { programs })
    }

    /// The program of an attempt.
    pub fn program(&self, run: &Value, attempt: u32) -> Option<&Program> {
        self.programs.iter().find(|program| run["id"] == *program.run && program.attempt == attempt)
    }

    /// What does not fit to what the ledger has of a run.
    pub fn disagreements(&self, run: &Value, history: &History) -> Vec<Violation> {
        let mut found = Vec::new();
        let programs: Vec<&Program> = self.programs.iter().filter(|program| run["id"] == *program.run).collect();
        for program in &programs {
            if !history.claimed.contains(&program.attempt) {
                found.push(Violation::Twice(format!(
                    "a program ran in an attempt that nobody had claimed: {program:?}, {run:#}"
                )));
            }
        }
        let last = programs.last();
        if run["state"] == "succeeded" && !last.is_some_and(|last| last.ended && run["attempt"] == last.attempt) {
            found.push(Violation::Lost(format!(
                "the run has succeeded, and its program did not say so: {last:?}, {run:#}"
            )));
        }
        let live = ["queued", "running", "pausing", "cancelling"].contains(&run["state"].as_str().unwrap());
        if let Some(left) = programs.iter().find(|program| !live && program.is_alive()) {
            found.push(Violation::Twice(format!("a program lives although its run does not: {left:?}, {run:#}")));
        }
        found
    }
}

impl Program {
    /// Whether it lives, by its pid and what it was started with: a pid alone may be another's by now.
    fn is_alive(&self) -> bool {
        let environment = std::fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        ProcessIdentity::of(self.pid).is_some()
            && environment.split(|&byte| byte == 0).any(|word| word == format!("STOPOVER_RUN={}", self.run).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_takeover_from_a_checkpoint_is_fine() {
        let text = "r 1 7 start 0\nr 1 7 say 1\nr 1 7 said 1\nr 1 7 say 2\nr 2 8 start 1\nr 2 8 say 2\nr 2 8 said 2\nr 2 8 end 2\n";
        let journal = Journal::read(text).unwrap();
        assert_eq!(
            journal.programs.iter().map(|program| (program.say, program.said)).collect::<Vec<_>>(),
            [(2, 1), (2, 2)]
        );
    }

    #[test]
    fn what_must_not_be_is_found() {
        for (why, text) in [
            ("two at once", "r 1 7 start 0\nr 1 7 say 1\nr 2 8 start 0\nr 1 7 said 1\n"),
            ("an attempt twice", "r 1 7 start 0\nr 1 8 start 0\n"),
            ("an old attempt", "r 2 7 start 0\nr 1 8 start 0\n"),
            ("an item left out", "r 1 7 start 0\nr 1 7 say 2\n"),
            ("a checkpoint ahead", "r 1 7 start 0\nr 1 7 say 1\nr 1 7 said 1\nr 2 8 start 2\n"),
            ("two runs at once", "r 1 7 start 0\ns 1 8 start 0\nr 1 7 say 1\n"),
        ] {
            assert!(Journal::read(text).is_err(), "{why}");
        }
    }
}
