//! The rows of the table: one compact record per migration, a view of them (filtered and sorted), and the place in it.

use crate::catalog::{Catalog, MigrationId};
use crate::ledger::{Histories, MigrationState};
use crate::time::Timestamp;

use super::filter::Filter;

/// One migration, known from the catalog, the ledger or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub id: MigrationId,
    /// Where it stands.
    pub state: MigrationState,
    /// When it was last launched or changed its state, in milliseconds; 0 for never.
    touched: i64,
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By id: the order of work. Rows never move under the cursor.
    #[default]
    Id,
    /// What was touched last comes first.
    Recent,
    /// What wants an operator comes first, then what is at work.
    Attention,
    /// What is at work comes first, then what wants an operator, then what was touched last: what a wall display shows.
    AtWork,
}

impl Sort {
    /// The next order.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Id => Self::Recent,
            Self::Recent => Self::Attention,
            Self::Attention | Self::AtWork => Self::Id,
        }
    }

    /// What it is called on the screen.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Id => "by name",
            Self::Recent => "latest first",
            Self::Attention => "attention first",
            Self::AtWork => "at work first",
        }
    }
}

/// How urgently a state wants an operator; lower is more urgent.
fn urgency(state: MigrationState) -> u8 {
    match state {
        MigrationState::Lost => 0,
        MigrationState::Failed => 1,
        MigrationState::Interrupted => 2,
        MigrationState::Paused => 3,
        MigrationState::Broken => 4,
        MigrationState::Running | MigrationState::Pausing | MigrationState::Cancelling => 5,
        MigrationState::Changed => 6,
        MigrationState::Pending => 7,
        MigrationState::Cancelled => 8,
        MigrationState::Missing => 9,
        MigrationState::Applied => 10,
    }
}

/// Whether an operator should look at it.
#[must_use]
pub fn wants_attention(state: MigrationState) -> bool {
    urgency(state) <= 4
}

/// Whether a process may be at work on it.
#[must_use]
pub fn is_live(state: MigrationState) -> bool {
    matches!(state, MigrationState::Running | MigrationState::Pausing | MigrationState::Cancelling)
}

/// The table of migrations.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// All rows, by id.
    rows: Vec<Row>,
    /// Indices into `rows`: what the filter lets pass, in order.
    view: Vec<u32>,
    /// Index into `view`.
    selected: usize,
    /// The first visible index of `view`.
    offset: usize,
    /// What the filter says, as typed.
    filter: String,
    sort: Sort,
    counts: [u32; MigrationState::ALL.len()],
    /// Characters of the longest id.
    widest: usize,
}

impl Table {
    /// Makes the rows anew from catalog and ledger, keeping the selected migration selected.
    pub fn rebuild(&mut self, catalog: Option<&Catalog>, histories: &Histories, judged_at: Timestamp) {
        let first_time = self.rows.is_empty();
        let kept = self.selected().map(|row| row.id.clone());
        let entries = catalog.map_or(&[][..], |catalog| &catalog.entries);
        let row = |id: &MigrationId, entry| {
            let history = histories.get(id);
            let state = MigrationState::of(entry, history, judged_at);
            Row { id: id.clone(), state, touched: touched(history) }
        };
        self.rows = entries.iter().map(|entry| row(entry.id(), Some(entry))).collect();
        // Until the catalog is read, nothing can be called missing.
        if let Some(catalog) = catalog {
            self.rows.extend(histories.keys().filter(|id| catalog.entry(id).is_none()).map(|id| row(id, None)));
        }
        self.rows.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        self.widest = self.rows.iter().map(|row| row.id.as_str().len()).max().unwrap_or(0);
        self.arrange(catalog);
        match kept {
            Some(id) => self.select(&id),
            None if first_time => self.select_first_of_interest(),
            None => {}
        }
    }

    /// Judges one migration anew. Answers whether anything changed.
    pub fn refresh(
        &mut self,
        id: &MigrationId,
        catalog: Option<&Catalog>,
        histories: &Histories,
        judged_at: Timestamp,
    ) -> bool {
        let entry = catalog.and_then(|catalog| catalog.entry(id));
        let history = histories.get(id);
        let Ok(index) = self.rows.binary_search_by(|row| row.id.cmp(id)) else {
            if catalog.is_some() {
                self.rebuild(catalog, histories, judged_at);
            }
            return true;
        };
        let new =
            Row { id: id.clone(), state: MigrationState::of(entry, history, judged_at), touched: touched(history) };
        if self.rows[index] == new {
            return false;
        }
        self.rows[index] = new;
        let kept = self.selected().map(|row| row.id.clone());
        self.arrange(catalog);
        if let Some(id) = kept {
            self.select(&id);
        }
        true
    }

    /// The ids of what may be at work: their state can change by time alone.
    #[must_use]
    pub fn live(&self) -> Vec<MigrationId> {
        self.rows.iter().filter(|row| is_live(row.state)).map(|row| row.id.clone()).collect()
    }

