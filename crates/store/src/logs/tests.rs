//! What logs keep, drop and find again.
