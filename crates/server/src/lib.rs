//! Config, wiring, drain and telemetry of a Lambent server
