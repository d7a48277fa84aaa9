/* photos.h: large photographs to measure with: drawn scenes of 12 megapixels with texture and grain, about 3 MB each. */
#ifndef TESTS_BENCH_PHOTOS_H
#define TESTS_BENCH_PHOTOS_H

#include "tests/bench/bench.h"

enum { BENCH_PHOTOS = 96 };

/* Files 00.jpg to 95.jpg in *folder, which is the caller's to free; made once, beside the model of random weights. Of fewer a run of
 * indexing would be mostly its start and its end: 32 are one batch. */
enum status bench_photos(struct bench *bench, char **folder);

#endif
