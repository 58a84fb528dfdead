// A small server-like program for scripts/demo: five threads, each asleep in a different way, and a line every second.
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static int ends[2];
static volatile unsigned long steps;

static void *wait_for_work(void *unused) {
    pthread_mutex_lock(&lock);
    for (;;) pthread_cond_wait(&work, &lock);
    return unused;
}

static void *read_requests(void *unused) {
    char byte;
    while (read(ends[0], &byte, 1) >= 0) {
    }
    return unused;
}

static void *poll_clients(void *unused) {
    struct pollfd client = {.fd = ends[0], .events = POLLPRI};
    for (;;) poll(&client, 1, 60000);
    return unused;
}

static void *compute(void *unused) {
    for (;;) {
        for (int i = 0; i < 1000000; i++) steps++;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    return unused;
}

static void start(const char *name, void *(*run)(void *)) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, NULL) == 0) pthread_setname_np(thread, name);
}

// Called once a second, for a breakpoint.
__attribute__((noinline)) unsigned long tick(unsigned long done) {
    return done / 1000000;
}

int main(void) {
    if (pipe(ends) != 0) return 1;
    start("queue", wait_for_work);
    start("reader", read_requests);
    start("poller", poll_clients);
    start("compute", compute);
    for (;;) {
        time_t now = time(NULL);
        char text[32];
        strftime(text, sizeof text, "%H:%M:%S", localtime(&now));
        printf("%s pid: %d, %lu million steps\n", text, getpid(), tick(steps));
        fflush(stdout);
        sleep(1);
    }
}
