// Command gobench measures one row with goroutines and cgo: gobench ROW [-samples N] [-target-ms MS].
//
// It prints one JSON object on one line, as gsbench does, and each of its rows does, operation by
// operation, what the row of the same name does in ../c.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"syscall"
	"time"
)

// options is what the command line asked for.
type options struct {
	samples int
	target  time.Duration
}

// result is what a row found.
type result struct {
	Row     string    `json:"row"`
	Unit    string    `json:"unit"`
	Samples []float64 `json:"samples"`
	RSSKiB  int64     `json:"rss_kib"`
	Threads int       `json:"threads"`
}

type row struct {
	unit  string
	procs int // GOMAXPROCS
	run   func(options, *result)
}

// loop runs n operations and returns how long they took.
type loop func(n int) time.Duration

// maxGrowth bounds a step of the calibration, for a short run says little about the rate.
const maxGrowth = 20

func calibrate(o options, f loop) int {
	n := 1
	for {
		elapsed := f(n)
		if float64(elapsed) >= 0.8*float64(o.target) {
			// Twice: a moment's pause in a short run is not the loop's.
			if elapsed = f(n); float64(elapsed) >= 0.8*float64(o.target) {
				return n
			}
		}
		growth := float64(maxGrowth)
		if elapsed > 0 && float64(o.target)/float64(elapsed) < growth {
			growth = float64(o.target) / float64(elapsed)
		}
		n = int(float64(n)*growth) + 1
	}
}

// loopRow finds an n for which f lasts about the target, which also warms it up, and samples it.
func loopRow(f loop) func(options, *result) {
	return func(o options, r *result) {
		r.take(o, f, calibrate(o, f))
	}
}

// fixedRow samples f with an n that the row fixes; the first run warms up and is not a sample.
func fixedRow(f loop, n int) func(options, *result) {
	return func(o options, r *result) {
		f(n)
		r.take(o, f, n)
	}
}

func (r *result) take(o options, f loop, n int) {
	for i := 0; i < o.samples; i++ {
		r.Samples = append(r.Samples, float64(f(n).Nanoseconds())/float64(n))
	}
}

func (r *result) pushMicroseconds(d time.Duration) {
	r.Samples = append(r.Samples, float64(d.Nanoseconds())/1e3)
}

// spin computes for d without calling anything (clock reads apart).
func spin(d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
	}
}

// threads is the number of threads this process has now.
func threads() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	n := 0
	for i := 0; i+8 < len(status); i++ {
		if string(status[i:i+8]) == "Threads:" {
			fmt.Sscan(string(status[i+8:]), &n)
			break
		}
	}
	return n
}

func list(all map[string]row) {
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Println(name)
	}
}

func main() {
	samples := flag.Int("samples", 9, "samples to take")
	target := flag.Float64("target-ms", 20, "how long one sample of a loop lasts")
	wantList := flag.Bool("list", false, "print the names of the rows")
	flag.Parse()
	all := rows()
	if *wantList {
		list(all)
		return
	}
	row, ok := all[flag.Arg(0)]
	if !ok {
		fmt.Fprintf(os.Stderr, "gobench: row %q given, one of gobench -list accepted\n", flag.Arg(0))
		os.Exit(1)
	}
	runtime.GOMAXPROCS(row.procs)
	r := result{Row: flag.Arg(0), Unit: row.unit}
	row.run(options{*samples, time.Duration(*target * 1e6)}, &r)
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
		r.RSSKiB = usage.Maxrss
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, "gobench:", err)
		os.Exit(1)
	}
}
