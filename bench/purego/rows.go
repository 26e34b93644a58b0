package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ebitengine/purego"
)

// open finds a function of the shared library whose functions gosched's side calls.
func open(name string, function any) {
	library, err := purego.Dlopen(
		filepath.Join(os.Getenv("GSBENCH_DIR"), "libgsbench_targets.so"), purego.RTLD_NOW)
	if err != nil {
		fmt.Fprintln(os.Stderr, "purego:", err)
		os.Exit(1)
	}
	purego.RegisterLibFunc(function, library, name)
}

// sink keeps results alive.
var sink int32

func loopInt0(n int) time.Duration {
	var function func() int32
	open("gsbench_int0", &function)
	start := time.Now()
	for i := 0; i < n; i++ {
		sink = function()
	}
	return time.Since(start)
}

func loopInt1(n int) time.Duration {
	var function func(a int32) int32
	open("gsbench_int1", &function)
	start := time.Now()
	for i := 0; i < n; i++ {
		sink = function(1)
	}
	return time.Since(start)
}

func loopInt4(n int) time.Duration {
	var function func(a, b, c, d int32) int32
	open("gsbench_int4", &function)
	start := time.Now()
	for i := 0; i < n; i++ {
		sink = function(1, 2, 3, 4)
	}
	return time.Since(start)
}

func loopInt6(n int) time.Duration {
	var function func(a, b, c, d, e, f int32) int32
	open("gsbench_int6", &function)
	start := time.Now()
	for i := 0; i < n; i++ {
		sink = function(1, 2, 3, 4, 5, 6)
	}
	return time.Since(start)
}

func loopInt8(n int) time.Duration {
	var function func(a, b, c, d, e, f, g, h int32) int32
	open("gsbench_int8", &function)
	start := time.Now()
	for i := 0; i < n; i++ {
		sink = function(1, 2, 3, 4, 5, 6, 7, 8)
	}
	return time.Since(start)
}

func rows() map[string]row {
	return map[string]row{
		"call.int0": {"ns", 1, loopRow(loopInt0)},
		"call.int1": {"ns", 1, loopRow(loopInt1)},
		"call.int4": {"ns", 1, loopRow(loopInt4)},
		"call.int6": {"ns", 1, loopRow(loopInt6)},
		"call.int8": {"ns", 1, loopRow(loopInt8)},
	}
}
