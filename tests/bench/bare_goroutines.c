// What it takes to read all goroutines of a Go program, and nothing more: `bare_goroutines PID ALLGLEN ALLGPTR`, the last two
// the addresses of the runtime's variables.
//
// Reads the list, the `g`s in it (runtime/runtime2.go: stack.hi at 8, sched.sp at 56) and at most 1 KiB of each stack, ranges
// of one page together, by two threads. Holds nothing, and prints in milliseconds how long `g`s and stacks took: godbg's pause
// is measured against this.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

enum { G_SIZE = 368, NEAR = 256, MOST_RANGES = 1024, ROOM = 256 << 10, EACH = 1024, READERS = 2 };

typedef unsigned long word;
struct stretch {
    word start, end;
};
struct part {
    pthread_t thread;
    word *gs;
    size_t count, bytes, calls;
};

static pid_t pid;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static size_t copy(char *to, struct iovec *ranges, size_t count) {
    size_t length = 0;
    for (size_t i = 0; i < count; i++) length += ranges[i].iov_len;
    struct iovec local = {to, length};
    // A stack that has gone away meanwhile makes it shorter.
    if (process_vm_readv(pid, &local, 1, ranges, count, 0) < 0 && errno != EFAULT) fail("process_vm_readv");
    return length;
}

static int by_start(const void *a, const void *b) {
    word x = ((const struct stretch *)a)->start, y = ((const struct stretch *)b)->start;
    return x < y ? -1 : x > y;
}

static int by_address(const void *a, const void *b) {
    word x = *(const word *)a, y = *(const word *)b;
    return x < y ? -1 : x > y;
}

// Reads what the stretches cover, those of one page as one range.
static void copy_stacks(struct part *part, struct stretch *all, size_t count, char *room) {
    struct iovec ranges[MOST_RANGES];
    size_t used = 0, length = 0;
    qsort(all, count, sizeof *all, by_start);
    for (size_t i = 0; i < count;) {
        word start = all[i].start, end = all[i].end;
        for (i++; i < count && (all[i].end - 1) / 4096 == start / 4096; i++) end = all[i].end;
        if (used == MOST_RANGES || length + (end - start) > ROOM) {
            part->bytes += copy(room, ranges, used);
            part->calls++;
            used = length = 0;
        }
        ranges[used++] = (struct iovec){(void *)start, end - start};
        length += end - start;
    }
    if (used) part->bytes += copy(room, ranges, used), part->calls++;
}

static void *read_part(void *argument) {
    struct part *part = argument;
    char *room = malloc(ROOM);
    struct stretch stacks[MOST_RANGES];
    if (!room) fail("malloc");
    memset(room, 1, ROOM);
    for (size_t from = 0; from < part->count;) {
        struct iovec ranges[MOST_RANGES];
        size_t used = 0, length = 0, to = from, found = 0;
        while (to < part->count && to - from < MOST_RANGES / 2 && length < ROOM - 2 * 4096) {
            word start = part->gs[to], end = start + G_SIZE;
            for (to++; to < part->count && part->gs[to] <= end + NEAR && end - start < 4096; to++) end = part->gs[to] + G_SIZE;
            ranges[used++] = (struct iovec){(void *)start, end - start};
            length += end - start;
        }
        part->bytes += copy(room, ranges, used);
        part->calls++;
        char *place = room;
        for (size_t range = 0; range < used; range++) {
            word start = (word)ranges[range].iov_base;
            for (; from < to && part->gs[from] < start + ranges[range].iov_len && found < MOST_RANGES; from++) {
                word hi, sp;
                memcpy(&hi, place + (part->gs[from] - start) + 8, 8);
                memcpy(&sp, place + (part->gs[from] - start) + 56, 8);
                if (sp && sp < hi) stacks[found++] = (struct stretch){sp, hi - sp > EACH ? sp + EACH : hi};
            }
            place += ranges[range].iov_len;
        }
        from = to;
        copy_stacks(part, stacks, found, room);
    }
    return NULL;
}

static word word_at(const char *address) {
    word value = 0;
    struct iovec range = {(void *)strtoul(address, NULL, 16), sizeof value};
    copy((char *)&value, &range, 1);
    return value;
}

int main(int count, char **words) {
    if (count != 4) return fprintf(stderr, "usage: bare_goroutines PID ALLGLEN ALLGPTR\n"), 2;
    pid = atoi(words[1]);
    word goroutines = word_at(words[2]), list = word_at(words[3]);
    word *gs = malloc(goroutines * sizeof *gs);
    if (!gs) fail("malloc");
    struct iovec range = {(void *)list, goroutines * sizeof *gs};
    copy((char *)gs, &range, 1);
    qsort(gs, goroutines, sizeof *gs, by_address);
    struct part parts[READERS] = {0};
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (size_t i = 0; i < READERS; i++) {
        size_t from = goroutines * i / READERS, to = goroutines * (i + 1) / READERS;
        parts[i].gs = gs + from;
        parts[i].count = to - from;
        if (pthread_create(&parts[i].thread, NULL, read_part, &parts[i])) fail("pthread_create");
    }
    size_t bytes = 0, calls = 0;
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(parts[i].thread, NULL);
        bytes += parts[i].bytes;
        calls += parts[i].calls;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double took = (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6;
    printf("held=%.3f goroutines=%lu bytes=%zu calls=%zu\n", took, goroutines, bytes, calls);
}
