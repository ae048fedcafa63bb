//! Capabilities: taken away from the server, from an init and from a program. Nothing here gives any,
//! except that a program whose `capabilities` layer is off keeps those it has (the control of an attack).

use std::io;

use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use crate::system;

/// Highest capability number tried; the kernel says where the real end is.
const HIGHEST: u32 = 63;

/// Takes every privilege but the right to bind ports below 1024 from this process, for good, and from
/// whatever it starts. Call it in the server after [`crate::launch()`], before any thread: the kernel keeps
/// capabilities per thread.
///
/// # Errors
/// What the kernel says; the process should then end.
pub fn drop_privileges() -> io::Result<()> {
    let kept = rustix::thread::capabilities(None)?.permitted & CapabilitySet::NET_BIND_SERVICE;
    lock_bounding_set(kept)?;
    lock_secure_bits(CapabilitiesSecureBits::empty())?;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// Keeps only the right to signal processes of other ids: what an init needs. That of an ember also changes its root.
pub(crate) fn keep_for_init(roots: bool) -> io::Result<()> {
    let needed = if roots { CapabilitySet::KILL | CapabilitySet::SYS_CHROOT } else { CapabilitySet::KILL };
    let kept = rustix::thread::capabilities(None)?.permitted & needed;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )?;
    Ok(())
}

/// First half for a program, while it may still change ids: no capability can come back at exec.
pub(crate) fn close_ways_back() -> io::Result<()> {
    lock_bounding_set(CapabilitySet::empty())?;
    lock_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)
}

/// Second half, after the change of ids: the sets are emptied.
pub(crate) fn give_up_all() -> io::Result<()> {
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// Changes ids and keeps the capabilities of this process, where it has any.
pub(crate) fn keep_over_ids(change_ids: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let sets = rustix::thread::capabilities(None)?;
    rustix::thread::set_keep_capabilities(true)?;
    change_ids()?;
    rustix::thread::set_capabilities(None, CapabilitySets { effective: sets.permitted, ..sets })?;
    rustix::thread::set_keep_capabilities(false)?;
    Ok(())
}

/// Makes capabilities survive exec by any user: the layer is off.
pub(crate) fn keep_over_exec() -> io::Result<()> {
    let all = rustix::thread::capabilities(None)?.permitted;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: all, permitted: all, inheritable: all },
    )?;
    for number in 0..=HIGHEST {
        if all.bits() & (1 << number) != 0 {
            system::raise_ambient(number)?;
        }
    }
    Ok(())
}

/// Drops everything from the bounding set but `kept`. Without the right to do so there is nothing to drop
/// that could come back: `no_new_privs` sees to it.
fn lock_bounding_set(kept: CapabilitySet) -> io::Result<()> {
    for number in 0..=HIGHEST {
        if kept.bits() & (1 << number) != 0 {
            continue;
        }
        match system::prctl(libc::PR_CAPBSET_DROP, u64::from(number)) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// User id 0 means nothing special any more, and no ambient capability can be raised.
fn lock_secure_bits(more: CapabilitiesSecureBits) -> io::Result<()> {
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | more;
    match rustix::thread::set_capabilities_secure_bits(bits) {
        Ok(()) => Ok(rustix::thread::clear_ambient_capability_set()?),
        Err(rustix::io::Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