    /// Filters and sorts; counts by state.
    fn arrange(&mut self, catalog: Option<&Catalog>) {
        let filter = Filter::new(&self.filter);
        self.counts = [0; MigrationState::ALL.len()];
        for row in &self.rows {
            self.counts[row.state as usize] += 1;
        }
        let passes = |row: &Row| filter.matches(&row.id, row.state, catalog.and_then(|catalog| catalog.entry(&row.id)));
        self.view = (0u32..).zip(&self.rows).filter(|(_, row)| passes(row)).map(|(index, _)| index).collect();
        let rows = &self.rows;
        let row = |index: u32| &rows[index as usize];
        match self.sort {
            Sort::Id => {}
            // Both sorts are stable: equals stay in the order of work.
            Sort::Recent => self.view.sort_by_key(|&index| std::cmp::Reverse(row(index).touched)),
            Sort::Attention => self.view.sort_by_key(|&index| urgency(row(index).state)),
            Sort::AtWork => self.view.sort_by_key(|&index| {
                let Row { state, touched, .. } = row(index);
                let class = match *state {
                    state if is_live(state) => 0,
                    state if wants_attention(state) => 1 + urgency(state),
                    _ => u8::MAX,
                };
                // Those at work keep the order of their turns.
                (class, std::cmp::Reverse(if class == 0 { 0 } else { *touched }))
            }),
        }
        self.selected = self.selected.min(self.view.len().saturating_sub(1));
    }

    /// Sets the filter, keeping the selection where that is still shown.
    pub fn set_filter(&mut self, text: &str, catalog: Option<&Catalog>) {
        let kept = self.selected().map(|row| row.id.clone());
        text.clone_into(&mut self.filter);
        self.selected = 0;
        self.arrange(catalog);
        if let Some(id) = kept {
            self.select(&id);
        }
    }

    /// The order of rows that are yet to come.
    pub fn sort_by(&mut self, sort: Sort) {
        self.sort = sort;
    }

    /// Goes on to the next order, keeping the selection.
    pub fn cycle_sort(&mut self, catalog: Option<&Catalog>) {
        let kept = self.selected().map(|row| row.id.clone());
        self.sort = self.sort.next();
        self.arrange(catalog);
        if let Some(id) = kept {
            self.select(&id);
        }
    }

    /// Selects a migration, if it is shown.
    pub fn select(&mut self, id: &MigrationId) {
        if let Some(index) = self.view.iter().position(|&index| self.rows[index as usize].id == *id) {
            self.selected = index;
        }
    }

    /// At the start the cursor stands on what an operator comes for: what is at work, what went wrong, what is to be done next.
    fn select_first_of_interest(&mut self) {
        let first = |wanted: fn(MigrationState) -> bool| {
            self.view.iter().position(|&index| wanted(self.rows[index as usize].state))
        };
        let found = first(is_live)
            .or_else(|| first(wants_attention))
            .or_else(|| first(|state| matches!(state, MigrationState::Pending | MigrationState::Changed)));
        self.selected = found.unwrap_or(self.view.len().saturating_sub(1));
    }

    /// Moves the selection to the next row that wants attention, from the top again after the last.
    pub fn select_next_wanting_attention(&mut self) -> bool {
        let rows = self.view.len();
        let next = (1..=rows).map(|step| (self.selected + step) % rows.max(1)).find(|&index| {
            let state = self.rows[self.view[index] as usize].state;
            wants_attention(state) || is_live(state)
        });
        if let Some(index) = next {
            self.selected = index;
        }
        next.is_some()
    }

    /// Moves the selection by so many rows, stopping at the ends.
    pub fn step(&mut self, rows: isize) {
        self.selected = self.selected.saturating_add_signed(rows).min(self.view.len().saturating_sub(1));
    }

    /// Keeps the selection within a window of so many rows.
    pub fn keep_in_sight(&mut self, height: usize) {
        let height = height.max(1);
        // Two rows of context where there is room, so that one sees what comes next.
        let context = if height > 6 { 2 } else { 0 };
        let lowest = (self.selected + 1 + context).min(self.view.len()).saturating_sub(height);
        let highest = self.selected.saturating_sub(context);
        self.offset = self.offset.clamp(lowest, highest.max(lowest)).min(self.view.len().saturating_sub(height));
    }

    /// The selected row.
    #[must_use]
    pub fn selected(&self) -> Option<&Row> {
        self.view.get(self.selected).map(|&index| &self.rows[index as usize])
    }

    /// The rows in a window of so many, and whether each is the selected one.
    pub fn window(&self, height: usize) -> impl Iterator<Item = (&Row, bool)> {
        self.view
            .iter()
            .enumerate()
            .skip(self.offset)
            .take(height)
            .map(|(index, &row)| (&self.rows[row as usize], index == self.selected))
    }

    /// How many rows have this state.
    #[must_use]
    pub fn count(&self, state: MigrationState) -> u32 {
        self.counts[state as usize]
    }

    /// How many rows there are, and how many the filter lets pass.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.rows.len(), self.view.len())
    }

    /// Characters of the longest id, shown or not, so that columns do not move as one scrolls.
    #[must_use]
    pub fn widest(&self) -> usize {
        self.widest
    }

    /// The first visible row, for a scroll bar.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The filter as typed.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// The order.
    #[must_use]
    pub fn sort(&self) -> Sort {
        self.sort
    }
}

/// When the latest run was launched or came to stand still.
fn touched(history: Option<&crate::ledger::History>) -> i64 {
    history
        .and_then(|history| history.latest.as_ref())
        .map_or(0, |run| run.ended_at().unwrap_or(run.created_at).as_millis())
}
