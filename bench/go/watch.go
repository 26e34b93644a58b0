package main

// static int noop(void *arg) { (void)arg; return 0; }
import "C"

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	callers    = 8
	yieldEvery = 64
)

// stopped runs f while eight goroutines make cgo calls and give way now and then.
func stopped(f loop) loop {
	return func(n int) time.Duration {
		var stop atomic.Bool
		var group sync.WaitGroup
		for i := 0; i < callers; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				for !stop.Load() {
					for k := 0; k < yieldEvery; k++ {
						C.noop(nil)
					}
					runtime.Gosched()
				}
			}()
		}
		spent := f(n)
		stop.Store(true)
		group.Wait()
		return spent
	}
}

// loopSTW stops the world and starts it: of what Go offers, ReadMemStats does little more.
func loopSTW(n int) time.Duration {
	var stats runtime.MemStats
	spent := time.Duration(0)
	for i := 0; i < n; i++ {
		start := time.Now()
		runtime.ReadMemStats(&stats)
		spent += time.Since(start)
		runtime.Gosched()
	}
	return spent
}

var watchRows = map[string]row{
	"watch.stw": {"ns", 2, loopRow(stopped(loopSTW))},
}
