//! Where everything is on the screen: known to the view, which draws there, and to the update, which scrolls by it.

use ratatui::layout::Rect;

use crate::console::app::{App, Pane};
use crate::console::table::{is_live, wants_attention};
use crate::ledger::MigrationState;

/// The places of the blocks; a block without a place is not shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// Whether nothing useful fits.
    pub too_small: bool,
    /// One line or two.
    pub header: Rect,
    /// The migrations.
    pub table: Option<Rect>,
    /// The selected one.
    pub detail: Option<Rect>,
    /// Between detail and log.
    pub separator: Option<Rect>,
    /// The log.
    pub log: Option<Rect>,
    /// One line for what there is to tell; where there is none, notices take the footer's.
    pub notice: Option<Rect>,
    /// One line of keys.
    pub footer: Rect,
}

/// From this width on, details and log stand side by side.
const SIDE_BY_SIDE: u16 = 100;

impl Layout {
    /// The layout for the model as it is.
    #[must_use]
    pub fn of(app: &App) -> Self {
        let (columns, rows) = app.size;
        if columns < 40 || rows < 8 {
            return Self { too_small: true, ..Self::default() };
        }
        let line = |y, height| Rect::new(0, y, columns, height);
        if app.wall.is_some() {
            return Self::wall(app);
        }
        if columns < 60 || rows < 16 {
            return Self::compact(app, line(0, 1), line(1, rows - 2), line(rows - 1, 1));
        }
        let top = if rows >= 30 { 3 } else { 2 };
        let body = line(top, rows - top - 2);
        let mut layout =
            Self { header: line(0, 2), notice: Some(line(rows - 2, 1)), footer: line(rows - 1, 1), ..Self::default() };
        if app.zoomed {
            layout.place(app.focus, body);
            return layout;
        }
        let (all, _) = app.table.len();
        let wanted = u16::try_from(all).unwrap_or(u16::MAX).saturating_add(2).max(5);
        let table = wanted.min(body.height * 45 / 100);
        layout.table = Some(Rect { height: table, ..body });
        let lower = Rect { y: body.y + table, height: body.height - table, ..body };
        if columns >= SIDE_BY_SIDE {
            layout.side_by_side(lower);
        } else if app.focus == Pane::Log {
            layout.log = Some(lower);
        } else {
            layout.detail = Some(lower);
        }
        layout
    }

    /// What is at work as a list, and below it the one whose turn it is with the end of its log; the list alone where nothing is at work.
    fn wall(app: &App) -> Self {
        let (columns, rows) = app.size;
        let line = |y, height| Rect::new(0, y, columns, height);
        let is_shown = app.selected_id().is_some();
        if columns < 60 || rows < 16 {
            let body = line(1, rows - 2);
            let (table, detail) = if is_shown { (None, Some(body)) } else { (Some(body), None) };
            return Self { header: line(0, 1), table, detail, footer: line(rows - 1, 1), ..Self::default() };
        }
        let top = if rows >= 30 { 3 } else { 2 };
        let body = line(top, rows - top - 2);
        let mut layout =
            Self { header: line(0, 2), notice: Some(line(rows - 2, 1)), footer: line(rows - 1, 1), ..Self::default() };
        if !is_shown {
            let said = u16::try_from(super::wall::at_rest(app, columns).len()).unwrap_or(0);
            let said = if said > 0 { (said + 1).min(body.height / 2) } else { 0 };
            layout.detail = Some(Rect { height: said, ..body });
            layout.table = Some(Rect { y: body.y + said, height: body.height - said, ..body });
            return layout;
        }
        let counted = MigrationState::ALL.into_iter().filter(|&state| is_live(state) || wants_attention(state));
        let wanted = u16::try_from(counted.map(|state| app.table.count(state)).sum::<u32>()).unwrap_or(u16::MAX);
        // Where there is room, some of what was last, too.
        let (more, share) = if rows >= 30 { (4, 35) } else { (1, 30) };
        let all = u16::try_from(app.table.len().0).unwrap_or(u16::MAX).saturating_add(1);
        let table = wanted.saturating_add(more).min(all).clamp(3, body.height * share / 100);
        layout.table = Some(Rect { height: table, ..body });
        let lower = Rect { y: body.y + table, height: body.height - table, ..body };
        if columns >= SIDE_BY_SIDE {
            layout.side_by_side(lower);
            return layout;
        }
        let said = u16::try_from(super::wall::lines(app, columns).len()).unwrap_or(u16::MAX).saturating_add(1);
        // Of the log at least so much that one sees it grow.
        let detail = said.min(lower.height.saturating_sub(4));
        layout.detail = Some(Rect { height: detail, ..lower });
        layout.log = Some(Rect { y: lower.y + detail, height: lower.height - detail, ..lower });
        layout
    }

    fn side_by_side(&mut self, lower: Rect) {
        let left = lower.width * 46 / 100;
        self.detail = Some(Rect { width: left, ..lower });
        self.separator = Some(Rect { x: left, width: 1, y: lower.y + 1, height: lower.height - 1 });
        self.log = Some(Rect { x: left + 1, width: lower.width - left - 1, ..lower });
    }

    /// One pane at a time.
    fn compact(app: &App, header: Rect, body: Rect, footer: Rect) -> Self {
        let mut layout = Self { header, footer, ..Self::default() };
        layout.place(app.focus, body);
        layout
    }

    fn place(&mut self, pane: Pane, area: Rect) {
        match pane {
            Pane::Table => self.table = Some(area),
            Pane::Detail => self.detail = Some(area),
            Pane::Log => self.log = Some(area),
        }
    }

    /// Rows of migrations that are visible.
    #[must_use]
    pub fn table_rows(&self) -> u16 {
        below_title(self.table)
    }

    /// Lines of details that are visible.
    #[must_use]
    pub fn detail_height(&self) -> u16 {
        below_title(self.detail)
    }

    /// Lines of log that are visible.
    #[must_use]
    pub fn log_height(&self) -> u16 {
        below_title(self.log)
    }
}

fn below_title(area: Option<Rect>) -> u16 {
    area.map_or(0, |area| area.height.saturating_sub(1))
}
