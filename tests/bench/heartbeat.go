// A Go target that says how long it stood still: `heartbeat-go THREADS FILE [MIB]`. The twin of heartbeat.c, with the
// same FILE; where its MIB MiB of memory are is not said.
//
// Goroutines locked to their threads are blocked in read(2); one in the middle beats every millisecond. The Go runtime
// has a few threads of its own, so the count in FILE is what the kernel says, near to THREADS.
package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	settling    = 201
	runtimesOwn = 5 // main, sysmon, the template thread, and what the garbage collector takes
)

type shared struct{ longest, usual, threads, beats uint64 }

var (
	asleep int64
	memory []uint64
)

func init() {
	runtime.LockOSThread() // prctl below is about the calling thread, and main keeps it
}

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		fail("usage: heartbeat-go THREADS FILE [MIB]")
	}
	syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
	threads, err := strconv.Atoi(os.Args[1])
	check(err)
	file, err := os.OpenFile(os.Args[2], os.O_RDWR|os.O_CREATE, 0o600)
	check(err)
	check(file.Truncate(32))
	page, err := syscall.Mmap(int(file.Fd()), 0, 32, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check(err)
	board := (*shared)(unsafe.Pointer(&page[0]))

	if len(os.Args) == 4 {
		mib, err := strconv.Atoi(os.Args[3])
		check(err)
		memory = make([]uint64, mib<<17)
		for i := range memory {
			memory[i] = uint64(i+1) * 0x9e3779b97f4a7c15
		}
	}
	debug.SetMaxThreads(threads + 1000)
	var pipe [2]int
	check(syscall.Pipe(pipe[:]))
	locked := threads - runtimesOwn
	for i := 0; i < locked; i++ {
		if i == locked/2 {
			go beat(board, locked-1)
		} else {
			go sleep(pipe[0])
		}
	}
	if locked < 1 {
		beat(board, 0)
	}
	sleep(pipe[0])
}

func sleep(pipe int) {
	runtime.LockOSThread()
	atomic.AddInt64(&asleep, 1)
	for {
		syscall.Read(pipe, make([]byte, 1))
	}
}

func beat(board *shared, others int) {
	runtime.LockOSThread()
	for atomic.LoadInt64(&asleep) < int64(others) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	last := time.Now()
	gaps := make([]uint64, settling)
	for i := range gaps {
		gaps[i] = nextGap(&last)
	}
	sort.Slice(gaps, func(a, b int) bool { return gaps[a] < gaps[b] })
	atomic.StoreUint64(&board.usual, gaps[settling/2])
	atomic.StoreUint64(&board.threads, countThreads())
	for {
		gap := nextGap(&last)
		for longest := atomic.LoadUint64(&board.longest); gap > longest; longest = atomic.LoadUint64(&board.longest) {
			if atomic.CompareAndSwapUint64(&board.longest, longest, gap) {
				break
			}
		}
		atomic.AddUint64(&board.beats, 1)
	}
}

// nextGap sleeps in the kernel itself: time.Sleep would hand the thread back to the runtime.
func nextGap(last *time.Time) uint64 {
	syscall.Nanosleep(&syscall.Timespec{Nsec: 1000000}, nil)
	now := time.Now()
	gap := now.Sub(*last)
	*last = now
	return uint64(gap)
}

func countThreads() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	_, rest, _ := bytes.Cut(status, []byte("Threads:\t"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	count, err := strconv.ParseUint(string(line), 10, 64)
	check(err)
	return count
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
