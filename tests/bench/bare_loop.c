// What the kernel asks for a freeze, and nothing more: `bare_loop PID`.
//
// Seizes every thread of the process, interrupts all, waits for each, detaches all, and prints in milliseconds how long
// each phase took, all four together, and how long the process was held (first interrupt to last detach). godbg is
// measured against this.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FOLLOW = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC };

static pid_t *tids;
static int *signals; // what to deliver at detach
static size_t count, room;
static unsigned char *seen; // one byte a tid: a set

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void fail(const char *what) {
    perror(what);
    exit(1); // the kernel detaches what was seized
}

static long number_in(const char *path, const char *label) {
    char text[4096];
    FILE *file = fopen(path, "r");
    if (!file) fail(path);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    char *at = strstr(text, label);
    return at ? atol(at + strlen(label)) : 0;
}

static void seize(pid_t tid) {
    seen[tid] = 1;
    if (ptrace(PTRACE_SEIZE, tid, 0, FOLLOW) != 0) {
        if (errno == ESRCH) return; // it has just died
        fail("PTRACE_SEIZE");
    }
    if (count == room) {
        room = room ? 2 * room : 256;
        tids = realloc(tids, room * sizeof *tids);
        if (!tids) fail("realloc");
    }
    tids[count++] = tid;
}

static void seize_all(const char *pid) {
    char tasks[64], status[64];
    snprintf(tasks, sizeof tasks, "/proc/%s/task", pid);
    snprintf(status, sizeof status, "/proc/%s/status", pid);
    size_t before;
    do { // until the kernel counts as many as there are here, or a pass finds nothing new
        before = count;
        DIR *directory = opendir(tasks);
        if (!directory) fail(tasks);
        for (struct dirent *entry; (entry = readdir(directory));) {
            pid_t tid = atoi(entry->d_name);
            if (tid > 0 && !seen[tid]) seize(tid);
        }
        closedir(directory);
    } while (count != before && (long)count != number_in(status, "Threads:"));
}

static void interrupt_all(void) {
    for (size_t i = 0; i < count; i++) ptrace(PTRACE_INTERRUPT, tids[i], 0, 0);
}

static void wait_all(void) {
    signals = calloc(count, sizeof *signals);
    if (!signals) fail("calloc");
    for (size_t i = 0; i < count; i++) {
        int status = 0;
        waitpid(tids[i], &status, __WALL);
        if (WIFSTOPPED(status) && status >> 16 == 0) signals[i] = WSTOPSIG(status);
    }
}

static void detach_all(void) {
    for (size_t i = 0; i < count; i++) ptrace(PTRACE_DETACH, tids[i], 0, signals[i]);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: bare_loop PID\n");
        return 2;
    }
    seen = calloc((size_t)number_in("/proc/sys/kernel/pid_max", "") + 1, 1);
    if (!seen) fail("calloc");
    double start = now();
    seize_all(argv[1]);
    double seized = now();
    interrupt_all();
    double interrupted = now();
    wait_all();
    double stopped = now();
    detach_all();
    double detached = now();
    printf("threads=%zu seize=%.3f interrupt=%.3f wait=%.3f detach=%.3f all=%.3f held=%.3f\n", count, seized - start,
           interrupted - seized, stopped - interrupted, detached - stopped, detached - start, detached - seized);
}
