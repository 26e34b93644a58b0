# gosched.tcl: what is written in Tcl: run, task groups, struct.
#
#   gosched::run script                  runs it as a green thread, and ends what it has started
#   gosched::taskgroup varName script    waits for all that it has started; one error ends the rest
#   gosched::struct name {type field …}  declares a struct
#
# A task group is a command: $tg go cmd ?arg …? starts a member, $tg cancel cancels all.  Members
# are joined by the group; the first error cancels the others, and is the group's.

namespace eval ::gosched {
    variable groups 0
    namespace eval group {}
    namespace export {[a-z]*}
}

proc ::gosched::struct {name fields} {
    if {[llength $fields] % 2} {
        return -code error -errorcode {GOSCHED ARGUMENT fields} \
            "fields are \"$fields\", expected a list of types and names"
    }
    set text "struct $name {"
    foreach {type field} $fields {
        # int[4] v, as Tcl writes it, is int v[4] in C
        if {[regexp {^([^\[]*)((?:\[[^\]]*\])+)$} $type -> type dimensions]} {
            append field $dimensions
        }
        append text "$type $field; "
    }
    uplevel 1 [list ::gosched::cdef "$text};"]
    return "struct $name"
}

# ---- task groups ---------------------------------------------------------------------------------

proc ::gosched::taskgroup {varName script} {
    upvar 1 $varName handle
    variable groups
    set group ::gosched::group::[incr groups]
    set done [chan new]
    namespace eval $group [list variable members [dict create] done $done failed {}]
    interp alias {} $group {} ::gosched::Group $group
    set handle $group
    set code [catch {uplevel 1 $script} result options]
    set first [list $code $result $options]
    set bad [expr {$code == 1}]
    if {$bad} {CancelMembers $group}
    try {
        while {[dict size [set ${group}::members]]} {
            if {[catch {$done recv} ended waiting]} {
                # cancelled, or out of time, while it waits for the members
                CancelMembers $group
                if {!$bad} {set first [list 1 $ended $waiting]}
                set bad 1
                Reap $group
                break
            }
            set outcome [Take $group $ended]
            if {[lindex $outcome 0] == 1 && !$bad} {
                set bad 1
                set first $outcome
                CancelMembers $group
            }
        }
    } finally {
        $done destroy
        interp alias {} $group {}
        namespace delete $group
    }
    lassign $first code result options
    if {$code == 0} {return $result}
    dict incr options -level
    return -options $options $result
}

# The group's command.
proc ::gosched::Group {group subcommand args} {
    switch -- $subcommand {
        go {
            if {![llength $args]} {
                return -code error -errorcode {TCL WRONGARGS} \
                    "wrong # args: should be \"$group go cmd ?arg ...?\""
            }
            set ns [uplevel 1 {::namespace current}]
            set g [go ::gosched::Member $ns {*}$args]
            Watch $g [set ${group}::done]
            dict set ${group}::members $g 1
            return $g
        }
        cancel {CancelMembers $group}
        names {dict keys [set ${group}::members]}
        default {
            return -code error -errorcode [list TCL LOOKUP SUBCOMMAND $subcommand] \
                "unknown subcommand \"$subcommand\": must be cancel, go, or names"
        }
    }
}

proc ::gosched::Member {ns args} {
    namespace eval $ns $args
}

proc ::gosched::CancelMembers {group} {
    foreach g [dict keys [set ${group}::members]] {
        catch {cancel $g}
    }
}

# A member that has ended: its outcome.
proc ::gosched::Take {group g} {
    set code [catch {join $g} result options]
    dict unset ${group}::members $g
    return [list $code $result $options]
}

# Who was told not to wait any more waits all the same until its members, cancelled, have ended.
proc ::gosched::Reap {group} {
    foreach g [dict keys [set ${group}::members]] {
        dict unset ${group}::members $g
        catch {Settle $g}
    }
}

# ---- run -----------------------------------------------------------------------------------------

proc ::gosched::run {script} {
    set before [names]
    set ns [uplevel 1 {::namespace current}]
    set main [go ::gosched::RunMain $ns $script]
    set code [catch {join $main} result options]
    if {$code && $main in [names]} {catch {cancel $main}}
    set left {}
    foreach g [names] {
        if {$g ni $before} {
            catch {cancel $g}
            lappend left $g
        }
    }
    foreach g $left {catch {join $g}}
    if {$code == 0} {return $result}
    dict incr options -level
    return -options $options $result
}

proc ::gosched::RunMain {ns script} {
    namespace eval $ns $script
}
