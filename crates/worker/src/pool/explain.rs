//! What a function's state comes to in sentences. Reads only.

use super::function::Function;
use crate::explain::{Explanation, Instances, What};
use crate::status::{self, State};

// === impl Function ===

impl Function {
    /// Why it is as it is at this moment.
    pub fn explanation(&self) -> Explanation {
        let status = self.status();
        let (history, live) = self.observed();
        let instances = count(&status);
        let mut why = vec![number(&instances)];
        if instances == (Instances { limit: instances.limit, ..Instances::default() }) {
            why = match history.iter().find(|happening| happening.what != What::Started) {
                Some(last) => vec![format!("it is at zero since {} s: {}", last.ago_ms / 1_000, last.why)],
                None => vec!["it has no instance, and none was stopped".to_owned()],
            };
        }
        Explanation {
            name: self.name.clone(),
            instances,
            why,
            templates: status.templates.clone(),
            history,
            costs: live.into(),
            backing_off: status.backing_off.clone(),
            last_failure: status.last_failure.clone(),
            status: Some(status),
        }
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

/// How many there are and what they do, as one sentence.
fn number(instances: &Instances) -> String {
    let Instances { starting, idle, busy, retiring, queued, limit } = *instances;
    let parts = [(busy, "busy"), (idle, "idle"), (starting, "starting"), (retiring, "stopping")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    let waiting = match queued {
        0 => String::new(),
        1 => "; 1 request waits".to_owned(),
        _ => format!("; {queued} requests wait"),
    };
    format!("{} of at most {limit}{waiting}", parts.join(", "))
}
