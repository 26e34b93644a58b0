# guest.tcl: declares what guest.c has, and loads it as ::guest.

gosched::cdef {
    typedef struct gate gate;
    gate *gate_new(void);
    int gate_pass(gate *g);
    int gate_pass_or_not(gate *g);
    void gate_interrupt(gate *g);
    void gate_open(gate *g);
    int gate_inside(gate *g);
    int gate_most(gate *g);
    int keep(int value);
    int kept_here(void);
    int call_back(int (*fn)(int), int value);
    int call_from_thread(int (*fn)(int), int value);
    int call_from_thread_later(int (*fn)(int), int value);
    void call_with_text(void (*fn)(const char *text, double number), const char *text);
    struct inner { short a; double b; };
    struct record { int id; struct inner in; char name[8]; unsigned char raw[4]; int numbers[3];
        unsigned low : 3, high : 5; const char *text; };
    union number { int i; float f; };
    struct record make_record(int id);
    int record_sum(struct record r);
    int record_id(const struct record *r);
    void record_fill(struct record *r, int id);
    int union_int(union number n);
    int split(int value, int *high, int *low);
    void twice(int *v);
    int sum(const int *v, int n);
    void squares(int *v, int n);
    int count_texts(const char *const *texts);
    int fill(char *to, int n);
    void fill_bytes(unsigned char *to, int n);
    int set_text(const char **out);
    int same_text(const char *a, const char *b, int n);
    int fail_with(int error);
    void *null_with(int error);
    int give(int v);
    int global_number;
    enum colour { RED = 1, GREEN, BLUE = 7 };
    int colour_value(enum colour c);
    void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *));
    int printf(const char *format, ...);
    int snprintf(char *to, size_t n, const char *format, ...);
    int usleep(unsigned usec);
}
set ::guest [gosched::load $env(GS_TEST_TCL_GUEST) -critical {gate_inside gate_most gate_open gate_interrupt}]
set ::libc [gosched::load libc.so.6]

# Serves events until the expression is true.
proc until condition {
    for {set i 0} {$i < 12000} {incr i} {
        if {[uplevel 1 [list expr $condition]]} {return}
        gosched::sleep 5
    }
    error "still not so after a minute: $condition"
}
