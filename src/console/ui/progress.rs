//! How far a run is: gauge, numbers, forecast, the remaining falling, and the worker's sign of life.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::text::{ago, capitalised, labelled, number, rate, span, wrap};
use crate::console::app::App;
use crate::console::theme::as_state;
use crate::ledger::{Account, RemainingCount, Run, RunState, Standing, Wish, WishKind};

/// The lines for a run, `columns` wide.
pub(super) fn lines(app: &App, run: &Run, columns: usize) -> Vec<Line<'static>> {
    let look = app.look;
    let standing = run.standing(app.clock.judged_at());
    let state = as_state(standing);
    let mut lines = Vec::new();

    let mut head = vec![Span::styled(format!(" {} {standing}", look.glyph(state)), look.state(state))];
    let mut facts = vec![format!("attempt {}", run.attempt)];
    facts.extend(super::table::took(app, run));
    facts.push(format!("by {} in {}", run.launch.by.operator, run.place().pod));
    let name = format!("run {}", run.id.short());
    let used = head[0].width() + 3 + facts.iter().map(|fact| super::text::width(fact) + 3).sum::<usize>();
    // The pod and the run's name stand elsewhere, too; who it was does not give way.
    if used > columns + 3 {
        facts.pop();
        facts.push(format!("by {}", run.launch.by.operator));
    } else if used + super::text::width(&name) <= columns {
        facts.push(name);
    }
    if run.launch.rerun {
        facts.push("rerun".to_owned());
    }
    if run.launch.forced {
        facts.push("requirements overridden".to_owned());
    }
    head.push(Span::styled(format!("   {}", facts.join(look.pick(" · ", ", "))), look.quiet()));
    lines.push(Line::from(head));
    lines.extend(explanation(app, run, standing, columns));
    lines.extend(super::engine::hold(app, run, standing, columns));
    lines.extend(numbers(app, run, standing, columns));
    lines.extend(super::engine::lines(app, run, standing, columns));
    if let Some(message) = &run.progress.message {
        lines.push(labelled("says", look.quiet(), vec![Span::raw(message.clone())]));
    }
    if let Some(remaining) = &run.progress.remaining {
        lines.extend(left_to_do(app, remaining, columns));
    }
    for warning in &run.progress.warnings {
        for (index, line) in wrap(warning, columns.saturating_sub(13)).into_iter().enumerate() {
            let label = if index == 0 { "warning" } else { "" };
            lines.push(labelled(label, look.warning(), vec![Span::styled(line, look.warning())]));
        }
    }
    lines.extend(who_and_where(app, run, standing));
    lines.extend(by_itself(app, run, columns));
    lines
}

/// What pods did about it without an operator.
fn by_itself(app: &App, run: &Run, columns: usize) -> Vec<Line<'static>> {
    let look = app.look;
    let mut lines = Vec::new();
    for recovery in &run.recoveries {
        let style = if recovery.has_resumed() { look.text() } else { look.warning() };
        let text = format!("{}, {}", recovery.describe(), ago(app.clock.present(), recovery.at));
        for (index, line) in wrap(&text, columns.saturating_sub(13)).into_iter().enumerate() {
            let label = if index == 0 { "recovery" } else { "" };
            lines.push(labelled(label, look.quiet(), vec![Span::styled(line, style)]));
        }
    }
    lines
}

/// Why it stands still, or is not what it seems, and what to do.
fn explanation(app: &App, run: &Run, standing: Standing, columns: usize) -> Vec<Line<'static>> {
    let look = app.look;
    let stands_still = !matches!(standing, Standing::Queued | Standing::Running | Standing::Succeeded);
    let account = run.account(app.clock.present()).filter(|_| stands_still && !app.has_hands());
    let (text, style) = match (standing, account) {
        // Where keys do nothing the commands for those who may act are named.
        (_, Some(Account { what, next })) => {
            let text = format!("{}. {}.", capitalised(&what), capitalised(&next));
            (text, look.state(as_state(standing)))
        }
        (standing, None) => match told_by_keys(app, run, standing) {
            Some(told) => told,
            None => return Vec::new(),
        },
    };
    let mut lines: Vec<_> = wrap(&text, columns.saturating_sub(2))
        .into_iter()
        .map(|line| Line::styled(format!(" {line}"), style))
        .collect();
    if let RunState::Failed { failure, .. } = &run.state {
        for line in &failure.last_lines {
            lines.push(Line::from(vec![Span::styled(look.pick(" ▏ ", " | "), look.danger()), Span::raw(line.clone())]));
        }
    }
    lines
}

