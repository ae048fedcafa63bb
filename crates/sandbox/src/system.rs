//! System calls that rustix does not wrap, each as a safe function. No policy here.

use std::ffi::{CString, c_int, c_long, c_void};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::{Pid, Resource, Rlimit};

/// Namespaces and placement of a new process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CloneOptions<'a> {
    /// Own pid namespace; the child is pid 1 of it.
    pub(crate) pid_namespace: bool,
    /// One root, working directory and umask with the child.
    pub(crate) share_root: bool,
    /// The cgroup (v2) that the child starts in.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// Which side of a fork this is.
#[derive(Debug)]
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The old one.
    Parent {
        /// Process id of the child.
        pid: Pid,
        /// Descriptor of the child.
        pidfd: OwnedFd,
    },
}

/// `struct clone_args` up to `cgroup`.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `struct mount_attr`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// What `mount_setattr` makes of a mount.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MountFlags {
    /// `MOUNT_ATTR_*` to set.
    pub(crate) set: u64,
    /// Include the mounts below.
    pub(crate) recursive: bool,
}

/// Turns the result of a raw call into ours.
fn checked(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Copies this process. Only for single-threaded processes: the broker and the shells.
pub(crate) fn clone_process(options: CloneOptions<'_>) -> io::Result<Forked> {
    const CLONE_PIDFD: u64 = 0x1000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    let mut arguments = CloneArguments {
        flags: CLONE_PIDFD,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArguments::default()
    };
    if options.pid_namespace {
        arguments.flags |= libc::CLONE_NEWPID as u64;
    }
    if options.share_root {
        arguments.flags |= libc::CLONE_FS as u64;
    }
    if let Some(cgroup) = options.cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or_default();
    }
    // SAFETY: the arguments live until the call returns; without CLONE_VM the child has a copy of the
    // memory, and as the caller has one thread no lock can be held by a thread that is not copied.
    let result = unsafe {
        libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut arguments), size_of::<CloneArguments>())
    };
    match checked(result)? {
        0 => Ok(Forked::Child),
        pid => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
            // SAFETY: the kernel has just stored a new descriptor here that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid, pidfd })
        }
    }
}

/// `unshare` of namespaces (`CLONE_NEW*`).
pub(crate) fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: only namespace flags are passed, no descriptor table is separated.
    checked(c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// `prctl` with integers only.
pub(crate) fn prctl(option: c_int, argument: u64) -> io::Result<()> {
    // SAFETY: the options used here take integers; nothing is dereferenced.
    checked(c_long::from(unsafe { libc::prctl(option, argument, 0u64, 0u64, 0u64) })).map(drop)
}

/// Raises one capability in the ambient set.
pub(crate) fn raise_ambient(capability: u32) -> io::Result<()> {
    // SAFETY: integers only.
    let result = unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_RAISE as u64,
            u64::from(capability),
            0u64,
            0u64,
        )
    };
    checked(c_long::from(result)).map(drop)
}

/// Sets attributes of a mount that is held as a descriptor.
pub(crate) fn set_mount_flags(mount: BorrowedFd<'_>, flags: MountFlags) -> io::Result<()> {
    let attributes = MountAttributes { set: flags.set, clear: 0, propagation: 0, user_namespace: 0 };
    let how = libc::AT_EMPTY_PATH | if flags.recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: path and attributes live until the call returns, the size is theirs.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            how,
            std::ptr::from_ref(&attributes),
            size_of::<MountAttributes>(),
        )
    };
    checked(result).map(drop)
}

/// Marks every descriptor from `first` on as closed at exec.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: changes flags only; no descriptor is closed.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })
        .map(drop)
}

