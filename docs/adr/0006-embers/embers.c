// Starts from an ember, 50 ms apart, cases in turn. Root; cgroup v1 or hybrid; Linux 6.12. Plays broker (main) and init (live).
// Usage: embers ROUNDS SCRATCH_DIR CODE_DIR SITE_DIR PAYLOAD GROUP_DIR...   (CODE_DIR holds ember.py; one directory per
// controller, the unified one last).
#define _GNU_SOURCE
#pragma GCC diagnostic ignored "-Wformat-truncation"
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define MUST(x) ({ long r_ = (long)(x); if (r_ < 0) { perror(#x); _exit(1); } r_; })
#define PATH(...) ({ static char p_[700]; snprintf(p_, 700, __VA_ARGS__); p_; })
enum { ROOTS = 8, STEPS = 9 };
struct sandbox { int control, orders, notices, next; pid_t init; } with_roots, with_users;
static char *scratch, *code, *site, *payload, group[6][2][512];
static int groups, home;
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e6 + t.tv_nsec / 1e3; }
static void put(const char *path, const char *text) { int fd = MUST(open(path, O_WRONLY)); MUST(write(fd, text, strlen(text))); close(fd); }
static void pair(int *two) { MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, two)); }
static void say(int to, const char *text, int *fds, int count) {
    char space[CMSG_SPACE(64)] = {0}; struct iovec part = {(char *)text, strlen(text)}; struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count) { message.msg_control = space; message.msg_controllen = CMSG_SPACE(count * 4); *CMSG_FIRSTHDR(&message) = (struct cmsghdr){CMSG_LEN(count * 4), SOL_SOCKET, SCM_RIGHTS}; memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), fds, count * 4); }
    MUST(sendmsg(to, &message, 0));
}
static int hear(int from, char *text, int room, int kind, void *extra, int size) { // kind: SCM_RIGHTS or SCM_CREDENTIALS
    char space[256]; struct iovec part = {text, room}; struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    int length = MUST(recvmsg(from, &message, MSG_CMSG_CLOEXEC));
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) if (head->cmsg_type == kind && extra) memcpy(extra, CMSG_DATA(head), size);
    return length;
}
// === the sandbox ===
static void tree(const char *top) { // as the product composes it: parts of the host read-only, /proc, /dev, code
    const char *inside[] = {"usr", "etc", "var/task", "opt"}, *from[] = {"/usr", "/etc", code, site}, *dirs[] = {"var", "proc", "dev", "tmp", "dev/shm"};
    const char *links[] = {"lib", "lib64", "bin", "sbin"}, *nodes[] = {"null", "zero", "random", "urandom", "full", "tty"};
    mkdir(top, 0755); MUST(mount("root", top, "tmpfs", 0, "mode=755"));
    for (int i = 0; i < 5; i++) { if (i == 4) MUST(mount("dev", PATH("%s/dev", top), "tmpfs", 0, 0)); mkdir(PATH("%s/%s", top, dirs[i]), 0755); }
    for (int i = 0; i < 4; i++) { char *to = PATH("%s/%s", top, inside[i]); mkdir(to, 0755); MUST(mount(from[i], to, 0, MS_BIND, 0)); MUST(mount(0, to, 0, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, 0)); }
    for (int i = 0; i < 4; i++) { char to[32]; snprintf(to, 32, "usr/%s", links[i]); MUST(symlink(to, PATH("%s/%s", top, links[i]))); }
    for (int i = 0; i < 6; i++) { char *to = PATH("%s/dev/%s", top, nodes[i]), host[32]; close(MUST(open(to, O_CREAT | O_WRONLY, 0666))); snprintf(host, 32, "/dev/%s", nodes[i]); MUST(mount(host, to, 0, MS_BIND, 0)); }
    MUST(mount("proc", PATH("%s/proc", top), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=4")); // 4: only what may be traced
}
static void own_part(const char *top) { const char *own[] = {"tmp", "dev/shm"}; for (int i = 0; i < 2; i++) MUST(mount("own", PATH("%s/%s", top, own[i]), "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")); }
static void keep(unsigned kept) { struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0}; struct __user_cap_data_struct sets[2] = {{kept, kept, 0}}; MUST(syscall(SYS_capset, &head, sets)); }
static pid_t copy(unsigned long flags) { return MUST(syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0)); }
static void become(int control, int frames, int watched, const char *how) {
    control = MUST(fcntl(control, F_DUPFD, 60)); if (frames >= 0) frames = MUST(fcntl(frames, F_DUPFD, 60));
    setsid(); MUST(dup2(control, 3)); if (frames >= 0) MUST(dup2(frames, 4));
    for (int i = 0; i < 41; i++) prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    MUST(setresgid(1000, 1000, 1000)); MUST(setresuid(1000, 1000, 1000)); keep(0); MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    if (watched) { // unshare waits until the broker has answered
        struct sock_filter filter[] = {{0x20, 0, 0, 0}, {0x15, 0, 1, SYS_unshare}, {6, 0, 0, SECCOMP_RET_USER_NOTIF}, {6, 0, 0, SECCOMP_RET_ALLOW}};
        int notices = MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &(struct sock_fprog){4, filter})); say(3, "n", &notices, 1);
    }
    syscall(SYS_close_range, frames >= 0 ? 5 : 4, ~0u, 0);
    execle("/usr/bin/python3.11", "python3.11", "-I", "/var/task/ember.py", "/opt", payload, how, (char *)0, (char *[]){"OPENBLAS_NUM_THREADS=1", 0}); _exit(127);
}
static void live(int control, int orders, int roots) { // the shell, then the init
    char core[600], text[16]; int root[ROOTS], network = MUST(socket(AF_INET, SOCK_DGRAM, 0)); struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    MUST(ioctl(network, SIOCSIFFLAGS, &up)); MUST(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0)); snprintf(core, 600, "%s/core", scratch);
    MUST(mount("base", scratch, "tmpfs", 0, "mode=700")); tree(core); // 700: no way from one root to another, even with a descriptor of a directory
    for (int i = 0; i < ROOTS && roots; i++) { char one[600]; snprintf(one, 600, "%s/%d", scratch, i); mkdir(one, 0755); MUST(mount(core, one, 0, MS_BIND | MS_REC, 0)); own_part(one); root[i] = MUST(open(one, O_PATH)); }
    if (!roots) own_part(core);
    MUST(chdir(roots ? scratch : core)); MUST(syscall(SYS_pivot_root, ".", ".")); MUST(umount2(".", MNT_DETACH)); MUST(chdir("/"));
    MUST(unshare(CLONE_NEWUSER)); say(orders, "map", 0, 0); MUST(read(orders, text, 16)); MUST(setresgid(0, 0, 0)); MUST(setresuid(0, 0, 0));
    keep(1u << CAP_KILL | 1u << CAP_SYS_CHROOT | 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_SETPCAP); prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (roots) { MUST(fchdir(root[0])); MUST(chroot(".")); }
    if (!copy(roots ? CLONE_FS : 0)) become(control, -1, !roots, "ember"); // CLONE_FS: whatever root the init takes is the ember's too
    for (int fd; hear(orders, text, 16, SCM_RIGHTS, &fd, 4); ) { // a digit: take this root; b: start an interpreter with these frames
        if (*text == 'b') { if (!copy(0)) become(control, fd, 0, "once"); close(fd); } else { MUST(fchdir(root[*text - '0'])); MUST(chroot(".")); say(orders, "k", 0, 0); }
        while (waitpid(-1, 0, WNOHANG) > 0) {}
    }
    _exit(0);
}
static struct sandbox make(int roots) {
    int a[2], b[2]; char text[64]; pair(a); pair(b); struct sandbox s = {a[0], b[0], -1, 0, copy(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)};
    if (!s.init) { close(a[0]); close(b[0]); for (int i = 0; i < groups; i++) put(PATH("%s/%s", group[i][0], i < groups - 1 ? "tasks" : "cgroup.procs"), "0"); live(a[1], b[1], roots); }
    close(a[1]); close(b[1]); MUST(read(s.orders, text, 64)); put(PATH("/proc/%d/uid_map", s.init), "0 805306368 65536"); put(PATH("/proc/%d/gid_map", s.init), "0 805306368 65536");
    say(s.orders, "ok", 0, 0); if (!roots) hear(s.control, text, 64, SCM_RIGHTS, &s.notices, 4);
    MUST(read(s.control, text, 64)); return s;
}
// === starts ===
static void change_root(void) { char text[2] = {'0' + (with_roots.next = (with_roots.next + 1) % ROOTS), 0}, back[4]; say(with_roots.orders, text, 0, 0); MUST(read(with_roots.orders, back, 4)); }
static void allow_and_mount(struct sandbox *s, int frames) {
    struct seccomp_notif notice = {0}; struct seccomp_notif_resp response = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE}; char c;
    MUST(ioctl(s->notices, SECCOMP_IOCTL_NOTIF_RECV, &notice)); int process = MUST(syscall(SYS_pidfd_open, notice.pid, 0)); response.id = notice.id;
    MUST(ioctl(s->notices, SECCOMP_IOCTL_NOTIF_SEND, &response)); MUST(read(frames, &c, 1));
    MUST(setns(process, CLONE_NEWNS)); own_part(""); MUST(setns(home, CLONE_NEWNS)); close(process); MUST(write(frames, "d", 1));
}
static int begin(const char *letters, int *pid) { // orders one instance; the broker's end of its frames
    struct sandbox *s = strchr(letters, 'u') || !letters[1] ? &with_users : &with_roots; int two[2], fds[8], count = 1, yes = 1; pair(two); fds[0] = two[1];
    MUST(setsockopt(two[0], SOL_SOCKET, SO_PASSCRED, &yes, 4));
    for (int i = 0; i < groups - 1 && strchr(letters, 't'); i++) fds[count++] = MUST(open(PATH("%s/tasks", group[i][1]), O_WRONLY));
    if (strchr(letters, 'i')) fds[count++] = MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    say(s->control, letters, fds, count); for (int i = 0; i < count; i++) close(fds[i]);
    if (s == &with_users && letters[1]) allow_and_mount(s, two[0]);
    if (strchr(letters, 's')) { struct ucred who; char c; hear(two[0], &c, 1, SCM_CREDENTIALS, &who, sizeof who); *pid = who.pid; }
    return two[0];
}
static double ask(int frames, double begun, double *steps) {
    char text[4096]; long long at[8]; MUST(write(frames, "q", 1)); int length = MUST(read(frames, text, sizeof text)); double t = now(), last = begun; close(frames);
    if (length < (int)sizeof at) exit(1);
    memcpy(at, text, sizeof at); for (int i = 0; i < 8; i++) { steps[i] = at[i] / 1e3 - last; last = at[i] / 1e3; }
    steps[8] = t - last; return t - begun;
}
static double start(const char *letters, double *steps) { // capitals: what is no fork
    double t = now(); int two[2], pid; char who[16]; const char *freeze = group[groups - 1][1];
    if (*letters == 'I') { if (!(pid = vfork())) { execl("/usr/bin/python3.11", "python3.11", "-I", "-c", "pass", (char *)0); _exit(1); } waitpid(pid, 0, 0); return now() - t; }
    if (*letters == 'B') { pair(two); say(with_roots.orders, "b", &two[1], 1); close(two[1]); return ask(two[0], t, steps); }
    if (*letters == 'L') { change_root(); return ask(begin(letters + 1, 0), t, steps); } // the root is set on the path
    if (letters[1]) { change_root(); usleep(20000); }
    if (!strchr(letters, 's')) { t = now(); return ask(begin(letters, 0), t, steps); }
    int frames = begin(letters, &pid); snprintf(who, 16, "%d", pid); for (int i = 0; i < groups; i++) put(PATH("%s/cgroup.procs", group[i][1]), who);
    put(PATH("%s/cgroup.freeze", freeze), "1"); usleep(50000); t = now(); put(PATH("%s/cgroup.freeze", freeze), "0"); t = ask(frames, t, steps); usleep(5000); return t;
}
static const char *cases[][2] = {{"interpreter -I -c pass", "I"}, {"bare: exec in the sandbox, import, answer", "B"}, {"fork, nothing else", "f"}, {"A: user and mount namespace, landlock, reseed", "fulr"},
    {"B: root set beforehand, landlock, reseed", "flr"}, {"B: root set on the path, landlock, reseed", "Lflr"}, {"B, joins its own groups (tasks)", "flrt"}, {"B, groups and listener", "flrti"}, {"spare, frozen", "flrs"}};
