//! Dialogs: what will happen, exactly where, before it happens.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::text::{ago, labelled, left, span, wrap};
use crate::catalog::{Entry, Migration, MigrationId, Work};
use crate::console::app::App;
use crate::console::dialog::{Before, Dialog, LaunchDialog};
use crate::console::form::{Field, FieldKind, Form};
use crate::console::keymap::{self, BINDINGS, Command};
use crate::ledger::{MigrationState, Run, Standing, WishKind};
use crate::time::Timestamp;

/// What a dialog shows: a title, its text, and what the keys do.
struct Content {
    title: String,
    tone: Style,
    lines: Vec<Line<'static>>,
    /// Below them and always in sight: what has happened meanwhile, the word of proof, what is wrong.
    pinned: Vec<Line<'static>>,
    /// The line with the cursor, which must be in sight.
    cursor: Option<usize>,
    keys: Vec<(String, String)>,
}

const WIDTH: u16 = 84;

pub(super) fn draw(app: &App, dialog: &Dialog, buffer: &mut Buffer) {
    let screen = *buffer.area();
    let width = screen.width.saturating_sub(2).min(WIDTH);
    let content = content(app, dialog, usize::from(width).saturating_sub(4));
    let wanted = u16::try_from(content.lines.len() + content.pinned.len()).unwrap_or(u16::MAX).saturating_add(4);
    // The header stays visible: where one is must be seen while one decides.
    let room = screen.height.saturating_sub(2);
    let height = wanted.min(room);
    let area = Rect::new((screen.width - width) / 2, 1 + (room - height) / 2, width, height);
    Clear.render(area, buffer);
    frame(app, area, &content.title, content.tone, buffer);
    let inner = Rect::new(area.x + 1, area.y + 1, width.saturating_sub(2), height.saturating_sub(4));
    // A field that has the cursor keeps two lines, whatever else there is to say.
    let kept = if content.cursor.is_some() { 2 } else { 0 };
    let below = u16::try_from(content.pinned.len()).unwrap_or(u16::MAX).min(inner.height.saturating_sub(kept));
    let body = Rect { height: inner.height - below, ..inner };
    let pinned = Rect { y: body.bottom(), height: below, ..inner };
    // Should not even that fit, its end matters most: there one types.
    super::scrolled(app, pinned, &content.pinned, u16::MAX, buffer);
    let hidden = content.cursor.map_or(0, |line| (line + 2).saturating_sub(body.height.into()));
    super::scrolled(app, body, &content.lines, u16::try_from(hidden).unwrap_or(u16::MAX), buffer);
    let rule = app.look.pick("─", "-").repeat(usize::from(width).saturating_sub(2));
    buffer.set_string(area.x + 1, area.bottom().saturating_sub(3), rule, app.look.quiet());
    let mut keys = vec![Span::raw(" ")];
    for (key, word) in content.keys {
        keys.push(Span::styled(key, app.look.accent()));
        keys.push(Span::raw(format!(" {word}    ")));
    }
    buffer.set_line(area.x + 1, area.bottom().saturating_sub(2), &Line::from(keys), width.saturating_sub(2));
}

/// A light border with a title on it.
pub(super) fn frame(app: &App, area: Rect, title: &str, tone: Style, buffer: &mut Buffer) {
    use ratatui::widgets::{Block, BorderType};
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(tone.remove_modifier(ratatui::style::Modifier::REVERSED))
        .title(Line::styled(format!(" {title} "), tone));
    block.render(area, buffer);
    if app.look.ascii {
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                let plain = match buffer[(x, y)].symbol() {
                    "─" => "-",
                    "│" => "|",
                    "╭" | "╮" | "╰" | "╯" => "+",
                    _ => continue,
                };
                buffer[(x, y)].set_symbol(plain);
            }
        }
    }
}

fn content(app: &App, dialog: &Dialog, columns: usize) -> Content {
    match dialog {
        Dialog::Launch(launch) => launching(app, launch, columns),
        Dialog::Resume { run, standing, changed, form, .. } => resuming(app, run, *standing, *changed, form, columns),
        Dialog::Stop { run, migration, kind, by_force: true, form, .. } => {
            forcing(app, &run.short(), migration, *kind, form, columns)
        }
        Dialog::Stop { run, migration, standing, kind, form, .. } => {
            stopping(app, &run.short(), migration, *standing, *kind, form, columns)
        }
        Dialog::Tune { run, migration, form, .. } => tuning(app, &run.short(), migration, form, columns),
        Dialog::Stamp { form, .. } => stamping(app, form, columns),
        Dialog::Refusal { title, text, ways_out } => refusing(app, title, text, ways_out, columns),
    }
}

