// A Go target with many goroutines that says how long it stood still: `goroutines-go GOROUTINES FILE`, with the same FILE as
// heartbeat.c. They wait as those of servers do: for channels, in select, for a mutex, asleep, some frames deep. One that is
// locked to its thread beats every millisecond.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const settling = 201

type shared struct{ longest, usual, threads, beats uint64 }

var (
	begun  int64
	never  = make(chan int)
	others = make(chan int)
	mutex  sync.Mutex
)

func main() {
	if len(os.Args) != 3 {
		fail("usage: goroutines-go GOROUTINES FILE")
	}
	runtime.LockOSThread() // prctl is about the calling thread, and main keeps it
	syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
	count, err := strconv.Atoi(os.Args[1])
	check(err)
	file, err := os.OpenFile(os.Args[2], os.O_RDWR|os.O_CREATE, 0o600)
	check(err)
	check(file.Truncate(32))
	page, err := syscall.Mmap(int(file.Fd()), 0, 32, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check(err)
	board := (*shared)(unsafe.Pointer(&page[0]))
	mutex.Lock()
	for i := 0; i < count; i++ {
		switch i % 8 {
		case 0:
			go sleeper()
		case 1:
			go locker()
		case 2, 3:
			go selector()
		default:
			go worker(i % 5)
		}
	}
	go beat(board, count)
	runtime.Gosched()
	select {}
}

func worker(depth int) {
	if depth > 0 {
		worker(depth - 1)
		return
	}
	atomic.AddInt64(&begun, 1)
	<-never
}

func selector() {
	atomic.AddInt64(&begun, 1)
	select {
	case <-never:
	case <-others:
	}
}

func locker() {
	atomic.AddInt64(&begun, 1)
	mutex.Lock()
}

func sleeper() {
	atomic.AddInt64(&begun, 1)
	time.Sleep(time.Hour)
}

func beat(board *shared, count int) {
	runtime.LockOSThread()
	for atomic.LoadInt64(&begun) < int64(count) {
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
	atomic.StoreUint64(&board.threads, uint64(count))
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

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
