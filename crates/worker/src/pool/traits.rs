//! What an instance turned out to be, as far as the policy wants to know: read from what was started.

use std::time::Duration;

use autoscaler::{Ready, Tier};
use types::function::Version;
use types::metering;
use types::settings::Freeze;

use crate::instance::{Instance, Protocol};

/// The variable by which AWS tells a runtime how many requests it gets at once.
pub(super) const MAX_CONCURRENCY: &str = "AWS_LAMBDA_MAX_CONCURRENCY";
/// Requests at once for a program with a server of its own, where nothing is set.
const OWN_SERVER: u32 = 16;
/// The most that can be set.
const MOST: u32 = 1_000;
/// How long an instance runs on without a request, where nothing is set.
const FREEZE: Duration = Duration::from_secs(1);

/// What is true of this instance.
pub(super) fn ready(instance: &Instance) -> Ready {
    let start = instance.books.origin.start.as_ref();
    Ready {
        places: places(instance),
        freeze: freeze(&instance.version, &instance.protocol),
        tier: tier(start.map_or(metering::Tier::Bare, |start| start.tier)),
        took: start.map(|start| start.duration()).unwrap_or_default(),
    }
}

/// Requests at once that were asked for: by the setting, else by AWS's variable.
pub(super) fn asked(version: &Version) -> Option<u32> {
    let variable = || version.environment.get(MAX_CONCURRENCY)?.parse().ok();
    version.settings.concurrency.or_else(variable).map(|places| places.clamp(1, MOST))
}

/// Which of the policy's tiers it is.
pub(super) fn tier(tier: metering::Tier) -> Tier {
    match tier {
        metering::Tier::Ember | metering::Tier::Spare | metering::Tier::Warm => Tier::Fork,
        metering::Tier::Standby | metering::Tier::Bare => Tier::Fresh,
    }
}

fn places(instance: &Instance) -> u32 {
    match &instance.protocol {
        // One request at a time owns the connection: more would wait inside the instance instead of in the queue.
        Protocol::Frames(_) | Protocol::RuntimeApi(_) => {
            if let Some(wanted) = asked(&instance.version).filter(|wanted| *wanted > 1) {
                instance.output.note(format!(
                    "WARNING {wanted} requests at once are asked for, but only a program with a server of its own \
                     gets more than one"
                ));
            }
            1
        }
        Protocol::Own(_) => asked(&instance.version).unwrap_or(OWN_SERVER),
    }
}

fn freeze(version: &Version, protocol: &Protocol) -> Option<Duration> {
    match (version.settings.freeze, protocol) {
        (Some(Freeze::Off), _) => None,
        (Some(Freeze::After(quiet)), _) => Some(quiet),
        // Its connections and threads are its own business.
        (None, Protocol::Own(_)) => None,
        (None, Protocol::Frames(_) | Protocol::RuntimeApi(_)) => Some(FREEZE),
    }
}
