//! How a program starts, what it is told, and how its end is reported.

use sandbox::handle::Status;
use sandbox::spec::Layers;

use crate::common::{Case, World};

pub const CASES: &[Case] = &[("a program runs and its exit code is reported", exit_code)];

fn exit_code(world: &World) {
    let outcome = world.python("import os,sys; print(os.getpid(), os.getuid()); sys.exit(7)", Layers::ALL);
    assert_eq!(outcome.exit.status, Status::Exited(7), "{outcome:?}");
    assert_eq!(outcome.output, "3 1000\n");
}
