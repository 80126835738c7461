//! `stopover interrupted RUN:NUMBER...`: the hidden role that reports attempts whose workers the keeper found dead or had to kill.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use color_eyre::Result;
use color_eyre::eyre::eyre;
use tokio::time::{sleep, timeout};

use crate::events::{Level, Subject};
use crate::keeper::{self, Attempt, Ended};
use crate::ledger::{LedgerError, LedgerWriter, Run};
use crate::notify::{Behalf, Told};
use crate::telemetry;
use crate::voice::Voice;

use super::{Context, Exit};

/// Between two tries to reach the ledger.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a backend is told of each run: the pod has seconds.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// Arguments of `stopover interrupted`.
#[derive(clap::Args)]
pub struct Args {
    /// How long all of it may take
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    within: Duration,
    /// The attempts
    #[arg(required = true, value_name = "RUN:NUMBER")]
    attempts: Vec<Attempt>,
}

/// Reports each of them, as long as there is time; what is not reported will read as lost, which is as true.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let begun = Instant::now();
    let voice = Voice::on_stdout(context.config.log_format);
    let aside = Mutex::new(Voice::on_stdout(context.config.log_format));
    let people = Behalf::new(&context.config, move |Told { receiver, result, .. }| {
        if let (Err(reason), Ok(voice)) = (result, aside.lock()) {
            voice.tell(Level::Warn, None, format_args!("{receiver} could not be told of the end of a run: {reason}"));
        }
    });
    let reporting = async {
        let ledger = loop {
            match context.writer().await {
                Err(report) if report.downcast_ref().is_some_and(LedgerError::is_transient) => sleep(AGAIN).await,
                ledger => break ledger?,
            }
        };
        let (mut exit, mut ended) = (Exit::Fine, Vec::new());
        for &attempt in &args.attempts {
            match report(&*ledger, attempt, &voice).await {
                Ok(Some(run)) => {
                    people.tell_end(&run);
                    ended.push(run);
                }
                Ok(None) => {}
                Err(error) => {
                    let subject = Subject { run: attempt.run, migration: None, attempt: Some(attempt.number) };
                    let text = format_args!("the end of run {} cannot be reported: {error}", attempt.run.short());
                    voice.tell(Level::Warn, Some(&subject), text);
                    exit = Exit::LedgerUnreachable;
                }
            }
        }
        Ok((exit, ledger, ended))
    };
    let reported = timeout(args.within, reporting)
        .await
        .unwrap_or_else(|_| Err(eyre!("the ledger did not answer in time: runs that were killed will read as lost")));
    // Told in what is left of the time: the records come first.
    if let Ok((_, ledger, ended)) = &reported {
        for run in ended {
            let left = (begun + args.within).saturating_duration_since(Instant::now());
            let within = TOLD_WITHIN.min(left / 2);
            telemetry::tell_of(&context.config, &**ledger, run, telemetry::Absent::Killed, within).await;
        }
    }
    people.settle(begun + args.within).await;
    Ok(reported?.0)
}

/// The run whose end is to be told: its worker may have died between the record of that and telling, and whoever is told twice knows by the id.
async fn report(ledger: &dyn LedgerWriter, attempt: Attempt, voice: &Voice) -> Result<Option<Box<Run>>, LedgerError> {
    let ended = loop {
        match keeper::interrupt(ledger, attempt).await {
            Err(error) if error.is_transient() => sleep(AGAIN).await,
            ended => break ended?,
        }
    };
    match ended {
        Ended::Now(run) => {
            let standing = run.standing(ledger.now().await?);
            let text = format_args!("{} (run {}) is recorded as {standing}", run.migration, run.id.short());
            voice.tell(Level::Warn, Some(&Subject::of(&run)), text);
            Ok(Some(run))
        }
        Ended::Before(run) => Ok(Some(run)),
        Ended::Elsewhere => Ok(None),
    }
}
