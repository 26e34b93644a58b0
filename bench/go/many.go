package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The rows of ../c/many.c.
const (
	fibNumber = 27
	fibValue  = 196418
	leaves    = 1000000
	sleepers  = 100000
	children  = 10
	mostTimes = 3
)

func die(text string) {
	fmt.Fprintln(os.Stderr, "gobench:", text)
	os.Exit(1)
}

// fib splits off one half into a goroutine of its own.
func fib(n int) int {
	if n < 2 {
		return n
	}
	other := make(chan int, 1)
	go func() { other <- fib(n - 1) }()
	here := fib(n - 2)
	return here + <-other
}

func onceFib() {
	if fib(fibNumber) != fibValue {
		die("fib is wrong")
	}
}

func skynet(to chan<- int64, number, size int64) {
	if size == 1 {
		to <- number
		return
	}
	parts := make(chan int64, children)
	for i := int64(0); i < children; i++ {
		go skynet(parts, number+i*(size/children), size/children)
	}
	var sum int64
	for i := 0; i < children; i++ {
		sum += <-parts
	}
	to <- sum
}

func onceSkynet() {
	sum := make(chan int64, 1)
	go skynet(sum, 0, leaves)
	if <-sum != leaves*(leaves-1)/2 {
		die("skynet's sum is wrong")
	}
}

func onceSleep() {
	var group sync.WaitGroup
	group.Add(sleepers)
	for i := 0; i < sleepers; i++ {
		go func() {
			time.Sleep(100 * time.Millisecond)
			group.Done()
		}()
	}
	group.Wait()
}

func repeated(once func(), warm int) func(options, *result) {
	return func(o options, r *result) {
		for i := -warm; i < o.samples && i < mostTimes; i++ {
			start := time.Now()
			once()
			if i >= 0 {
				r.Samples = append(r.Samples, float64(time.Since(start).Nanoseconds())/1e6)
			}
		}
	}
}

// resident is the memory of the process, page tables included, in bytes.
func resident() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		die(err.Error())
	}
	var kib int
	for _, line := range strings.Split(string(status), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 1 && (fields[0] == "VmRSS:" || fields[0] == "VmPTE:") {
			n, _ := strconv.Atoi(fields[1])
			kib += n
		}
	}
	return float64(kib) * 1024
}

func runParked(count int) func(options, *result) {
	return func(_ options, r *result) {
		var there sync.WaitGroup
		gate := make(chan struct{})
		before := resident()
		there.Add(count)
		for i := 0; i < count; i++ {
			go func() {
				there.Done()
				<-gate
			}()
		}
		there.Wait()
		time.Sleep(10 * time.Millisecond)
		r.Samples = append(r.Samples, (resident()-before)/float64(count))
		close(gate)
	}
}

var manyRows = map[string]row{
	"forkjoin.w1":        {"ms", 1, repeated(onceFib, 1)},
	"forkjoin.w2":        {"ms", 2, repeated(onceFib, 1)},
	"skynet.w1":          {"ms", 1, repeated(onceSkynet, 1)},
	"skynet.w2":          {"ms", 2, repeated(onceSkynet, 1)},
	"sleep.100k":         {"ms", 2, repeated(onceSleep, 0)},
	"memory.parked.100k": {"bytes", 1, runParked(100000)},
	"memory.parked.1M":   {"bytes", 1, runParked(1000000)},
}
