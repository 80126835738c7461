//! What is between a terminal and a process in a pod: it takes some bytes at once, carries so many a second, and can break without
//! either end being told.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What `kubectl exec` has between the ends: bytes that are taken although nobody reads them.
const BUFFER: usize = 85_000;

/// How fast, and how far.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// Bytes a second towards the terminal; `None` for all there are.
    pub rate: Option<usize>,
    /// From what the terminal shows to what it answers.
    pub delay: Duration,
}

impl Quality {
    /// A terminal next door.
    pub const QUICK: Self = Self { rate: None, delay: Duration::ZERO };
    /// 20 kB/s, and a tenth of a second away.
    pub const SLOW: Self = Self { rate: Some(20_000), delay: Duration::from_millis(100) };
}

/// Bytes on their way to a terminal.
pub struct Link {
    quality: Quality,
    state: Mutex<State>,
    changed: Condvar,
}

/// See [`Link`].
#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// Nothing more is carried, and nobody is told.
    is_broken: bool,
    /// Nothing more comes.
    is_closed: bool,
}

impl Link {
    /// A link that works.
    pub fn new(quality: Quality) -> Arc<Self> {
        Arc::new(Self { quality, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Takes bytes, as soon as there is room for some. Answers whether anybody can still want more.
    pub fn take(&self, bytes: &[u8]) -> bool {
        let state = self.state.lock().unwrap();
        let mut state =
            self.changed.wait_while(state, |state| state.bytes.len() >= BUFFER && !state.is_closed).unwrap();
        state.bytes.extend(bytes);
        self.changed.notify_all();
        !state.is_closed
    }

    /// Waits for what the link carries next; `None` when nothing more comes.
    pub fn carry(&self) -> Option<Vec<u8>> {
        let state = self.state.lock().unwrap();
        let waits = |state: &mut State| (state.bytes.is_empty() || state.is_broken) && !state.is_closed;
        let mut state = self.changed.wait_while(state, waits).unwrap();
        if state.is_broken || state.bytes.is_empty() {
            return None;
        }
        let most = self.quality.rate.map_or(usize::MAX, |rate| (rate / 50).max(1)).min(state.bytes.len());
        let bytes: Vec<u8> = state.bytes.drain(..most).collect();
        self.changed.notify_all();
        drop(state);
        if let Some(rate) = self.quality.rate {
            std::thread::sleep(
                Duration::from_secs(1) * u32::try_from(bytes.len()).unwrap() / u32::try_from(rate).unwrap(),
            );
        }
        Some(bytes)
    }

    /// How long an answer is on its way.
    pub fn delay(&self) -> Duration {
        self.quality.delay
    }

    /// From now on carries nothing, and tells nobody.
    pub fn vanish(&self) {
        self.state.lock().unwrap().is_broken = true;
        self.changed.notify_all();
    }

    /// Ends it, with what is on its way.
    pub fn close(&self) {
        self.state.lock().unwrap().is_closed = true;
        self.changed.notify_all();
    }
}
