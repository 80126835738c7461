//! What matters of a step, in words and Extended JSON, for screens.

use std::time::Duration;

use bson::{Bson, Document};

use crate::time::short_duration;

use super::{Change, Hint, Holds, Step};

/// One thing that matters of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is, as a manifest calls it: `filter`.
    pub name: &'static str,
    /// Its value on one line; may be long.
    pub value: String,
}

impl Step {
    /// What matters of it beyond its title, in the order of a manifest. What is as it is by default is left out.
    #[must_use]
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut add = |name, value: String| facts.push(Fact { name, value });
        match self {
            Self::Backfill(step) => {
                add("filter", selection(&step.filter));
                match &step.change {
                    Change::Pipeline(stages) => add("update", list(stages)),
                    Change::Operators { update, array_filters } => {
                        add("update", json(update));
                        if !array_filters.is_empty() {
                            add("arrayFilters", list(array_filters));
                        }
                    }
                    Change::Transform(template) => add("transform", template.argv.join(" ")),
                }
                if let Some(index) = &step.hint {
                    add("hint", hint(index));
                }
                if !step.idempotent {
                    add("idempotent", "false: each document exactly once".to_owned());
                }
                if step.at_least_once {
                    add("atLeastOnce", "true".to_owned());
                }
                if step.max_quarantined > 0 {
                    add("maxQuarantined", step.max_quarantined.to_string());
                }
            }
            Self::Copy(step) => {
                add("filter", selection(&step.filter));
                if !step.pipeline.is_empty() {
                    add("pipeline", list(&step.pipeline));
                }
                add("key", step.key.join(", "));
                if step.max_quarantined > 0 {
                    add("maxQuarantined", step.max_quarantined.to_string());
                }
            }
            Self::CreateIndexes(step) => {
                for index in &step.indexes {
                    let mut rest = index.clone();
                    let name = rest.remove("name").and_then(|name| name.as_str().map(str::to_owned));
                    add("index", format!("{} {}", name.unwrap_or_default(), json(&rest)));
                }
            }
            Self::DropIndexes(step) => step.indexes.iter().for_each(|index| add("index", hint(index))),
            Self::Command(step) => {
                add("run", json(&step.command));
                if let Some(probe) = &step.skip_if {
                    add("skipIf", json(probe));
                }
                if step.at_least_once {
                    add("atLeastOnce", "true".to_owned());
                }
            }
        }
        facts
    }
}

impl std::fmt::Display for Holds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = |limit: Option<Duration>| limit.map(short_duration);
        let parts = [
            time(self.replication_lag).map(|limit| format!("replication lag > {limit}")),
            time(self.oplog_window).map(|limit| format!("oplog window < {limit}")),
            self.dirty_cache.map(|limit| format!("dirty cache > {:.0} %", limit * 100.0)),
            self.foreground.map(|limit| format!("foreground latency > {limit} x calm")),
            self.congestion.then(|| "congestion".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "off" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

fn selection(filter: &Document) -> String {
    if filter.is_empty() { "everything".to_owned() } else { json(filter) }
}

fn hint(index: &Hint) -> String {
    match index {
        Hint::Name(name) => name.clone(),
        Hint::Keys(keys) => json(keys),
    }
}

fn list(documents: &[Document]) -> String {
    Bson::from(documents.to_vec()).into_relaxed_extjson().to_string()
}

/// The order of keys is kept.
fn json(document: &Document) -> String {
    Bson::Document(document.clone()).into_relaxed_extjson().to_string()
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::super::{CreateIndexes, Target};
    use super::*;

    #[test]
    fn an_index_is_told_by_its_name_and_the_rest() {
        let target = Target { database: None, collection: "charges".to_owned() };
        let indexes = vec![doc! { "key": { "b": 1, "a": -1 }, "name": "b_1_a_-1", "unique": true }];
        let facts = Step::CreateIndexes(CreateIndexes { target, indexes }).facts();
        assert_eq!(facts[0].value, r#"b_1_a_-1 {"key":{"b":1,"a":-1},"unique":true}"#);
    }

    #[test]
    fn holds_are_told_with_their_limits() {
        assert_eq!(Holds::NONE.to_string(), "off");
        assert_eq!(
            Holds::default().to_string(),
            "replication lag > 2 s, oplog window < 1 h, dirty cache > 15 %, foreground latency > 2 x calm, congestion"
        );
    }
}
