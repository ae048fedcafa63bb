//! What a function's state comes to, as one value. Reads only; the reasons are those of whoever decided.

use super::function::Function;
use crate::explain::{Explanation, Happening, Instances, What};
use crate::status::{self, State, Template};

// === impl Function ===

impl Function {
    /// Why it is as it is at this moment.
    pub fn explanation(&self) -> Explanation {
        let status = self.status();
        let changes = status.scaling.as_ref().map_or(&[][..], |scaling| &scaling.history[..]);
        let (history, costs) = self.observed(changes);
        let mut why = Vec::new();
        let instances = count(&status);
        if let Some(scaling) = &status.scaling {
            // Who decides about instances counts those that came to be.
            why.push(match history.first() {
                Some(Happening { what: What::Failed, .. }) if instances.all() == 0 => {
                    "no instances: the last start failed".to_owned()
                }
                _ => scaling.summary.clone(),
            });
            why.extend(scaling.queue.as_ref().map(|decision| decision.sentence.clone()));
        }
        Explanation {
            name: self.name.clone(),
            instances,
            why,
            scaling: status.scaling,
            templates: self.templates(status.templates),
            history,
            costs: costs.into(),
            backing_off: status.backing_off,
            last_failure: status.last_failure,
        }
    }

    /// Those there are, and why there is none of the other versions that have been called.
    fn templates(&self, mut known: Vec<Template>) -> Vec<Template> {
        for version in self.versions() {
            if known.iter().any(|template| template.version == version.version) {
                continue;
            }
            if let Err(why) = self.node.composer.embers(&version) {
                known.push(Template::refused(version.version.clone(), why));
            }
        }
        known
    }
}

fn count(status: &status::Function) -> Instances {
    let of = |state| status.instances.iter().filter(|instance| instance.state == state).count();
    Instances {
        starting: status.starting.max(of(State::Starting)),
        idle: of(State::Idle),
        busy: of(State::Busy),
        retiring: of(State::Retiring),
        queued: status.queued,
        limit: status.max_instances,
    }
}