/// Collects lines, and remembers where the cursor is.
struct Writer<'a> {
    app: &'a App,
    columns: usize,
    lines: Vec<Line<'static>>,
    pinned: Vec<Line<'static>>,
    cursor: Option<usize>,
}

impl<'a> Writer<'a> {
    fn new(app: &'a App, columns: usize) -> Self {
        Self { app, columns, lines: Vec::new(), pinned: Vec::new(), cursor: None }
    }

    fn gap(&mut self) {
        self.lines.push(Line::default());
    }

    fn say(&mut self, text: &str, style: Style) {
        self.lines.extend(wrap(text, self.columns).into_iter().map(|line| Line::styled(format!(" {line}"), style)));
    }

    fn fact(&mut self, label: &str, value: &str) {
        for (index, line) in wrap(value, self.columns.saturating_sub(12)).into_iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            self.lines.push(labelled(label, self.app.look.quiet(), vec![Span::raw(line)]));
        }
    }

    fn spans(&mut self, label: &str, spans: Vec<Span<'static>>) {
        self.lines.push(labelled(label, self.app.look.quiet(), spans));
    }

    /// Where it will happen: the part that is in every dialog that acts.
    fn place(&mut self) {
        let app = self.app;
        let look = app.look;
        let name = match app.passport() {
            Some(passport) => passport.environment.to_string(),
            None => app.config.environment.as_ref().map_or_else(|| "local".to_owned(), ToString::to_string),
        };
        let meaning = if app.is_protected() { look.danger() } else { look.accent() };
        let mut environment = vec![Span::styled(name, look.badge(meaning))];
        if app.is_protected() {
            environment.push(Span::styled(" PROTECTED", look.danger()));
        } else if app.passport().is_none() {
            environment.push(Span::styled("  this embedded ledger will be stamped so", look.quiet()));
        }
        self.spans("where", environment);
        let database = app
            .config
            .database
            .as_ref()
            .map_or_else(|| "none (MONGODB_URI is not set)".to_owned(), |uri| crate::secret::mask_uri(uri.expose()));
        self.fact("database", &database);
        self.fact("ledger", &app.config.ledger.to_string());
        let place = &app.config.actor.place;
        let image = place.image.as_ref().map_or_else(String::new, |image| format!(", image {image}"));
        self.fact("pod", &format!("{}{image}", place.pod));
        self.fact("as", &app.config.actor.operator);
    }

    fn form(&mut self, form: &Form) {
        for (index, field) in form.fields.iter().enumerate() {
            if matches!(field.kind, FieldKind::Proof { .. }) {
                continue;
            }
            self.field(field, index == form.focus);
        }
        if let Some(news) = &form.news {
            self.pin(news, self.app.look.warning());
        }
        for (index, field) in form.fields.iter().enumerate() {
            if let FieldKind::Proof { input, expected } = &field.kind {
                let focused = index == form.focus;
                let look = self.app.look;
                let what = match expected.as_str() {
                    "again" | "override" | "changed" => "the word",
                    _ => "its name,",
                };
                self.pin(&format!("To go on, type {what} `{expected}`:"), look.strong());
                let mut spans =
                    vec![Span::styled(if focused { look.pick(" ▸ ", " > ") } else { "   " }, look.accent())];
                spans.extend(super::footer::typed(input, None, focused));
                if input.value().trim() == expected {
                    spans.push(Span::styled(look.pick("  ✓", "  ok"), look.good()));
                }
                self.pinned.push(Line::from(spans));
            }
        }
        if let Some(problem) = &form.problem {
            self.pin(problem, self.app.look.danger());
        }
    }

    /// As [`Self::say`], where it is always in sight.
    fn pin(&mut self, text: &str, style: Style) {
        if self.pinned.is_empty() && self.app.size.1 >= 24 {
            self.pinned.push(Line::default());
        }
        self.pinned.extend(wrap(text, self.columns).into_iter().map(|line| Line::styled(format!(" {line}"), style)));
    }

    fn field(&mut self, field: &Field, focused: bool) {
        let look = self.app.look;
        let style = if focused { look.accent() } else { look.quiet() };
        let mut spans = vec![
            Span::styled(if focused { look.pick(" ▸ ", " > ") } else { "   " }, look.accent()),
            Span::styled(left(&field.name, 14, look.pick("…", "~")), style),
            Span::raw(" "),
        ];
        match &field.kind {
            FieldKind::Text { input, secret } => {
                let mask = secret.then_some(look.pick('•', '*'));
                spans.extend(super::footer::typed(input, mask, focused));
            }
            FieldKind::Choice { options, chosen } => {
                for (index, option) in options.iter().enumerate() {
                    let is_chosen = *chosen == Some(index);
                    let mark = if is_chosen { look.pick("(•)", "(*)") } else { "( )" };
                    let style = if is_chosen { look.strong() } else { Style::new() };
                    spans.push(Span::styled(format!("{mark} {option}  "), style));
                }
            }
            FieldKind::Proof { .. } => {}
        }
        if !field.hint.is_empty() {
            spans.push(Span::styled(format!("   {}", field.hint), look.quiet()));
        }
        if focused {
            self.cursor = Some(self.lines.len());
        }
        self.lines.push(Line::from(spans));
    }

    fn finish(self, title: String, tone: Style, form: &Form, verb: &str) -> Content {
        let keys = if form.sending {
            vec![(String::new(), "Sent; waiting for the ledger's answer.".to_owned())]
        } else {
            let mut keys = vec![("enter".to_owned(), verb.to_owned()), ("esc".to_owned(), "leave as it is".to_owned())];
            if form.fields.len() > 1 {
                keys.push(("tab".to_owned(), "next field".to_owned()));
            }
            keys
        };
        Content { title, tone, lines: self.lines, pinned: self.pinned, cursor: self.cursor, keys }
    }
}

