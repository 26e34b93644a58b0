# answer.tcl: sends back what it gets, until it is told to count; see ask.lua.

package require gosched

proc answer {} {
    set from [gosched::shared asked 2]
    set back [gosched::shared answered 2]
    while {[set kind [$from recv]] ne "count"} {
        set v [$from recv -type was]
        if {$was ne [lindex $kind 0]} {error "what was sent as $kind came as $was"}
        $back send $v -as $kind
    }
    while {[$from recv v]} {$back send $v -as int}
    $back close
}
gosched::join [gosched::go answer]
