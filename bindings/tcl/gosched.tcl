# gosched.tcl: the green threads of Tcl.
#
#   gosched::go cmd ?arg ...?       starts a command prefix as a green thread, gives its name
#   gosched::join g ?-timeout ms?   waits for it; its result, or its error
#   gosched::yield                  lets others run
#   gosched::names                  those that can be joined
#   gosched::state g                running, returned or failed
#
# A green thread is a coroutine, ::gosched::green::N, which is also its name.  It begins to run when
# events are next served.  What it left, a result or an error, is kept until somebody has joined it.
# Whoever waits in a coroutine yields, and whoever cannot yield serves the event loop.

namespace eval ::gosched {
    variable counter 0
    variable green          ;# (g) -> dictionary: state, and in the end code, result, options
    variable joiners        ;# (g) -> how many are waiting in join
    variable waiting        ;# (g) -> tickets of the coroutines to wake when it ends
    variable parked         ;# (coroutine) -> its ticket while it yields
    variable holder         ;# (ticket) -> the coroutine, by the name that it has now
    variable ended          ;# (g) -> written when it ends, for vwait
    array set green {}
    namespace eval green {}
}

proc ::gosched::go {cmd args} {
    variable counter
    variable green
    set g ::gosched::green::[incr counter]
    set ns [uplevel 1 {::namespace current}]
    set green($g) {state running}
    coroutine $g ::gosched::Main $g $ns [concat $cmd $args]
    trace add command $g delete [list ::gosched::Deleted $g]
    after 0 [list ::gosched::Wake [Ticket $g]]
    return $g
}

# The coroutine's body.  It yields at once, so that go returns before anything runs.
proc ::gosched::Main {g ns words} {
    ::yield
    set code [catch {namespace eval $ns $words} result options]
    Ended $g $code $result $options
}

# The coroutine's command goes: at its end, which is told already, or because somebody deleted it.
proc ::gosched::Deleted {g name args} {
    variable green
    variable parked
    if {[info exists parked($name)]} {Forget $parked($name)}
    if {[info exists green($g)] && ![Done $g]} {
        Ended $g 1 "$g was deleted before it ended" {-code 1 -level 0 -errorcode {GOSCHED CANCELLED}}
    }
}

proc ::gosched::Ended {g code result options} {
    variable green
    variable waiting
    variable ended
    if {$code == 3 || $code == 4} {
        set result "invoked \"[lindex {break continue} [expr {$code - 3}]]\" outside of a loop"
        set options [dict create -code 1 -level 0 -errorcode {TCL RESULT UNEXPECTED}]
    }
    set state [expr {$code == 0 || $code == 2 ? "returned" : "failed"}]
    set green($g) [dict create state $state result $result options $options]
    if {[info exists waiting($g)]} {
        foreach ticket $waiting($g) {
            after 0 [list ::gosched::Wake $ticket]
        }
        unset waiting($g)
    }
    set ended($g) 1
}

proc ::gosched::Known {g} {
    variable green
    if {![info exists green($g)]} {
        return -code error -level 2 -errorcode [list GOSCHED NAME $g] \
            "\"$g\" is not a green thread, or has been joined already"
    }
}

proc ::gosched::Done {g} {
    variable green
    return [expr {[dict get $green($g) state] ne "running"}]
}

# A coroutine that is about to yield gets a ticket, and only who has the ticket resumes it.  So a
# wake-up that comes too late, when the coroutine is not in that yield any more, does nothing.  It
# may be renamed meanwhile, also before it has run at all: the ticket goes with it.
proc ::gosched::Ticket {coroutine} {
    variable counter
    variable parked
    variable holder
    set ticket [incr counter]
    set parked($coroutine) $ticket
    set holder($ticket) $coroutine
    trace add command $coroutine rename ::gosched::Renamed
    return $ticket
}

