//! The AWS wire: routing, error shapes, request ids
