//! Every attack with one party, and what is expected of it: by all layers together, and by each alone.

use crate::attack::Layer::{Capabilities, Cgroup, Ipc, Limits, Network, Pid, Root, Seccomp, User, Uts};
use crate::attack::{Attack, Control, Expected, Layer, Setting};

const SIBLING: &str = include_str!("programs/sibling.py");
const HOST: &str = include_str!("programs/host.py");
const INIT: &str = include_str!("programs/init.py");
const MOUNTS: &str = include_str!("programs/mounts.py");
const GROUPS: &str = include_str!("programs/groups.py");
const DEVICES: &str = include_str!("programs/devices.py");
const NAMESPACES: &str = include_str!("programs/namespaces.py");
const KERNEL: &str = include_str!("programs/kernel.py");
const NETWORK: &str = include_str!("programs/network.py");
const TERMINAL: &str = include_str!("programs/terminal.py");
const DESCRIPTORS: &str = include_str!("programs/descriptors.py");
const EXHAUSTION: &str = include_str!("programs/exhaustion.py");

const EPERM: Expected = "refused EPERM";
const EACCES: Expected = "refused EACCES";
const EROFS: Expected = "refused EROFS";
const ENOSPC: Expected = "refused ENOSPC";
const ENOENT: Expected = "absent ENOENT";
const ESRCH: Expected = "absent ESRCH";
const ENOSYS: Expected = "absent ENOSYS";
const FAMILY: Expected = "absent EAFNOSUPPORT";
const PROTOCOL: Expected = "absent EPROTONOSUPPORT";

type Refusers = &'static [(Layer, Expected)];

/// A right that belongs to the owner of the machine's namespaces: three refuse.
const PRIVILEGED: Refusers = &[(User, EPERM), (Capabilities, EPERM), (Seccomp, EPERM)];
/// The same for calls that the filter leaves alone.
const PRIVILEGED_UNFILTERED: Refusers = &[(User, EPERM), (Capabilities, EPERM)];
/// A file in another process's part of `/proc`.
const OTHER_PROCESS: Refusers = &[(Pid, ENOENT), (User, EACCES), (Capabilities, EACCES)];
/// A call that reaches into another process of the host.
const REACHED_INTO: Refusers = &[(Pid, ESRCH), (User, EPERM), (Capabilities, EPERM), (Seccomp, EPERM)];
/// A call that reaches into a neighbour. Capabilities do not count here: with the user layer off the attacker has
/// the host's user 0, which owns the neighbour's user namespace, and owners need none.
const NEIGHBOUR_REACHED: Refusers = &[(Pid, ESRCH), (User, EPERM), (Seccomp, EPERM)];
/// A link through a neighbour's part of `/proc`, likewise.
const NEIGHBOURS_LINK: Refusers = &[(Pid, ENOENT), (User, EACCES)];
/// A file that only the host's root may open.
const ROOTS_FILE: Refusers = &[(Root, ENOENT), (User, EACCES)];
/// A file in the init's part of `/proc`.
const INITS_FILE: Refusers = &[(User, EACCES), (Capabilities, EACCES)];
/// Allowed to everybody by the kernel: the filter alone refuses.
const FILTERED: Refusers = &[(Seccomp, EPERM)];

/// All of them, in the order of the report.
pub fn attacks() -> Vec<Attack> {
    [neighbour(), platform(), init(), root(), devices(), namespaces(), kernel(), network(), exhaustion()]
        .into_iter()
        .flatten()
        .collect()
}