fn launching(app: &App, launch: &LaunchDialog, columns: usize) -> Content {
    let look = app.look;
    let id = &launch.migration;
    let mut writer = Writer::new(app, columns);
    writer.gap();
    if let Some(Entry::Ready(migration)) = app.entry(id) {
        writer.say(&migration.description, look.text());
        if !migration.description.is_empty() {
            writer.gap();
        }
    }
    match &launch.before {
        Before::Nothing => {}
        Before::Applied { at, run } => {
            let when = ago(app.clock.present(), *at);
            writer.say(
                &format!(
                    "It is applied already: run {run} succeeded {when}, on {}. This runs it AGAIN, from the start.",
                    moment(*at)
                ),
                look.warning(),
            );
            writer.gap();
        }
        Before::Checkpoint { run } => {
            writer.say(
                &format!("Run {run} left a checkpoint. This does NOT use it: it starts over, from the beginning."),
                look.warning(),
            );
            writer.gap();
        }
    }
    writer.place();
    if let Some(Entry::Ready(migration)) = app.entry(id) {
        work(&mut writer, migration, launch.before.is_rerun());
    }
    requirements(&mut writer, app, launch);
    if launch.repeats {
        writer.gap();
        writer.say(
            "A step of it is not idempotent: documents that an earlier run has changed are changed AGAIN. Running it now OVERRIDES the guard against that, and the ledger records that you did.",
            look.danger(),
        );
    }
    if launch.form.fields.iter().any(|field| !matches!(field.kind, FieldKind::Proof { .. })) {
        writer.gap();
    }
    writer.form(&launch.form);
    writer.gap();
    writer.say("It runs detached: closing this console or losing the connection does not stop it.", look.quiet());
    let (title, verb) = if launch.before.is_rerun() {
        (format!("Run again: {id}"), "run it again")
    } else {
        (format!("Run {id}"), "run it")
    };
    let risky = app.is_protected() || launch.before.is_rerun() || !launch.missing.is_empty();
    let tone = if app.is_protected() {
        look.danger()
    } else if risky {
        look.warning().add_modifier(ratatui::style::Modifier::BOLD)
    } else {
        look.accent()
    };
    writer.finish(title, tone, &launch.form, verb)
}