/// Closes every descriptor from `first` to `last`. Only for a child just made: whatever owned them in
/// this copy of the memory must never run its destructor again.
pub(crate) fn close_descriptors(first: RawFd, last: RawFd) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: the caller is a child that leaves the parent's owners alone (it never returns to them).
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Replaces this process by a program.
pub(crate) fn execute(program: &CString, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |words: &[CString]| -> Vec<*const libc::c_char> {
        words.iter().map(|word| word.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end with a null pointer, their strings live as long as the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// Ends this process at once, without destructors: for children that share their parent's memory image.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Blocks a set of signals, or with `None` unblocks all.
pub(crate) fn mask_signals(blocked: Option<&[c_int]>) -> io::Result<()> {
    let set = signal_set(blocked.unwrap_or_default());
    // SAFETY: the set is initialised; the old one is not wanted.
    checked(c_long::from(unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
    }))
    .map(drop)
}

/// Gives every signal its ordinary meaning (the Rust runtime ignores SIGPIPE, which programs inherit).
pub(crate) fn reset_signals() {
    for signal in 1..=64 {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        // SAFETY: SIG_DFL is valid for every signal; the two reserved by libc refuse, which is harmless.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// A descriptor that is readable while one of these signals is pending. They must be blocked.
pub(crate) fn signal_descriptor(signals: &[c_int]) -> io::Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: the set is initialised and only read.
    let descriptor = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    checked(c_long::from(descriptor))?;
    // SAFETY: just made and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Takes everything that is pending out of a signal descriptor.
pub(crate) fn drain_signals(descriptor: BorrowedFd<'_>) {
    let mut buffer = [0u8; 1024];
    while rustix::io::read(descriptor, &mut buffer).is_ok_and(|count| count > 0) {}
}

fn signal_set(signals: &[c_int]) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: initialises the set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the line above.
    let mut set = unsafe { set.assume_init() };
    for &signal in signals {
        // SAFETY: the set is initialised.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

/// Installs a seccomp filter; with `listener` the descriptor of its notifications is returned.
pub(crate) fn install_filter(program: &[libc::sock_filter], listener: bool) -> io::Result<Option<OwnedFd>> {
    const WAIT_KILLABLE: u64 = 1 << 5;
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let install = |flags: u64| {
        // SAFETY: the program lives until the call returns and is not changed by it.
        checked(unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                std::ptr::from_ref(&filter),
            )
        })
    };
    if !listener {
        return install(0).map(|_| None);
    }
    // Killable waiting (Linux 5.19) keeps a signal from making `listen` fail half way.
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let descriptor = install(flags | WAIT_KILLABLE).or_else(|_| install(flags))?;
    let descriptor = i32::try_from(descriptor).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: just made and owned by nobody else.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

/// An `ioctl` on a plain structure.
pub(crate) fn control<T>(descriptor: impl AsFd, request: u64, value: &mut T) -> io::Result<c_int> {
    // SAFETY: every caller pairs the request with the structure that the kernel defines for it.
    let result = unsafe {
        libc::ioctl(descriptor.as_fd().as_raw_fd(), request, std::ptr::from_mut(value).cast::<c_void>())
    };
    checked(c_long::from(result))?;
    Ok(result)
}

/// An `ioctl` on an integer.
pub(crate) fn control_number(descriptor: impl AsFd, request: u64, value: c_int) -> io::Result<c_int> {
    // SAFETY: the requests used here take an integer; nothing is dereferenced.
    let result = unsafe { libc::ioctl(descriptor.as_fd().as_raw_fd(), request, value) };
    checked(c_long::from(result))?;
    Ok(result)
}

/// Puts a copy of a descriptor at a fixed number, inherited by the program.
pub(crate) fn place_descriptor(descriptor: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: only in a child just before exec, where these numbers belong to nobody.
    checked(c_long::from(unsafe { libc::dup2(descriptor.as_raw_fd(), number) })).map(drop)
}

/// Takes over a descriptor number that this process was started with.
pub(crate) fn take_descriptor(number: RawFd) -> OwnedFd {
    // SAFETY: called once per number, in a process that has just begun and owns it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Sets the three user ids and the three group ids, and no further groups.
pub(crate) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: no groups are read.
    let groups = unsafe { libc::setgroups(0, std::ptr::null()) };
    if let Err(error) = checked(c_long::from(groups))
        && error.raw_os_error() != Some(libc::EPERM)
    {
        return Err(error);
    }
    // SAFETY: integers only.
    checked(c_long::from(unsafe { libc::setresgid(gid, gid, gid) }))?;
    // SAFETY: integers only.
    checked(c_long::from(unsafe { libc::setresuid(uid, uid, uid) })).map(drop)
}

/// As many open files as this process may have.
pub(crate) fn raise_open_files() -> io::Result<()> {
    let most = rustix::process::getrlimit(Resource::Nofile).maximum;
    Ok(rustix::process::setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?)
}

/// Whether the kernel knows an action of seccomp filters.
pub(crate) fn seccomp_has(operation: u32, action: u32) -> io::Result<()> {
    // SAFETY: reads one integer that lives until the call returns.
    checked(unsafe { libc::syscall(libc::SYS_seccomp, operation, 0u32, std::ptr::from_ref(&action)) })
        .map(drop)
}

/// Version of Landlock.
pub(crate) fn landlock_version() -> io::Result<u32> {
    const VERSION: u32 = 1;
    // SAFETY: with this flag no attribute is read.
    let version = checked(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<c_void>(), 0usize, VERSION)
    })?;
    u32::try_from(version).map_err(|_| io::ErrorKind::InvalidData.into())
}
