// A Go target that calls one function for ever and counts its calls: `caller-go THREADS FILE 0`. The twin of caller.c,
// with the same FILE as far as it goes, for Delve.
package main

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const runtimesOwn = 5 // main, sysmon, the template thread, and what the garbage collector takes

type shared struct {
	unused                     [2]uint64
	threads, calls, work, room uint64
}

var asleep int64

func init() {
	runtime.LockOSThread() // the calls are made by the first thread, as in caller.c
}

func main() {
	if len(os.Args) != 4 {
		fail("usage: caller-go THREADS FILE 0")
	}
	syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
	threads, err := strconv.Atoi(os.Args[1])
	check(err)
	file, err := os.OpenFile(os.Args[2], os.O_RDWR|os.O_CREATE, 0o600)
	check(err)
	check(file.Truncate(48))
	page, err := syscall.Mmap(int(file.Fd()), 0, 48, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check(err)
	board := (*shared)(unsafe.Pointer(&page[0]))

	debug.SetMaxThreads(threads + 1000)
	var pipe [2]int
	check(syscall.Pipe(pipe[:]))
	for i := 0; i < threads-runtimesOwn; i++ {
		go sleep(pipe[0])
	}
	for atomic.LoadInt64(&asleep) < int64(threads-runtimesOwn) {
		runtime.Gosched()
	}
	board.work = uint64(reflect.ValueOf(work).Pointer())
	atomic.StoreUint64(&board.threads, uint64(threads))
	for n := uint64(0); ; n++ {
		work(&board.calls, n)
	}
}

//go:noinline
func work(calls *uint64, n uint64) {
	*calls++
}

func sleep(pipe int) {
	runtime.LockOSThread()
	atomic.AddInt64(&asleep, 1)
	for {
		syscall.Read(pipe, make([]byte, 1))
	}
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
