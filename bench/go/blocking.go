package main

// #include <unistd.h>
import "C"

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// ---- hand-off: see ../c/handoff.c ----

const (
	callMicroseconds  = 50000
	backOffTime       = 50 * time.Millisecond
	idleTime          = 30 * time.Millisecond
	burstTime         = 500 * time.Microsecond
	handoffsPerSample = 4
)

func runHandoff(prepare func()) func(options, *result) {
	return func(o options, r *result) {
		base := time.Now()
		for i := 0; i < o.samples*handoffsPerSample; i++ {
			var ran int64
			prepare()
			go func() { atomic.StoreInt64(&ran, int64(time.Since(base))) }()
			entered := time.Since(base)
			C.usleep(callMicroseconds)
			for atomic.LoadInt64(&ran) == 0 {
				runtime.Gosched()
			}
			r.pushMicroseconds(time.Duration(atomic.LoadInt64(&ran)) - entered)
		}
	}
}

var handoffRows = map[string]row{
	"handoff.backedoff": {"us", 1, runHandoff(func() { spin(backOffTime) })},
	"handoff.idle":      {"us", 1, runHandoff(func() { time.Sleep(idleTime) })},
	"handoff.burst":     {"us", 1, runHandoff(func() { spin(burstTime) })},
}

// ---- many blocking calls at once: see ../c/block.c ----

func runBlock(calls int) func(options, *result) {
	return func(o options, r *result) {
		debug.SetMaxThreads(20000)
		var group sync.WaitGroup
		group.Add(calls)
		start := time.Now()
		for i := 0; i < calls; i++ {
			go func() {
				C.usleep(100000)
				group.Done()
			}()
		}
		group.Wait()
		r.Samples = append(r.Samples, float64(time.Since(start).Nanoseconds())/1e6)
		r.Threads = threads()
	}
}

var blockRows = map[string]row{
	"block.100":   {"ms", 2, runBlock(100)},
	"block.1000":  {"ms", 2, runBlock(1000)},
	"block.10000": {"ms", 2, runBlock(10000)},
}
