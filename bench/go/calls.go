package main

// static int empty(void *arg) { (void)arg; return 0; }
// static int int1(int a) { return a; }
// static int int4(int a, int b, int c, int d) { return a + b + c + d; }
// static int int6(int a, int b, int c, int d, int e, int f) { return a + b + c + d + e + f; }
// static int int8(int a, int b, int c, int d, int e, int f, int g, int h) {
//   return a + b + c + d + e + f + g + h;
// }
// static int int0(void) { return 0; }
import "C"

import "time"

// sink keeps results alive.
var sink C.int

func loopEmpty(n int) time.Duration {
	start := time.Now()
	for i := 0; i < n; i++ {
		C.empty(nil)
	}
	return time.Since(start)
}

func loopInt0(n int) time.Duration {
	start := time.Now()
	for i := 0; i < n; i++ {
		sink = C.int0()
	}
	return time.Since(start)
}

func loopInt1(n int) time.Duration {
	start := time.Now()
	for i := 0; i < n; i++ {
		sink = C.int1(1)
	}
	return time.Since(start)
}

func loopInt4(n int) time.Duration {
	start := time.Now()
	for i := 0; i < n; i++ {
		sink = C.int4(1, 2, 3, 4)
	}
	return time.Since(start)
}

func loopInt6(n int) time.Duration {
	start := time.Now()
	for i := 0; i < n; i++ {
		sink = C.int6(1, 2, 3, 4, 5, 6)
	}
	return time.Since(start)
}

func loopInt8(n int) time.Duration {
	start := time.Now()
	for i := 0; i < n; i++ {
		sink = C.int8(1, 2, 3, 4, 5, 6, 7, 8)
	}
	return time.Since(start)
}

var callRows = map[string]row{
	"call.empty": {"ns", 1, loopRow(loopEmpty)},
	"call.int0":  {"ns", 1, loopRow(loopInt0)},
	"call.int1":  {"ns", 1, loopRow(loopInt1)},
	"call.int4":  {"ns", 1, loopRow(loopInt4)},
	"call.int6":  {"ns", 1, loopRow(loopInt6)},
	"call.int8":  {"ns", 1, loopRow(loopInt8)},

	"callback":         {"ns", 1, loopRow(loopCallback)},
	"callback.foreign": {"ns", 1, loopRow(loopCallbackForeign)},
}
