//! `stopover recover`: the hidden role that looks after runs without an operator, for as long as its pod lives.

use color_eyre::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::recovery::{self, Voice};

use super::{Context, Exit};

/// Looks after runs. SIGTERM ends it at once: nothing is begun in a pod that is shut down.
pub async fn run(context: &Context) -> Result<Exit> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let voice = Voice::on(std::io::stdout())?;
    let catalog = context.catalog();
    let result = tokio::select! {
        biased;
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        result = recovery::watch(&context.config, &catalog, &voice) => result,
    };
    if let Err(error) = &result {
        voice.say(format_args!("runs are not looked after in this pod: {error}"));
    }
    voice.close();
    result?;
    Ok(Exit::Fine)
}
