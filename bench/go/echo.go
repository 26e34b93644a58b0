package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// ---- a TCP server: see ../c/echo.c ----

func serve(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 512)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}

func acceptAll(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go serve(conn)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "gobench:", err)
		os.Exit(1)
	}
}

// runEcho serves the load of ../c/gsecho.c, which stands one directory above this program.
func runEcho(conns int) func(options, *result) {
	return func(o options, r *result) {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		check(err)
		go acceptAll(l)
		self, err := os.Executable()
		check(err)
		load := exec.Command(filepath.Join(filepath.Dir(self), "..", "gsecho"),
			strconv.Itoa(l.Addr().(*net.TCPAddr).Port), strconv.Itoa(conns),
			strconv.Itoa(o.samples), fmt.Sprint(float64(o.target.Nanoseconds())/1e6))
		load.Stderr = os.Stderr
		out, err := load.StdoutPipe()
		check(err)
		check(load.Start())
		for lines := bufio.NewScanner(out); lines.Scan(); {
			sample, err := strconv.ParseFloat(lines.Text(), 64)
			check(err)
			r.Samples = append(r.Samples, sample)
		}
		check(load.Wait())
	}
}

var echoRows = map[string]row{
	"echo.1":    {"ns", 2, runEcho(1)},
	"echo.100":  {"ns", 2, runEcho(100)},
	"echo.1000": {"ns", 2, runEcho(1000)},
}
