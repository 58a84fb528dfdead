// What the kernel asks for a step or for a breakpoint whose condition is false, and nothing more:
// `bare_step HOW PID WORK ROOM PINNED COUNT`.
//
// HOW is one of
//   step       single steps
//   count      the same, and counts the calls of WORK: prints `calls=…`
//   reinsert   a breakpoint on WORK: take it out, step, put it in again
//   emulate    the same, with the replaced `push %rbp` done by the tracer
//   displaced  the same, with a copy of it run in ROOM that jumps back
// each COUNT times (0: until the process ends), on its first thread alone. With PINNED = 1 the tracer follows the thread to
// its processor. godbg is measured against these.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOK_AGAIN = 4096 }; // stops between two looks at where the thread runs

static pid_t pid;
static uint64_t work, room;
static int pinned;

// The process may be ended under us at any time: that is the usual end.
static void ended(const char *what) {
    if (errno == ESRCH || errno == ECHILD) exit(0);
    perror(what);
    exit(1);
}

static void ask(int request, uint64_t address, uint64_t data, const char *what) {
    if (ptrace(request, pid, address, data) != 0) ended(what);
}

static void next_stop(void) {
    int status;
    if (waitpid(pid, &status, __WALL) < 0) ended("waitpid");
    if (!WIFSTOPPED(status)) exit(0);
}

static void follow(void) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) exit(0);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 39; field++) at = strchr(at + 1, ' '); // field 39: processor (proc_pid_stat(5))
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(at ? atoi(at) : 0, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) ended("sched_setaffinity");
}

static uint64_t text_word(uint64_t address) {
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, pid, address, 0);
    if (errno != 0) ended("PTRACE_PEEKTEXT");
    return (uint64_t)word;
}

static void step(void) {
    ask(PTRACE_SINGLESTEP, 0, 0, "PTRACE_SINGLESTEP");
    next_stop();
}

// To the breakpoint, and one look at its condition.
static struct user_regs_struct next_hit(void) {
    struct user_regs_struct regs;
    ask(PTRACE_CONT, 0, 0, "PTRACE_CONT");
    next_stop();
    ask(PTRACE_GETREGS, 0, (uint64_t)&regs, "PTRACE_GETREGS");
    if (regs.rip != work + 1 || regs.rdi == 0xffffffffffff) {
        fprintf(stderr, "stopped at %#llx\n", regs.rip);
        exit(1);
    }
    return regs;
}

static void set(struct user_regs_struct regs) { ask(PTRACE_SETREGS, 0, (uint64_t)&regs, "PTRACE_SETREGS"); }

static void reinsert(uint64_t original, uint64_t trapped) {
    struct user_regs_struct regs = next_hit();
    regs.rip = work;
    set(regs);
    ask(PTRACE_POKETEXT, work, original, "PTRACE_POKETEXT");
    step();
    ask(PTRACE_POKETEXT, work, trapped, "PTRACE_POKETEXT");
}

static void emulate(void) {
    struct user_regs_struct regs = next_hit(); // rip is behind the push already: it is as long as int3
    regs.rsp -= 8;
    struct iovec from = {&regs.rbp, 8}, to = {(void *)regs.rsp, 8};
    if (process_vm_writev(pid, &from, 1, &to, 1, 0) != 8) ended("process_vm_writev");
    set(regs);
}

static void displaced(void) {
    next_hit();
    ask(PTRACE_POKEUSER, offsetof(struct user_regs_struct, rip), room, "PTRACE_POKEUSER");
}

// One step. Is WORK called by it?
static int calls_work(void) {
    step();
    errno = 0;
    uint64_t rip = (uint64_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);
    if (errno != 0) ended("PTRACE_PEEKUSER");
    return rip == work;
}

// push %rbp; jmp work + 1
static void write_copy(void) {
    unsigned char code[8] = {0x55, 0xe9};
    int32_t distance = (int32_t)(work + 1 - (room + 6));
    memcpy(code + 2, &distance, sizeof distance);
    uint64_t word;
    memcpy(&word, code, sizeof word);
    ask(PTRACE_POKETEXT, room, word, "PTRACE_POKETEXT");
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: bare_step step|count|reinsert|emulate|displaced PID WORK ROOM PINNED COUNT\n");
        return 2;
    }
    char how = argv[1][0];
    pid = atoi(argv[2]);
    work = strtoull(argv[3], NULL, 0);
    room = strtoull(argv[4], NULL, 0);
    pinned = atoi(argv[5]);
    unsigned long count = strtoul(argv[6], NULL, 0);
    ask(PTRACE_SEIZE, 0, 0, "PTRACE_SEIZE");
    ask(PTRACE_INTERRUPT, 0, 0, "PTRACE_INTERRUPT");
    next_stop();
    uint64_t original = 0, trapped = 0, calls = 0;
    int breaks = how != 's' && how != 'c';
    if (breaks) {
        original = text_word(work);
        trapped = (original & ~0xffull) | 0xcc;
        write_copy();
        ask(PTRACE_POKETEXT, work, trapped, "PTRACE_POKETEXT");
    }
    for (unsigned long i = 0; count == 0 || i < count; i++) {
        if (pinned && i % LOOK_AGAIN == 0) follow();
        if (how == 's') step();
        if (how == 'c') calls += (uint64_t)calls_work();
        if (how == 'r') reinsert(original, trapped);
        if (how == 'e') emulate();
        if (how == 'd') displaced();
    }
    if (how == 'c') printf("calls=%llu\n", (unsigned long long)calls);
    if (breaks) ask(PTRACE_POKETEXT, work, original, "PTRACE_POKETEXT");
    ask(PTRACE_DETACH, 0, 0, "PTRACE_DETACH");
    return 0;
}
