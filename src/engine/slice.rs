//! A part of a collection that one batch works on: a run of `_id`s.
//!
//! A comparison in a query sees only values of its own type, while the index on `_id` orders values of all types. So a range
//! query is used only between two ids of one type; where a batch reaches from one type into another, its ids are listed.

use bson::{Bson, Document, doc};

/// Documents by their `_id`.
#[expect(clippy::large_enum_variant, reason = "there are as many as there are workers")]
#[derive(Clone, Debug, PartialEq)]
pub enum Slice {
    /// All from one id to another of the same type.
    Range {
        /// Where it begins.
        from: Edge,
        /// Its last id.
        through: Bson,
    },
    /// These.
    List(Vec<Bson>),
}

/// Where a range begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Edge {
    /// With this id.
    At(Bson),
    /// With the first one after this id.
    After(Bson),
}

impl Edge {
    /// The id.
    #[must_use]
    pub fn id(&self) -> &Bson {
        match self {
            Self::At(id) | Self::After(id) => id,
        }
    }
}

impl Slice {
    /// The range, if a range query finds all of it.
    #[must_use]
    pub fn range(from: Edge, through: Bson) -> Option<Self> {
        let class = Class::of(&through);
        (class.is_some() && Class::of(from.id()) == class).then_some(Self::Range { from, through })
    }

    /// The query for those of its documents that `filter` selects.
    #[must_use]
    pub fn select(&self, filter: &Document) -> Document {
        let ids = match self {
            Self::Range { from: Edge::At(from), through } => doc! { "$gte": from, "$lte": through },
            Self::Range { from: Edge::After(from), through } => doc! { "$gt": from, "$lte": through },
            Self::List(ids) => doc! { "$in": ids },
        };
        let mut query = doc! { "_id": ids };
        if filter.contains_key("_id") {
            query.insert("$and", [filter.clone()].as_slice());
        } else {
            query.extend(filter.clone());
        }
        query
    }
}

/// Types that compare with each other and order ids as the index does. Others are rare as ids, and are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Number,
    Text,
    Object,
    Binary,
    ObjectId,
    Boolean,
    Date,
    Timestamp,
}

impl Class {
    fn of(id: &Bson) -> Option<Self> {
        Some(match id {
            Bson::Double(number) if number.is_nan() => return None,
            // A NaN among decimals could not be told from here; they are listed.
            Bson::Double(_) | Bson::Int32(_) | Bson::Int64(_) => Self::Number,
            Bson::String(_) => Self::Text,
            Bson::Document(_) => Self::Object,
            Bson::Binary(_) => Self::Binary,
            Bson::ObjectId(_) => Self::ObjectId,
            Bson::Boolean(_) => Self::Boolean,
            Bson::DateTime(_) => Self::Date,
            Bson::Timestamp(_) => Self::Timestamp,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_ids_of_one_type_only() {
        let range = |from: Bson, through: Bson| Slice::range(Edge::After(from), through);
        assert!(range(Bson::Int32(1), Bson::Double(2.5)).is_some());
        assert!(range(Bson::Int32(1), Bson::String("a".to_owned())).is_none());
        assert!(range(Bson::Double(f64::NAN), Bson::Int32(1)).is_none());
        assert!(range(Bson::Null, Bson::Null).is_none());
    }

    #[test]
    fn a_filter_on_the_id_itself_is_kept() {
        let slice = Slice::range(Edge::At(Bson::Int32(1)), Bson::Int32(9)).unwrap();
        assert_eq!(slice.select(&doc! { "a": 1 }), doc! { "_id": { "$gte": 1, "$lte": 9 }, "a": 1 });
        assert_eq!(
            slice.select(&doc! { "_id": { "$ne": 5 } }),
            doc! { "_id": { "$gte": 1, "$lte": 9 }, "$and": [{ "_id": { "$ne": 5 } }] }
        );
        assert_eq!(Slice::List(vec![Bson::Null]).select(&doc! {}), doc! { "_id": { "$in": [null] } });
    }
}
