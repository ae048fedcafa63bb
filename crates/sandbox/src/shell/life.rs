//! The life of a shell, from its first instruction to its end.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags};

use super::aside::{aside, close_others};
use super::prepare::{Prepared, place_of, prepare};
use super::{init, program};
use crate::check;
use crate::failure::{At, Failure};
use crate::filter;
use crate::packet;
use crate::privileges;
use crate::protocol::{Kindling, Order, Word, say};
use crate::root::scratch::Template;
use crate::root::{process_information, roots};
use crate::spec::{Layers, Spec};
use crate::system;

/// Everything a shell needs from the broker.
#[derive(Debug)]
pub(crate) struct Seed<'a> {
    /// Its end of the control socket.
    pub(crate) control: OwnedFd,
    /// Which namespaces it makes. The order may switch off more, never on.
    pub(crate) layers: Layers,
    /// The data directory: the root is mounted over a directory in it, images are made in it.
    pub(crate) directory: &'a Path,
    /// Files by which it joins its control groups.
    pub(crate) joins: Vec<PathBuf>,
    /// The host's ids for user 0 inside, and for the 65535 after it.
    pub(crate) first_id: u32,
    /// The broker has one id only: inside there is one as well.
    pub(crate) rootless: bool,
    /// How `/tmp` is made.
    pub(crate) scratch: Scratch<'a>,
    /// The size of `/tmp` that is prepared.
    pub(crate) scratch_bytes: u64,
    /// The filters of the seccomp layer.
    pub(crate) filters: &'a [filter::Program],
    /// Those of embers besides.
    pub(crate) ember_filters: &'a [filter::Program],
}

/// How `/tmp` is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scratch<'a> {
    /// From images behind loop devices.
    Images(&'a Template),
    /// In memory: this host refuses loop devices.
    Memory,
}

/// An order to start, as received.
struct Start {
    spec: Spec,
    layers: Layers,
    ember: Kindling,
    /// From which a `/tmp` of another size is copied.
    image: Option<Template>,
    channels: program::Channels,
}

/// Lives the life of a shell.
pub(crate) fn run(seed: &Seed<'_>) -> ! {
    system::exit_now(aside(|| live(seed)))
}

fn live(seed: &Seed<'_>) -> i32 {
    match try_live(seed) {
        Ok(()) => 0,
        Err(Failure { step, reason }) => {
            let _ = say(&seed.control, &Word::Failed { step, reason }, &[]);
            1
        }
    }
}

fn try_live(seed: &Seed<'_>) -> Result<(), Failure> {
    keep_only(seed)?;
    rustix::thread::set_name(c"lambent-shell").at(|| "take a name")?;
    if seed.layers.pid {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .at(|| "ask to die with the broker")?;
    }
    let mut prepared = prepare(seed)?;
    let network = prepared.network.take();
    let descriptors: Vec<BorrowedFd<'_>> = network.iter().map(AsFd::as_fd).collect();
    say(&seed.control, &Word::Ready { network: network.is_some() }, &descriptors)
        .at(|| "answer the broker")?;
    drop(network);
    let Some(start) = wait_for_order(&seed.control)? else { return Ok(()) };
    compose(seed, &mut prepared, &start)?;
    give_up_host(seed, &prepared, start.layers)?;
    let Start { spec, layers, ember, image, channels } = start;
    drop(image);
    let program = program::start(seed, &program::Plan { spec: &spec, layers, ember }, channels)?;
    init::supervise(&seed.control, program, layers, ember)
}

/// Closes every descriptor of the broker but the ones that are ours.
fn keep_only(seed: &Seed<'_>) -> Result<(), Failure> {
    let mut kept: Vec<RawFd> = vec![0, 1, 2, seed.control.as_raw_fd()];
    if let Scratch::Images(template) = seed.scratch {
        kept.push(template.descriptor().as_raw_fd());
    }
    close_others(kept)
}

/// Waits for the one order that a shell obeys. `None`: the broker is gone, or needs it no more.
fn wait_for_order(control: &OwnedFd) -> Result<Option<Start>, Failure> {
    rustix::event::poll(&mut [PollFd::new(control, PollFlags::IN)], None).at(|| "wait for an order")?;
    let mut buffer = vec![0; packet::LIMIT];
    let received = packet::receive(control, &mut buffer).at(|| "receive an order")?;
    let Some(bytes) = buffer.get(..received.length).filter(|bytes| !bytes.is_empty()) else {
        return Ok(None);
    };
    let order: Order<'_> = serde_json::from_slice(bytes).at(|| "read an order")?;
    let Order::Start { frames, layers, ember, image, spec } = order else {
        return Err(Failure::new("read an order", "the first one must be to start"));
    };
    let spec: Spec = serde_json::from_str(spec.get()).at(|| "read the spec")?;
    check::spec(&spec).map_err(|reason| Failure::new("check the spec", reason))?;
    let mut descriptors = received.descriptors.into_iter();
    let output = descriptors.next().ok_or_else(|| Failure::new("read an order", "no output came along"))?;
    let frames = if frames { descriptors.next() } else { None };
    let control = if ember == Kindling::None { None } else { descriptors.next() };
    let image = if image { descriptors.next() } else { None };
    let image = image.map(|image| Template::received(image, spec.tmp_bytes));
    Ok(Some(Start { spec, layers, ember, image, channels: program::Channels { output, frames, control } }))
}

/// Everything that the spec adds to what is prepared, and the change into the new root.
fn compose(seed: &Seed<'_>, prepared: &mut Prepared, start: &Start) -> Result<(), Failure> {
    if start.layers.uts {
        rustix::system::sethostname(start.spec.hostname.as_bytes()).at(|| "set the host name")?;
    }
    let Some(tree) = prepared.tree.take() else { return Ok(()) };
    if start.spec.tmp_bytes != seed.scratch_bytes {
        let scratch = start.image.as_ref().map_or(seed.scratch, Scratch::Images);
        prepared.replace_scratch(&tree, seed, scratch, start.spec.tmp_bytes)?;
    }
    start.spec.mounts.iter().try_for_each(|mount| tree.add(mount))?;
    if start.ember == Kindling::Ember {
        process_information::hide_others(&tree)?;
        return roots::enter(&tree, &place_of(seed.directory));
    }
    tree.enter()
}

/// Leaves the host's ids behind. From here on nothing of the host can be changed.
fn give_up_host(seed: &Seed<'_>, prepared: &Prepared, layers: Layers) -> Result<(), Failure> {
    if let Some(namespace) = &prepared.user_namespace {
        rustix::thread::move_into_link_name_space(namespace.as_fd(), None)
            .at(|| "enter the user namespace")?;
        let id = if seed.rootless { program::USER } else { 0 };
        privileges::keep_over_ids(|| system::become_user(id, id)).at(|| "take the ids of the sandbox")?;
    }
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .at(|| "hide the init's memory")?;
    if layers.pid {
        // The change of ids has cleared it.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .at(|| "ask to die with the broker")?;
    }
    Ok(())
}
