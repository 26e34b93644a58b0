package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	ringMembers     = 1000
	burst           = 1000000
	buffer          = 128
	napTime         = time.Millisecond
	sleepsPerSample = 12
)

// loopRing lets goroutines take turns.  The clock runs from the moment the last of them has come
// to the moment the last has made its turns, so their making is not measured.
func loopRing(members int) loop {
	return func(n int) time.Duration {
		turns := (n + members - 1) / members
		var arrived, finished int32
		var start, end time.Time
		var group sync.WaitGroup
		group.Add(members)
		for i := 0; i < members; i++ {
			go func() {
				if atomic.AddInt32(&arrived, 1) == int32(members) {
					start = time.Now()
				}
				for atomic.LoadInt32(&arrived) < int32(members) {
					runtime.Gosched()
				}
				for i := 0; i < turns; i++ {
					runtime.Gosched()
				}
				if atomic.AddInt32(&finished, 1) == int32(members) {
					end = time.Now()
				}
				group.Done()
			}()
		}
		group.Wait()
		return time.Duration(float64(end.Sub(start)) * float64(n) / float64(turns*members))
	}
}

// loopSpawnJoin joins by a channel, which is what is fastest in Go for a single goroutine.
func loopSpawnJoin(n int) time.Duration {
	done := make(chan struct{}, 1)
	start := time.Now()
	for i := 0; i < n; i++ {
		go func() { done <- struct{}{} }()
		<-done
	}
	return time.Since(start)
}

func loopBurst(n int) time.Duration {
	var group sync.WaitGroup
	group.Add(n)
	start := time.Now()
	for i := 0; i < n; i++ {
		go group.Done()
	}
	group.Wait()
	return time.Since(start)
}

func loopRoundTrip(n int) time.Duration {
	there, back := make(chan int64), make(chan int64)
	go func() {
		for i := 0; i < n; i++ {
			back <- <-there
		}
	}()
	start := time.Now()
	for i := int64(0); i < int64(n); i++ {
		there <- i
		if answer := <-back; answer != i {
			fmt.Fprintf(os.Stderr, "gobench: sent %d, got %d back\n", i, answer)
			os.Exit(1)
		}
	}
	return time.Since(start)
}

func loopBuffered(n int) time.Duration {
	items := make(chan int64, buffer)
	go func() {
		for i := int64(0); i < int64(n); i++ {
			items <- i
		}
	}()
	start := time.Now()
	for i := int64(0); i < int64(n); i++ {
		if value := <-items; value != i {
			fmt.Fprintf(os.Stderr, "gobench: item %d came as %d\n", i, value)
			os.Exit(1)
		}
	}
	return time.Since(start)
}

func runSleep(o options, r *result) {
	for i := 0; i < o.samples*sleepsPerSample; i++ {
		start := time.Now()
		time.Sleep(napTime)
		r.pushMicroseconds(time.Since(start) - napTime)
	}
}

var switchRows = map[string]row{
	"yield.two":      {"ns", 1, loopRow(loopRing(2))},
	"yield.ring":     {"ns", 1, loopRow(loopRing(ringMembers))},
	"spawn.join.w1":  {"ns", 1, loopRow(loopSpawnJoin)},
	"spawn.join.w2":  {"ns", 2, loopRow(loopSpawnJoin)},
	"spawn.burst.w1": {"ns", 1, fixedRow(loopBurst, burst)},
	"spawn.burst.w2": {"ns", 2, fixedRow(loopBurst, burst)},
	"chan.w1":        {"ns", 1, loopRow(loopRoundTrip)},
	"chan.w2":        {"ns", 2, loopRow(loopRoundTrip)},
	"buffered.w1":    {"ns", 1, loopRow(loopBuffered)},
	"buffered.w2":    {"ns", 2, loopRow(loopBuffered)},
	"sleep.1ms":      {"us", 2, runSleep},
}
