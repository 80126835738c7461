//! Documents that may be changed once only, and how often they were.

use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::Database;

/// A manifest that adds one to every document of a collection, which may be done only once. `speed` is what stands in `speed: {}`. What
/// else this machine is doing must not hold it.
pub fn once(collection: &str, speed: &str) -> String {
    format!(
        r"description: Adds one
steps:
  - backfill: {{ collection: {collection}, update: {{ $inc: {{ touched: 1 }} }}, idempotent: false }}
speed: {{ {speed} }}
hold: {{ replicationLag: off, oplogWindow: off, dirtyCache: off, foreground: off, congestion: false }}
"
    )
}

/// Has a server fill a collection with so many documents.
pub async fn fill(database: &Database, collection: &str, count: i32) {
    database.collection("seed").insert_one(doc! {}).await.unwrap();
    let documents = [
        doc! { "$limit": 1 },
        doc! { "$project": { "n": { "$range": [0, count] } } },
        doc! { "$unwind": "$n" },
        doc! { "$project": { "_id": "$n", "text": "some words to be carried" } },
        doc! { "$out": collection },
    ];
    database.collection::<Document>("seed").aggregate(documents).await.unwrap();
}

/// How often documents were changed, and how many so often.
pub async fn by_touched(database: &Database, collection: &str) -> Vec<(i32, i32)> {
    let groups = [
        doc! { "$group": { "_id": { "$ifNull": ["$touched", 0] }, "count": { "$sum": 1 } } },
        doc! { "$sort": { "_id": 1 } },
    ];
    let found = database.collection::<Document>(collection).aggregate(groups).await.unwrap();
    let groups: Vec<Document> = found.try_collect().await.unwrap();
    groups.iter().map(|group| (group.get_i32("_id").unwrap(), group.get_i32("count").unwrap())).collect()
}
