//! The signals that reach a worker.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals of a worker, taken over.
///
/// Having a handler also undoes what a parent may have left ignored (`nohup`): a program is started with the defaults for all of these.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Those that must not end a worker and mean nothing to it. An ignored SIGCHLD would take the program's exit status with it;
    /// SIGXFSZ would kill the worker when the log reaches a limit of size.
    _heard: Vec<Signal>,
}

impl Signals {
    /// Takes them over.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn take_over() -> io::Result<Self> {
        /// See signal(7).
        const XFSZ: i32 = 25;
        let heard = [
            SignalKind::hangup(),
            SignalKind::quit(),
            SignalKind::child(),
            SignalKind::alarm(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
            SignalKind::from_raw(XFSZ),
        ];
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _heard: heard.into_iter().map(signal).collect::<io::Result<_>>()?,
        })
    }

    /// Waits for the request to end (the pod is shut down).
    pub async fn shutdown(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
