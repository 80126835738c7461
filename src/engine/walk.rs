//! Cutting a collection into slices by the index on `_id`: exact, for ids of any type, without reading a document.

use bson::{Bson, RawDocumentBuf, doc};
use mongodb::Collection;
use mongodb::options::Hint;

use super::fault::{Fault, server_error};
use super::slice::{Edge, Slice};

/// What the server answers to a lower bound that is not below the upper one.
const EMPTY_BOUNDS: i32 = 51_175;

/// A slice that was cut.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// The documents.
    pub slice: Slice,
    /// The last id of the slice.
    pub last: Bson,
    /// About how many documents there are, at most.
    pub count: u32,
}

/// Walks a collection.
#[derive(Clone)]
pub struct Walk {
    collection: Collection<RawDocumentBuf>,
    /// `find on shop.orders`, for messages.
    doing: String,
}

impl Walk {
    /// Of a collection; `name` is its full name.
    #[must_use]
    pub fn new(collection: Collection<RawDocumentBuf>, name: &str) -> Self {
        Self { collection, doing: format!("find on {name}") }
    }

    fn fault(&self) -> impl Fn(mongodb::error::Error) -> Fault {
        |error| Fault::of(&error, &self.doing)
    }

    /// The lowest and the highest id; `None` for an empty collection.
    ///
    /// # Errors
    /// See [`Fault::of`].
    pub async fn ends(&self) -> Result<Option<(Bson, Bson)>, Fault> {
        let end = |order: i32| {
            let first = self.collection.find_one(doc! {}).sort(doc! { "_id": order }).projection(doc! { "_id": 1 });
            first.hint(Hint::Keys(doc! { "_id": 1 }))
        };
        let (first, last) = (end(1).await.map_err(self.fault())?, end(-1).await.map_err(self.fault())?);
        first.zip(last).map(|(first, last)| Ok((id_of(&first)?, id_of(&last)?))).transpose()
    }

    /// About `parts` ids that divide the collection into parts of similar size, in order. They may be off by half; that is good enough to share the
    /// work out.
    ///
    /// # Errors
    /// See [`Fault::of`].
    pub async fn divide(&self, parts: u32) -> Result<Vec<Bson>, Fault> {
        const SAMPLES: u32 = 10;
        let sample = [
            doc! { "$sample": { "size": i64::from(parts * SAMPLES) } },
            doc! { "$project": { "_id": 1 } },
            doc! { "$sort": { "_id": 1 } },
        ];
        let mut found = self.collection.aggregate(sample).with_type::<RawDocumentBuf>().await.map_err(self.fault())?;
        let mut ids = Vec::new();
        while found.advance().await.map_err(self.fault())? {
            ids.push(id_of(found.current())?);
        }
        let mut ids: Vec<Bson> = ids.into_iter().skip(SAMPLES as usize - 1).step_by(SAMPLES as usize).collect();
        ids.dedup();
        Ok(ids)
    }

    /// The slice of about `count` documents that begins at `from` and does not go beyond `through`. One of a single document is exact.
    ///
    /// # Errors
    /// See [`Fault::of`].
    pub async fn cut(&self, from: &Edge, through: &Bson, count: u32) -> Result<Cut, Fault> {
        let skipped = match from {
            Edge::At(_) => count.saturating_sub(1),
            // The id that it begins after is the first that the index has. If it was deleted, there is one document more: no harm, except that
            // a single one must be the one that is meant.
            Edge::After(id) if count == 1 => u32::from(self.nth(from, through, 0).await?.as_ref() == Some(id)),
            Edge::After(_) => count,
        };
        let last = self.nth(from, through, skipped).await?.unwrap_or_else(|| through.clone());
        let slice = match Slice::range(from.clone(), last.clone()) {
            // What may yet be inserted before it is not meant.
            _ if count == 1 => Slice::List(vec![last.clone()]),
            Some(slice) => slice,
            None => Slice::List(self.list(from, &last).await?),
        };
        Ok(Cut { slice, last, count })
    }

    /// The id that comes so many after `from`, itself included, if it comes before `through`.
    async fn nth(&self, from: &Edge, through: &Bson, skipped: u32) -> Result<Option<Bson>, Fault> {
        let found = self
            .collection
            .find_one(doc! {})
            .projection(doc! { "_id": 1 })
            .hint(Hint::Keys(doc! { "_id": 1 }))
            .min(doc! { "_id": from.id() })
            .max(doc! { "_id": through })
            .skip(u64::from(skipped));
        match found.await {
            Ok(document) => document.map(|document| id_of(&document)).transpose(),
            // The bounds are the same id: there is nothing between them.
            Err(error) if server_error(&error).is_some_and(|(code, ..)| code == EMPTY_BOUNDS) => Ok(None),
            Err(error) => Err(self.fault()(error)),
        }
    }

    /// The ids from `from` through `last`.
    async fn list(&self, from: &Edge, last: &Bson) -> Result<Vec<Bson>, Fault> {
        if from.id() == last {
            return Ok(vec![last.clone()]);
        }
        let found = self
            .collection
            .find(doc! {})
            .projection(doc! { "_id": 1 })
            .hint(Hint::Keys(doc! { "_id": 1 }))
            .min(doc! { "_id": from.id() })
            .max(doc! { "_id": last })
            .await;
        let mut found = match found {
            // What it begins after is no longer below it.
            Err(error) if server_error(&error).is_some_and(|(code, ..)| code == EMPTY_BOUNDS) => {
                return Ok(vec![last.clone()]);
            }
            found => found.map_err(self.fault())?,
        };
        let mut ids = Vec::new();
        while found.advance().await.map_err(self.fault())? {
            ids.push(id_of(found.current())?);
        }
        if let Edge::After(id) = from {
            ids.retain(|found| found != id);
        }
        ids.push(last.clone());
        Ok(ids)
    }
}

/// The id of a document.
///
/// # Errors
/// [`Fault::Fatal`] when it has none, or one that this version cannot read.
pub fn id_of(document: &bson::RawDocument) -> Result<Bson, Fault> {
    match document.get("_id") {
        Ok(Some(id)) => Bson::try_from(id).map_err(|error| Fault::Fatal(format!("an `_id` cannot be read: {error}"))),
        _ => Err(Fault::Fatal("a document has no `_id`".to_owned())),
    }
}
