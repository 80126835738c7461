//! Draws the picture in the README: opens the real console on the sample catalog in a real terminal, lets migrations run, and
//! writes what the terminal shows as an SVG. Run by `scripts/picture`.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use vt100::{Color, Parser, Screen};

const ROWS: NonZeroU16 = NonZeroU16::new(38).expect("not zero");
const COLUMNS: NonZeroU16 = NonZeroU16::new(130).expect("not zero");

fn main() {
    let mut arguments = env::args().skip(1);
    let (Some(stopover), Some(output), Some(script)) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: picture STOPOVER OUTPUT.svg 'NAME ... -- KEYS WAIT_FOR ...'; see scripts/picture");
        std::process::exit(2);
    };
    let state = tempfile::tempdir().expect("a temporary directory");
    let samples = tempfile::tempdir().expect("a temporary directory");
    let variables = [
        ("STOPOVER_STATE_DIR", state.path().display().to_string()),
        ("STOPOVER_SAMPLE_DIR", samples.path().display().to_string()),
        ("STOPOVER_MIRROR", "off".to_owned()),
        ("STOPOVER_OPERATOR", "ada".to_owned()),
        ("STOPOVER_POD", "stopover-7c9f8d6b5-x2x9q".to_owned()),
        ("STOPOVER_ENVIRONMENT", "staging".to_owned()),
        ("TERM", "xterm".to_owned()),
    ];
    let (prepare, play) = script.split_once(" -- ").expect("commands, ` -- `, keys");
    for line in prepare.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        // A sample that fails on purpose is part of the picture.
        let _ = Command::new(&stopover)
            .args(line.split_whitespace())
            .envs(variables.clone())
            .output()
            .expect("the binary starts");
    }

    let pty = native_pty_system()
        .openpty(PtySize { rows: ROWS.get(), cols: COLUMNS.get(), pixel_width: 0, pixel_height: 0 })
        .expect("a pty");
    let mut command = CommandBuilder::new(&stopover);
    command.cwd(env::current_dir().expect("the checkout"));
    for (name, value) in variables {
        command.env(name, value);
    }
    let mut reader = pty.master.try_clone_reader().expect("its output");
    let mut writer = pty.master.take_writer().expect("its input");
    let mut child = pty.slave.spawn_command(command).expect("the binary starts");
    drop(pty.slave);
    let parser = Arc::new(Mutex::new(Parser::new(ROWS, COLUMNS, 0)));
    let shared = Arc::clone(&parser);
    thread::spawn(move || {
        let mut buffer = [0; 16_384];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            shared.lock().expect("nobody panics with it").process(&buffer[..count]);
        }
    });
    // `~text` waits until the screen shows the text, `_` for a second; anything else is typed.
    for step in play.split_whitespace() {
        if step == "_" {
            thread::sleep(Duration::from_secs(1));
        } else if let Some(text) = step.strip_prefix('~') {
            let deadline = Instant::now() + Duration::from_secs(30);
            while !parser.lock().expect("nobody panics with it").screen().contents().contains(text) {
                assert!(Instant::now() < deadline, "the screen never showed {text}");
                thread::sleep(Duration::from_millis(20));
            }
        } else {
            let keys = step.replace("<enter>", "\r").replace("<esc>", "\x1b").replace("<tab>", "\t");
            writer.write_all(keys.as_bytes()).and_then(|()| writer.flush()).expect("the terminal takes keys");
            thread::sleep(Duration::from_millis(150));
        }
    }
    thread::sleep(Duration::from_millis(500));
    fs::write(&output, svg(parser.lock().expect("nobody panics with it").screen())).expect("the picture");
    let _ = child.kill();
    let _ = child.wait();
    // Runs that the picture needed are ended, so that nothing is left behind.
    let list = Command::new(&stopover)
        .args(["list", "--state", "running", "--json"])
        .env("STOPOVER_STATE_DIR", state.path())
        .output();
    let list: serde_json::Value =
        list.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok()).unwrap_or_default();
    for migration in list.as_array().into_iter().flatten().filter_map(|migration| migration["id"].as_str()) {
        let _ = Command::new(&stopover)
            .args(["cancel", migration, "--wait"])
            .env("STOPOVER_STATE_DIR", state.path())
            .output();
    }
}

/// The screen as an SVG: one rectangle for each run of a background, one text for each run of a look.
fn svg(screen: &Screen) -> String {
    const CELL: (f64, f64) = (8.4, 18.0);
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let (width, height) = (f64::from(columns) * CELL.0 + 24.0, f64::from(rows) * CELL.1 + 24.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#14161b\"/>\n"
    );
    for row in 0..rows {
        let mut column = 0;
        while column < columns {
            let Some(cell) = screen.cell(row, column) else { break };
            let look = Look::of(cell);
            let first = column;
            let mut text = String::new();
            while column < columns {
                match screen.cell(row, column) {
                    Some(next) if Look::of(next) == look => {
                        if !next.is_wide_continuation() {
                            text.push_str(if next.contents().is_empty() { " " } else { next.contents() });
                        }
                    }
                    _ => break,
                }
                column += 1;
            }
            let (x, y) = (12.0 + f64::from(first) * CELL.0, 12.0 + f64::from(row) * CELL.1);
            let span = f64::from(column - first) * CELL.0;
            if let Some(background) = &look.background {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{span:.1}\" height=\"{}\" fill=\"{background}\"/>",
                    CELL.1
                );
            }
            if !text.trim().is_empty() {
                let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let weight = if look.bold { " font-weight=\"bold\"" } else { "" };
                let opacity = if look.dim { " opacity=\"0.6\"" } else { "" };
                let _ = writeln!(
                    svg,
                    "<text x=\"{x:.1}\" y=\"{:.1}\" fill=\"{}\"{weight}{opacity} textLength=\"{span:.1}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\">{text}</text>",
                    y + 13.5,
                    look.foreground
                );
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

#[derive(PartialEq)]
struct Look {
    foreground: String,
    background: Option<String>,
    bold: bool,
    dim: bool,
}

impl Look {
    fn of(cell: &vt100::Cell) -> Self {
        let (mut foreground, mut background) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
        if cell.inverse() {
            (foreground, background) =
                (background.or(Some("#14161b".to_owned())), foreground.or(Some("#d7dae0".to_owned())));
        }
        Self {
            foreground: foreground.unwrap_or_else(|| "#d7dae0".to_owned()),
            background,
            bold: cell.bold(),
            dim: cell.dim(),
        }
    }
}

fn colour(colour: Color) -> Option<String> {
    const PALETTE: [&str; 16] = [
        "#23262e", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf", "#6b7280", "#ff7b86",
        "#b5e08f", "#ffd78a", "#82c4ff", "#dd9bf0", "#76d6e2", "#ffffff",
    ];
    match colour {
        Color::Default => None,
        Color::Idx(index @ 0..16) => Some(PALETTE[usize::from(index)].to_owned()),
        Color::Idx(index @ 16..232) => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            let index = index - 16;
            Some(format!("#{:02x}{:02x}{:02x}", level(index / 36), level(index / 6 % 6), level(index % 6)))
        }
        Color::Idx(index) => {
            let grey = 8 + 10 * (index - 232);
            Some(format!("#{grey:02x}{grey:02x}{grey:02x}"))
        }
        Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
    }
}
