//! A file system that does not answer, as one on a network may: whoever opens anything on it waits until it is taken away.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::TempDir;

/// See the module. It ends when it is dropped, and those who wait are told so.
pub struct Hung {
    directory: TempDir,
    /// Its server is this process, which never answers.
    _server: File,
}

impl Hung {
    /// In a directory of its own: to remove what it is mounted in would take for ever.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let server = server.expect("this machine has FUSE; `modprobe fuse` as root loads it");
        // `mount` inherits it, and hands it to the kernel.
        fcntl_setfd(&server, FdFlags::empty()).unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let mounted = Command::new("mount")
            .args(["-i", "-t", "fuse", "-o", &options, "stopover-test"])
            .arg(directory.path())
            .output();
        let mounted = mounted.expect("`apt-get install mount` installs what mounts");
        assert!(mounted.status.success(), "mounting needs root: {}", String::from_utf8_lossy(&mounted.stderr));
        fcntl_setfd(&server, FdFlags::CLOEXEC).unwrap();
        Self { directory, _server: server }
    }

    /// A file on it.
    pub fn file(&self) -> String {
        self.directory.path().join("file").display().to_string()
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.directory.path()).status();
    }
}