/// A point in time for people, to the minute.
fn moment(at: Timestamp) -> String {
    at.utc().format("%Y-%m-%d %H:%M UTC").to_string()
}

fn work(writer: &mut Writer<'_>, migration: &Migration, rerun: bool) {
    match &migration.work {
        Work::Executable(template) => {
            writer.fact("command", &template.render(&migration.id, rerun).join(" "));
            writer.fact("in", &template.directory.display().to_string());
        }
        Work::Steps(steps) => {
            for (index, title) in steps.titles().iter().enumerate() {
                writer.fact(if index == 0 { "steps" } else { "" }, title);
            }
        }
    }
    if let Some(timeout) = migration.timeout {
        writer.fact("timeout", &span(timeout));
    }
}

fn requirements(writer: &mut Writer<'_>, app: &App, launch: &LaunchDialog) {
    let Some(Entry::Ready(migration)) = app.entry(&launch.migration) else { return };
    for (index, required) in migration.requires.iter().enumerate() {
        let unmet = launch.missing.iter().find(|(id, _)| id == required);
        let state = unmet.map_or(MigrationState::Applied, |(_, state)| *state);
        let mut spans = vec![
            Span::styled(format!("{} ", app.look.glyph(state)), app.look.state(state)),
            Span::raw(required.to_string()),
        ];
        if unmet.is_some() {
            spans.push(Span::styled(format!("  {state}"), app.look.warning()));
        }
        writer.spans(if index == 0 { "requires" } else { "" }, spans);
    }
    if !launch.missing.is_empty() {
        writer.gap();
        writer.say(
            "What it requires is not applied. Running it now OVERRIDES that, and the ledger records that you did.",
            app.look.danger(),
        );
    }
}

fn resuming(app: &App, run: &Run, standing: Standing, changed: bool, form: &Form, columns: usize) -> Content {
    let look = app.look;
    let mut writer = Writer::new(app, columns);
    writer.gap();
    let from =
        if run.checkpoint.is_some() { "from its checkpoint" } else { "without a checkpoint: its program starts over" };
    let what = match standing {
        Standing::Lost => format!(
            "Run {} is lost: its worker in pod {} has not been heard of. This takes it over as attempt {}, {from}. Should the old worker still live, it can write nothing more to the ledger and stops.",
            run.id.short(),
            run.place().pod,
            run.attempt + 1
        ),
        _ => format!("Run {} is {standing}. This continues it as attempt {}, {from}.", run.id.short(), run.attempt + 1),
    };
    writer.say(&what, if standing == Standing::Lost { look.warning() } else { look.text() });
    if changed {
        writer.say(
            "Its file has changed since it was launched. The next attempt executes what the file says NOW, and the ledger records that you accepted it.",
            look.warning(),
        );
    }
    writer.gap();
    writer.place();
    let command = match app.entry(&run.migration) {
        Some(Entry::Ready(migration)) if changed => migration.work.words(&migration.id, run.launch.rerun),
        _ => run.launch.command.clone(),
    };
    writer.fact("command", &command.join(" "));
    let params: Vec<_> = run
        .launch
        .params
        .iter()
        .filter(|param| !param.secret)
        .map(|param| format!("{}={}", param.name, param.value))
        .collect();
    if !params.is_empty() {
        writer.fact("params", &params.join("  "));
    }
    if run.launch.params.iter().any(|param| param.secret) {
        writer.gap();
        writer.say("Secret params are not stored; give them again:", look.text());
    }
    writer.form(form);
    let (title, verb) = if standing == Standing::Lost {
        (format!("Take over {}", run.migration), "take it over")
    } else {
        (format!("Resume {}", run.migration), "resume it")
    };
    let tone = if app.is_protected() { look.danger() } else { look.accent() };
    writer.finish(title, tone, form, verb)
}

