//! The binary `lambent`.
fn main() {}