fn neighbour() -> Vec<Attack> {
    let attack = |name, sealed, refusers| Attack::new(name, SIBLING, sealed, refusers);
    vec![
        attack("sibling_code", ENOENT, ROOTS_FILE),
        attack("sibling_environment", ENOENT, OTHER_PROCESS),
        attack("sibling_tmp", ENOENT, NEIGHBOURS_LINK),
        attack("sibling_root", ENOENT, NEIGHBOURS_LINK),
        attack("sibling_working_directory", ENOENT, NEIGHBOURS_LINK),
        attack("sibling_memory_file", ENOENT, OTHER_PROCESS),
        attack("sibling_memory_call", EPERM, NEIGHBOUR_REACHED),
        attack("sibling_memory_write", EPERM, NEIGHBOUR_REACHED),
        attack("sibling_trace", EPERM, NEIGHBOUR_REACHED),
        attack("sibling_descriptor", ESRCH, NEIGHBOUR_REACHED),
        attack("sibling_compared", EPERM, NEIGHBOUR_REACHED),
        attack("sibling_signal", ESRCH, &[(Pid, ESRCH), (User, EPERM)]),
        attack("sibling_listed", "absent not in /proc", &[(Pid, "absent not in /proc")]),
    ]
}

fn platform() -> Vec<Attack> {
    const REFUSED: Expected = "refused ECONNREFUSED";
    const OWN_GROUP: Expected = "absent the path begins at our own";
    let attack = |name, sealed, refusers| Attack::new(name, HOST, sealed, refusers);
    vec![
        attack("platform_data", ENOENT, ROOTS_FILE),
        attack("platform_directory", ENOENT, ROOTS_FILE),
        attack("platform_socket", ENOENT, ROOTS_FILE),
        attack("platform_abstract_socket", REFUSED, &[(Network, REFUSED)]),
        attack("platform_loopback", REFUSED, &[(Network, REFUSED)]),
        attack("host_interfaces", "absent only lo", &[(Network, "absent only lo")]),
        attack("host_listeners", "absent not in /proc/net/tcp", &[(Network, "absent not in /proc/net/tcp")]),
        attack("host_process_command", ENOENT, &[(Pid, ENOENT)]),
        attack("host_process_environment", ENOENT, OTHER_PROCESS),
        attack("host_process_root", ENOENT, OTHER_PROCESS),
        // Same user id with the user layer off: then no capability is needed.
        attack("host_process_signal", ESRCH, &[(Pid, ESRCH), (User, EPERM)]),
        attack("host_process_handle", ESRCH, &[(Pid, ESRCH)]),
        attack("broker_environment", ENOENT, OTHER_PROCESS),
        attack("broker_descriptors", ENOENT, OTHER_PROCESS),
        attack("broker_signal", ESRCH, &[(Pid, ESRCH), (User, EPERM)]),
        attack("broker_trace", EPERM, REACHED_INTO),
        attack("host_disk", ENOENT, ROOTS_FILE),
        attack("host_loop_control", ENOENT, ROOTS_FILE),
        attack("host_shadow", ENOENT, ROOTS_FILE),
        attack("host_kernel_messages", EPERM, PRIVILEGED),
        attack("host_kernel_directory", ENOENT, &[(Root, ENOENT)]),
        attack("host_name", "absent another name is shown", &[(Uts, "absent another name is shown")]),
        attack("host_shared_memory", ENOENT, &[(Ipc, ENOENT)]),
        attack("host_control_group_path", OWN_GROUP, &[(Cgroup, OWN_GROUP)]),
    ]
}

fn init() -> Vec<Attack> {
    const LIVES: Expected = "refused it does not die";
    const COPY: Expected = "refused a sealed copy";
    let attack = |name, sealed, refusers| Attack::new(name, INIT, sealed, refusers);
    vec![
        attack("init_environment", EACCES, INITS_FILE),
        attack("init_root", EACCES, INITS_FILE),
        attack("init_descriptors", EACCES, INITS_FILE),
        attack("init_memory", EACCES, INITS_FILE),
        attack("init_trace", EPERM, PRIVILEGED),
        attack("init_stolen_descriptor", EPERM, PRIVILEGED),
        attack("init_killed", EPERM, &[(User, LIVES), (Capabilities, LIVES)]).control(Control::Beyond(LIVES)),
        attack("everything_killed", ESRCH, &[]).control(Control::Host),
        attack("init_executable", EACCES, INITS_FILE).control(Control::Beyond(COPY)),
        Attack::new("leftover_descriptors", DESCRIPTORS, "absent only 0 to 3", &[]).control(Control::Host),
    ]
}

