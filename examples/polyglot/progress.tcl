# progress.tcl: the Tcl part of polyglot.py.  It shows how far the others are, in a window if there
# is a display and -window was given, else as lines, and lets the user cancel: by the window's
# button, or, for scripts, by "-cancel PHASE", as soon as that phase begins.

set progress [gosched::shared polyglot.progress 16]
set control [gosched::shared polyglot.control 1]
set shown {}

proc cancel {} {
    catch {$::control try_send cancel}
}

# A line for each tenth of the way: it may go to a file.
proc show_line {phase done all} {
    set tenth [expr {$all ? 10 * $done / $all : 10}]
    if {"$phase $tenth" eq $::shown} {return}
    set ::shown "$phase $tenth"
    puts [format "%-8s \[%-10s\] %d of %d" $phase [string repeat = $tenth] $done $all]
    flush stdout
}

proc show_window {phase done all} {
    .what configure -text "$phase: $done of $all"
    .bar configure -value [expr {$all ? 100.0 * $done / $all : 0}]
}

set show show_line
if {"-window" in $argv && [info exists env(DISPLAY)] && ![catch {package require Tk}]} {
    wm title . polyglot
    pack [label .what -width 40] [ttk::progressbar .bar -length 300] \
        [button .cancel -text Cancel -command cancel] -padx 8 -pady 4
    set show show_window
}
set at [lsearch $argv -cancel]
set stop [expr {$at >= 0 ? [lindex $argv $at+1] : {}}]

while {[$progress recv news]} {
    $show {*}$news
    if {[lindex $news 0] eq $stop} {cancel}
}
catch {destroy .}
