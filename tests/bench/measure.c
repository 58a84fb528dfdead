// Runs one command and says what it cost. Small on purpose: the kernel counts the memory of the process that forks
// towards the peak of the one it starts.
//
// measure run SECONDS OUTPUT COMMAND [ARGS…]
//    Standard input is empty unless MEASURE_INPUT names a file; both outputs go to the file OUTPUT. Ends the command
//    after SECONDS. Prints `wall_ns=… maxrss_kib=… exit=…` (128 + the signal if one ended it, 124 if time ran out).
// measure prompt SECONDS TEXT COMMAND [ARGS…]
//    Starts the command on a terminal of its own, waits until TEXT appears there (with an empty TEXT: until it ends),
//    ends it. Prints `wall_ns=…`, or fails if that did not happen.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ran_out;
static pid_t child;

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void on_alarm(int signal) {
    (void)signal;
    ran_out = 1;
    kill(-child, SIGKILL);
}

static void redirect(const char *path, int flags, int to) {
    int file = open(path, flags, 0600);
    if (file < 0 || dup2(file, to) < 0) fail(path);
    if (file != to) close(file);
}

static int run(unsigned seconds, const char *output, char **command) {
    const char *input = getenv("MEASURE_INPUT");
    signal(SIGALRM, on_alarm);
    long long start = now();
    child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        setpgid(0, 0); // so that helpers of the command can be ended with it
        redirect(input ? input : "/dev/null", O_RDONLY, 0);
        redirect(output, O_WRONLY | O_CREAT | O_TRUNC, 1);
        dup2(1, 2);
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    alarm(seconds);
    int status;
    struct rusage usage;
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR) fail("wait4");
    long long end = now();
    alarm(0);
    int code = ran_out ? 124 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    printf("wall_ns=%lld maxrss_kib=%ld exit=%d\n", end - start, usage.ru_maxrss, code);
    return 0;
}

// Drops escape sequences, so that a coloured prompt is found too. `state` lives on between two reads.
static size_t plain(const char *from, size_t length, char *to, int *state) {
    size_t kept = 0;
    for (size_t i = 0; i < length; i++) {
        char c = from[i];
        if (c == '\033') *state = 1;
        else if (*state == 1) *state = c == '[' ? 2 : 0;
        else if (*state == 2) *state = c >= '@' && c <= '~' ? 0 : 2;
        else if (c != 0) to[kept++] = c;
    }
    return kept;
}

static int read_until(int terminal, const char *text, long long deadline) {
    char seen[65536] = "", chunk[4096];
    size_t length = 0;
    int state = 0;
    for (;;) {
        long long left = deadline - now();
        if (left <= 0 || poll(&(struct pollfd){terminal, POLLIN, 0}, 1, (int)(left / 1000000) + 1) <= 0) return 0;
        ssize_t got = read(terminal, chunk, sizeof chunk);
        if (got <= 0) return text[0] == 0; // the other side is closed
        if (length + (size_t)got >= sizeof seen) return 0;
        length += plain(chunk, (size_t)got, seen + length, &state);
        seen[length] = 0;
        if (text[0] != 0 && strstr(seen, text)) return 1;
    }
}

static int prompt(unsigned seconds, const char *text, char **command) {
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    int terminal;
    long long start = now();
    child = forkpty(&terminal, NULL, NULL, &size);
    if (child < 0) fail("forkpty");
    if (child == 0) {
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    int found = read_until(terminal, text, start + seconds * 1000000000ll);
    long long end = now();
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    if (!found) {
        fprintf(stderr, "%s: `%s` did not appear\n", command[0], text);
        return 1;
    }
    printf("wall_ns=%lld\n", end - start);
    return 0;
}

int main(int argc, char **argv) {
    if (argc >= 5 && strcmp(argv[1], "run") == 0) return run((unsigned)atoi(argv[2]), argv[3], argv + 4);
    if (argc >= 5 && strcmp(argv[1], "prompt") == 0) return prompt((unsigned)atoi(argv[2]), argv[3], argv + 4);
    fprintf(stderr, "usage: measure run SECONDS OUTPUT COMMAND…\n       measure prompt SECONDS TEXT COMMAND…\n");
    return 2;
}
