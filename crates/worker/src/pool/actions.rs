//! What decisions ask for: replies, starts, retirements and timers.
//!
//! [`Function::translate`] runs under the function's lock and only collects; [`Function::carry_out`] runs after it
//! is released, because a reply that nobody takes drops its lease, which decides again.

use std::sync::Arc;
use std::time::Duration;

use autoscaler::{Action, Event, Instance as Key, Refusal as Verdict, Request, Revision, Tier};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use types::failure::Cause;
use types::function::Version;
use types::invocation::Refusal;

use super::function::{Function, Inner, Refused};
use super::lease::Lease;
use super::life::{self, Order};
use super::member::Member;
use crate::template;

/// What is done once the lock is released.
pub(super) enum Effect {
    Reply(oneshot::Sender<Result<Lease, Refused>>, Result<Lease, Refused>),
    Want(Key, Tier),
    Withdraw(Key),
    Live(Key, Order, CancellationToken),
    RetireTemplate(Revision),
    MakeTemplate(Arc<Version>),
    Timer(Duration),
}

// === impl Function ===

impl Function {
    /// Turns an action into what is to be done later, and does what is only bookkeeping.
    pub(super) fn translate(
        self: &Arc<Self>,
        inner: &mut Inner,
        action: Action,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) {
        match action {
            Action::Assign { request, instance } => {
                effects.extend(self.assign(inner, request, instance, now));
            }
            Action::Want { instance, tier } => {
                inner.members.insert(instance, Member::new(now, tier));
                effects.push(Effect::Want(instance, tier));
            }
            Action::Start { instance, revision, ahead } => {
                let version = inner.versions.get(&revision).cloned();
                if let (Some(version), Some(member)) = (version, inner.members.get_mut(&instance)) {
                    member.version = Some(Arc::clone(&version));
                    member.began = now;
                    effects.push(Effect::Live(
                        instance,
                        Order { version, tier: member.tier, ahead },
                        member.retire.clone(),
                    ));
                }
            }
            Action::Withdraw { instance } => {
                inner.members.remove(&instance);
                effects.push(Effect::Withdraw(instance));
            }
            Action::Retire { instance, reason } => {
                if let Some(member) = inner.members.get_mut(&instance) {
                    tracing::debug!(function = self.name, ?reason, "an instance is retired");
                    member.retiring = true;
                    member.retire.cancel();
                }
            }
            // Under the lock, so that the two of one instance are never told in the wrong order.
            Action::Freeze { instance } => inner.set_frozen(instance, true),
            Action::Thaw { instance } => inner.set_frozen(instance, false),
            Action::RetireTemplate { revision } => effects.push(Effect::RetireTemplate(revision)),
            Action::MakeTemplate { revision } => {
                effects.extend(inner.versions.get(&revision).cloned().map(Effect::MakeTemplate));
            }
            Action::Refuse { request, refusal } => {
                if let Some(waiting) = inner.waiting.remove(&request) {
                    let refused = self.refused(inner, &waiting.revision, &refusal);
                    effects.push(Effect::Reply(waiting.reply, Err(refused)));
                }
            }
            Action::Fail { request, .. } => {
                if let Some(waiting) = inner.waiting.remove(&request) {
                    let refused = match inner.failures.get(&waiting.revision) {
                        Some(failure) if failure.cause == Cause::Sandbox => {
                            Refused::Refusal(Refusal::Platform(failure.message.clone()))
                        }
                        Some(failure) => Refused::Failed(Box::new(failure.clone())),
                        None => Refused::Refusal(Refusal::Platform("the start failed".to_owned())),
                    };
                    effects.push(Effect::Reply(waiting.reply, Err(refused)));
                }
            }
        }
    }

    fn assign(
        self: &Arc<Self>,
        inner: &mut Inner,
        request: Request,
        key: Key,
        now: Duration,
    ) -> Option<Effect> {
        let waiting = inner.waiting.remove(&request)?;
        let member = inner.members.get_mut(&key)?;
        let instance = Arc::clone(member.instance.as_ref()?);
        member.requests += 1;
        member.busy += 1;
        self.metrics.waited(now.saturating_sub(waiting.arrived));
        let lease = Lease::new(Arc::clone(self), instance, key, request, waiting.arrived);
        Some(Effect::Reply(waiting.reply, Ok(lease)))
    }

    fn refused(&self, inner: &Inner, revision: &Revision, verdict: &Verdict) -> Refused {
        let (reason, refusal) = match *verdict {
            Verdict::Reserved { limit } => ("reserved_concurrency", Refusal::ReservedConcurrency { limit }),
            Verdict::QueueTimeout { waited } => {
                let limit = inner.scale.policy().max_instances;
                ("queue_timeout", Refusal::QueueTimeout { waited, limit })
            }
            Verdict::BackingOff { retry_after } => match inner.failures.get(revision) {
                Some(failure) => {
                    let failure = Box::new(failure.clone());
                    ("backing_off", Refusal::BackingOff { retry_after, failure })
                }
                None => ("backing_off", Refusal::Platform("starts keep failing".to_owned())),
            },
            Verdict::Draining => ("draining", Refusal::Draining),
        };
        self.metrics.refused(reason);
        Refused::Refusal(refusal)
    }

    /// Does it.
    pub(super) fn carry_out(self: &Arc<Self>, effect: Effect) {
        match effect {
            // A caller that has gone leaves the lease here, and dropping it releases it.
            Effect::Reply(reply, answer) => drop(reply.send(answer)),
            Effect::Want(instance, tier) => self.node.want(self, instance, tier),
            Effect::Withdraw(instance) => self.node.withdraw(self, instance),
            Effect::Live(instance, order, retire) => {
                self.node.tracker.spawn(life::live(Arc::clone(self), instance, order, retire));
            }
            Effect::RetireTemplate(revision) => {
                let key = template::Key { function: self.name.clone(), revision };
                self.node.templates.retire(&key, template::Retirement::Idle);
            }
            Effect::MakeTemplate(version) => {
                self.node.tracker.spawn(life::prewarm(Arc::clone(self), version));
            }
            Effect::Timer(deadline) => self.spawn_timer(deadline),
        }
    }

    fn spawn_timer(self: &Arc<Self>, deadline: Duration) {
        let function = Arc::clone(self);
        self.node.tracker.spawn(async move {
            tokio::select! {
                () = function.node.draining.cancelled() => return,
                () = tokio::time::sleep_until(function.node.moment(deadline)) => {}
            }
            function.step(|inner, _| {
                inner.timer.take_if(|timer| *timer == deadline);
                (Event::Tick, ())
            });
        });
    }
}
