// What joining control groups of version 1 costs, 50 ms apart, cases in turn. Root.
// Usage: placement ROUNDS GROUP_DIR...   (one directory per controller, in which a group is made and removed)
#define _GNU_SOURCE
#pragma GCC diagnostic ignored "-Wformat-truncation"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static int groups;
static char place[8][512], who[16];
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e6 + t.tv_nsec / 1e3; }
static void join(const char *file, const char *text) {
    for (int i = 0; i < groups; i++) {
        char path[600]; snprintf(path, 600, "%s/%s", place[i], file);
        int fd = open(path, O_WRONLY); if (fd < 0 || write(fd, text, strlen(text)) < 0) { perror(path); _exit(1); }
        close(fd);
    }
}
static double fork_and_answer(void) {
    int pipes[2]; char c = 0; if (pipe(pipes)) exit(1);
    double t = now(); pid_t pid = fork();
    if (!pid) _exit(write(pipes[1], &c, 1) != 1);
    if (read(pipes[0], &c, 1) != 1) exit(1);
    t = now() - t; waitpid(pid, 0, 0); close(pipes[0]); close(pipes[1]); return t;
}
static double moved(const char *file) { // by another process
    pid_t pid = fork(); if (!pid) { pause(); _exit(0); }
    snprintf(who, 16, "%d", pid); double t = now(); join(file, who); t = now() - t;
    kill(pid, SIGKILL); waitpid(pid, 0, 0); return t;
}
static double moves(const char *file) { // itself
    int pipes[2]; double t; if (pipe(pipes)) exit(1);
    if (!fork()) { t = now(); join(file, "0"); t = now() - t; _exit(write(pipes[1], &t, sizeof t) < 0); }
    if (read(pipes[0], &t, sizeof t) != sizeof t) exit(1);
    wait(0); close(pipes[0]); close(pipes[1]); return t;
}
static double elsewhere(const char *file) { // a fork while another process is being moved
    pid_t mover = fork(); if (!mover) { moved(file); _exit(0); }
    usleep(1000); double t = fork_and_answer(); waitpid(mover, 0, 0); return t;
}
static int by_value(const void *a, const void *b) { double x = *(double *)a, y = *(double *)b; return (x > y) - (x < y); }
int main(int argc, char **argv) {
    static double took[5][1000]; int rounds = atoi(argv[1]); groups = argc - 2;
    for (int i = 0; i < groups; i++) { snprintf(place[i], 512, "%s/spike-placement", argv[i + 2]); mkdir(place[i], 0755); }
    for (int r = 0; r < rounds; r++) for (int c = 0; c < 5; c++) {
        usleep(50000);
        took[c][r] = c == 0 ? fork_and_answer() : c == 1 ? moved("cgroup.procs") : c == 2 ? moves("cgroup.procs") : c == 3 ? moves("tasks") : elsewhere("cgroup.procs");
    }
    const char *names[] = {"fork and answer", "moved by another, cgroup.procs", "moves itself, cgroup.procs", "moves itself, tasks", "fork elsewhere during a move"};
    for (int c = 0; c < 5; c++) { qsort(took[c], rounds, sizeof(double), by_value); printf("%-34s %8.0f %8.0f %8.0f us (min p50 p90)\n", names[c], took[c][0], took[c][rounds / 2], took[c][rounds * 9 / 10]); }
    usleep(100000); for (int i = 0; i < groups; i++) rmdir(place[i]);
}
