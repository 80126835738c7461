//! What the server answers to a command that is sent as it is. The driver looks no further than `ok: 1`, beside which a write that
//! failed may stand; and it gives such a command none of the client's concerns.

use bson::{Bson, Document, doc};
use mongodb::error::Error;

use super::fault::{Fault, server_error};

/// The codes of the server that steps look for by themselves, see its `error_codes.yml`.
pub(super) mod code {
    pub(in crate::engine) const UNAUTHORIZED: i32 = 13;
    pub(in crate::engine) const NAMESPACE_NOT_FOUND: i32 = 26;
    pub(in crate::engine) const INDEX_NOT_FOUND: i32 = 27;
    pub(in crate::engine) const MAX_TIME_EXPIRED: i32 = 50;
    pub(in crate::engine) const INDEX_OPTIONS_CONFLICT: i32 = 85;
    pub(in crate::engine) const INDEX_KEY_SPECS_CONFLICT: i32 = 86;
    pub(in crate::engine) const WRITE_CONFLICT: i32 = 112;
    pub(in crate::engine) const INDEX_BUILD_ABORTED: i32 = 276;
    pub(in crate::engine) const DUPLICATE_KEY: i32 = 11_000;
    pub(in crate::engine) const BACKGROUND_OPERATION: i32 = 12_587;
}

/// What a write asks for: that a majority has it on disk, and that somebody says so if that takes too long.
pub(super) fn majority() -> Document {
    doc! { "w": "majority", "j": true, "wtimeout": 30_000 }
}

/// The code of the server's error, if it is one of the server's.
pub(super) fn code_of(error: &Error) -> Option<i32> {
    server_error(error).map(|(code, ..)| code)
}

/// Finds the failure inside an answer that says `ok: 1`. `doing` as for [`Fault::of`].
pub(super) fn verify(answer: &Document, doing: &str) -> Result<(), Fault> {
    let errors = answer.get_array("writeErrors").ok().and_then(|errors| errors.first()).and_then(Bson::as_document);
    let Some(error) = errors.or_else(|| answer.get_document("writeConcernError").ok()) else {
        return Ok(());
    };
    let code = i32::try_from(number(error, "code")).unwrap_or_default();
    let name = error.get_str("codeName").unwrap_or("write error");
    Err(Fault::of_code(code, name, error.get_str("errmsg").unwrap_or_default(), false, doing))
}

/// A whole number of an answer, whichever type the server chose for it; 0 where there is none.
#[expect(clippy::cast_possible_truncation, reason = "counts are whole and far below 2^53")]
pub(super) fn number(document: &Document, key: &str) -> i64 {
    match document.get(key) {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        Some(Bson::Double(number)) => *number as i64,
        _ => 0,
    }
}

/// The fault of a call that no document and no smaller batch has a part in.
pub(super) fn whole(fault: Fault, doing: &str) -> Fault {
    match fault {
        Fault::Poison(reason) => Fault::Fatal(format!("{doing} is refused: {reason}")),
        Fault::TooMuch(reason) => Fault::Passing(reason),
        fault => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_inside_an_answer_is_found() {
        assert!(verify(&doc! { "ok": 1, "n": 3 }, "update on a.b").is_ok());
        let refused =
            doc! { "ok": 1, "writeErrors": [{ "index": 0, "code": 121, "errmsg": "Document failed validation" }] };
        assert!(matches!(verify(&refused, "update on a.b"), Err(Fault::Poison(_))));
        let unconfirmed =
            doc! { "ok": 1, "writeConcernError": { "code": 64, "codeName": "WriteConcernFailed", "errmsg": "" } };
        assert!(matches!(verify(&unconfirmed, "update on a.b"), Err(Fault::Passing(_))));
    }
}
