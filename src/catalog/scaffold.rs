//! New migrations from templates.
