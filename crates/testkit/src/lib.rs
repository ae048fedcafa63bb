//! A real Lambent server in a temporary world, for tests
