//! Who is to be told of a run, as the environment says, and the files that it names.
//!
//! A file system that does not answer is waited for, if only for a while: so all of it is read at once, and before the run is claimed. From
//! then on the lease counts, and nobody outside is worth a run.

use std::thread;

use crate::config::Config;
use crate::notify::{self, Receivers};
use crate::secret::Secret;
use crate::telemetry::{self, Settings};

/// See the module.
pub struct Contacts {
    /// Where telemetry is sent.
    pub telemetry: Settings,
    /// People.
    pub receivers: Receivers,
    /// What opens the receivers of all environments.
    secrets: Vec<Secret>,
}

impl Contacts {
    /// Reads everything.
    #[must_use]
    pub fn read(config: &Config) -> Self {
        let of_telemetry = Settings::of_environment;
        let of_receivers = || notify::secrets(config);
        thread::scope(|scope| {
            let named = |name: &str| thread::Builder::new().name(name.to_owned());
            let telemetry = named(telemetry::THREADS[1]).spawn_scoped(scope, of_telemetry);
            let secrets = named(notify::THREAD).spawn_scoped(scope, of_receivers);
            let receivers = Receivers::of_here(config);
            // Where there is no thread to be had it takes longer.
            let telemetry = telemetry.ok().and_then(|reader| reader.join().ok()).unwrap_or_else(of_telemetry);
            let secrets = secrets.ok().and_then(|reader| reader.join().ok()).unwrap_or_else(of_receivers);
            Self { telemetry, receivers, secrets }
        })
    }

    /// What of it must be seen nowhere.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.telemetry.secrets.iter().chain(&self.secrets)
    }
}