fn root() -> Vec<Attack> {
    const EITHER: Expected = "refused EROFS|refused EACCES";
    const OWN_GROUP: Expected = "absent only our own group is shown";
    let attack = |name, sealed, refusers| Attack::new(name, MOUNTS, sealed, refusers);
    let group = |name, refusers| Attack::new(name, GROUPS, EPERM, refusers);
    vec![
        attack("mount_new", EPERM, PRIVILEGED),
        attack("mount_bind", EPERM, PRIVILEGED),
        attack("mount_proc", EPERM, PRIVILEGED),
        attack("mount_new_interface", EPERM, PRIVILEGED),
        attack("mount_tree_copy", EPERM, PRIVILEGED),
        attack(
            "mount_tree_with_attributes",
            ENOSYS,
            &[(User, EPERM), (Capabilities, EPERM), (Seccomp, ENOSYS)],
        )
        .lacking("a kernel before 6.15"),
        attack("unmount_system", EPERM, PRIVILEGED),
        attack("unmount_proc", EPERM, PRIVILEGED),
        attack("remount_code", EPERM, PRIVILEGED),
        attack("remount_root", EPERM, PRIVILEGED),
        attack("remount_attributes", EPERM, PRIVILEGED),
        attack("pivot", EPERM, PRIVILEGED),
        attack("chroot_escape", EPERM, &[(Root, ENOENT), (Capabilities, EPERM), (Seccomp, EPERM)]),
        attack("write_code", EROFS, &[(Root, EROFS)]),
        attack("write_system", EITHER, &[(Root, EROFS), (User, EACCES)]),
        attack("write_root", EITHER, &[(Root, EROFS), (User, EACCES)]),
        attack("write_core_pattern", EITHER, &[(Root, EROFS), (User, EACCES)]),
        attack("write_sysrq", "refused EROFS|refused EACCES|absent ENOENT", &[(Root, EROFS), (User, EACCES)])
            .lacking("a kernel without the magic key"),
        attack("read_timers", "refused empty", &[(Root, "refused empty"), (User, EACCES)]),
        Attack::new(
            "release_agent",
            GROUPS,
            "refused EPERM|absent this host has no v1 hierarchy",
            &[(User, EPERM), (Capabilities, EPERM), (Seccomp, EPERM), (Cgroup, ENOENT)],
        )
        .lacking("a host with cgroup v2 only"),
        group(
            "group_of_siblings",
            &[(User, EPERM), (Capabilities, EPERM), (Seccomp, EPERM), (Cgroup, OWN_GROUP)],
        ),
    ]
}

fn devices() -> Vec<Attack> {
    const BIT: Expected = "refused the bit is ignored";
    const CAPABILITY: Expected = "refused the capability is ignored";
    let attack = |name, sealed, refusers| Attack::new(name, DEVICES, sealed, refusers);
    vec![
        attack("device_made", EPERM, PRIVILEGED_UNFILTERED),
        attack("device_opened", EPERM, &[(Root, EACCES), (User, EPERM), (Capabilities, EPERM)]),
        attack("setuid_file", BIT, &[(Root, BIT), (User, BIT), (Capabilities, BIT)]),
        // The user layer lets it be gained, in the sandbox's own user namespace, where it is worth nothing.
        attack("file_capability", CAPABILITY, &[(Root, CAPABILITY), (Capabilities, EPERM)]),
        attack("become_root", EPERM, &[(Capabilities, EPERM)]),
        attack("become_anybody", EPERM, &[(Capabilities, EPERM)]),
    ]
}

