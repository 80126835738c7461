//! stub
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::ChildStderr;
use async_trait::async_trait;
use bson::{Document, RawDocumentBuf};
use mongodb::{ClientSession, Collection};
use super::apply::{Apply, Counts};
use super::fault::Fault;
use super::slice::Slice;
#[derive(Clone)]
pub struct Transform;
impl Transform {
    pub fn start(_c: Vec<String>, _d: &Path, _e: &BTreeMap<OsString, OsString>, _s: impl Fn(ChildStderr)) -> Result<Self, Fault> { Ok(Self) }
}
pub struct TransformBatch;
impl TransformBatch { pub fn new(_c: Collection<RawDocumentBuf>, _f: Document, _t: Transform) -> Self { Self } }
#[async_trait]
impl Apply for TransformBatch {
    async fn apply(&self, _s: Option<&mut ClientSession>, _l: &Slice) -> Result<Counts, Fault> { Err(Fault::Stopped) }
}
