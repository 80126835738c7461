//! `stopover logs RUN|NAME`: prints the log of a run, from its file in this pod or from the ledger's archive.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use color_eyre::Result;
use serde::Serialize;

use crate::ledger::{LedgerReader, Run, RunId, Seen};
use crate::logs::reader::{Line, LogError, LogReader, Origin};
use crate::time::Timestamp;

use super::paint::{self, Paint};
use super::{Context, Exit, onlooker};

/// Lines read at once: memory stays flat however long the log is.
const PAGE: u64 = 256;

/// Arguments of `stopover logs`.
#[derive(clap::Args)]
pub struct Args {
    /// A run's id, the last digits of one, or a migration's name (its latest run)
    #[arg(value_name = "RUN|NAME")]
    run: String,
    /// Go on until the run stands still
    #[arg(long, short)]
    follow: bool,
    /// Only lines not older than this: how long ago, as in `10m`, or a time, as in `2026-11-04T02:13:55Z`
    #[arg(long, value_name = "WHEN", value_parser = parse_since)]
    since: Option<Timestamp>,
    /// Only the last N lines
    #[arg(long, value_name = "N")]
    tail: Option<u64>,
    #[command(flatten)]
    form: FormArgs,
}

/// At most one of these.
#[derive(clap::Args)]
#[group(multiple = false)]
struct FormArgs {
    /// The time of each line before it
    #[arg(long, short)]
    timestamps: bool,
    /// What the program wrote, byte for byte: nothing that could harm a terminal is removed
    #[arg(long)]
    raw: bool,
    /// One JSON object a line: time, stream, text, cut
    #[arg(long)]
    json: bool,
}

/// A duration back from now, or RFC 3339.
fn parse_since(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(Timestamp::of_this_machine().minus(ago));
    }
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc().into())
        .map_err(|_| "give how long ago, as in `10m`, or a time, as in `2026-11-04T02:13:55Z`".to_owned())
}

/// Prints what there is, and with `--follow` what comes.
pub async fn run(context: &Context, args: Args) -> Result<Exit> {
    let ledger = context.reader().await?;
    let run = context.find_run(&*ledger, &args.run).await?.value;
    let reader = LogReader::open(&context.config.state_dir, Arc::clone(&ledger), &run).await?;
    let mut printer = Printer::new(reader, Form::of(&args.form));
    printer.skip(args.since, args.tail).await?;
    if args.follow {
        let end = printer.follow(&*ledger, run.id).await?;
        if let Some(Seen { now, value }) = end {
            let reason = value.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
            eprintln!("{} {}{reason}", value.migration, value.standing(now));
        }
    } else {
        printer.print_new().await?;
    }
    Ok(Exit::Fine)
}

