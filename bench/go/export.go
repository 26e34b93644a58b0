package main

import "C"

// gobenchEmpty is what C calls back.  A file that exports may not define C functions, so it has one
// of its own.
//
//export gobenchEmpty
func gobenchEmpty() {}