/// The same for who has the keys to do something about it.
fn told_by_keys(app: &App, run: &Run, standing: Standing) -> Option<(String, Style)> {
    let look = app.look;
    Some(match standing {
        Standing::Lost => {
            let silence =
                run.lease().map(|lease| span(app.clock.present().since(lease.renewed_at))).unwrap_or_default();
            (
                format!(
                    "Its worker in pod {}{} has not been heard of for {silence}, and its lease is over: the pod or its connection is gone. It can write nothing once somebody acts. u takes it over{}, c ends it.",
                    run.place().pod,
                    run.worker.as_ref().map_or_else(String::new, |worker| format!(", pid {},", worker.process.pid)),
                    if run.checkpoint.is_some() { " from its checkpoint" } else { "" }
                ),
                look.danger(),
            )
        }
        Standing::Pausing | Standing::Cancelling => {
            (run.wish().map_or_else(String::new, |wish| asked(app, wish)), look.text())
        }
        Standing::Queued => ("Its worker is starting.".to_owned(), look.text()),
        Standing::Paused | Standing::Interrupted | Standing::Failed => {
            let reason = run.reason().unwrap_or_default();
            let next = if run.checkpoint.is_some() { "u resumes it from its checkpoint." } else { "u resumes it." };
            let style = if standing == Standing::Failed { look.danger() } else { look.warning() };
            (format!("{}. {next}", capitalised(&reason)), style)
        }
        Standing::Cancelled => (format!("{}.", capitalised(&run.reason().unwrap_or_default())), look.quiet()),
        Standing::Running | Standing::Succeeded => return None,
    })
}

/// Who asked for a stop, whether it was heard, and what can be done if it does not come.
fn asked(app: &App, wish: &Wish) -> String {
    let (verb, key) = match wish.kind {
        WishKind::Pause => ("pause: it stops at its next checkpoint", "p"),
        WishKind::Cancel => ("cancel: its program is being stopped", "c"),
    };
    let ago = ago(app.clock.present(), wish.at);
    let heard = if wish.heard_at.is_some() { "Its worker has heard it." } else { "Its worker has not heard it yet." };
    let then = match &wish.force {
        Some(force) => {
            format!("Forced by {}: it stands still when its lease is over, at the latest.", force.by.operator)
        }
        None => format!("If it does not stop in time, {key} forces it."),
    };
    format!("Asked by {} {ago} to {verb}. {heard} {then}", wish.by.operator)
}

fn numbers(app: &App, run: &Run, standing: Standing, columns: usize) -> Vec<Line<'static>> {
    let look = app.look;
    let progress = &run.progress;
    let mut lines = Vec::new();
    if let Some(part) = progress.fraction() {
        lines.push(gauge(app, part, standing, columns));
    }
    match (progress.done, progress.total) {
        (Some(done), Some(total)) => lines.push(labelled(
            "done",
            look.quiet(),
            vec![Span::styled(number(done), look.strong()), Span::raw(format!(" of {}{}", about(run), number(total)))],
        )),
        (Some(done), None) => {
            lines.push(labelled("done", look.quiet(), vec![Span::styled(number(done), look.strong())]));
        }
        _ => {}
    }
    if standing.is_live() {
        if let Some(speed) = progress.rate {
            let text = format!("{}/s now, {}/s overall", rate(speed.recent), rate(speed.overall));
            lines.push(labelled("rate", look.quiet(), vec![Span::raw(text)]));
        }
        if let Some((soonest, latest)) = progress.eta() {
            let text = match (span(soonest), span(latest)) {
                (soonest, latest) if soonest == latest => format!("about {soonest}"),
                (soonest, latest) => format!("{soonest} to {latest}"),
            };
            lines.push(labelled("ready in", look.quiet(), vec![Span::raw(text)]));
        }
    }
    lines
}

/// What stands before a total that nobody has counted.
pub(super) fn about(run: &Run) -> &'static str {
    if run.progress.engine.as_ref().is_some_and(|engine| engine.estimated) { "~" } else { "" }
}

