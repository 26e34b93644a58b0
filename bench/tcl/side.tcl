# side.tcl: the Tcl rows, of gosched and of what Tcl has itself.
#
#   tclsh side.tcl gosched|peer|cffi --samples=N --target-ms=MS ROW
#
# Prints one JSON object on one line, as gsbench does; ends with status 77 if something is missing.

lassign $argv who
set samples 5
set target 20.0
foreach word [lrange $argv 1 end] {
    if {![regexp {^--(samples|target-ms)=(.*)$} $word -> name value]} {
        set row $word
    } elseif {$name eq "samples"} {
        set samples $value
    } else {
        set target $value
    }
}

proc need package {
    if {[catch {package require $package} message]} {
        puts stderr "the Tcl package $package: $message"
        exit 77
    }
}

proc report {unit list} {
    set status [open /proc/self/status]
    regexp {VmHWM:\s+(\d+)} [read $status] -> rss
    close $status
    puts "{\"unit\": \"$unit\", \"samples\": \[[join $list ", "]\], \"rss_kib\": $rss, \"threads\": 0}"
    exit 0
}

# Nanoseconds of one run of a body, once a sample; the loop is compiled.
proc loop body {
    proc run n "global f t; for {set i 0} {\$i < \$n} {incr i} {$body}; return"
    run 1 ;# what the first one starts is not its own time
    set n 1
    while 1 {
        set took [lindex [time {run $n}] 0]
        if {$took >= $::target * 800} break
        set n [expr {int($n * min(20.0, $took > 0 ? $::target * 1000 / $took : 20)) + 1}]
    }
    for {set k 0} {$k < $::samples} {incr k} {
        lappend list [expr {[lindex [time {run $n}] 0] * 1000.0 / $n}]
    }
    report ns $list
}

proc blocking n {
    if {$::who eq "gosched"} {
        gosched::cdef {int usleep(unsigned usec);}
        set libc [gosched::load libc.so.6]
        set script {
            for {set i 0} {$i < $n} {incr i} {lappend gs [gosched::go ${libc}::usleep 100000]}
            foreach g $gs {gosched::join $g}
        }
    } else {
        set script {
            set pool [tpool::create -minworkers $n -maxworkers $n]
            for {set i 0} {$i < $n} {incr i} {lappend jobs [tpool::post $pool {after 100}]}
            foreach job $jobs {tpool::wait $pool $job}
        }
    }
    report ms [list [expr {[lindex [time $script] 0] / 1000.0}]]
}

# How late a ticker of 1 ms is beside a call of 1 s, in ms, each tick.
proc ticker {} {
    set now [clock microseconds]
    lappend ::late [expr {($now - $::due) / 1000.0}]
    set ::due [expr {$now + 1000}]
    after 1 ticker
}

need [dict get {gosched gosched peer Thread cffi cffi} $who]
switch -- $who/$row {
    gosched/call.add {
        gosched::cdef {int gsbench_add(int a, int b);}
        set lib [gosched::load [file join $env(GSBENCH_DIR) libgsbench_targets.so]]
        gosched::bind f $lib gsbench_add -critical 1
        loop {f 3 4}
    }
    cffi/call.add {
        cffi::Wrapper create lib [file join $env(GSBENCH_DIR) libgsbench_targets.so]
        lib function gsbench_add int {a int b int}
        loop {gsbench_add 3 4}
    }
    peer/call.add {
        # a command in C; a name that is not compiled into bytecode
        interp alias {} f {} ::tcl::mathop::+
        set f ::tcl::mathop::+
        loop {$f 3 4}
    }
    gosched/call.elsewhere {
        gosched::cdef {int abs(int v);}
        set f [gosched::load libc.so.6]::abs
        loop {$f 5}
    }
    peer/call.elsewhere {
        set t [thread::create]
        loop {thread::send $t {expr 5}}
    }
    peer/message {
        # An integer to another thread.  Its queue has no bound, so each 1,024th waits for an answer.
        set t [thread::create]
        thread::send $t {proc got i {}}
        proc f t {
            if {[incr ::sent] % 1024} {
                thread::send -async $t [list got $::sent]
            } else {
                thread::send $t [list got $::sent]
            }
        }
        set sent 0
        loop {f $t}
    }
    gosched/block.100 - peer/block.100 {blocking 100}
    gosched/block.1000 - peer/block.1000 {blocking 1000}
    gosched/tick - peer/tick {
        set late {}
        set due [expr {[clock microseconds] + 1000}]
        after 1 ticker
        if {$who eq "gosched"} {
            gosched::cdef {int usleep(unsigned usec);}
            [gosched::load libc.so.6]::usleep 1000000
        } else {
            set pool [tpool::create -minworkers 1]
            tpool::wait $pool [tpool::post $pool {after 1000}]
        }
        report ms $late
    }
    gosched/chan {
        set a [gosched::chan new]
        set b [gosched::chan new]
        gosched::go apply {{a b} {while {[$a recv v]} {$b send $v}}} $a $b
        proc main {a b} {
            set list {}
            for {set k 0} {$k < $::samples} {incr k} {
                set began [clock microseconds]
                for {set i 0} {$i < 2000} {incr i} {$a send $i; $b recv}
                lappend list [expr {([clock microseconds] - $began) / 2.0}]
            }
            report ns $list
        }
        gosched::join [gosched::go main $a $b]
    }
    gosched/spawn.join {loop {gosched::join [gosched::go list]}}
    default {
        puts stderr "$who has no row $row"
        exit 77
    }
}
