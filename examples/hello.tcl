package require gosched
gosched::cdef {int usleep(unsigned usec);}
set libc [gosched::load libc.so.6]
set start [clock milliseconds]
for {set i 0} {$i < 100} {incr i} {
  lappend naps [gosched::go ${libc}::usleep 200000] ;# blocks in C for 0.2 s; the others go on
}
foreach nap $naps { gosched::join $nap }
puts [format "100 calls of 0.2 s took %.2f s" [expr {([clock milliseconds] - $start) / 1000.0}]]