/// A bar with its percentage; eighths of a cell where the glyphs allow.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a part of a few hundred cells"
)]
fn gauge(app: &App, part: f64, standing: Standing, columns: usize) -> Line<'static> {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let look = app.look;
    let width = columns.saturating_sub(9).clamp(4, 60);
    let full = |cells: usize, glyph: &str| glyph.repeat(cells);
    let eighths = (part * width as f64 * 8.0) as usize;
    let (done, rest) = if look.ascii {
        (full(eighths / 8, "#"), full(width - eighths / 8, "."))
    } else {
        let partial = EIGHTHS[eighths % 8];
        let used = eighths / 8 + usize::from(!partial.is_empty());
        (full(eighths / 8, "█") + partial, full(width - used, "░"))
    };
    Line::from(vec![
        Span::raw(" "),
        Span::styled(done, look.state(as_state(standing))),
        Span::styled(rest, look.quiet()),
        // Never rounded up: 100 % is said when it is so.
        Span::styled(format!(" {:>3.0} %", (part * 100.0).floor()), look.strong()),
    ])
}

/// The count that must fall to zero, and its way down.
fn left_to_do(app: &App, remaining: &RemainingCount, columns: usize) -> Vec<Line<'static>> {
    let look = app.look;
    let mut spans = vec![Span::styled(number(remaining.count), look.strong())];
    let room = columns.saturating_sub(super::text::LABEL + 2 + spans[0].width() + 2 + 20).min(32);
    if !look.ascii && remaining.history.len() > 1 && room >= 6 {
        spans.push(Span::styled(format!("  {}", sparkline(&remaining.history, room)), look.live()));
    }
    let counted = app.clock.present().since(remaining.at);
    let when = if counted.as_secs() < 60 {
        format!("{} s ago", counted.as_secs())
    } else {
        ago(app.clock.present(), remaining.at)
    };
    spans.push(Span::styled(format!("  counted {when}"), look.quiet()));
    let mut lines = vec![labelled("remaining", look.quiet(), spans)];
    if let Some(since) = remaining.stalled_since {
        let text =
            format!("it has not fallen for {}, although the run goes on", span(app.clock.present().since(since)));
        lines.push(labelled("", look.warning(), vec![Span::styled(text, look.warning())]));
    }
    lines
}

/// The last counts as bars of eighths, from 0 to the highest.
fn sparkline(history: &[i64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &history[history.len().saturating_sub(width)..];
    let highest = shown.iter().copied().max().unwrap_or(0).max(1);
    shown
        .iter()
        .map(|&count| {
            let level = i128::from(count.max(0)) * 7 / i128::from(highest);
            BARS[usize::try_from(level).unwrap_or(0).min(7)]
        })
        .collect()
}

fn who_and_where(app: &App, run: &Run, standing: Standing) -> Vec<Line<'static>> {
    let look = app.look;
    let mut lines = Vec::new();
    if let Some(worker) = &run.worker {
        let mut spans = vec![Span::raw(format!("{}, pid {}", worker.place.pod, worker.process.pid))];
        if let Some(lease) = run.lease().filter(|_| standing.is_live()) {
            let age = app.clock.present().since(lease.renewed_at).as_secs();
            spans.push(Span::styled(format!("  heard of {age} s ago"), look.quiet()));
        }
        lines.push(labelled("worker", look.quiet(), spans));
    }
    let launched = format!("by {}, {}", run.launch.by.operator, ago(app.clock.present(), run.created_at));
    lines.push(labelled(
        "launched",
        look.quiet(),
        vec![Span::raw(launched), Span::styled(format!("  from {}", run.launch.by.place.pod), look.quiet())],
    ));
    let params: Vec<_> = run.launch.params.iter().map(|param| format!("{}={}", param.name, param.value)).collect();
    if !params.is_empty() {
        lines.push(labelled("with", look.quiet(), vec![Span::styled(params.join("  "), Style::new())]));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_falls_with_its_counts() {
        assert_eq!(sparkline(&[800, 400, 0], 10), "█▄▁");
        assert_eq!(sparkline(&[5, 4, 3, 2, 1, 0], 2), "█▁");
        assert_eq!(sparkline(&[0, 0], 4), "▁▁");
    }
}
