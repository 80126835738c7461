//! The documents, and what becomes of them.

use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};

/// The field that the backfill computes.
pub const FIELD: &str = "amountInCents";

/// Payment `number`: about 487 bytes.
pub fn payment(number: u32) -> Document {
    let number = i64::from(number);
    let amount = |factor: i64| ((number * factor) % 1_000_000) as f64 / 100.0;
    let at = |hours: i64| DateTime::from_millis(1_700_000_000_000 + number * 1_000 + hours * 3_600_000);
    doc! {
        "_id": ObjectId::new(),
        "reference": format!("PAY-2023-{number:09}"),
        "status": if number % 3 == 0 { "refunded" } else { "captured" },
        "amount": amount(7_919),
        "currency": "BRL",
        "installments": (number % 12 + 1) as i32,
        "customer": {
            "_id": ObjectId::new(),
            "name": format!("Customer number {}", number % 50_000),
            "email": format!("customer{}@example.com", number % 50_000),
            "address": { "city": "Sao Paulo", "zip": format!("{:05}-000", number % 100_000) },
        },
        "items": [
            { "sku": format!("SKU-{:06}", number % 10_000), "quantity": 1, "price": amount(31) },
            { "sku": format!("SKU-{:06}", number % 7_000), "quantity": 2, "price": amount(37) },
        ],
        "tags": ["online", "card"],
        "createdAt": at(0),
        "updatedAt": at(5),
    }
}

/// What is not done yet.
pub fn undone() -> Document {
    doc! { FIELD: { "$exists": false } }
}

/// The change, for the server to make.
pub fn change() -> Vec<Document> {
    vec![doc! { "$set": { FIELD: { "$toLong": { "$round": { "$multiply": ["$amount", 100] } } } } }]
}
