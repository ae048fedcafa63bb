//! Pure scaling decisions