fn namespaces() -> Vec<Attack> {
    const NOBODYS: &str = "a host whose user namespaces are root's";
    const MADE: Refusers = &[(Capabilities, EPERM), (Seccomp, EPERM)];
    const ENTERED: Refusers = &[(Pid, ENOENT), (User, EACCES), (Capabilities, EACCES), (Seccomp, EPERM)];
    let attack = |name, sealed, refusers| Attack::new(name, NAMESPACES, sealed, refusers);
    vec![
        attack("unshare_user", EPERM, FILTERED).lacking(NOBODYS),
        attack("unshare_mount", EPERM, MADE),
        attack("unshare_network", EPERM, MADE),
        attack("clone_user", EPERM, FILTERED).lacking(NOBODYS),
        attack("clone3_user", ENOSYS, &[(Seccomp, ENOSYS)]).lacking(NOBODYS),
        attack("enter_own", EPERM, PRIVILEGED),
        attack("enter_host_network", ENOENT, ENTERED),
        attack(
            "enter_sibling",
            ENOENT,
            &[(Pid, ENOENT), (User, EACCES), (Capabilities, EPERM), (Seccomp, EPERM)],
        ),
        attack("enter_init_mounts", EACCES, &[(User, EACCES), (Capabilities, EACCES), (Seccomp, EPERM)]),
    ]
}

fn kernel() -> Vec<Attack> {
    const COUNTERS: Refusers = &[(User, EACCES), (Capabilities, EACCES), (Seccomp, EPERM)];
    let attack = |name, sealed, refusers| Attack::new(name, KERNEL, sealed, refusers);
    vec![
        attack("bpf_map", EPERM, PRIVILEGED),
        attack("bpf_listing", EPERM, PRIVILEGED),
        attack("perf_whole_machine", EPERM, COUNTERS),
        attack("perf_own_process", EPERM, FILTERED).lacking("a host whose counters are root's"),
        attack("key_added", EPERM, FILTERED),
        attack("key_requested", EPERM, FILTERED),
        attack("keyring_read", EPERM, FILTERED),
        attack("fault_handler", EPERM, FILTERED),
        attack("io_ring", EPERM, FILTERED).lacking("a host without io_uring"),
        attack("file_handle", EPERM, PRIVILEGED),
        attack("new_kernel", EPERM, PRIVILEGED).lacking("a kernel without kexec"),
        attack("module_from_memory", EPERM, PRIVILEGED).lacking("a kernel without modules"),
        attack("module_from_file", EPERM, PRIVILEGED).lacking("a kernel without modules"),
        attack("reboot", EPERM, PRIVILEGED),
        attack("swap_on", EPERM, PRIVILEGED),
        attack("clock_set", EPERM, PRIVILEGED),
        attack("accounting", EPERM, PRIVILEGED),
        attack("quota", EPERM, FILTERED),
        attack("file_events_of_all", EPERM, PRIVILEGED),
        attack("port_access", EPERM, PRIVILEGED).lacking("a kernel without ioperm"),
        attack("weak_personality", EPERM, FILTERED),
        attack("host_name_set", EPERM, PRIVILEGED),
        attack("other_architecture", "killed 31", &[(Seccomp, "killed 31")])
            .lacking("a machine with one table"),
        attack("other_numbering", ENOSYS, &[(Seccomp, ENOSYS)]).lacking("a kernel without x32"),
    ]
}

