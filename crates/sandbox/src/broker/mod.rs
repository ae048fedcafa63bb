//! The broker: the one process with the host's rights. Single-threaded, started before anything else, and
//! never waiting for a sandbox: whatever could take long is done by the shells.
//!
//! It is bounded by its socket to the server: when that ends, the broker kills every sandbox, removes
//! their control groups and ends. When the broker itself is killed, the kernel ends every shell.
//!
//! * `begin`: from its first instruction to the first packet;
//! * `serve`: the loop, and what each packet and event leads to;
//! * `instance`: what it knows of one sandbox;
//! * `spawn`: making shells, and keeping some ready; `pool`: how many;
//! * `ember`: what it knows of an ember and of an instance forked from it; `fork`, `hello`, `newborn`: from the order to
//!   the instance's end; `roots`: where instances are born; `strangers`: who else is there; `mover`: their control groups; `sharing`: whether a program
//!   may be forked at all;
//! * `listen`: reports of `listen()`;
//! * `sockets`: sockets inside a sandbox for the server;
//! * `assign`: telling a sandbox that stands by what it is for;
//! * `images`: `/tmp` of other sizes;
//! * `errand`: what is done beside the loop;
//! * `fairness`: one CPU weight for all sandboxes of one owner;
//! * `pressure`: want of memory, told to the server;
//! * `end`: from the last process to the last control group;
//! * `watch`: descriptors in the epoll set.

mod assign;
mod begin;
mod ember;
mod end;
mod errand;
mod fairness;
mod fork;
mod hello;
mod images;
mod instance;
mod listen;
mod mover;
mod newborn;
mod pool;
mod pressure;
mod roots;
mod serve;
mod sharing;
mod sockets;
mod spawn;
mod strangers;
mod watch;

pub(crate) use begin::{probe_here, run};
