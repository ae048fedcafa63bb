//! From an interpreter that waits to an instance that is ready.

use std::sync::Arc;

use sandbox::spec::{Assignment, Mount};
use types::function::Version;

use super::interpreter::{self, Interpreter};
use crate::compose::{Identity, Purpose};
use crate::frames::shim;
use crate::init::{self, Outlet, Parts, Ready, StartError};
use crate::output::Output;
use crate::phases::Clock;
use crate::pool::Node;

/// Names the descriptor of the frames to a shim that has just been started.
const FRAMES_DESCRIPTOR: &str = "LAMBENT_FRAMES_FD";

/// Starts an instance of `version` in an interpreter that waits. `Ok(Err)`: there is none to be had, and why; the start
/// goes on without.
///
/// # Errors
/// [`StartError`]: the function's own code was reached and failed.
pub(crate) async fn take(
    node: &Arc<Node>,
    version: &Arc<Version>,
    clock: &mut Clock,
) -> Result<Result<Ready, String>, StartError> {
    let kind = match interpreter::suits(node, version) {
        Ok(kind) => kind,
        Err(why) => return Ok(Err(why)),
    };
    let interpreter = match node.standby.take(kind) {
        Ok(interpreter) => interpreter,
        Err(why) => return Ok(Err(why)),
    };
    match assign(node, version, interpreter).await {
        Ok(parts) => {
            clock.mark("assign");
            init::settle(node, version, parts, clock).await.map(Ok)
        }
        Err(why) => {
            node.standby.failed(kind, &why);
            clock.mark("failed assign");
            Ok(Err(why))
        }
    }
}

/// Gives an interpreter its function, up to the first frame.
async fn assign(node: &Arc<Node>, version: &Arc<Version>, taken: Interpreter) -> Result<Parts, String> {
    let Interpreter { tree, mut connection, output, mounts } = taken;
    let identity = Identity::new(version, jiff::Timestamp::now());
    let composed = node.composer.compose(version, &identity, Purpose::Instance);
    let composition = composed.map_err(|error| error.message)?;
    let spec = &composition.spec;
    let missing: Vec<Mount> = spec.mounts.iter().filter(|mount| !mounts.contains(mount)).cloned().collect();
    let assignment = Assignment {
        hostname: spec.hostname.clone(),
        mounts: missing,
        tmp_bytes: spec.tmp_bytes,
        limits: spec.limits,
    };
    Arc::clone(&tree).assign(assignment).await.map_err(|error| error.to_string())?;
    let output = Output::of(output, Arc::clone(&node.logs), &version.name, &identity.stream)
        .map_err(|error| error.to_string())?;
    let Outlet { output, closed, closing, .. } = Outlet::over(node, output);
    // The descriptor it has already.
    let environment = spec.process.environment.iter().filter(|(name, _)| name != FRAMES_DESCRIPTOR);
    let environment: Vec<_> = environment.cloned().collect();
    let sent = shim::assign(&mut connection, &environment, &spec.process.directory).await;
    sent.map_err(|error| format!("its shim could not be told: {error}"))?;
    if let Some(note) = &composition.note {
        output.note(note.clone());
    }
    Ok(Parts {
        identity,
        composition,
        address: None,
        output,
        frames: Some(connection),
        tree,
        closed,
        closing,
    })
}