/// Prints the log of a run, as `stopover logs -f` does, until the run stands still. Answers whether somebody read it to the end.
pub async fn follow(context: &Context, ledger: Arc<dyn LedgerReader>, run: &Run) -> Result<bool> {
    let reader = LogReader::open(&context.config.state_dir, Arc::clone(&ledger), run).await?;
    match Printer::new(reader, Form::of_terminal(false)).follow(&*ledger, run.id).await {
        Ok(end) => Ok(end.is_some()),
        Err(error) if super::is_closed_pipe(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How lines are printed.
#[derive(Clone, Copy)]
enum Form {
    Text { timestamps: bool, colours: bool },
    Json,
    Raw,
}

impl Form {
    fn of(args: &FormArgs) -> Self {
        match args {
            FormArgs { raw: true, .. } => Self::Raw,
            FormArgs { json: true, .. } => Self::Json,
            FormArgs { timestamps, .. } => Self::of_terminal(*timestamps),
        }
    }

    fn of_terminal(timestamps: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::Text { timestamps, colours: std::io::stdout().is_terminal() && !no_colour }
    }
}

/// What is printed of a log, and how far.
struct Printer {
    reader: LogReader,
    form: Form,
    /// The next line; for [`Form::Raw`] the next byte.
    next: u64,
    /// The time of the last line that was printed: where to go on when the log is not the one it was.
    printed: Option<Timestamp>,
}

impl Printer {
    fn new(reader: LogReader, form: Form) -> Self {
        Self { reader, form, next: 0, printed: None }
    }

    /// Leaves out what is not asked for.
    async fn skip(&mut self, since: Option<Timestamp>, tail: Option<u64>) -> Result<(), LogError> {
        let extent = self.reader.refresh().await?;
        let since = match since {
            Some(time) => self.reader.line_since(time).await?,
            None => 0,
        };
        let line = since.max(tail.map_or(0, |tail| extent.lines.saturating_sub(tail)));
        self.next = match self.form {
            Form::Raw => self.reader.offset_of(line).await?,
            _ => line,
        };
        Ok(())
    }

    /// Prints until the run stands still; the run as it was then, or `None` when nobody reads any more.
    async fn follow(&mut self, ledger: &dyn LedgerReader, run: RunId) -> Result<Option<Seen<Run>>> {
        let pause = match self.reader.origin() {
            Origin::File(_) => Duration::from_millis(100),
            Origin::Archive => Duration::from_secs(1),
        };
        let mut is_waiting = false;
        while !paint::is_stdout_closed() {
            // Asked before the log is read: what was written before the run came to stand still is not missed.
            let step = async {
                let seen = ledger.run(run).await?;
                self.print_new().await?;
                Ok(seen)
            };
            match step.await {
                Ok(Seen { now, value: Some(run) }) if !run.standing(now).is_live() => {
                    return Ok(Some(Seen { now, value: run }));
                }
                Ok(_) => is_waiting = false,
                Err(error) if is_transient(&error) => {
                    if !is_waiting {
                        eprintln!("waiting: {error}");
                    }
                    is_waiting = true;
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
        }
        Ok(None)
    }

    /// Prints what is new since the last time.
    async fn print_new(&mut self) -> Result<()> {
        let extent = self.reader.refresh().await?;
        if let Form::Raw = self.form {
            return self.print_raw(extent.bytes).await;
        }
        if extent.lines < self.next {
            self.next = match self.printed {
                Some(time) => self.reader.line_since(time.plus(Duration::from_millis(1))).await?,
                None => 0,
            };
        }
        let mut out = Vec::new();
        while self.next < extent.lines {
            let lines = self.reader.lines(self.next..extent.lines.min(self.next + PAGE)).await?;
            let Some(last) = lines.last() else { break };
            self.next = last.number + 1;
            self.printed = last.time.or(self.printed);
            out.clear();
            for line in &lines {
                push_line(&mut out, line, self.form)?;
            }
            onlooker::write(&out)?;
        }
        Ok(())
    }

    async fn print_raw(&mut self, end: u64) -> Result<()> {
        if end < self.next {
            self.next = 0;
        }
        loop {
            let block = self.reader.raw(self.next).await?;
            if block.next == self.next {
                return Ok(());
            }
            self.next = block.next;
            onlooker::write(&block.bytes)?;
        }
    }
}

/// Whether the same may succeed later by itself.
fn is_transient(error: &color_eyre::Report) -> bool {
    let ledger = match error.downcast_ref::<LogError>() {
        Some(LogError::Ledger(error)) => Some(error),
        _ => error.downcast_ref::<crate::ledger::LedgerError>(),
    };
    ledger.is_some_and(crate::ledger::LedgerError::is_transient)
}

/// A line, as in `--json`.
#[derive(Serialize)]
struct LineView<'a> {
    /// When the worker read it, by its machine's clock; null when the record is damaged.
    time: Option<String>,
    /// `stdout`, `stderr` or `system`.
    stream: &'static str,
    /// Without control sequences.
    text: &'a str,
    /// Whether the line is longer than its text.
    cut: bool,
}

fn push_line(out: &mut Vec<u8>, line: &Line, form: Form) -> std::io::Result<()> {
    let time = line.time.map(Timestamp::rfc3339);
    match form {
        Form::Text { timestamps, colours } => {
            if timestamps {
                write!(out, "{:24} ", time.as_deref().unwrap_or("-"))?;
            }
            for span in &line.spans {
                if colours {
                    write!(out, "{}", Paint { span, stream: line.stream })?;
                } else {
                    out.extend_from_slice(span.text.as_bytes());
                }
            }
            out.extend_from_slice(if line.cut { b" ... (cut; --raw shows all)\n" } else { b"\n" });
        }
        Form::Json => {
            let text: String = line.spans.iter().map(|span| span.text.as_str()).collect();
            let view = LineView { time, stream: line.stream.tag(), text: &text, cut: line.cut };
            serde_json::to_writer(&mut *out, &view)?;
            out.push(b'\n');
        }
        Form::Raw => {}
    }
    Ok(())
}
