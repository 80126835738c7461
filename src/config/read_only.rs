//! Why a process looks and does not touch, and what it says to who asks for more.

use std::fmt;

use super::ConfigError;

/// What made this process read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnly {
    /// `--read-only` was given.
    Flag,
    /// `STOPOVER_READ_ONLY` is set, which no flag undoes.
    Variable,
    /// `stopover watch` only looks, whatever it is told.
    Watch,
}

impl ReadOnly {
    /// What the flag (`--read-only`, or `--read-only=false`) and the variable say together.
    ///
    /// # Errors
    /// When the flag is to undo the variable.
    pub(super) fn chosen(flag: Option<bool>, variable: Option<&str>) -> Result<Option<Self>, ConfigError> {
        let is_set = variable
            .is_some_and(|value| !["0", "false", "no", "off"].iter().any(|off| value.trim().eq_ignore_ascii_case(off)));
        match (is_set, flag) {
            (true, Some(false)) => Err(ConfigError::Invalid {
                name: "--read-only=false",
                reason: format!("{}; leave the flag out to look", Self::Variable),
            }),
            (true, _) => Ok(Some(Self::Variable)),
            (false, Some(true)) => Ok(Some(Self::Flag)),
            (false, _) => Ok(None),
        }
    }

    /// Refuses `what`, says why, and where to do it: with `command` in the operators' pod, or in a checkout where there is none for that.
    #[must_use]
    pub fn refusal(self, what: &str, command: Option<&str>) -> String {
        let leave_out = if self == Self::Flag { "leave it out, or " } else { "" };
        let place = command.map_or_else(
            || "do it in a checkout of the catalog".to_owned(),
            // In their own namespace, which is not known here.
            |command| format!("do it where operators work, `kubectl exec -it deploy/stopover -- {command}`"),
        );
        format!("{what} is refused, this Stopover is read-only: {self}; {leave_out}{place}")
    }
}

impl fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "--read-only was given",
            Self::Variable => "STOPOVER_READ_ONLY is set here, which no flag undoes",
            Self::Watch => "`stopover watch` only looks",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_counts_more_than_any_flag() {
        let chosen = |flag, variable| ReadOnly::chosen(flag, variable);
        for on in ["1", "true", "yes", "anything"] {
            assert_eq!(chosen(None, Some(on)).unwrap(), Some(ReadOnly::Variable));
            assert_eq!(chosen(Some(true), Some(on)).unwrap(), Some(ReadOnly::Variable));
            let refused = chosen(Some(false), Some(on)).unwrap_err().to_string();
            assert!(refused.contains("STOPOVER_READ_ONLY is set here, which no flag undoes"), "{refused}");
        }
        for off in [None, Some("0"), Some("False"), Some("no"), Some(" off ")] {
            assert_eq!(chosen(None, off).unwrap(), None);
            assert_eq!(chosen(Some(false), off).unwrap(), None);
            assert_eq!(chosen(Some(true), off).unwrap(), Some(ReadOnly::Flag));
        }
    }

    #[test]
    fn a_refusal_says_what_why_and_where_to_do_it() {
        assert_eq!(
            ReadOnly::Variable.refusal("a launch", Some("stopover run")),
            "a launch is refused, this Stopover is read-only: STOPOVER_READ_ONLY is set here, which no flag undoes; do it where operators work, `kubectl exec -it deploy/stopover -- stopover run`"
        );
        let flag = ReadOnly::Flag.refusal("a cancel", Some("stopover cancel"));
        assert!(flag.contains("--read-only was given; leave it out, or do it where operators work"), "{flag}");
    }
}
