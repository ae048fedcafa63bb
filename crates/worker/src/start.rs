//! From a version to an instance that is ready, by the shortest way there is: forked from the version's ember,
//! else by its own init.
//!
//! A start that finds an ember being made waits for it, so that a burst of starts runs one init. It may be
//! dropped at any point: what it has of an instance ends with it, and the ember is not harmed. The label it
//! gives is what the start cost: one that waited for the init is `bare`, whoever ran it.

use std::sync::Arc;

use types::function::Version;
use types::metering::Tier;

use crate::compose::Purpose;
use crate::init;
use crate::instance::Instance;
use crate::phases::Clock;
use crate::pool::Node;
use crate::standby;
use crate::template::{Ember, Found, Outcome};

pub(crate) use crate::init::StartError;

/// Embers that may turn out dead before the start does without.
const ATTEMPTS: u32 = 2;

/// What an ember has come to for one start.
enum Way {
    /// It is to be forked.
    Fork { ember: Arc<Ember>, tier: Tier, why: String },
    /// This start's instance is here already.
    There(Box<Instance>),
    /// There is none to be had, and why.
    Bare(String),
    /// It was taken away meanwhile: look again.
    Again,
}

/// Has an interpreter made to wait for the next start when this one is over.
struct Refill<'a> {
    node: &'a Arc<Node>,
    version: &'a Version,
}

/// Starts an instance of `version` and waits until it is ready. `ahead`: nobody waits for it yet, so a fork is a
/// spare, and does what its first request would have to.
pub(crate) async fn start(
    node: &Arc<Node>,
    version: &Arc<Version>,
    ahead: bool,
) -> Result<Instance, StartError> {
    let mut clock = Clock::begin();
    let mut why = "its embers ended as soon as they were made".to_owned();
    for _ in 0..ATTEMPTS {
        match look(node, version, &mut clock).await? {
            Way::There(instance) => return Ok(*instance),
            Way::Fork { ember, tier, why: reason } => {
                match ember.fork(node, version, ahead, &mut clock).await {
                    Ok(newborn) => {
                        let tier = if ahead { Tier::Spare } else { tier };
                        return Ok(Instance::new(version, newborn, clock.start(tier, reason)));
                    }
                    Err(error) => {
                        tracing::warn!(function = version.name, %error, "an ember could not be forked");
                        why = format!("its ember could not be forked: {error}");
                        node.templates.broken(&ember, &error.to_string());
                        clock.mark("failed fork");
                    }
                }
            }
            Way::Bare(reason) => {
                why = reason;
                break;
            }
            Way::Again => {}
        }
    }
    let waiting = standby::take(node, version, &mut clock).await;
    // Made again beside nothing: this start is over by then.
    let _refill = Refill { node, version };
    match waiting? {
        Ok(ready) => {
            return Ok(Instance::new(version, ready, clock.start(Tier::Standby, why)));
        }
        Err(reason) => why = format!("{why}; {reason}"),
    }
    let ready = init::run(node, version, Purpose::Instance, &mut clock).await?;
    Ok(Instance::new(version, ready, clock.start(Tier::Bare, why)))
}

// === impl Refill ===

impl Drop for Refill<'_> {
    fn drop(&mut self) {
        self.node.standby.fill(self.node, self.version);
    }
}

/// Finds the version's ember, or waits for the one that is being made.
async fn look(node: &Arc<Node>, version: &Arc<Version>, clock: &mut Clock) -> Result<Way, StartError> {
    let (mut making, why) = match node.templates.find(node, version) {
        Found::Alive(ember) => {
            let why = "no instance was free".to_owned();
            return Ok(Way::Fork { ember, tier: Tier::Ember, why });
        }
        Found::None(why) => return Ok(Way::Bare(why)),
        Found::Making(making, why) => (making, why),
    };
    let outcome = match making.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone(),
        Err(_) => return Err(StartError::Platform("the task that made the ember ended".to_owned())),
    };
    // The last one to let go of the outcome ends what nobody has taken.
    drop(making);
    Ok(match outcome {
        Some(Outcome::Alive(ember)) => {
            clock.follow(ember.clock());
            Way::Fork { ember, tier: Tier::Bare, why }
        }
        Some(Outcome::Refused { only, clock: made, why }) => {
            clock.follow(&made);
            match only.take() {
                Some(ready) => {
                    // What is left of the wait belongs to its last phase.
                    clock.mark("sharing");
                    Way::There(Box::new(Instance::new(version, ready, clock.start(Tier::Bare, why))))
                }
                None => Way::Bare(why),
            }
        }
        Some(Outcome::Failed(error)) => return Err(error),
        Some(Outcome::Retired) | None => Way::Again,
    })
}