enum { CASES = sizeof cases / sizeof *cases };
static int by_value(const void *a, const void *b) { double x = *(double *)a, y = *(double *)b; return (x > y) - (x < y); }
static void row(const char *name, double *all, int n) { qsort(all, n, sizeof(double), by_value); printf("%-50s %8.2f %8.2f %8.2f\n", name, all[0] / 1e3, all[n / 2] / 1e3, all[n * 9 / 10] / 1e3); }
static void measure(int rounds) {
    static double took[CASES][1000], step[CASES][STEPS][1000]; const char *names[] = {"order to ember", "fork", "groups, listener", "namespaces and /tmp", "landlock", "reseed", "request read", "answered", "to the broker"};
    for (int r = 0; r < rounds; r++) for (int c = 0; c < CASES; c++) { double steps[STEPS] = {0}; usleep(50000); took[c][r] = start(cases[c][1], steps); for (int i = 0; i < STEPS; i++) step[c][i][r] = steps[i]; }
    printf("== %s, %d rounds, ms: min p50 p90\n", payload, rounds); for (int c = 0; c < CASES; c++) row(cases[c][0], took[c], rounds);
    for (int c = 3; c < 8; c++) { printf("-- %s\n", cases[c][0]); for (int i = 0; i < STEPS; i++) row(names[i], step[c][i], rounds); }
}
int main(int argc, char **argv) {
    scratch = argv[2]; code = argv[3]; site = argv[4]; payload = argv[5]; groups = argc - 6; mkdir(scratch, 0755); signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < groups; i++) for (int j = 0; j < 2; j++) { snprintf(group[i][j], 512, "%s/spike-embers%s", argv[i + 6], j ? "/one" : ""); mkdir(group[i][j], 0755); }
    MUST(unshare(CLONE_NEWNS)); MUST(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0)); home = MUST(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
    with_roots = make(1); with_users = make(0); measure(atoi(argv[1]));
    kill(with_roots.init, SIGKILL); kill(with_users.init, SIGKILL); while (wait(0) > 0) {}
    usleep(50000); for (int i = 0; i < groups; i++) for (int j = 1; j >= 0; j--) rmdir(group[i][j]);
}
