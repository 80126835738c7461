//! The native engine's parts, on real programs and a real MongoDB.

mod transform;
