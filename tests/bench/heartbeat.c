// A target that says how long it stood still: `heartbeat THREADS FILE [MIB]`.
//
// One thread beats: it sleeps 1 ms over and over and keeps the longest time between two beats. All the others are asleep
// for good. The beating thread is the middle one (the only one, with THREADS = 1), so that neither the order in which a
// debugger stops threads nor the order in which it lets them go favours it.
//
// FILE is mapped and shared; every field is an unsigned 64-bit integer:
//    0  the longest gap in nanoseconds since somebody wrote 0 here
//    8  the usual gap in nanoseconds: the median of the first beats, when everything else was asleep
//   16  how many threads there are; 0 until all of them run and the usual gap is known
//   24  beats so far
//   32  where MIB MiB of memory begin that have been written to (0 without MIB)
//   40  and their length in bytes
//
// That memory holds a different word everywhere (see `word`), and `NEEDLE`, ended by a NUL, 4096 bytes before its end.
//
// A pause shorter than the rest of the millisecond that is being slept does not show, and a longer one shows without it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NEEDLE "the needle in the haystack"

enum { SETTLING = 201, STACK = 16 * 1024 };

struct shared {
    _Atomic uint64_t longest, usual, threads, beats, memory, length;
};

static struct shared *shared;
static long threads;
static _Atomic long asleep;
static int never;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t next_gap(uint64_t *last) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    uint64_t at = now(), gap = at - *last;
    *last = at;
    return gap;
}

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

_Noreturn static void beat(void) {
    while (atomic_load(&asleep) < threads - 1) usleep(1000);
    usleep(20000);
    uint64_t gaps[SETTLING], last = now();
    for (int i = 0; i < SETTLING; i++) gaps[i] = next_gap(&last);
    qsort(gaps, SETTLING, sizeof gaps[0], ascending);
    atomic_store(&shared->usual, gaps[SETTLING / 2]);
    atomic_store(&shared->threads, (uint64_t)threads);
    for (;;) {
        uint64_t gap = next_gap(&last), longest = atomic_load(&shared->longest);
        while (gap > longest && !atomic_compare_exchange_weak(&shared->longest, &longest, gap)) {
        }
        atomic_fetch_add(&shared->beats, 1);
    }
}

_Noreturn static void *thread(void *number) {
    long i = (long)number;
    if (i == threads / 2) beat();
    atomic_fetch_add(&asleep, 1);
    for (;;) {
        if (i % 3 == 0) syscall(SYS_futex, &never, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
        if (i % 3 == 1) nanosleep(&(struct timespec){.tv_sec = 3600}, NULL);
        if (i % 3 == 2) poll(NULL, 0, -1);
    }
}

static uint64_t word(uint64_t index) { return (index + 1) * 0x9e3779b97f4a7c15u; }

// Not merged into huge pages, so that a fork of the process has as much to copy as one of a fragmented heap.
static int fill(size_t mib) {
    size_t length = mib << 20;
    uint64_t *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return -1;
    madvise(memory, length, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < length / sizeof *memory; i++) memory[i] = word(i);
    memcpy((char *)memory + length - 4096, NEEDLE, sizeof NEEDLE);
    atomic_store(&shared->memory, (uint64_t)memory);
    atomic_store(&shared->length, length);
    return 0;
}

int main(int argc, char **argv) {
    threads = argc == 3 || argc == 4 ? atol(argv[1]) : 0;
    if (threads < 1) {
        fprintf(stderr, "usage: heartbeat THREADS FILE [MIB]\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); // ends with the bench that started it
    int file = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof *shared) != 0) {
        perror(argv[2]);
        return 1;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    if (argc == 4 && fill((size_t)atol(argv[3])) != 0) {
        perror("memory");
        return 1;
    }
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setguardsize(&small, 0);
    pthread_attr_setstacksize(&small, STACK);
    for (long i = 1; i < threads; i++) {
        pthread_t made;
        int error = pthread_create(&made, &small, thread, (void *)i);
        if (error != 0) {
            fprintf(stderr, "thread %ld of %ld: %s\n", i + 1, threads, strerror(error));
            return 1;
        }
    }
    thread((void *)0); // with one thread, 0 is the middle one
}
