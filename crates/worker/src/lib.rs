//! Turns a function version into instances and leases them
