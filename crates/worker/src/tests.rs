//! Tests of the whole crate over plain processes; see `testing`.
