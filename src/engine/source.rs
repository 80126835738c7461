//! Where a lane's slices come from.

use std::collections::VecDeque;

use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::{Collection, Cursor};

use crate::catalog::Hint;

use super::fault::Fault;
use super::slice::{Edge, Slice};
use super::walk::{Cut, Walk, id_of};

/// Ids read ahead at a time, at most.
const READ: usize = 10_000;

/// See the module.
pub enum Source {
    /// The collection in the order of `_id`.
    Walk(Walk),
    /// The documents that an index finds, in its order. What is done is no longer found, so that no place in it need be kept.
    Search(Box<Search>),
    /// These documents, one by one.
    List(VecDeque<Bson>),
}

impl Source {
    /// About `count` documents from `from` on; `None` when nothing is left.
    ///
    /// # Errors
    /// See [`Fault::of`].
    pub async fn cut(&mut self, from: &Edge, through: &Bson, count: u32) -> Result<Option<Cut>, Fault> {
        match self {
            Self::Walk(walk) => walk.cut(from, through, count).await.map(Some),
            Self::Search(search) => search.cut(count).await,
            Self::List(ids) => {
                // Done by a batch whose answer was lost.
                if matches!(from, Edge::After(id) if ids.front() == Some(id)) {
                    ids.pop_front();
                }
                Ok(ids.front().map(|id| Cut { slice: Slice::List(vec![id.clone()]), last: id.clone(), count: 1 }))
            }
        }
    }

    /// The cut after `cut`, if it can be known while that one is worked on. Trouble is left for when it is needed.
    pub async fn look_ahead(&self, from: &Edge, through: &Bson, cut: &Cut, count: u32) -> Option<Cut> {
        match self {
            Self::Walk(walk) if count > 0 && cut.last != *through => walk.cut(from, through, count).await.ok(),
            _ => None,
        }
    }

    /// A cut is worked off.
    pub fn done(&mut self, cut: &Cut) {
        let count = match &cut.slice {
            Slice::List(ids) => ids.len(),
            Slice::Range { .. } => return,
        };
        match self {
            Self::Walk(_) => {}
            Self::Search(search) => drop(search.ready.drain(..count.min(search.ready.len()))),
            Self::List(ids) => drop(ids.drain(..count.min(ids.len()))),
        }
    }
}

/// A search by an index.
pub struct Search {
    collection: Collection<RawDocumentBuf>,
    /// `find on shop.orders`, for messages.
    doing: String,
    filter: Document,
    hint: Hint,
    cursor: Option<Cursor<RawDocumentBuf>>,
    /// Ids that were found and are not done.
    ready: VecDeque<Bson>,
    exhausted: bool,
}

impl Search {
    /// For the documents that `filter` selects; `name` is the collection's full name.
    #[must_use]
    pub fn new(collection: Collection<RawDocumentBuf>, name: &str, filter: Document, hint: Hint) -> Self {
        Self {
            collection,
            doing: format!("find on {name}"),
            filter,
            hint,
            cursor: None,
            ready: VecDeque::new(),
            exhausted: false,
        }
    }

    async fn cut(&mut self, count: u32) -> Result<Option<Cut>, Fault> {
        let count = count as usize;
        if self.ready.len() < count
            && !self.exhausted
            && let Err(fault) = self.read(count.max(READ)).await
        {
            // Begun anew it finds what is left, what is ready among it.
            self.cursor = None;
            self.ready.clear();
            return Err(fault);
        }
        let ids: Vec<Bson> = self.ready.iter().take(count).cloned().collect();
        let Some(last) = ids.last().cloned() else { return Ok(None) };
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        Ok(Some(Cut { slice: Slice::List(ids), last, count }))
    }

    async fn read(&mut self, wanted: usize) -> Result<(), Fault> {
        let fault = |error: mongodb::error::Error| Fault::of(&error, &self.doing);
        if self.cursor.is_none() {
            let found =
                self.collection.find(self.filter.clone()).projection(doc! { "_id": 1 }).hint((&self.hint).into());
            self.cursor = Some(found.await.map_err(fault)?);
        }
        let Some(cursor) = &mut self.cursor else { return Ok(()) };
        while self.ready.len() < wanted {
            if !cursor.advance().await.map_err(fault)? {
                self.exhausted = true;
                break;
            }
            self.ready.push_back(id_of(cursor.current())?);
        }
        Ok(())
    }
}
