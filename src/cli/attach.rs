//! What `stopover` says where there is no terminal to open the console on.

use super::Exit;

/// Explains how to attach to `command`, and what scripts use instead.
#[must_use]
pub fn explain(command: &str) -> Exit {
    let what = if command == "stopover" { "the console cannot open" } else { "nothing can be shown" };
    eprintln!(
        "\
stopover: there is no terminal here, so {what}.

Attach with a terminal:
  kubectl exec -it deploy/stopover -- {command}

Or use the script commands:
  stopover list [--json]           every migration and its state
  stopover run NAME [--wait]       launch one; prints the run's id
  stopover logs NAME [-f]          what its latest run prints
  stopover pause|resume|cancel RUN
  stopover --help                  everything else"
    );
    Exit::Usage
}
