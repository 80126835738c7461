//! The same batches without checkpoint, heartbeat and ledger: what Stopover's promise costs shows in the difference.

use bson::{Bson, Document, doc};
use mongodb::options::{Acknowledgment, Hint, ReadConcern, WriteConcern};

use crate::payments::{change, undone};
use crate::server::Server;

/// Walks the index on `_id` and updates range after range of `batch` documents, each in a transaction as Stopover's, the next range being
/// looked up meanwhile. Begins with the same count and ends with the same search as a run of Stopover.
pub fn run(server: &Server, batch: u32) {
    server.wait(async {
        let payments = server.payments();
        payments.count_documents(undone()).await.expect("mongod counts");
        let mut session = server.client().start_session().await.expect("mongod has sessions");
        let end = |order: i32| payments.find_one(doc! {}).sort(doc! { "_id": order }).projection(doc! { "_id": 1 });
        let id = |document: Document| document.get("_id").cloned().expect("every document has one");
        let first = id(end(1).await.expect("mongod reads").expect("there are documents"));
        let last = id(end(-1).await.expect("mongod reads").expect("there are documents"));
        let cut = async |from: &Bson| {
            let found = payments
                .find_one(doc! {})
                .projection(doc! { "_id": 1 })
                .hint(Hint::Keys(doc! { "_id": 1 }))
                .min(doc! { "_id": from })
                .skip(u64::from(batch));
            found.await.expect("mongod reads").map_or(last.clone(), id)
        };
        let concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
        let mut from = doc! { "$gte": &first };
        let mut through = cut(&first).await;
        loop {
            from.insert("$lte", &through);
            let mut range = undone();
            range.insert("_id", from);
            let update = async {
                session
                    .start_transaction()
                    .read_concern(ReadConcern::snapshot())
                    .write_concern(concern.clone())
                    .await
                    .expect("mongod has transactions");
                let update = payments.update_many(range, change()).hint(Hint::Keys(doc! { "_id": 1 }));
                update.session(&mut session).await.expect("mongod updates");
                session.commit_transaction().await.expect("mongod commits");
            };
            let ((), next) = tokio::join!(update, cut(&through));
            if through == last {
                break;
            }
            from = doc! { "$gt": std::mem::replace(&mut through, next) };
        }
        assert!(payments.find_one(undone()).await.expect("mongod reads").is_none());
    });
}
