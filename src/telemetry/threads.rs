//! The threads that telemetry lives on beside those of the SDK: nothing that it does, waits for or panics of is done on those of a run.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::THREADS;
use super::room::has_room;

/// How threads are called on which something is begun.
pub const STARTER: &str = "telemetry-start";
/// And those on which something comes to its end.
pub const ENDER: &str = "telemetry-end";
/// Why nothing was begun.
pub const NO_THREAD: &str = "this container may have no more threads";

/// The end of several things that deliver: beside each other, for one that hangs must not take the time of the others, and each on a thread that can be
/// left behind, for not all of the SDK keeps to the time that it is given.
pub struct End {
    deadline: Instant,
    tell: mpsc::Sender<()>,
    told: mpsc::Receiver<()>,
    begun: usize,
}

impl End {
    /// Begins now; all of it has this time.
    pub fn new(within: Duration) -> Self {
        let (tell, told) = mpsc::channel();
        Self { deadline: Instant::now() + within, tell, told, begun: 0 }
    }

    /// Has something shut down, in what is left of the time.
    pub fn begin<T: Clone + Send + 'static>(&mut self, what: T, shut_down: impl FnOnce(&T, Duration) + Send + 'static) {
        let (tell, kept) = (self.tell.clone(), what.clone());
        let within = self.deadline.saturating_duration_since(Instant::now());
        let begun = thread::Builder::new().name(ENDER.to_owned()).spawn(move || {
            shut_down(&what, within);
            let _ = tell.send(());
        });
        match begun {
            Ok(_) => self.begun += 1,
            // Dropped here, it would deliver here, for as long as it likes.
            Err(_) => std::mem::forget(kept),
        }
    }

    /// Waits for what was begun, until the time is over.
    pub fn wait(self) {
        for _ in 0..self.begun {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if self.told.recv_timeout(left).is_err() {
                return;
            }
        }
    }
}

/// A runtime of its own for connections: the worker's is busy with other things, and must not be waited for by threads of the SDK.
pub struct Wires {
    handle: tokio::runtime::Handle,
    _stop: oneshot::Sender<()>,
}

impl Wires {
    /// With a thread of its own, if there is room for it and for those of the SDK.
    ///
    /// # Errors
    /// [`NO_THREAD`].
    pub fn new() -> Result<Self, String> {
        let wires = if has_room() { Self::begin().ok() } else { None };
        wires.ok_or_else(|| NO_THREAD.to_owned())
    }

    fn begin() -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        // Made where it lives: it must not be dropped within another. It ends with its owner, whatever is still on its way.
        thread::Builder::new().name(THREADS[1].to_owned()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _ = tell.send(Ok(runtime.handle().clone()));
                    let _ = runtime.block_on(stopped);
                    runtime.shutdown_background();
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        })?;
        let handle = told.recv().map_err(io::Error::other)??;
        Ok(Self { handle, _stop: stop })
    }

    /// Builds what lives on these wires, on a thread of its own: where a container may have no more threads after all, the SDK panics.
    ///
    /// # Errors
    /// Those of `build`, and [`NO_THREAD`].
    pub fn build<T: Send>(&self, build: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
        let within = || {
            let _entered = self.handle.enter();
            build()
        };
        let made = thread::scope(|scope| {
            thread::Builder::new().name(STARTER.to_owned()).spawn_scoped(scope, within).ok()?.join().ok()
        });
        made.unwrap_or_else(|| Err(NO_THREAD.to_owned()))
    }
}
