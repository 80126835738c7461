//! How far the server is with a build.

use std::time::Duration;

use bson::{Document, doc};
use tokio::time::{Instant, timeout};

use crate::catalog::CreateIndexes;
use crate::engine::answer::{code, code_of, number};
use crate::engine::fault::Fault;
use crate::engine::tools::Tools;

use super::{LOOK_EVERY, names};

/// How long one look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// When the server has said nothing for so long, the answer to the build is not going to come either.
const SILENCE: Duration = Duration::from_mins(1);

/// Looks at a build from beside it, which also tells whether the server is there at all.
pub(super) struct Watch<'a> {
    tools: &'a Tools<'a>,
    namespace: String,
    names: Vec<String>,
    may_see: bool,
    heard: Instant,
}

impl<'a> Watch<'a> {
    pub(super) fn new(tools: &'a Tools<'a>, step: &CreateIndexes) -> Self {
        let names = names(step).into_iter().map(str::to_owned).collect();
        let namespace = tools.site.full_name(&step.target);
        Self { tools, namespace, names, may_see: true, heard: Instant::now() }
    }

    /// Waits for the time of the next look, looks, and reports what is seen.
    pub(super) async fn look(&mut self) -> Result<(), Fault> {
        tokio::time::sleep(LOOK_EVERY).await;
        let looked = timeout(LOOK_WITHIN, self.see()).await;
        match looked {
            Ok(Ok(seen)) => {
                self.heard = Instant::now();
                if let Some(Seen { done, total, message }) = seen {
                    (self.tools.report)(done, Some(total), Some(message));
                }
            }
            Ok(Err(error)) if code_of(&error).is_some() => {
                self.heard = Instant::now();
                if code_of(&error) == Some(code::UNAUTHORIZED) {
                    self.may_see = false;
                    self.tools.note(
                        "how far the server is with the index cannot be shown, for the database user lacks the privilege `inprog` on the cluster; the build goes on without it",
                    );
                }
            }
            _ if self.heard.elapsed() > SILENCE => {
                return Err(Fault::Passing("the server has not answered for a minute".to_owned()));
            }
            _ => {}
        }
        Ok(())
    }

    async fn see(&self) -> mongodb::error::Result<Option<Seen>> {
        let admin = self.tools.site.client.database("admin");
        if !self.may_see {
            admin.run_command(doc! { "ping": 1 }).await?;
            return Ok(None);
        }
        let builds = [
            // A build is nobody's own: among the user's own operations it is not listed.
            doc! { "$currentOp": { "allUsers": true } },
            doc! { "$match": {
                "ns": &self.namespace,
                "progress.total": { "$gt": 0 },
                "command.indexes.name": { "$in": &self.names },
            } },
            doc! { "$project": { "progress": 1, "msg": 1 } },
        ];
        let mut builds = admin.aggregate(builds).await?;
        let mut seen = None;
        // One on each shard.
        while builds.advance().await? {
            let build = builds.deserialize_current()?;
            let seen = seen.get_or_insert_with(|| Seen { done: 0, total: 0, message: phase(&build) });
            let progress = build.get_document("progress").cloned().unwrap_or_default();
            seen.done += number(&progress, "done");
            seen.total += number(&progress, "total");
        }
        Ok(seen)
    }
}

struct Seen {
    done: i64,
    total: i64,
    message: String,
}

/// What the server is doing, in its words: `Index Build: scanning collection Index Build: scanning collection: 3/9 33%`.
fn phase(build: &Document) -> String {
    let message = build.get_str("msg").unwrap_or_default();
    let phase = message.trim_start_matches("Index Build: ");
    let phase = phase.split([':', '(']).next().unwrap_or_default();
    let phase = phase.trim_end_matches("Index Build").trim();
    format!("index build: {}", if phase.is_empty() { "under way" } else { phase })
}
