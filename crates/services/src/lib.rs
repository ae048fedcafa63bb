//! The companion services that functions need around them
