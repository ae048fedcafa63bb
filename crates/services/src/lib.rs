//! The companion services that functions need around them, one folder each. None of them knows the Lambda
//! service; they meet it in the store.
//!
//! So far: [`logs`], the reading side of CloudWatch Logs.
#![forbid(unsafe_code)]

pub mod logs;
