# common.tcl: what the test files share.
#
# finish ends a file: with 1 if a test failed or none ran, which tcltest by itself does not do.

package require tcltest 2.3
namespace import ::tcltest::test
package require gosched
::tcltest::configure -verbose {body error}
::tcltest::testConstraint thread [expr {![catch {package require Thread}]}]
if {![::tcltest::testConstraint thread]} {
    puts "package Thread is not installed: what needs it is skipped"
}

proc finish {} {
    set total $::tcltest::numTests(Total)
    set failed $::tcltest::numTests(Failed)
    puts "$total tests, $failed failed, $::tcltest::numTests(Skipped) skipped"
    ::tcltest::cleanupTests
    exit [expr {$failed > 0 || $total == 0}]
}

# Runs a script as a green thread and gives its result.
proc green script {
    gosched::join [gosched::go apply [list {} $script]]
}

# A script's message and errorCode, as a list.
proc fails script {
    if {![catch {uplevel 1 $script} message options]} {
        error "no error: $script gives \"$message\""
    }
    list $message [dict get $options -errorcode]
}

# Runs a script in a tclsh of its own; its output, and its exit status if that is not 0.
proc child script {
    set code [catch {exec [info nameofexecutable] << $script 2>@1} output options]
    if {!$code} {return $output}
    regsub {\nchild process exited abnormally$} $output {} output
    list $output [lindex [dict get $options -errorcode] 2]
}

# How many green threads of the scheduler are left when those that have told their end are gone:
# the one that keeps it running, if anything has started it.
proc left {} {
    for {set i 0} {$i < 1000 && [dict get [gosched::stats] gs_live] > 1} {incr i} {after 5}
    expr {max(1, [dict get [gosched::stats] gs_live])}
}