proc ::gosched::Renamed {from to args} {
    variable parked
    variable holder
    if {[info exists parked($from)]} {
        set parked($to) $parked($from)
        unset parked($from)
        set holder($parked($to)) $to
    }
}

proc ::gosched::Forget {ticket} {
    variable parked
    variable holder
    if {![info exists holder($ticket)]} return
    set coroutine $holder($ticket)
    unset holder($ticket) parked($coroutine)
    catch {trace remove command $coroutine rename ::gosched::Renamed} ;# it may be gone
}

proc ::gosched::Wake {ticket} {
    variable holder
    if {![info exists holder($ticket)]} return
    set coroutine $holder($ticket)
    Forget $ticket
    if {[llength [info commands $coroutine]]} $coroutine
}

# Yields.  0: that was not possible, because C code is on the stack.
proc ::gosched::Park {ticket} {
    try {
        ::yield
        return 1
    } trap {TCL COROUTINE CANT_YIELD} {} {
        return 0
    } finally {
        Forget $ticket
    }
}

# Waits until the green thread may have ended: the caller looks, and waits again.
proc ::gosched::Wait {g} {
    variable waiting
    set coroutine [info coroutine]
    if {$coroutine ne ""} {
        lappend waiting($g) [set ticket [Ticket $coroutine]]
        if {[Park $ticket]} return
    }
    vwait ::gosched::ended($g)
}

# A join's time is up: wakes all who wait for this one, since they look and wait again.
proc ::gosched::Late {g late} {
    variable waiting
    set $late 1
    set ::gosched::ended($g) 0
    if {![info exists waiting($g)]} return
    foreach ticket $waiting($g) {
        after 0 [list ::gosched::Wake $ticket]
    }
    unset waiting($g)
}

proc ::gosched::join {g args} {
    variable green
    variable joiners
    variable ended
    variable counter
    set timeout {}
    if {[llength $args] == 2 && [lindex $args 0] eq "-timeout"} {
        set timeout [lindex $args 1]
        if {![string is double -strict $timeout] || $timeout < 0} {
            return -code error -errorcode {GOSCHED ARGUMENT -timeout} \
                "-timeout is \"$timeout\", expected milliseconds from 0 on"
        }
    } elseif {[llength $args]} {
        return -code error -errorcode {TCL WRONGARGS} \
            {wrong # args: should be "gosched::join g ?-timeout ms?"}
    }
    Known $g
    if {$g eq [info coroutine]} {
        return -code error -errorcode {GOSCHED ARGUMENT g} "a green thread cannot join itself"
    }
    incr joiners($g)
    set timer {}
    if {![Done $g] && $timeout ne {}} {
        set late ::gosched::late([incr counter])
        set $late 0
        set timer [after [expr {int(ceil($timeout))}] \
            [list ::gosched::Late $g $late]]
    }
    try {
        while {![Done $g]} {
            if {$timer ne {} && [set $late]} {
                return -code error -errorcode {GOSCHED TIMEOUT} \
                    "$g has not ended within $timeout milliseconds"
            }
            Wait $g
        }
        set end $green($g)
    } finally {
        if {$timer ne {}} {
            after cancel $timer
            unset $late
        }
        if {[incr joiners($g) -1] == 0} {
            unset joiners($g)
            if {[info exists green($g)] && [Done $g]} {
                unset -nocomplain green($g) ended($g)
            }
        }
    }
    if {[dict get $end state] eq "returned"} {
        return [dict get $end result]
    }
    set options [dict get $end options]
    dict incr options -level
    return -options $options [dict get $end result]
}

proc ::gosched::yield {} {
    set coroutine [info coroutine]
    if {$coroutine ne ""} {
        set ticket [Ticket $coroutine]
        after 0 [list ::gosched::Wake $ticket]
        if {[Park $ticket]} return
    }
    update
}

proc ::gosched::names {} {
    variable green
    return [lsort -dictionary [array names green]]
}

proc ::gosched::state {g} {
    variable green
    Known $g
    return [dict get $green($g) state]
}
