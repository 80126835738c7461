//! The reader of the mirror goes away during a run.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

use super::*;

#[test]
fn a_reader_of_the_mirror_that_goes_away_holds_nothing_up() {
    let scene = Scene::new();
    let path = scene.path().join("stdout-of-pid-1");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
    let reader = OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap();
    // Enough to fill the pipe, before the reader goes and after.
    let flood = format!("yes {} | head -n 3000", "x".repeat(99));
    let case = Case::with(scene.variable("STOPOVER_MIRROR", path.display().to_string()), &flood, &flood);
    case.start();
    drop(reader);
    case.program.works(10);
    assert_eq!(case.resume_and_check()["attempt"], 1);
}
