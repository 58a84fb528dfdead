// A target that calls one function for ever and counts its calls: `caller THREADS FILE RATE`.
//
// The first thread calls `work`, RATE times a second or, with 0, as fast as it can; all the others are asleep for good.
//
// FILE is mapped and shared; every field is an unsigned 64-bit integer, at the places where heartbeat.c has the like:
//   16  how many threads there are; 0 until all of them run
//   24  calls so far; `work` itself counts, so that a debugger that skips an instruction shows
//   32  the address of `work`, whose first instruction is `push %rbp`
//   40  room for 64 bytes of code, never run by the program
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { STACK = 16 * 1024 };

struct shared {
    uint64_t unused[2];
    _Atomic uint64_t threads, calls, work, room;
};

// In assembler, so that no compiler and no option of one changes what is stepped over.
asm(".text\n"
    ".globl work, call_for_ever, room\n"
    ".type work, @function\n"
    "work:\n"
    "    push %rbp\n"
    "    mov %rsp, %rbp\n"
    "    incq (%rdi)\n"
    "    pop %rbp\n"
    "    ret\n"
    ".size work, . - work\n"
    ".type call_for_ever, @function\n"
    "call_for_ever:\n"
    "    mov %rdi, %rbx\n"
    "1:  mov %rbx, %rdi\n"
    "    call work\n"
    "    jmp 1b\n"
    ".size call_for_ever, . - call_for_ever\n"
    ".balign 64\n"
    "room:\n"
    "    .skip 64, 0x90\n");
void work(_Atomic uint64_t *calls);
_Noreturn void call_for_ever(_Atomic uint64_t *calls);
extern char room[];

static _Atomic long asleep;

_Noreturn static void *sleeper(void *unused) {
    (void)unused;
    atomic_fetch_add(&asleep, 1);
    for (;;) pause();
}

static int start_sleepers(long count) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setguardsize(&small, 0);
    pthread_attr_setstacksize(&small, STACK);
    for (long i = 0; i < count; i++) {
        pthread_t made;
        int error = pthread_create(&made, &small, sleeper, NULL);
        if (error != 0) {
            fprintf(stderr, "thread %ld: %s\n", i + 2, strerror(error));
            return -1;
        }
    }
    while (atomic_load(&asleep) < count) usleep(1000);
    return 0;
}

int main(int argc, char **argv) {
    long threads = argc == 4 ? atol(argv[1]) : 0, rate = argc == 4 ? atol(argv[3]) : 0;
    if (threads < 1) {
        fprintf(stderr, "usage: caller THREADS FILE RATE\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); // ends with the bench that started it
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); // a debugger that is killed may leave it to die of SIGTRAP
    int file = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof(struct shared)) != 0) {
        perror(argv[2]);
        return 1;
    }
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    if (start_sleepers(threads - 1) != 0) return 1;
    atomic_store(&shared->work, (uint64_t)work);
    atomic_store(&shared->room, (uint64_t)room);
    atomic_store(&shared->threads, (uint64_t)threads);
    if (rate == 0) call_for_ever(&shared->calls);
    for (;;) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000000 / rate - (rate == 1)}, NULL);
        work(&shared->calls);
    }
}
