/* fuzz.h: what a fuzz target is. tests/fuzz/NAME.c feeds bytes that nobody vouches for to one reader:
 *
 *     int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
 *     {
 *         ... reader(data, size) ...; fuzz_check(what must hold whatever was read);
 *         return 0;
 *     }
 *
 * `make fuzz` links it with libFuzzer, which searches; `make test` links it with replay.c, which runs what is in tests/fuzz/seeds/NAME
 * and tests/fuzz/found/NAME (reduced cases that failed once) and some thousand repeatable variations of them.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A target whose format has checksums may vary inputs itself and mend them; without it almost no variation gets past the first check. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed);

/* Varies data at random; returns the new size, at most capacity. libFuzzer's, or replay.c's. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t capacity);

/* The path of a file that holds these bytes, in memory; valid until the next call. */
const char *fuzz_file(const void *data, size_t size);

/* Reads every byte, for the sanitizers to see. */
void fuzz_touch(const void *bytes, size_t size);

/* Ends the process unless the condition holds. */
#define fuzz_check(condition) ((condition) ? (void)0 : fuzz_failed(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_failed(const char *condition, const char *file, int line);

/* Varies what lies in a gzip file, or the plain bytes of a file that is none, with mend called on them (NULL: nothing to mend). */
typedef size_t (*fuzz_mend)(uint8_t *data, size_t size, size_t capacity);
size_t fuzz_mutate_gzip(uint8_t *data, size_t size, size_t capacity, unsigned seed, fuzz_mend mend);

/* Opens the bytes as a checkpoint and reads every tensor of it. */
void fuzz_checkpoint(const uint8_t *data, size_t size);

/* What a probe found can be true and is text; releases it. */
struct probe;
void fuzz_check_probe(struct probe *probe);

/* Probes and decodes a picture within the limits of a small one, and crops it. */
void fuzz_image(const uint8_t *data, size_t size);

#endif
