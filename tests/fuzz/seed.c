// The program whose sections are the seeds of the fuzz targets: a few functions, an inlined call, a loop, a struct. Runs nowhere.
struct pair { int first; long second; };
enum colour { RED, GREEN };
static volatile long total;

static inline __attribute__((always_inline)) long twice(struct pair *pair) {
    long sum = pair->first + pair->second;
    total += sum;
    return 2 * sum;
}

__attribute__((noinline)) long work(int count, enum colour colour) {
    struct pair pair = {count, 7};
    long sum = colour;
    for (int i = 0; i < count; i++)
        sum += twice(&pair) + i;
    return sum;
}

__attribute__((noinline)) long deeper(int depth) { return depth ? deeper(depth - 1) + work(depth, GREEN) : 1; }

void _start(void) {
    total = deeper(5);
    for (;;)
        ;
}
