// What the kernel asks for the raw material of all stacks, and nothing more: `bare_stacks PID`.
//
// Seizes every thread of the process, interrupts all, waits for each, reads its registers, copies 4 KiB of each stack with
// process_vm_readv in calls of many ranges, detaches all, and prints in milliseconds how long the process was held. godbg's
// stacks are measured against this.
#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FOLLOW = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC };
enum { MOST_RANGES = 1024, PIECE = 4096 };

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

static void *some(size_t size) {
    void *memory = calloc(size, 1);
    if (!memory) fail("calloc");
    return memory;
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
    char tasks[64];
    snprintf(tasks, sizeof tasks, "/proc/%s/task", pid);
    size_t before;
    do { // until a pass finds nothing new
        before = count;
        DIR *directory = opendir(tasks);
        if (!directory) fail(tasks);
        for (struct dirent *entry; (entry = readdir(directory));) {
            pid_t tid = atoi(entry->d_name);
            if (tid > 0 && !seen[tid]) seize(tid);
        }
        closedir(directory);
    } while (count != before);
}

static void stop_all(void) {
    for (size_t i = 0; i < count; i++) ptrace(PTRACE_INTERRUPT, tids[i], 0, 0);
    for (size_t i = 0; i < count; i++) {
        int status = 0;
        waitpid(tids[i], &status, __WALL);
        if (WIFSTOPPED(status) && status >> 16 == 0) signals[i] = WSTOPSIG(status);
    }
}

// What ends a range early, the end of a stack's memory, ends the call: it goes on with the next range.
static size_t copy_stacks(pid_t pid, struct iovec *stacks, char *to) {
    size_t copied = 0;
    for (size_t i = 0; i < count;) {
        size_t left = count - i < MOST_RANGES ? count - i : MOST_RANGES;
        struct iovec local = {to + i * PIECE, left * PIECE};
        ssize_t got = process_vm_readv(pid, &local, 1, stacks + i, left, 0);
        if (got < 0 && errno != EFAULT) fail("process_vm_readv");
        if (got < 0) got = 0;
        copied += (size_t)got;
        i += (size_t)got / PIECE + ((size_t)got < left * PIECE);
    }
    return copied;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: bare_stacks PID\n");
        return 2;
    }
    FILE *file = fopen("/proc/sys/kernel/pid_max", "r");
    long most = 0;
    if (!file || fscanf(file, "%ld", &most) != 1) fail("pid_max");
    seen = some((size_t)most + 1);
    seize_all(argv[1]);
    signals = some(count * sizeof *signals);
    struct iovec *stacks = some(count * sizeof *stacks);
    char *to = some(count * PIECE);
    double begin = now();
    stop_all();
    for (size_t i = 0; i < count; i++) {
        struct user_regs_struct registers;
        struct iovec into = {&registers, sizeof registers};
        if (ptrace(PTRACE_GETREGSET, tids[i], (void *)NT_PRSTATUS, &into) == 0) {
            stacks[i] = (struct iovec){(void *)registers.rsp, PIECE};
        }
    }
    size_t copied = copy_stacks(atoi(argv[1]), stacks, to);
    for (size_t i = 0; i < count; i++) ptrace(PTRACE_DETACH, tids[i], 0, signals[i]);
    printf("threads=%zu copied=%zu held=%.3f\n", count, copied, now() - begin);
    return 0;
}
