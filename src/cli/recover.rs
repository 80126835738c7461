//! `stopover recover`: the hidden role that looks after runs without an operator, for as long as its pod lives.

use color_eyre::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::events::Level;
use crate::recovery;
use crate::voice::Voice;

use super::{Context, Exit};

/// Looks after runs. SIGTERM ends it: nothing is begun in a pod that is shut down.
pub async fn run(context: &Context) -> Result<Exit> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let voice = Voice::on_stdout(context.config.log_format);
    let catalog = context.catalog();
    let leave = CancellationToken::new();
    let asked = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        leave.cancel();
        std::future::pending().await
    };
    let result = tokio::select! {
        biased;
        result = asked => result,
        result = recovery::watch(&context.config, &catalog, &voice, &leave) => result,
    };
    if let Err(error) = &result {
        voice.tell(Level::Error, None, format_args!("runs are not looked after in this pod: {error}"));
    }
    result?;
    Ok(Exit::Fine)
}
