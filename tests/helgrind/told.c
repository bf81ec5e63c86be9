/* What src/ffi/helgrind.rs tells helgrind: its client requests are macros of C. */
#include <valgrind/helgrind.h>

void helgrind_before(const void *at);
void helgrind_after(const void *at);
void helgrind_forget(const void *at);

void helgrind_before(const void *at) { ANNOTATE_HAPPENS_BEFORE(at); }

void helgrind_after(const void *at) { ANNOTATE_HAPPENS_AFTER(at); }

void helgrind_forget(const void *at) { ANNOTATE_HAPPENS_BEFORE_FORGET_ALL(at); }
