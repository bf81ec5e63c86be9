// Two files of one program include the header and share its types.
#include <rungroup.hpp>

void add_from_the_other_file(rungroup::group &group);
int run_in_the_other_file(rungroup::group &group);