fn stopping(
    app: &App,
    run: &str,
    migration: &MigrationId,
    standing: Standing,
    kind: WishKind,
    form: &Form,
    columns: usize,
) -> Content {
    let look = app.look;
    let mut writer = Writer::new(app, columns);
    writer.gap();
    let held = matches!(standing, Standing::Running | Standing::Pausing);
    let (title, verb, what, tone) = match kind {
        WishKind::Pause => (
            format!("Pause {migration}"),
            "pause it",
            format!(
                "Run {run} is asked to stop at its next checkpoint. A paused run holds no process and survives the pod; u resumes it. A program that does not stop within {} is killed.",
                span(app.config.grace)
            ),
            look.accent(),
        ),
        WishKind::Cancel if held => (
            format!("Cancel {migration}"),
            "cancel it for good",
            format!(
                "Run {run} is stopped for good: it cannot be resumed. What it has done so far stays done. A program that does not stop within {} is killed. To go on later, pause it instead.",
                span(app.config.grace)
            ),
            look.danger(),
        ),
        WishKind::Cancel => (
            format!("Cancel {migration}"),
            "cancel it for good",
            format!(
                "Run {run} is {standing}. Cancelling gives it up: it cannot be resumed. What it has done so far stays done."
            ),
            look.danger(),
        ),
    };
    writer.say(&what, look.text());
    writer.gap();
    writer.place();
    writer.form(form);
    writer.finish(title, tone, form, verb)
}

fn forcing(app: &App, run: &str, migration: &MigrationId, kind: WishKind, form: &Form, columns: usize) -> Content {
    let look = app.look;
    let mut writer = Writer::new(app, columns);
    writer.gap();
    let then = match kind {
        WishKind::Pause => "can be taken over then",
        WishKind::Cancel => "can be cancelled at once then",
    };
    writer.say(
        &format!(
            "Run {run} was asked to {} and has not stopped in time. Force ends its program at once, wherever it is. If its worker does not hear that either, the run is lost when its lease is over, and {then}.",
            kind.verb()
        ),
        look.text(),
    );
    writer.gap();
    writer.place();
    writer.form(form);
    writer.finish(format!("Force {migration} to {}", kind.verb()), look.danger(), form, "end its program now")
}

fn tuning(app: &App, run: &str, migration: &MigrationId, form: &Form, columns: usize) -> Content {
    let look = app.look;
    let mut writer = Writer::new(app, columns);
    writer.gap();
    writer.say(
        &format!("How fast run {run} may go, for as long as it lasts. Its worker follows within a second or two, and what was changed so far stays."),
        look.text(),
    );
    writer.gap();
    writer.place();
    writer.gap();
    writer.form(form);
    let tone = if app.is_protected() { look.danger() } else { look.accent() };
    writer.finish(format!("Speed of {migration}"), tone, form, "set it")
}

fn stamping(app: &App, form: &Form, columns: usize) -> Content {
    let look = app.look;
    let mut writer = Writer::new(app, columns);
    writer.gap();
    writer.say(
        "This ledger has no passport yet: nothing says which environment it belongs to. Stamp it once; from then on a console of another environment can look, but not launch.",
        look.text(),
    );
    writer.gap();
    writer.fact("ledger", &app.config.ledger.to_string());
    let here = app
        .config
        .environment
        .as_ref()
        .map_or_else(|| "STOPOVER_ENVIRONMENT is not set".to_owned(), |here| format!("{here} (STOPOVER_ENVIRONMENT)"));
    writer.fact("this is", &here);
    writer.gap();
    writer.form(form);
    writer.finish(
        "Which environment is this?".to_owned(),
        look.warning().add_modifier(ratatui::style::Modifier::BOLD),
        form,
        "stamp it",
    )
}

fn refusing(app: &App, title: &str, text: &str, ways_out: &[(Command, &'static str)], columns: usize) -> Content {
    let mut writer = Writer::new(app, columns);
    writer.gap();
    writer.say(text, app.look.text());
    if !ways_out.is_empty() {
        writer.gap();
    }
    for (command, what) in ways_out {
        let key = BINDINGS
            .iter()
            .find(|binding| binding.command == *command && binding.contexts.contains(&keymap::Context::Table))
            .map_or_else(String::new, |binding| binding.keys[0].label());
        writer.lines.push(Line::from(vec![
            Span::styled(format!("   {} ", left(&key, 6, "")), app.look.accent()),
            Span::raw(*what),
        ]));
    }
    writer.gap();
    Content {
        title: title.to_owned(),
        tone: app.look.warning().add_modifier(ratatui::style::Modifier::BOLD),
        lines: writer.lines,
        pinned: Vec::new(),
        cursor: None,
        keys: vec![("esc".to_owned(), "close".to_owned())],
    }
}
