//! The header: where one is, whether it answers, and how things stand. Never hidden by anything.

use ratatui::buffer::Buffer;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::layout::Layout;
use super::text::{fit, number, span};
use crate::console::app::{App, Belonging};
use crate::console::link::Link;
use crate::ledger::{MigrationState, WrongEnvironment};

pub(super) fn draw(app: &App, layout: &Layout, buffer: &mut Buffer) {
    let area = layout.header;
    let mut place = environment(app);
    let used = place.iter().map(Span::width).sum::<usize>();
    let mut health = health(app);
    if used + health.width() + 1 > usize::from(area.width) && is_fine(app) {
        // Where one is comes first; that all is well needs no word.
        health = Line::styled(app.look.pick("●", "*"), app.look.good());
    }
    let health_width = u16::try_from(health.width()).unwrap_or(0) + 1;
    let room = usize::from(area.width.saturating_sub(health_width)).saturating_sub(used + 4);
    if area.height > 1 && room > 12 {
        place.push(Span::raw("  "));
        place.push(Span::styled(fit(&app.config.ledger.to_string(), room, app.look.pick("…", "~")), app.look.quiet()));
    }
    buffer.set_line(area.x, area.y, &Line::from(place), area.width.saturating_sub(health_width));
    buffer.set_line(area.right().saturating_sub(health_width), area.y, &health, health_width);
    if area.height > 1 {
        // The states come first; of who and where as much as is left.
        let counts = counts(app, usize::from(area.width));
        let room = usize::from(area.width).saturating_sub(counts.width() + 4);
        buffer.set_line(area.x, area.y + 1, &counts, area.width);
        if let Some(who) = who(app, room) {
            let who_width = u16::try_from(who.width()).unwrap_or(0) + 1;
            buffer.set_line(area.right().saturating_sub(who_width), area.y + 1, &who, who_width);
        }
    }
}

/// The environment's name as a block of colour: red where it is protected, yellow where something about it is wrong.
fn environment(app: &App) -> Vec<Span<'static>> {
    let look = app.look;
    let badge = |text: &str, meaning: Style| Span::styled(format!(" {text} "), look.badge(meaning));
    let mut spans = Vec::new();
    match (&app.belonging, app.wrong_environment()) {
        (Belonging::Unknown, _) => {
            let name = app.config.environment.as_ref().map_or("stopover", |name| name.as_str());
            spans.push(badge(name, look.quiet()));
        }
        (_, Some(WrongEnvironment::Unstamped)) if app.config.ledger.is_embedded() => {
            let name = app.config.environment.as_ref().map_or("local", |name| name.as_str());
            spans.push(badge(name, look.accent()));
        }
        (_, Some(WrongEnvironment::Unstamped)) => spans.push(badge("NO PASSPORT YET", look.warning())),
        (_, Some(WrongEnvironment::Mismatch { ledger, here })) => {
            spans.push(badge(ledger.as_str(), look.danger()));
            spans.push(Span::styled(format!(" WRONG ENVIRONMENT: this pod is {here}"), look.danger()));
        }
        (_, Some(WrongEnvironment::OtherCluster { environment, .. })) => {
            spans.push(badge(environment.as_str(), look.danger()));
            spans.push(Span::styled(" OTHER CLUSTER than it was stamped on", look.danger()));
        }
        (Belonging::Known { passport: Some(passport), .. }, None) => {
            let meaning = if passport.protected { look.danger() } else { look.accent() };
            spans.push(badge(passport.environment.as_str(), meaning));
            if passport.protected {
                spans.push(Span::styled(" PROTECTED", look.danger()));
            }
        }
        (Belonging::Known { passport: None, .. }, None) => {}
    }
    if app.config.read_only.is_some() {
        spans.push(Span::raw(" "));
        spans.push(badge("READ-ONLY", look.warning()));
    }
    spans
}

/// Whether there is nothing to say of the ledger.
fn is_fine(app: &App) -> bool {
    let is_fast = matches!(app.link, Link::Healthy { latency } if latency < Link::SLOW);
    is_fast && app.clock.age().is_none_or(|age| age < Link::SILENT)
}

fn health(app: &App) -> Line<'static> {
    let look = app.look;
    let (glyph, text, style) = match &app.link {
        Link::Connecting => (look.pick("◌", "."), "connecting".to_owned(), look.quiet()),
        Link::Healthy { .. } if app.clock.age().is_some_and(|age| age >= Link::SILENT) => {
            let age = app.clock.age().unwrap_or_default().as_secs();
            (look.pick("●", "*"), format!("no answer for {age} s"), look.warning())
        }
        Link::Healthy { latency } if *latency >= Link::SLOW => {
            (look.pick("●", "*"), format!("slow, {} ms", latency.as_millis() / 50 * 50), look.warning())
        }
        Link::Healthy { .. } => (look.pick("●", "*"), "connected".to_owned(), look.good()),
        Link::Away { since, .. } => {
            let age = if let Some(age) = app.clock.age() {
                format!("ledger away, as of {} ago", span(std::time::Duration::from_secs(age.as_secs())))
            } else {
                let waited = app.clock.uptime().saturating_sub(*since).as_secs();
                format!("ledger away for {}", span(std::time::Duration::from_secs(waited)))
            };
            (look.pick("▲", "!"), age, look.danger())
        }
    };
    Line::from(vec![Span::styled(format!("{glyph} {text}"), style)])
}

/// Operator and pod, or at least the operator.
fn who(app: &App, room: usize) -> Option<Line<'static>> {
    let actor = &app.config.actor;
    if app.wall.is_some() {
        // Nobody acts there; where it is stands in the footer.
        return None;
    }
    let whole = format!("{} @ {}", actor.operator, fit(&actor.place.pod, 40, app.look.pick("…", "~")));
    [whole, actor.operator.clone()]
        .into_iter()
        .find(|text| super::text::width(text) <= room)
        .map(|text| Line::styled(text, app.look.quiet()))
}

/// How many migrations stand where; what wants attention first, states that nobody is in left out.
fn counts(app: &App, room: usize) -> Line<'static> {
    const ORDER: [MigrationState; 13] = [
        MigrationState::Running,
        MigrationState::Pausing,
        MigrationState::Cancelling,
        MigrationState::Lost,
        MigrationState::Failed,
        MigrationState::Interrupted,
        MigrationState::Paused,
        MigrationState::Broken,
        MigrationState::Changed,
        MigrationState::Pending,
        MigrationState::Applied,
        MigrationState::Cancelled,
        MigrationState::Missing,
    ];
    let look = app.look;
    let (all, shown) = app.table.len();
    if app.catalog.is_none() {
        return Line::styled(" reading the catalog", look.quiet());
    }
    if app.histories.is_none() {
        return Line::styled(" waiting for the ledger", look.quiet());
    }
    let total = if app.table.filter().is_empty() {
        format!(" {} migrations", number(all.try_into().unwrap_or(i64::MAX)))
    } else {
        format!(" {shown} of {all} migrations")
    };
    let mut spans = vec![Span::styled(total, look.strong())];
    let mut used = spans[0].width();
    for state in ORDER {
        let count = app.table.count(state);
        if count == 0 {
            continue;
        }
        let item = [
            Span::styled(format!("   {} {}", look.glyph(state), number(count.into())), look.state(state)),
            Span::styled(format!(" {state}"), look.quiet()),
        ];
        used += item.iter().map(Span::width).sum::<usize>();
        if used > room {
            break;
        }
        spans.extend(item);
    }
    Line::from(spans)
}
