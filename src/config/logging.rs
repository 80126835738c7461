//! How the output of a pod is written, and how much is noted of what happens.

use tracing::level_filters::LevelFilter;

use super::{ConfigError, variable};

/// How the output of a pod is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// JSON in the Elastic Common Schema, one object a line, for collectors; see [`crate::logs::ecs`].
    Ecs,
}

impl LogFormat {
    const NAME: &str = "STOPOVER_LOG_FORMAT";

    /// What `STOPOVER_LOG_FORMAT` says.
    ///
    /// # Errors
    /// [`ConfigError`] when that is neither.
    pub fn chosen() -> Result<Self, ConfigError> {
        variable(Self::NAME).map_or(Ok(Self::default()), |text| Self::parse(&text))
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        match text {
            "text" => Ok(Self::Text),
            "ecs" => Ok(Self::Ecs),
            other => Err(ConfigError::Invalid {
                name: Self::NAME,
                reason: format!(
                    "{other:?} is no format; `text` is for people, `ecs` is JSON in the Elastic Common Schema"
                ),
            }),
        }
    }

    /// As it stands in `STOPOVER_LOG_FORMAT`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Ecs => "ecs",
        }
    }
}

/// How much is noted in the diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verbosity(LevelFilter);

impl Default for Verbosity {
    fn default() -> Self {
        Self(LevelFilter::INFO)
    }
}

impl Verbosity {
    const NAME: &str = "STOPOVER_LOG";

    /// What `STOPOVER_LOG` says.
    ///
    /// # Errors
    /// [`ConfigError`] when that is no level.
    pub fn chosen() -> Result<Self, ConfigError> {
        variable(Self::NAME).map_or(Ok(Self::default()), |text| Self::parse(&text))
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        Ok(Self(match text {
            "off" => LevelFilter::OFF,
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            other => {
                return Err(ConfigError::Invalid {
                    name: Self::NAME,
                    reason: format!("{other:?} is no level; use `off`, `error`, `warn`, `info`, `debug` or `trace`"),
                });
            }
        }))
    }

    /// The level up to which events are noted.
    #[must_use]
    pub fn level(self) -> LevelFilter {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_there_is_not_is_refused_with_those_that_there_are() {
        for format in [LogFormat::Text, LogFormat::Ecs] {
            assert_eq!(LogFormat::parse(format.as_str()).unwrap(), format);
        }
        for wrong in ["json", "ECS", " ecs"] {
            let error = LogFormat::parse(wrong).unwrap_err().to_string();
            assert!(error.starts_with("STOPOVER_LOG_FORMAT: ") && error.contains("`text`"), "{error}");
            assert!(error.contains("`ecs`") && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn levels_are_plain_words() {
        assert_eq!(Verbosity::parse("debug").unwrap().level(), LevelFilter::DEBUG);
        assert_eq!(Verbosity::parse("off").unwrap().level(), LevelFilter::OFF);
        for wrong in ["3", "INFO", "stopover=debug"] {
            let error = Verbosity::parse(wrong).unwrap_err().to_string();
            assert!(error.starts_with("STOPOVER_LOG: ") && error.contains("`off`, `error`, `warn`"), "{error}");
        }
    }
}