fn network() -> Vec<Attack> {
    let attack = |name, sealed, refusers| Attack::new(name, NETWORK, sealed, refusers);
    let typed =
        |name| Attack::new(name, TERMINAL, EPERM, FILTERED).setting(|setting| setting.terminal = true);
    vec![
        attack("raw_socket", EPERM, PRIVILEGED_UNFILTERED),
        attack("raw_protocol_socket", PROTOCOL, &[(User, EPERM), (Capabilities, EPERM), (Seccomp, PROTOCOL)]),
        attack("packet_socket", FAMILY, &[(User, EPERM), (Capabilities, EPERM), (Seccomp, FAMILY)]),
        attack("machine_socket", FAMILY, &[(Seccomp, FAMILY)]).lacking("a kernel without vsock"),
        attack("crypto_socket", FAMILY, &[(Seccomp, FAMILY)]).lacking("a kernel without crypto sockets"),
        attack("firewall_socket", FAMILY, &[(Seccomp, FAMILY)]).lacking("a kernel without netfilter"),
        attack("multipath_socket", PROTOCOL, &[(Seccomp, PROTOCOL)]).lacking("a kernel without MPTCP"),
        attack("multipath_socket_6", PROTOCOL, &[(Seccomp, PROTOCOL)]).lacking("a kernel without MPTCP"),
        attack("partly_checked_socket", PROTOCOL, &[(Seccomp, PROTOCOL)])
            .lacking("a kernel without UDP-Lite"),
        attack("association_socket", PROTOCOL, &[(Seccomp, PROTOCOL)]).lacking("a kernel without SCTP"),
        attack("association_by_type", PROTOCOL, &[(Seccomp, PROTOCOL)]).lacking("a kernel without SCTP"),
        attack("ordinary_sockets", "succeeded", &[]),
        attack("route_added", EPERM, PRIVILEGED_UNFILTERED),
        attack("interface_down", EPERM, PRIVILEGED_UNFILTERED),
        typed("typed_for_the_operator").lacking("a kernel that lets nobody type for others"),
        typed("pasted_for_the_operator"),
    ]
}

fn exhaustion() -> Vec<Attack> {
    const OUT_OF_MEMORY: Expected = "killed out of memory";
    const MANY: Expected = "refused EAGAIN";
    let attack = |name, sealed, refusers| Attack::new(name, EXHAUSTION, sealed, refusers);
    vec![
        attack("fork_bomb", MANY, &[(Limits, MANY)]).setting(|setting| setting.goal(200)),
        attack("thread_bomb", MANY, &[(Limits, MANY)]).setting(|setting| setting.goal(200)),
        attack("memory_bomb", OUT_OF_MEMORY, &[(Limits, OUT_OF_MEMORY)])
            .setting(|setting| setting.goal(256 << 20)),
        attack(
            "memory_bomb_in_children",
            "refused killed|killed out of memory",
            &[(Limits, "refused killed|killed out of memory")],
        )
        .setting(|setting| setting.goal(256 << 20)),
        attack("shared_memory_fill", "refused ENOSPC", &[(Root, ENOSPC), (Limits, OUT_OF_MEMORY)])
            .setting(|setting| setting.goal(256 << 20)),
        attack("disk_fill", ENOSPC, &[(Root, ENOSPC)]).setting(|setting| {
            setting.spec.tmp_bytes = 16 << 20;
            setting.facts.push(("ROOM", (16 << 20).to_string()));
            setting.goal(48 << 20);
        }),
        attack("file_count", ENOSPC, &[(Root, ENOSPC)]).setting(|setting| {
            setting.spec.tmp_bytes = 16 << 20;
            setting.goal(8000);
        }),
        attack("descriptor_flood", "refused EMFILE", &[])
            .control(Control::Relaxed(|spec| spec.limits.open_files = 4096))
            .setting(|setting| setting.goal(2000)),
        attack("processor_hog", "refused held back", &[(Limits, "refused held back")]).setting(|setting| {
            setting.spec.limits.cpu_millis = 100;
            setting.facts.push(("PROCESSES", "4".to_owned()));
            setting.facts.push(("SECONDS", "1".to_owned()));
            setting.goal(250);
        }),
    ]
}

// === impl Setting ===

impl Setting {
    /// How much is too much.
    fn goal(&mut self, goal: u64) {
        self.facts.push(("GOAL", goal.to_string()));
    }
}
